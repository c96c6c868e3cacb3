package lab

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// What a profile turns into is written down whole, so that a change of one
// field shows everything it changes.
func TestProfilesTurnIntoFlagsAndFiles(t *testing.T) {
	for _, p := range Profiles {
		for _, namespaced := range []bool{true, false} {
			name := p.Name + "-namespaced"
			top := namespacedTopology("/state/x", 1, 1)
			if !namespaced {
				name = p.Name + "-plain"
				next := 40000
				var err error
				top, err = plainTopology("/state/x", 1, 6443, func() (int, error) { next++; return next, nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			t.Run(name, func(t *testing.T) {
				golden(t, name+".txt", describe(t, p, top))
			})
		}
	}
}

func describe(t *testing.T, p Profile, top topology) string {
	t.Helper()
	var out strings.Builder
	for _, h := range top.Hosts {
		processes := controlPlaneProcesses(p, top, h, func(name string) string { return "/components/" + name })
		if h.Role == worker {
			processes = nodeProcesses(p.Kubelet, top, h, []string{"pause-1.tar"})
		}
		for _, process := range processes {
			fmt.Fprintf(&out, "# %s: %s\n%s\n", h.Name, process.Name, process.Path)
			for _, a := range process.Args {
				fmt.Fprintf(&out, "  %s\n", a)
			}
			for _, c := range process.After {
				if c.Probe != nil {
					fmt.Fprintf(&out, "  after %s\n", c.Probe.URL)
				} else {
					fmt.Fprintf(&out, "  after job %s\n", c.Job)
				}
			}
		}
		if h.Role != worker {
			continue
		}
		kubelet, err := kubeletConfiguration(p.Kubelet, p.PKI.KubeletServing, "/bulwark/x/"+h.Name)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := kubeProxyConfiguration(p.KubeProxy, h)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "# %s: %s\n%s# %s: %s\n%s", h.Name, kubeletConfig, kubelet, h.Name, kubeProxyConfig, proxy)
	}
	return out.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; go test -update rewrites it):\n%s", file, diff)
	}
}

// Without namespaces the host's network is all there is, and even the weak
// profile may only be weak on its loopback address.
func TestPlainClustersListenOnLoopbackOnly(t *testing.T) {
	for _, p := range Profiles {
		top, err := plainTopology("/state/x", 3, 6443, freePorts())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range top.Hosts {
			for _, process := range controlPlaneProcesses(p, top, h, func(string) string { return "" }) {
				args := strings.Join(process.Args, "\n")
				if strings.Contains(args, "0.0.0.0") {
					t.Errorf("%s: %s listens on 0.0.0.0", p.Name, process.Name)
				}
				if process.Name != "etcd" && !process.Job && !slices.Contains(process.Args, "--bind-address=127.0.0.1") {
					t.Errorf("%s: %s is not bound to 127.0.0.1", p.Name, process.Name)
				}
			}
		}
	}
}

func TestThreeControlPlanesKnowEachOther(t *testing.T) {
	top := namespacedTopology("/state/x", 3, 0)
	for _, h := range top.Hosts {
		args := etcdArgs(Hardened.Etcd, top, h)
		want := "--initial-cluster=control-plane-1=https://10.200.0.11:2380,control-plane-2=https://10.200.0.12:2380,control-plane-3=https://10.200.0.13:2380"
		if !slices.Contains(args, want) {
			t.Errorf("%s: etcd lacks %s", h.Name, want)
		}
	}
}

func TestProfileNamed(t *testing.T) {
	for _, p := range Profiles {
		if got, err := ProfileNamed(p.Name); err != nil || got.Name != p.Name {
			t.Errorf("ProfileNamed(%q) = %q, %v", p.Name, got.Name, err)
		}
	}
	_, err := ProfileNamed("soft")
	if want := `profile "soft": want one of hardened, kubeadm, weak`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The files that machines are switched on with, their modes, and that no mode
// is looser than the profile says.
func TestMachinesAreWritten(t *testing.T) {
	for _, p := range Profiles {
		t.Run(p.Name, func(t *testing.T) {
			p.PKI.Algorithm = pki.ECDSAP256 // RSA takes seconds
			dir := t.TempDir()
			top := namespacedTopology(dir, 1, 1)
			if err := writeMachines(p, top, "x", dir, 6443, time.Now()); err != nil {
				t.Fatal(err)
			}
			golden(t, p.Name+"-files.txt", listFiles(t, filepath.Join(dir, machinesDir)))
			info, err := os.Stat(kubeconfigFile(dir))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("kubeconfig: %v, mode %v, want 0600", err, info.Mode())
			}
		})
	}
}

func listFiles(t *testing.T, root string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		fmt.Fprintf(&out, "%s %s\n", info.Mode(), name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestObjectsAreReadable(t *testing.T) {
	files := []string{"objects/all.yaml"}
	for _, p := range Profiles {
		files = append(files, "objects/"+p.Name+".yaml")
	}
	entries, err := objectFiles.ReadDir("manifests")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files = append(files, "manifests/"+e.Name())
	}
	for _, file := range files {
		objects, err := readObjects(file, templateValues{CA: "Q0E=", Server: "https://10.200.0.1:6443"})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if len(objects) == 0 {
			t.Errorf("%s: no object in it", file)
		}
		for _, o := range objects {
			if o.GetKind() == "" || o.GetAPIVersion() == "" || o.GetName() == "" {
				t.Errorf("%s: object without kind, version or name: %v", file, o.Object)
			}
		}
	}
}
