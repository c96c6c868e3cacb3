package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func config(t *testing.T, more string) pki.Config {
	t.Helper()
	c, err := pki.ParseConfig("cluster.yaml", []byte(`
endpoint: 10.0.0.1
controlPlanes: [{name: cp-1, addresses: [10.0.0.11]}, {name: cp-2, addresses: [10.0.0.12]}]
workers: [{name: node-1, addresses: [10.0.0.21]}]
`+more))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// cluster is a folder of init, and the machines with what they were given.
type cluster struct {
	dir, machines string
	config        pki.Config
}

func newCluster(t *testing.T, more string) cluster {
	t.Helper()
	c := cluster{dir: filepath.Join(t.TempDir(), "pki"), machines: filepath.Join(t.TempDir(), "machines"), config: config(t, more)}
	if _, err := pki.Init(c.dir, pki.InitOptions{Config: c.config, Now: now.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(c.machines, os.DirFS(c.dir)); err != nil {
		t.Fatal(err)
	}
	return c
}

type death struct{}

// options are those of a run that dies at a change of a file, or of one that
// does not if there are fewer.
func (c cluster) options(dieAt int, ask func(context.Context, rotate.Phase) []Answer) Options {
	n := 0
	return Options{
		Dir: c.dir, Config: c.config, Now: func() time.Time { return now }, Again: "again",
		Waits:     map[rotate.Action]time.Duration{rotate.Settle: 0, rotate.Outlive: 0},
		Confirm:   func(rotate.Phase) (bool, error) { return true, nil },
		Answers:   func(rotate.Phase, []Answer) {},
		HandedOut: func(rotate.Phase, string) {},
		Step: func() {
			if n == dieAt {
				panic(death{})
			}
			n++
		},
		ask: ask,
	}
}

// run does what the command does, and reports whether it died.
func (c cluster) run(kind rotate.Kind, o Options, abort bool) (died bool, err error) {
	defer func() {
		if got := recover(); got != nil {
			if _, ok := got.(death); !ok {
				panic(got)
			}
			died = true
		}
	}()
	r, err := Open(o)
	if err != nil {
		return false, err
	}
	plan, _, err := r.Load()
	if err == nil && plan == nil {
		var blobs rotate.Blobs
		if plan, blobs, err = r.Plan(kind, rotate.Options{Now: now}); err == nil {
			err = r.Begin(plan, blobs)
		}
	}
	if err == nil && abort {
		err = r.Abort()
	}
	if err != nil {
		return false, err
	}
	return false, r.Run(context.Background())
}

// operate runs the scripts of what is handed out, on machines that are folders.
func (c cluster) operate(t *testing.T) {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(c.dir, "rotation/bundles/*/*/apply.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		machine := filepath.Base(filepath.Dir(s))
		if machine == clusterFolder {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "/bin/sh", s)
		cmd.Env = append(os.Environ(), "ROOT="+filepath.Join(c.machines, machine), "RESTART=true", "SET_FLAG=true", "WELL=true")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", s, err, out)
		}
	}
}

// placed sees what the machines have, as a witness does: a phase is in place
// where every file is as it wants it.
func (c cluster) placed(_ context.Context, ph rotate.Phase) []Answer {
	var all []Answer
	for _, t := range ph.Turns {
		for _, s := range t.Steps {
			for _, change := range s.Changes() {
				if s.Machine == authorities || s.Machine == people {
					continue
				}
				data, err := os.ReadFile(filepath.Join(c.machines, s.Machine, change.File))
				a := Answer{Where: s.Machine, What: change.File, Outcome: Held}
				if change.To == "" && err == nil || change.To != "" && rotate.DigestOf(data) != change.To {
					a.Outcome = Broken
				}
				all = append(all, a)
			}
		}
	}
	return all
}

func digests(t *testing.T, dir string) map[string]rotate.Digest {
	t.Helper()
	all := map[string]rotate.Digest{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		all[strings.TrimPrefix(name, dir)] = rotate.DigestOf(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ends checks that the folder is what the last plan said, and that the machines
// have what the folder says.
func (c cluster) ends(t *testing.T, before map[string]rotate.Digest, plan *rotate.Plan) {
	t.Helper()
	f := &Folder{dir: c.dir}
	want := maps.Clone(before)
	for machine, files := range plan.Final() {
		for file, d := range files {
			name := strings.TrimPrefix(f.path(machine, file), c.dir)
			if want[name] = d; d == "" {
				delete(want, name)
			}
		}
	}
	got := digests(t, c.dir)
	delete(got, "/rotation.last.json")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the folder (-want +got):\n%s", diff)
	}
	for _, h := range f.hostsOf(c.config) {
		if diff := cmp.Diff(digests(t, filepath.Join(c.dir, h)), digests(t, filepath.Join(c.machines, h))); diff != "" {
			t.Errorf("machine %s (-folder +machine):\n%s", h, diff)
		}
	}
}

func (*Folder) hostsOf(c pki.Config) []string {
	var names []string
	for _, h := range (&Folder{config: c}).hosts() {
		names = append(names, h.Name)
	}
	return names
}

// TestEveryWrite: killed at every change of a file, again and again, the
// rotation ends as its plan said.
func TestEveryWrite(t *testing.T) {
	for _, kind := range rotate.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			c := newCluster(t, "")
			before := digests(t, c.dir)
			var plan *rotate.Plan
			deaths := 0
			// The same call dies at its first change, then at its second, until
			// it comes through; then the operator has his turn.
			for at, handed := 0, 0; ; at++ {
				died, err := c.run(kind, c.options(at, c.placed), false)
				if r, openErr := Open(c.options(-1, nil)); openErr == nil {
					if p, _, loadErr := r.Load(); loadErr == nil && p != nil {
						plan = p
					}
				}
				switch {
				case died:
					deaths++
					continue
				case err == nil:
					if deaths < 30 {
						t.Errorf("died %d times: too few to be all writes", deaths)
					}
					t.Logf("died %d times", deaths)
					c.ends(t, before, plan)
					return
				case !errors.Is(err, ErrHandedOut):
					// It was handed out before the death: what is not placed is seen.
					if fault := new(VerifyError); !errors.As(err, &fault) || fault.Broken == 0 {
						t.Fatal(err)
					}
				}
				if handed++; handed > 10 {
					t.Fatal("it never ends")
				}
				c.operate(t)
				at = -1
			}
		})
	}
}

// TestAbortBundles: from every phase before retire it goes back, by scripts as
// it came, also when one machine has had its turn and another has not, and
// when it is killed on the way.
func TestAbortBundles(t *testing.T) {
	for _, phases := range []int{1, 2} {
		for _, half := range []bool{false, true} {
			t.Run(fmt.Sprintf("phases=%d half=%t", phases, half), func(t *testing.T) {
				c := newCluster(t, "")
				before, machines := digests(t, c.dir), digests(t, c.machines)
				for n := range phases {
					if _, err := c.run(rotate.ClusterCA, c.options(-1, c.placed), false); !errors.Is(err, ErrHandedOut) {
						t.Fatal(err)
					}
					if half && n == phases-1 {
						others, _ := filepath.Glob(filepath.Join(c.dir, "rotation/bundles/*/cp-2"))
						for _, o := range others {
							if err := os.RemoveAll(o); err != nil {
								t.Fatal(err)
							}
						}
					}
					c.operate(t)
				}
				// Every seventh write: every one is TestEveryWrite's.
				for at, rounds := 0, 0; ; at += 7 {
					died, err := c.run(rotate.ClusterCA, c.options(at, c.placed), rounds == 0)
					if died {
						continue
					}
					if err == nil {
						break
					}
					if rounds++; rounds > 8 || !errors.Is(err, ErrHandedOut) && !errors.As(err, new(*VerifyError)) {
						t.Fatal(err)
					}
					c.operate(t)
					at = -7
				}
				after := digests(t, c.dir)
				delete(after, "/rotation.last.json")
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("the folder (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(machines, digests(t, c.machines)); diff != "" {
					t.Errorf("the machines (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestRetireHasNoWayBack: as soon as it is handed out.
func TestRetireHasNoWayBack(t *testing.T) {
	c := newCluster(t, "")
	for range 3 {
		if _, err := c.run(rotate.FrontProxyCA, c.options(-1, c.placed), false); !errors.Is(err, ErrHandedOut) {
			t.Fatal(err)
		}
		c.operate(t)
	}
	if _, err := c.run(rotate.FrontProxyCA, c.options(-1, c.placed), true); !errors.Is(err, rotate.ErrRetired) {
		t.Errorf("abort: %v", err)
	}
}

// TestUnknownIsNotVerified: what nobody saw stops the rotation until somebody
// takes it on himself; what was seen to be wrong stops it in any case.
func TestUnknownIsNotVerified(t *testing.T) {
	for _, test := range []struct {
		outcome Outcome
		accept  bool
		goesOn  bool
	}{
		{Unknown, false, false}, {Unknown, true, true}, {Broken, true, false}, {Broken, false, false}, {Hidden, false, true}, {Held, false, true},
	} {
		c := newCluster(t, "")
		see := func(context.Context, rotate.Phase) []Answer { return []Answer{{Outcome: test.outcome}} }
		if _, err := c.run(rotate.EtcdCA, c.options(-1, see), false); !errors.Is(err, ErrHandedOut) {
			t.Fatal(err)
		}
		o := c.options(-1, see)
		o.AcceptUnknown = test.accept
		_, err := c.run(rotate.EtcdCA, o, false)
		if goesOn := errors.Is(err, ErrHandedOut); goesOn != test.goesOn {
			t.Errorf("%s, accepted %t: %v", test.outcome, test.accept, err)
		}
	}
}

// TestSealedKeys: an encrypted authority is followed by an encrypted one, and
// its key is plain nowhere.
func TestSealedKeys(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "caKeys: {store: age, recipients: ["+identity.Recipient().String()+"]}\n")
	for {
		_, err := c.run(rotate.FrontProxyCA, c.options(-1, c.placed), false)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrHandedOut) {
			t.Fatal(err)
		}
		c.operate(t)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "ca/front-proxy-ca.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a plain key: %v", err)
	}
	// The new key signs, and what it signs verifies.
	unlock := func(bool) ([]age.Identity, error) { return []age.Identity{identity}, nil }
	result, err := pki.Renew(c.dir, pki.RenewOptions{Now: now, Names: []string{"cp-1/front-proxy-client"}, Unlock: unlock})
	if err != nil || len(result.Renewals) != 1 || result.Renewals[0].Action != pki.Renewed {
		t.Errorf("renewing from the new authority: %+v, %v", result, err)
	}
	for name := range digests(t, c.dir) {
		if strings.HasSuffix(name, "/front-proxy-ca.key") {
			t.Errorf("%s is plain", name)
		}
	}
}

// TestElsewhere: an authority whose key is with somebody else is refused, and
// the key of service accounts is not.
func TestElsewhere(t *testing.T) {
	c := newCluster(t, "")
	for _, key := range []string{"ca/ca.key", "cp-1/etc/kubernetes/pki/ca.key", "cp-2/etc/kubernetes/pki/ca.key"} {
		if err := os.Remove(filepath.Join(c.dir, key)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.run(rotate.ClusterCA, c.options(-1, c.placed), false); err == nil || !strings.Contains(err.Error(), "its key is not here") {
		t.Errorf("an authority elsewhere: %v", err)
	}
	if _, err := c.run(rotate.SAKeys, c.options(-1, c.placed), false); !errors.Is(err, ErrHandedOut) {
		t.Errorf("service accounts: %v", err)
	}
}

// TestSomebodyElsesChange: a script that meets a file that is neither as it was
// nor as it will be places nothing.
func TestSomebodyElsesChange(t *testing.T) {
	c := newCluster(t, "")
	if _, err := c.run(rotate.ClusterCA, c.options(-1, c.placed), false); !errors.Is(err, ErrHandedOut) {
		t.Fatal(err)
	}
	// The last that is checked.
	if err := os.WriteFile(filepath.Join(c.machines, "cp-1/etc/kubernetes/scheduler.conf"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := digests(t, c.machines)
	cmd := exec.CommandContext(t.Context(), "/bin/sh", filepath.Join(c.dir, "rotation/bundles/1-distribute/cp-1/apply.sh"))
	cmd.Env = append(os.Environ(), "ROOT="+filepath.Join(c.machines, "cp-1"), "RESTART=true", "SET_FLAG=true", "WELL=true")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "somebody else has changed it") {
		t.Errorf("%v: %s", err, out)
	}
	if diff := cmp.Diff(before, digests(t, c.machines)); diff != "" {
		t.Errorf("it changed something (-before +after):\n%s", diff)
	}
}

// TestKubeletRotates: a kubelet's own certificate has to be collected, and of
// those that it kept only the current one counts.
func TestKubeletRotates(t *testing.T) {
	c := newCluster(t, "")
	conf := filepath.Join(c.dir, "node-1/etc/kubernetes/kubelet.conf")
	data, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	const current = kubeletDir + "/kubelet-client-current.pem"
	var lines []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, "client-certificate-data") {
			line = strings.Split(line, "client-")[0] + "client-certificate: " + current + "\n"
		}
		if !strings.Contains(line, "client-key-data") {
			lines = append(lines, line)
		}
	}
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &Folder{dir: c.dir, config: c.config}
	if _, err := f.Inventory(); err == nil || !strings.Contains(err.Error(), "which is not in the folder") {
		t.Errorf("not collected: %v", err)
	}
	folder := filepath.Join(c.dir, "node-1", kubeletDir)
	for _, name := range []string{"kubelet-client-1.pem", "kubelet-client-2.pem"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(kubeletDir+"/kubelet-client-2.pem", filepath.Join(folder, "kubelet-client-current.pem")); err != nil {
		t.Fatal(err)
	}
	inv, err := f.Inventory()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range inv.Machines {
		if m.Name != "node-1" {
			continue
		}
		if got := string(m.Files[current].Data); got != "kubelet-client-2.pem" {
			t.Errorf("current is %q", got)
		}
		if _, ok := m.Files[kubeletDir+"/kubelet-client-1.pem"]; ok {
			t.Error("a pair that no longer counts is listed")
		}
	}
}

// TestAddress: machines are asked at the first address of cluster.yaml.
func TestAddress(t *testing.T) {
	c := config(t, "bindPort: 7443\n")
	c.ControlPlanes[0].Addresses = []netip.Addr{netip.MustParseAddr("fd00::11")}
	f := &Folder{config: c}
	for server, want := range map[string]string{"kube-apiserver": "[fd00::11]:7443", "etcd": "[fd00::11]:2379"} {
		if got, err := f.address("cp-1", server); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", server, got, err, want)
		}
	}
	if _, err := f.address("nobody", "etcd"); err == nil {
		t.Error("a machine that is not there has an address")
	}
}
