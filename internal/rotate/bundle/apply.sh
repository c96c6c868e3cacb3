# Everything is checked and made ready before the first file is replaced. Run it
# again after an interruption: what is done already is left as it is, and the
# components are restarted once more.
set -eu
umask 077
cd "$(dirname "$0")"
root=${ROOT:-}
new=.bulwark-new-

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }
digest() { if [ -e "$1" ]; then sha256sum <"$1" | cut -d' ' -f1; else echo none; fi; }

# Behind a link is the file that its readers read.
real() { readlink -f "$root$1" 2>/dev/null || printf '%s\n' "$root$1"; }
beside() { printf '%s/%s%s\n' "$(dirname "$1")" "$new" "$(basename "$1")"; }

# check FILE FROM TO: the file is as it was, or as it will be.
check() {
	have=$(digest "$(real "$1")")
	[ "$have" = "$2" ] || [ "$have" = "$3" ] || die "$1 is neither as it was nor as it will be: somebody else has changed it"
}

# stage FILE TO MODE: its new content lies beside it.
stage() {
	file=$(real "$1")
	[ "$(digest "$file")" != "$2" ] || return 0
	[ "$(digest "files$1")" = "$2" ] || die "files$1 is damaged: copy this folder again"
	mkdir -p "$(dirname "$file")"
	cp "files$1" "$(beside "$file")"
	if [ -e "$file" ]; then
		chown "$(stat -c %u:%g "$file")" "$(beside "$file")"
		chmod "$(stat -c %a "$file")" "$(beside "$file")"
	else
		chmod "$3" "$(beside "$file")"
	fi
}

# place FILE…: one right after the other.
place() {
	for inside; do
		file=$(real "$inside")
		staged=$(beside "$file")
		if [ -e "$staged" ]; then mv -f "$staged" "$file"; fi
	done
	say "in place: $*"
}

drop() { rm -f "$(real "$1")"; say "removed: $1"; }

# set_flag COMPONENT FLAG VALUE: for its next start.
set_flag() {
	if [ -n "${SET_FLAG:-}" ]; then $SET_FLAG "$1" "$2" "$3"; return; fi
	manifest=$root/etc/kubernetes/manifests/$1.yaml
	if [ -f "$manifest" ] && grep -q -e "--$2=" "$manifest"; then
		# Not in the folder of manifests: the kubelet would start it.
		copy=$root/etc/kubernetes/$new$1.yaml
		sed "s#--$2=[^ \"']*#--$2=$3#" "$manifest" >"$copy"
		chown "$(stat -c %u:%g "$manifest")" "$copy"
		chmod "$(stat -c %a "$manifest")" "$copy"
		cmp -s "$copy" "$manifest" && rm -f "$copy" || mv -f "$copy" "$manifest"
		say "$1: --$2=$3"
		return
	fi
	die "$1 is not started from $manifest: start it with --$2=$3, then go on with SET_FLAG=true $0"
}

restart() {
	if [ -n "${RESTART:-}" ]; then
		$RESTART "$1"
	elif command -v systemctl >/dev/null && systemctl cat "$1.service" >/dev/null 2>&1; then
		systemctl restart "$1"
	elif command -v crictl >/dev/null && id=$(crictl ps --quiet --state Running --name "^$1\$" | head -n 1) && [ -n "$id" ]; then
		crictl stop --timeout 60 "$id" >/dev/null || true
		tries=0
		until another=$(crictl ps --quiet --state Running --name "^$1\$" | head -n 1) && [ -n "$another" ] && [ "$another" != "$id" ]; do
			tries=$((tries + 1))
			[ "$tries" -lt 300 ] || die "$1 was not started again within 5 minutes: look at the kubelet"
			sleep 1
		done
	else
		die "$1 is neither a service of systemd nor a container here: restart it, then go on with RESTART=true $0"
	fi
	say "restarted: $1"
}

answers() {
	pki=$root/etc/kubernetes/pki
	case $1 in
	kube-apiserver)
		curl -fsS -m 5 -o /dev/null --cacert "$pki/ca.crt" --cert "$pki/apiserver-kubelet-client.crt" --key "$pki/apiserver-kubelet-client.key" "https://$api/readyz" ;;
	etcd)
		curl -fsS -m 5 --cacert "$pki/etcd/ca.crt" --cert "$pki/etcd/healthcheck-client.crt" --key "$pki/etcd/healthcheck-client.key" https://127.0.0.1:2379/health | grep -q '"health":"true"' ;;
	kube-controller-manager) curl -fsSk -m 5 -o /dev/null https://127.0.0.1:10257/healthz ;;
	kube-scheduler) curl -fsSk -m 5 -o /dev/null https://127.0.0.1:10259/healthz ;;
	kubelet) curl -sSk -m 5 -o /dev/null https://127.0.0.1:10250/healthz ;;
	*) true ;; # it has no port that tells
	esac
}

# well COMPONENT…: each answers, on a new connection.
well() {
	if [ -n "${WELL:-}" ]; then return; fi
	command -v curl >/dev/null || die "no curl here: look yourself that these are well: $*; then go on with WELL=true $0"
	for component; do
		tries=0
		until answers "$component" 2>/dev/null; do
			tries=$((tries + 1))
			[ "$tries" -lt 120 ] || { answers "$component" || true; die "$component is not well after two minutes"; }
			sleep 1
		done
		say "well: $component"
	done
}

