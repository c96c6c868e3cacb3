#!/usr/bin/env bash
# Builds the parts of a lab cluster from Go modules: Kubernetes, etcd,
# containerd, runc, the CNI plugins, the node agent, and the images.
#
#   lab/build.sh [DIR]      default: bin/lab at the root of the repository
#
# A part is rebuilt when its own sources, its go.mod or this file change. The
# first run takes about eight minutes on two cores and adds 4 GB to Go's build
# cache; a run with nothing to do takes less than a second.
set -euo pipefail

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(realpath -m "${1:-$lab/../bin/lab}")

export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
strip="-s -w"

say() { echo "lab: $*" >&2; }

# pinned MODULE GO.MOD prints the version that the go.mod requires.
pinned() {
	sed -nE "s|^(require)?[[:space:]]+$1 (v[^ ]+).*|\2|p" "$lab/$2" | head -1
}

# packages installs the Debian packages that the lab needs and this machine
# lacks. Without root it only names them.
packages() {
	local missing=()
	command -v gcc >/dev/null || missing+=(gcc libc6-dev)
	command -v pkg-config >/dev/null || missing+=(pkg-config)
	[[ -e /usr/include/seccomp.h ]] || missing+=(libseccomp-dev)
	command -v nft >/dev/null || [[ -x /usr/sbin/nft ]] || missing+=(nftables)
	command -v ip >/dev/null || [[ -x /usr/sbin/ip ]] || missing+=(iproute2)
	command -v nsenter >/dev/null || missing+=(util-linux)
	command -v iptables >/dev/null || [[ -x /usr/sbin/iptables ]] || missing+=(iptables)
	((${#missing[@]})) || return 0
	if ((EUID)) || ! command -v apt-get >/dev/null; then
		say "not installed, and a cluster with nodes needs them: ${missing[*]}"
		return 0
	fi
	say "installing ${missing[*]}"
	if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }; then
		say "could not install all of them; a cluster with nodes needs them"
	fi
}

# step NAME INPUTS -- OUTPUTS -- COMMAND runs COMMAND in the folder lab unless
# every output exists and the inputs (files and folders, below lab) are those of
# the last run that ended well.
step() {
	local name=$1 inputs=() outputs=() fresh=1 stamp now
	shift
	while [[ $1 != -- ]]; do inputs+=("$1"); shift; done; shift
	while [[ $1 != -- ]]; do outputs+=("$1"); shift; done; shift
	stamp=$out/.stamp/$name
	now=$(find "${inputs[@]}" build.sh -type f ! -name '*_test.go' ! -path '*/testdata/*' -print0 | sort -z | xargs -0 sha256sum | cat - <(go env GOVERSION) | sha256sum)
	for file in "${outputs[@]}"; do [[ -e $out/$file ]] || fresh=; done
	[[ $fresh && -e $stamp && $(<"$stamp") == "$now" ]] && return 0
	say "building $name"
	local start=$SECONDS
	"$@"
	mkdir -p "$out/.stamp"
	echo "$now" >"$stamp"
	say "built $name in $((SECONDS - start)) s"
}

# build MODULE LDFLAGS ARGS runs go build in MODULE, a folder below lab.
build() {
	local module=$1 ldflags=$2
	shift 2
	(cd "$module" && go build -ldflags "$ldflags" "$@")
}

kubernetes() {
	local cmd=k8s.io/kubernetes/cmd v=k8s.io/component-base/version version major minor
	version=$(pinned k8s.io/kubernetes components/kubernetes/go.mod)
	IFS=. read -r major minor _ <<<"${version#v}"
	build components/kubernetes "$strip -X $v.gitVersion=$version -X $v.gitMajor=$major -X $v.gitMinor=$minor -X $v.gitTreeState=clean" \
		-o "$out/" "${@/#/$cmd/}"
}

containerd() {
	local module=github.com/containerd/containerd/v2
	build components/containerd "$strip -X $module/version.Version=$(pinned $module components/containerd/go.mod)" \
		-tags no_btrfs,no_devmapper,no_zfs,urfave_cli_no_docs -o "$out/" \
		$module/cmd/containerd $module/cmd/containerd-shim-runc-v2 $module/cmd/ctr
}

etcd() {
	build components/etcd "$strip" -o "$out/etcd" go.etcd.io/etcd/server/v3
	build components/etcd "$strip" -o "$out/etcdctl" go.etcd.io/etcd/etcdctl/v3
}

runc() {
	CGO_ENABLED=1 build components/runc "$strip" -tags seccomp,urfave_cli_no_docs -o "$out/runc" github.com/opencontainers/runc
}

cni() {
	local module=github.com/containernetworking/plugins
	local plugins=$module/plugins
	build components/cni "$strip -X $module/pkg/utils/buildversion.BuildVersion=$(pinned $module components/cni/go.mod)" \
		-o "$out/cni/" $plugins/main/ptp $plugins/main/loopback $plugins/ipam/host-local $plugins/meta/portmap
}

# images builds what runs inside pods, statically, and packs it.
images() {
	local bin=$out/.pod
	mkdir -p "$bin" "$out/images"
	rm -f "$out"/images/*.tar
	build components/coredns "$strip" -o "$bin/coredns" .
	build . "$strip" -o "$bin/" ./cmd/pause ./cmd/probe
	build demo/shop "$strip" -o "$bin/shop" .
	build . "$strip" -o "$out/.lab-images" ./cmd/lab-images
	"$out/.lab-images" --bin "$bin" --out "$out/images" --coredns "$(pinned github.com/coredns/coredns components/coredns/go.mod)"
}

command -v go >/dev/null || {
	say "go is not installed; see https://go.dev/doc/install"
	exit 1
}
cd "$lab"
mkdir -p "$out/cni"
exec 9>"$out/.lock"
flock 9 # two builds into one folder take turns
packages
modules=(go.mod go.sum)
step etcd components/etcd -- etcd etcdctl -- etcd
control=(kube-apiserver kube-controller-manager kube-scheduler kubectl)
step control-plane components/kubernetes -- "${control[@]}" -- kubernetes "${control[@]}"
node=(kubelet kube-proxy)
step node components/kubernetes -- "${node[@]}" -- kubernetes "${node[@]}"
step containerd components/containerd -- containerd containerd-shim-runc-v2 ctr -- containerd
if command -v gcc >/dev/null && [[ -e /usr/include/seccomp.h ]]; then
	step runc components/runc -- runc -- runc
else
	say "skipping runc: it needs gcc and libseccomp-dev; without it only --nodes 0 works"
fi
step cni components/cni -- cni/ptp cni/loopback cni/host-local cni/portmap -- cni
step lab-net "${modules[@]}" cmd/lab-net internal -- lab-net -- build . "$strip" -o "$out/lab-net" ./cmd/lab-net
step images "${modules[@]}" cmd demo/shop components/coredns -- images/{pause-1,probe-1,shop-front-latest}.tar -- images
