package host

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Namespaces of the fake machines. The reader's own is home.
const (
	home = "net:[1]"
	node = "net:[2]"
	pods = "net:[3]"
)

// A fake is a proc file system in a folder.
type fake struct {
	t   *testing.T
	dir string
}

// newFake makes a proc in which the reader is alone, in the home network.
func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t, t.TempDir()}
	f.link("self/ns/net", home)
	f.file("1/cmdline", "/sbin/init\x00")
	f.link("1/ns/net", home)
	f.link(fmt.Sprintf("%d/root", os.Getpid()), f.tree("empty", nil))
	return f
}

func (f *fake) file(name, content string) {
	f.t.Helper()
	name = filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fake) link(name, target string) {
	f.t.Helper()
	name = filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		f.t.Fatal(err)
	}
}

// tree makes a file tree: of each path its mode, what is in it after a space, or where
// it links to after "->". Folders end in a slash.
func (f *fake) tree(name string, files map[string]string) string {
	f.t.Helper()
	root := filepath.Join(f.dir, "trees", name)
	if err := os.MkdirAll(root, 0o755); err != nil {
		f.t.Fatal(err)
	}
	for p, what := range files {
		full := filepath.Join(root, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			f.t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(what, "->"); ok {
			if err := os.Symlink(target, full); err != nil {
				f.t.Fatal(err)
			}
			continue
		}
		bits, content, _ := strings.Cut(what, " ")
		var mode uint32
		if _, err := fmt.Sscanf(bits, "%o", &mode); err != nil {
			f.t.Fatal(err)
		}
		if strings.HasSuffix(p, "/") {
			if err := os.MkdirAll(full, 0o755); err != nil {
				f.t.Fatal(err)
			}
		} else if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			f.t.Fatal(err)
		}
		if err := unix.Chmod(full, mode); err != nil {
			f.t.Fatal(err)
		}
	}
	return root
}

// process adds a process in a network, with a file tree.
func (f *fake) process(pid int, network, root string, argv ...string) {
	f.t.Helper()
	base := fmt.Sprint(pid)
	f.file(base+"/cmdline", strings.Join(argv, "\x00")+"\x00")
	f.file(base+"/status", "Name:\tx\nUid:\t1000\t0\t0\t0\n")
	f.file(base+"/environ", "")
	f.link(base+"/exe", argv[0])
	f.link(base+"/cwd", "/")
	f.link(base+"/ns/net", network)
	f.link(base+"/ns/mnt", "mnt:["+filepath.Base(root)+"]")
	f.link(base+"/root", root)
	f.file(base+"/net/tcp", header)
	f.file(base+"/net/tcp6", header)
	if err := os.MkdirAll(filepath.Join(f.dir, base, "fd"), 0o755); err != nil {
		f.t.Fatal(err)
	}
}

const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func (f *fake) read(opts Options) *Facts {
	f.t.Helper()
	opts.Proc = f.dir
	opts.Name = "cp-1"
	facts, err := Read(f.t.Context(), opts)
	if err != nil {
		f.t.Fatal(err)
	}
	return facts
}

func components(m *cluster.Machine) (out []string) {
	for _, p := range m.Processes {
		out = append(out, p.Component)
	}
	return out
}

// A static pod on the host network is the machine's although it is in a pod's control
// group; what runs in a pod's network is not; a node inside this one is another machine.
func TestMachinesAreNetworks(t *testing.T) {
	f := newFake(t)
	host := f.tree("host", map[string]string{})
	f.process(10, home, host, "/usr/bin/kubelet", "--config=/missing")
	f.process(11, home, f.tree("static", nil), "kube-apiserver", "--anonymous-auth=false")
	f.file("11/cgroup", "0::/kubepods.slice/kubepods-burstable.slice/cri-1.scope\n")
	f.process(12, pods, f.tree("pod", nil), "etcd")
	f.file("12/cgroup", "0::/kubepods.slice/kubepods-besteffort.slice/cri-2.scope\n")
	inner := f.tree("inner", map[string]string{"etc/hostname": "644 kind-worker\n"})
	f.process(20, node, inner, "/usr/bin/containerd")
	f.process(21, node, f.tree("innerstatic", nil), "/usr/local/bin/kube-proxy")
	f.file("21/cgroup", "0::/docker/1/kubelet.slice/kubelet-kubepods.slice/cri-3.scope\n")
	f.process(30, home, host, "/bin/sh", "-c", "kubelet")
	f.process(31, home, host, "/usr/local/bin/k3s", "kubectl", "get", "pods")

	facts := f.read(Options{})
	if len(facts.Machines) != 1 || facts.Machines[0].Name != "cp-1" {
		t.Fatalf("machines: %+v", facts.Machines)
	}
	if diff := cmp.Diff([]string{"kube-apiserver", "kubelet"}, components(facts.Machines[0])); diff != "" {
		t.Error(diff)
	}

	facts = f.read(Options{Inside: func(*cluster.Machine) bool { return true }})
	if len(facts.Machines) != 2 {
		t.Fatalf("got %d machines, want 2", len(facts.Machines))
	}
	if m := facts.Machines[1]; m.Name != "kind-worker" {
		t.Errorf("got %q, want kind-worker", m.Name)
	}
	if diff := cmp.Diff([]string{"containerd", "kube-proxy"}, components(facts.Machines[1])); diff != "" {
		t.Error(diff)
	}
}

// A reader in a pod that shares the node's processes looks at the node.
func TestReaderInAPodLooksAtItsNode(t *testing.T) {
	f := newFake(t)
	if err := os.RemoveAll(filepath.Join(f.dir, "self")); err != nil {
		t.Fatal(err)
	}
	f.link("self/ns/net", pods)
	f.file("self/cgroup", "0::/kubepods.slice/cri-9.scope\n")
	f.process(10, home, f.tree("host", nil), "kubelet", "--hostname-override=Node-7")
	facts := f.read(Options{})
	if m := facts.Machines[0]; m.Name != "node-7" || len(m.Processes) != 1 {
		t.Errorf("got %+v, want node-7 with its kubelet", m)
	}
	if len(facts.Kubelets) != 1 || facts.Kubelets[0].Node != "node-7" {
		t.Errorf("kubelets: %+v", facts.Kubelets)
	}
}

func TestFiles(t *testing.T) {
	f := newFake(t)
	root := f.tree("host", map[string]string{
		"etc/kubernetes/admin.conf":              "644 users:\n- user:\n    client-key: pki/admin.key\n    client-key-data: c2VjcmV0\n",
		"etc/kubernetes/pki/admin.key":           "640 x",
		"etc/kubernetes/pki/apiserver.key":       "644 x",
		"etc/kubernetes/pki/apiserver.crt":       "644 x",
		"etc/kubernetes/pki/etcd/ca.key":         "600 x",
		"etc/kubernetes/pki/notes.txt":           "666 x",
		"etc/kubernetes/manifests/apiserver.yml": "600 x",
		"etc/kubernetes/enc.yaml":                "4755 " + encryptionFile,
		"certs/apiserver.key":                    "604 x",
		"secret/":                                "700",
		"secret/sa.key":                          "644 x",
		"run/containerd/containerd.sock":         "666 x",
		"var/run":                                "->/run",
		// Out of the tree, were it followed as the host does.
		"etc/kubernetes/outside.key": "->/../../../../../../../../etc/passwd",
		"etc/passwd":                 "604 inside",
		"etc/loop":                   "->/etc/loop",
	})
	f.process(10, home, root, "kube-apiserver",
		"--tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
		"--service-account-signing-key-file", "/secret/sa.key",
		"--etcd-keyfile=/etc/kubernetes/outside.key",
		"--cert-dir=/certs",
		"--kubelet-client-key=/etc/loop",
		"--encryption-provider-config=/etc/kubernetes/enc.yaml",
		"--token-auth-file=/not/there")
	f.process(11, home, root, "containerd", "-a", "/var/run/containerd/containerd.sock")

	facts := f.read(Options{})
	type row struct {
		Role     cluster.FileRole
		Mode     uint32
		UsedBy   string
		Shielded bool
	}
	got := map[string]row{}
	for _, file := range facts.Machines[0].Files {
		if file.Role != cluster.Directory {
			got[file.Path] = row{file.Role, file.Mode, file.UsedBy, file.Shielded}
		}
		if file.UID != os.Getuid() {
			t.Errorf("%s: owner %d", file.Path, file.UID)
		}
	}
	want := map[string]row{
		"/etc/kubernetes/admin.conf":              {cluster.Kubeconfig, 0o644, "", false},
		"/etc/kubernetes/pki/admin.key":           {cluster.PrivateKey, 0o640, "kube-apiserver", false},
		"/etc/kubernetes/pki/apiserver.key":       {cluster.PrivateKey, 0o644, "kube-apiserver", false},
		"/etc/kubernetes/pki/apiserver.crt":       {cluster.Certificate, 0o644, "kube-apiserver", false},
		"/etc/kubernetes/pki/etcd/ca.key":         {cluster.PrivateKey, 0o600, "kube-apiserver", false},
		"/etc/kubernetes/manifests/apiserver.yml": {cluster.StaticPod, 0o600, "kubelet", false},
		"/etc/kubernetes/enc.yaml":                {cluster.SecretConfig, 0o4755, "kube-apiserver", false},
		"/certs/apiserver.key":                    {cluster.PrivateKey, 0o604, "kube-apiserver", false},
		"/secret/sa.key":                          {cluster.PrivateKey, 0o644, "kube-apiserver", true},
		"/etc/kubernetes/outside.key":             {cluster.PrivateKey, 0o604, "kube-apiserver", false},
		"/var/run/containerd/containerd.sock":     {cluster.Socket, 0o666, "containerd", false},
	}
	if len(facts.Configs) != 1 || facts.Configs[0].Machine != "cp-1" || facts.Configs[0].Encryption.Resources[0].Providers[0].Kind() != "secretbox" {
		t.Errorf("configurations are %+v", facts.Configs)
	}
	if all, _ := json.Marshal(facts); strings.Contains(string(all), "a2V5") {
		t.Error("the key of the encryption is part of the facts")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	wantGaps := []cluster.Gap{{Need: cluster.HostFiles, Scope: "cp-1", Reason: "/etc/loop: too many levels of symbolic links"}}
	if diff := cmp.Diff(wantGaps, facts.Gaps); diff != "" {
		t.Error(diff)
	}
}

// What a static pod mounts from the host is reported by the host's path.
func TestFilesOfAStaticPod(t *testing.T) {
	f := newFake(t)
	host := f.tree("host", map[string]string{"srv/pki/": "700", "srv/pki/ca.key": "644 x", "var/": "755"})
	pod := f.tree("pod", map[string]string{"certs/": "755"})
	// A hard link stands for the mount: one file, two paths.
	if err := os.Link(filepath.Join(host, "srv/pki/ca.key"), filepath.Join(pod, "certs/ca.key")); err != nil {
		t.Fatal(err)
	}
	f.process(10, home, host, "containerd")
	f.file("10/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
	f.process(11, home, pod, "kube-controller-manager", "--cluster-signing-key-file=/certs/ca.key")
	f.file("11/mountinfo", "2 0 0:9 / / rw - overlay overlay rw\n3 2 8:1 /srv/pki /certs ro - ext4 /dev/sda1 rw\n")
	f.file("11/cgroup", "0::/kubepods/x\n")
	files := f.read(Options{}).Machines[0].Files
	want := []cluster.File{{
		Path: "/srv/pki/ca.key", Role: cluster.PrivateKey, UsedBy: "kube-controller-manager",
		Mode: 0o644, UID: os.Getuid(), GID: os.Getgid(), Shielded: true,
	}}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
}

func TestEtcdFromItsEnvironment(t *testing.T) {
	f := newFake(t)
	root := f.tree("host", map[string]string{"data/": "750"})
	f.process(10, home, root, "etcd", "--data-dir=/data", "--name=a")
	f.file("10/environ", strings.Join([]string{
		"ETCD_CLIENT_CERT_AUTH=true", "ETCD_NAME=b", "ETCD_ROOT_PASSWORD=hunter2", "AWS_SECRET=hunter2",
		"ETCD_AUTH_TOKEN=jwt,pub-key=/a", "ETCD_DISCOVERY_SRV_TOKEN=hunter2", "ETCD_DISCOVERY=https://u:hunter2@x/y",
	}, "\x00"))
	m := f.read(Options{}).Machines[0]
	want := []cluster.Process{{Component: "etcd", PID: 10, UID: 0, Args: []string{
		"etcd", "--auth-token=jwt,pub-key=/a", "--client-cert-auth=true", "--discovery=https://(redacted)@x/y", "--data-dir=/data", "--name=a",
	}}}
	if diff := cmp.Diff(want, m.Processes); diff != "" {
		t.Error(diff)
	}
	if len(m.Files) != 1 || m.Files[0].Role != cluster.DataDir || m.Files[0].Mode != 0o750 {
		t.Errorf("files: %+v", m.Files)
	}
}

func TestEtcdFromItsFile(t *testing.T) {
	f := newFake(t)
	root := f.tree("host", map[string]string{"etcd.yaml": `600 name: a
data-dir: /data
client-transport-security: {client-cert-auth: true, key-file: /k}
peer-transport-security: {client-cert-auth: true}
`})
	f.process(10, home, root, "etcd", "--config-file=/etcd.yaml", "--ignored=1")
	m := f.read(Options{}).Machines[0]
	want := []string{"etcd", "--config-file=/etcd.yaml", "--client-cert-auth=true", "--data-dir=/data", "--key-file=/k", "--name=a", "--peer-client-cert-auth=true"}
	if diff := cmp.Diff(want, m.Processes[0].Args); diff != "" {
		t.Error(diff)
	}
}

func TestKubelet(t *testing.T) {
	const head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
	tests := map[string]struct {
		files map[string]string
		args  []string
		want  string // mode, anonymous, port
		gap   string
	}{
		"a file": {
			files: map[string]string{"c.yaml": "600 " + head + "authorization: {mode: Webhook}\nauthentication: {anonymous: {enabled: false}}\n"},
			args:  []string{"--config=/c.yaml"},
			want:  "Webhook false 0",
		},
		"a drop-in over it, and a flag over both": {
			files: map[string]string{
				"c.yaml":      "600 " + head + "authorization: {mode: Webhook}\nauthentication: {anonymous: {enabled: false}}\n",
				"d/10-a.conf": "600 " + head + "readOnlyPort: 1\nauthorization: {mode: AlwaysAllow}\n",
				"d/20-b.conf": "600 " + head + "readOnlyPort: 2\n",
				"d/30-c.yaml": "600 " + head + "readOnlyPort: 3\n",
			},
			args: []string{"--config=/c.yaml", "--config-dir=/d", "--anonymous-auth=true"},
			want: "AlwaysAllow true 2",
		},
		"no file, which means older defaults": {
			args: []string{"--kubeconfig=/x"},
			want: "AlwaysAllow true 10255",
		},
		"a file that is missing": {args: []string{"--config=/c.yaml"}, gap: "kubelet (process 10): reading /c.yaml: no such file or directory"},
		"a file of another kind": {
			files: map[string]string{"c.yaml": "600 kind: Pod\napiVersion: v1\n"},
			args:  []string{"--config=/c.yaml"},
			gap:   `kubelet (process 10): /c.yaml is "Pod" of "v1", want KubeletConfiguration of kubelet.config.k8s.io/v1beta1`,
		},
		"a flag that is no boolean": {args: []string{"--anonymous-auth=perhaps"}, gap: `kubelet (process 10): --anonymous-auth=perhaps: strconv.ParseBool: parsing "perhaps": invalid syntax`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.process(10, home, f.tree("host", tt.files), append([]string{"kubelet"}, tt.args...)...)
			facts := f.read(Options{})
			if tt.gap != "" {
				want := []cluster.Gap{{Need: cluster.KubeletConfig, Scope: "cp-1", Reason: tt.gap}}
				if diff := cmp.Diff(want, facts.Gaps); diff != "" {
					t.Error(diff)
				}
				return
			}
			if len(facts.Kubelets) != 1 || facts.Gaps != nil {
				t.Fatalf("kubelets %v, gaps %v", facts.Kubelets, facts.Gaps)
			}
			c := facts.Kubelets[0].Config
			if got := fmt.Sprintf("%s %t %d", c.Authorization.Mode, *c.Authentication.Anonymous.Enabled, c.ReadOnlyPort); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// A port that a component holds is asked; one that another process holds is not its.
func TestListeners(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("hello\n"))
			c.Close()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	f := newFake(t)
	f.process(10, home, f.tree("host", nil), "etcd")
	f.file("10/net/tcp", header+
		fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 500 1 0\n", port)+
		"   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 501 1 0\n"+
		"   2: 0100007F:1000 0100007F:2000 01 00000000:00000000 00:00000000 00000000     0        0 502 1 0\n")
	for i, target := range []string{"socket:[500]", "socket:[502]", "/dev/null"} {
		f.link(fmt.Sprintf("10/fd/%d", i), target)
	}
	got := f.read(Options{}).Machines[0].Listeners
	want := []cluster.Listener{{Component: "etcd", Address: "127.0.0.1", Port: port, PID: 10}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A cancelled reading ends at once, and says of no port that it is plain.
func TestCancelled(t *testing.T) {
	f := newFake(t)
	f.process(10, home, f.tree("host", nil), "etcd")
	f.file("10/net/tcp", header+"   0: 0100007F:0001 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 500 1 0\n")
	f.link("10/fd/3", "socket:[500]")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	facts, err := Read(ctx, Options{Proc: f.dir, Name: "cp-1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range facts.Machines[0].Listeners {
		if l.Unknown == "" {
			t.Errorf("%+v: want it unknown", l)
		}
	}
}

func TestHiddenProcessesAreAGap(t *testing.T) {
	f := newFake(t)
	if err := os.RemoveAll(filepath.Join(f.dir, "1")); err != nil {
		t.Fatal(err)
	}
	facts := f.read(Options{})
	if len(facts.Gaps) != len(allNeeds) {
		t.Errorf("gaps: %v", facts.Gaps)
	}
}

func TestK3sIsAGap(t *testing.T) {
	f := newFake(t)
	f.process(10, home, f.tree("host", nil), "/usr/local/bin/k3s server --token hunter2 -t hunter2")
	facts := f.read(Options{})
	if got := facts.Machines[0].Processes[0]; got.Component != "k3s" || slices.Contains(got.Args, "hunter2") {
		t.Errorf("got %+v", got)
	}
	var needs []cluster.Need
	for _, g := range facts.Gaps {
		needs = append(needs, g.Need)
	}
	want := []cluster.Need{cluster.APIServerFlags, cluster.ControllerManagerFlags, cluster.SchedulerFlags, cluster.EtcdFlags, cluster.ProxyFlags, cluster.KubeletConfig}
	if diff := cmp.Diff(want, needs, cmpopts.SortSlices(func(a, b cluster.Need) bool { return a < b })); diff != "" {
		t.Error(diff)
	}
}

func TestNobodysNetwork(t *testing.T) {
	const table = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n0000000000000000 0   %d          00000000 0        0        0     2        0        %d\n"
	own := kernelSockets(fmt.Appendf(nil, table, 0, 77))
	if !own[77] || len(own) != 1 {
		t.Errorf("got %v", own)
	}
	if users := kernelSockets(fmt.Appendf(nil, table, 812, 78)); len(users) != 0 {
		t.Errorf("a process's socket %v is taken for the kernel's", users)
	}
}

// From inside a network namespace of its own, a port of the loopback there is reached
// and the same port here is not.
func TestNetwork(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("entering a network namespace takes root")
	}
	self, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	n, err := enter("/proc", os.Getpid(), self, 2)
	if err != nil {
		t.Skipf("setns is not allowed here: %v", err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := n.dial(ctx, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	n.close()
	if _, err := enter("/proc", os.Getpid(), "net:[1]", 1); err == nil {
		t.Error("a namespace that is not the one meant was entered")
	}
	if name, err := nodeName("/proc", os.Getpid(), mustReadlink(t, "/proc/self/ns/uts")); err != nil || name == "" {
		t.Errorf("got %q, %v", name, err)
	}
}

func mustReadlink(t *testing.T, name string) string {
	t.Helper()
	target, err := os.Readlink(name)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

const encryptionFile = "{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: [{resources: [secrets], providers: [{secretbox: {keys: [{name: k, secret: a2V5}]}}]}]}"

// What certificates say of themselves is read from files and from inside kubeconfigs;
// a kubeconfig that holds nonsense in their place is a kubeconfig still.
func TestCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "admin"},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	f := newFake(t)
	root := f.tree("host", map[string]string{
		"etc/kubernetes/admin.conf":   "600 users:\n- user: {client-certificate-data: " + base64.StdEncoding.EncodeToString([]byte(text)) + "}\n",
		"etc/kubernetes/strange.conf": "600 users:\n- user: {client-certificate-data: \"*\"}\n",
		"etc/kubernetes/pki/ca.crt":   "644 " + text,
	})
	f.process(10, home, root, "kube-apiserver", "--client-ca-file=/etc/kubernetes/pki/ca.crt")
	now := time.Date(2026, 6, 1, 12, 0, 0, 5, time.FixedZone("x", 3600))
	m := f.read(Options{Now: func() time.Time { return now }}).Machines[0]
	if want := time.Date(2026, 6, 1, 11, 0, 0, 0, time.UTC); !m.Seen.Equal(want) {
		t.Errorf("seen is %s, want %s", m.Seen, want)
	}
	said := []cluster.CertificateFacts{{
		Subject: "CN=admin", NotBefore: template.NotBefore, NotAfter: template.NotAfter, Key: "ECDSA 256", Signature: "ECDSA-SHA256",
	}}
	want := map[string][]cluster.CertificateFacts{
		"/etc/kubernetes/admin.conf": said, "/etc/kubernetes/pki/ca.crt": said, "/etc/kubernetes/strange.conf": nil,
	}
	got := map[string][]cluster.CertificateFacts{}
	for _, file := range m.Files {
		if file.Role != cluster.Directory {
			got[file.Path] = file.Certificates
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
