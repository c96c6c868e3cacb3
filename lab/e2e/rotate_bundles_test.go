//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A stranger is somebody else's cluster: its files are in a folder, and whoever
// places and restarts is a person, whom this plays.
type stranger struct {
	*cluster
	dir, out string
	pid      int // of the machine's first process: whose network the questions come from
}

const strangeMachine = "control-plane-1"

func (s *stranger) root(file string) string {
	return filepath.Join(stateDir, s.name, "machines", strangeMachine, file)
}

func newStranger(t *testing.T, name string) *stranger {
	t.Helper()
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Skip("no nsenter here")
	}
	s := &stranger{cluster: rotating(t, name, "1", "0"), dir: t.TempDir(), out: filepath.Join(t.TempDir(), "bundles")}
	var runtime struct {
		Machines map[string]struct {
			PID int `json:"pid"`
		} `json:"machines"`
	}
	data, err := os.ReadFile(filepath.Join(stateDir, name, "runtime.json"))
	if err == nil {
		err = json.Unmarshal(data, &runtime)
	}
	if s.pid = runtime.Machines[strangeMachine].PID; err != nil || s.pid == 0 {
		t.Fatalf("the machine's process: %v", err)
	}
	for _, folder := range []string{strangeMachine + "/etc", "admin"} {
		if err := os.MkdirAll(filepath.Join(s.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.sh(t, "cp", "-a", s.root("etc/kubernetes"), filepath.Join(s.dir, strangeMachine, "etc"))
	s.sh(t, "cp", "-a", s.kubeconfig, filepath.Join(s.dir, "admin", "people.conf"))
	for file, text := range map[string]string{
		filepath.Join(s.dir, "cluster.yaml"): "controlPlanes: [{name: " + strangeMachine + ", addresses: [10.200.0.11]}]\n",
		// How this operator restarts things, and changes their command lines.
		s.root("var/tmp/restart"): processOf + `old=$(of "$1"); kill "$old"; until now=$(of "$1") && [ -n "$now" ] && [ "$now" != "$old" ]; do sleep 0.1; done`,
		s.root("var/tmp/flag"): processOf + `arguments=$(tr '\0' '\n' <"/proc/$(of "$1")/cmdline" | tail -n +2 | sed "s#^--$2=.*#--$2=$3#; s/.*/\"&\"/" | paste -sd, -)
printf '{"%s":[%s]}' "$1" "$arguments" >/run/bulwark/arguments.json`,
	} {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

const processOf = `#!/bin/sh
set -eu
of() { for p in /proc/[0-9]*; do case $(readlink "$p/exe" 2>/dev/null) in */"$1") basename "$p"; return;; esac; done; }
`

func (s *stranger) sh(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// rotate runs the command where it sees the machines' ports.
func (s *stranger) rotate(t *testing.T, want int, kind string, more ...string) result {
	t.Helper()
	args := slices.Concat([]string{fmt.Sprintf("--net=/proc/%d/ns/net", s.pid), filepath.Join(bin, "bulwark"), "pki", "rotate", kind, "-d", s.dir, "--bundles", s.out, "--yes", "--wait", "0s"}, more)
	r := command(t.Context(), "", nil, "nsenter", args...)
	if r.code != want {
		t.Fatalf("rotate %s %v: exit code %d, want %d\n%s", kind, more, r.code, want, r.all())
	}
	return r
}

// operator does what STEPS.md says.
func (s *stranger) operator(t *testing.T, phase string) {
	t.Helper()
	handed, err := filepath.Glob(filepath.Join(s.out, "[0-9]-"+phase))
	if err != nil || len(handed) != 1 {
		t.Fatalf("%s was not handed out: %v %v", phase, handed, err)
	}
	from := handed[0]
	if _, err := os.Stat(filepath.Join(from, strangeMachine)); err == nil {
		s.sh(t, "cp", "-a", filepath.Join(from, strangeMachine), s.root("var/tmp/bulwark-rotation"))
		r := s.enter(t, strangeMachine, "env", "RESTART=/var/tmp/restart", "SET_FLAG=/var/tmp/flag", "/var/tmp/bulwark-rotation/apply.sh")
		if r.code != 0 {
			t.Fatalf("%s: apply.sh: exit code %d\n%s", phase, r.code, r.all())
		}
		s.sh(t, "rm", "-r", s.root("var/tmp/bulwark-rotation"))
	}
	if _, err := os.Stat(filepath.Join(from, "admin", "people.conf")); err == nil {
		s.sh(t, "cp", filepath.Join(from, "admin", "people.conf"), s.kubeconfig)
	}
	if _, err := os.Stat(filepath.Join(from, "cluster")); err == nil {
		cmd := exec.CommandContext(t.Context(), filepath.Join(from, "cluster", "apply.sh"))
		cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig, "PATH="+filepath.Join(bin, "lab")+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: cluster/apply.sh: %v\n%s", phase, err, out)
		}
	}
	s.must(t, "get", "namespaces")
}

// TestRotateBundles: the shortest roll, taken back half-way and then done.
func TestRotateBundles(t *testing.T) {
	s := newStranger(t, "e2e-rotate-hand")
	const kind = "front-proxy-ca"
	before := s.digests(t)
	s.rotate(t, 0, kind)
	s.operator(t, "distribute")
	s.rotate(t, 0, kind, "--wait", "30s")
	s.operator(t, "switch")
	s.rotate(t, 0, kind, "--abort")
	s.operator(t, "undo-switch")
	s.rotate(t, 0, kind, "--wait", "30s")
	s.operator(t, "undo-distribute")
	if r := s.rotate(t, 0, kind, "--wait", "30s"); !strings.Contains(r.stdout, "is as it was") {
		t.Errorf("taken back: %s", r.all())
	}
	for file, digest := range s.digests(t) {
		if before[file] != digest {
			t.Errorf("%s is not as it was", file)
		}
	}
	for _, phase := range []string{"distribute", "switch", "retire"} {
		s.rotate(t, 0, kind, "--wait", "30s")
		s.operator(t, phase)
	}
	if r := s.rotate(t, 0, kind, "--wait", "30s"); !strings.Contains(r.stdout, kind+" is replaced") {
		t.Errorf("the end: %s", r.all())
	}
	s.opensslJudges(t)
	s.sh(t, "diff", "-r", s.root("etc/kubernetes"), filepath.Join(s.dir, strangeMachine, "etc/kubernetes"))
}

// roll carries out a whole rotation: whatever is handed out is placed, until there is
// nothing more.
func (s *stranger) roll(t *testing.T, kind string, more ...string) {
	t.Helper()
	placed := map[string]bool{}
	for range 8 {
		r := s.rotate(t, 0, kind, append([]string{"--wait", "90s"}, more...)...)
		if strings.Contains(r.stdout, kind+" is replaced") {
			return
		}
		handed, err := filepath.Glob(filepath.Join(s.out, "[0-9]-*"))
		if err != nil {
			t.Fatal(err)
		}
		handed = slices.DeleteFunc(handed, func(dir string) bool { return placed[dir] })
		if len(handed) != 1 {
			t.Fatalf("%s: %d phases are handed out, want one: %v\n%s", kind, len(handed), handed, r.all())
		}
		placed[handed[0]] = true
		_, phase, _ := strings.Cut(filepath.Base(handed[0]), "-")
		s.operator(t, phase)
	}
	t.Fatalf("%s never ends", kind)
}

// TestRotateBundlesOfAll: the cluster's authority is replaced by a person with the
// folders that are handed out, and nothing else.
func TestRotateBundlesOfAll(t *testing.T) {
	t.Parallel()
	s := newStranger(t, "e2e-rotate-bundles")
	before, err := os.ReadFile(s.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s.rotate(t, 0, "ca")
	// Nothing is placed: it says so, and does not go on.
	if r := s.rotate(t, 3, "ca"); !strings.Contains(r.stdout, "NOT YET") {
		t.Errorf("a phase that is not in place: %s", r.all())
	}
	s.operator(t, "distribute")
	s.rotate(t, 0, "ca", "--wait", "90s")
	if r := s.rotate(t, 3, "ca"); !strings.Contains(r.stdout, "a certificate of the old authority") {
		t.Errorf("a server that is not switched: %s", r.all())
	}
	s.operator(t, "switch")
	s.rotate(t, 0, "ca", "--wait", "90s")
	s.operator(t, "retire")
	if r := s.rotate(t, 0, "ca", "--wait", "90s"); !strings.Contains(r.stdout, "ca is replaced") {
		t.Errorf("the end: %s", r.all())
	}

	s.opensslJudges(t)
	s.sh(t, "diff", "-r", s.root("etc/kubernetes"), filepath.Join(s.dir, strangeMachine, "etc/kubernetes"))
	s.must(t, "create", "configmap", "after", "--from-literal=a=b")
	old := &cluster{name: s.name}
	old.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(old.kubeconfig, before, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := old.kubectl(t, "--insecure-skip-tls-verify", "get", "namespaces"); r.code == 0 {
		t.Errorf("a client of the old authority is still taken: %s", r.all())
	}
	if r := old.kubectl(t, "get", "namespaces"); !strings.Contains(r.stderr, "x509") {
		t.Errorf("the old authority still vouches for the API: %s", r.all())
	}

	token := s.must(t, "create", "token", "default", "--duration=1h")
	for kind, more := range map[string][]string{"etcd-ca": nil, "sa-keys": {"--force-after", "0s"}} {
		s.roll(t, kind, more...)
		s.opensslJudges(t)
		s.sh(t, "diff", "-r", s.root("etc/kubernetes"), filepath.Join(s.dir, strangeMachine, "etc/kubernetes"))
		s.must(t, "create", "configmap", "after-"+kind, "--from-literal=a=b")
	}
	r := command(t.Context(), "", nil, filepath.Join(bin, "lab", "kubectl"), "--kubeconfig", withoutUser(t, s.cluster), "--token", token, "auth", "whoami")
	if r.code == 0 {
		t.Errorf("a token of the retired key is still taken: %s", r.all())
	}
}
