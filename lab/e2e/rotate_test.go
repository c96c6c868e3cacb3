//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rotating starts a cluster of its own for one test.
func rotating(t *testing.T, name string, controlPlanes, nodes string, more ...string) *cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("machines of their own need root: run as root")
	}
	c := &cluster{name: name, kubeconfig: filepath.Join(stateDir, name, "kubeconfig")}
	args := append([]string{"up", "--name", name, "--control-planes", controlPlanes, "--nodes", nodes, "--state-dir", stateDir}, more...)
	if up := bulwark(t, args...); up.code != 0 {
		t.Fatalf("up: %s", up.all())
	}
	t.Cleanup(func() {
		command(context.Background(), "", nil, filepath.Join(bin, "bulwark"), "down", "--name", name, "--state-dir", stateDir)
	})
	return c
}

// rotate runs one rotation, or a part of it.
func (c *cluster) rotate(t *testing.T, env []string, kind string, more ...string) result {
	t.Helper()
	args := append([]string{"pki", "rotate", kind, "--lab", c.name, "--state-dir", stateDir, "--yes"}, more...)
	return command(t.Context(), "", env, filepath.Join(bin, "bulwark"), args...)
}

func (c *cluster) mustRotate(t *testing.T, kind string, more ...string) result {
	t.Helper()
	r := c.rotate(t, nil, kind, more...)
	if r.code != 0 {
		t.Fatalf("rotate %s %v: exit code %d\n%s", kind, more, r.code, r.all())
	}
	return r
}

// TestRotate: the shortest roll, on a cluster of its own, and the cluster goes on.
func TestRotate(t *testing.T) {
	c := rotating(t, "e2e-rotate-quick", "1", "0")
	if r := c.rotate(t, nil, "front-proxy-ca", "--settle", "0s", "--force-after", "0s"); r.code != 0 {
		t.Fatalf("rotate: exit code %d\n%s", r.code, r.all())
	}
	c.must(t, "get", "--raw", "/readyz")
	c.must(t, "create", "configmap", "after", "--from-literal=a=b")
}

// TestRotateUnderLoad: three control planes, 200 requests a second, and every
// certificate and every key of the cluster replaced: nothing fails, nothing is
// lost.
func TestRotateUnderLoad(t *testing.T) {
	c := rotating(t, "e2e-rotate", "3", "1")
	l := startTraffic(t, c, true)
	old := c.must(t, "create", "token", "default", "--duration=1h")
	time.Sleep(2 * time.Second)
	known := 0
	during := func(what string, do func()) {
		began, before := time.Now(), l.requests.Load()
		do()
		failures, took := l.failed()[known:], time.Since(began)
		known += len(failures)
		n := l.requests.Load() - before
		t.Logf("%-15s %5.1fs  %d requests, %.0f a second, %d failed", what, took.Seconds(), n, float64(n)/took.Seconds(), len(failures))
		for i, f := range failures {
			if i == 20 {
				t.Errorf("and %d more", len(failures)-i)
				break
			}
			t.Errorf("%s, after %.1fs: %s", what, f.at.Sub(began).Seconds(), f.what)
		}
	}
	during("nothing", func() { time.Sleep(3 * time.Second) })
	during("renew", func() { c.renewLeaves(t, "control-plane-1", "control-plane-2", "control-plane-3") })
	for _, kind := range []string{"sa-keys", "etcd-ca", "front-proxy-ca", "ca"} {
		during(kind, func() {
			// People have their new kubeconfig before the old one ends.
			c.mustRotate(t, kind, "--until", "switch", "--settle", "0s", "--force-after", "0s")
			if kind == "sa-keys" {
				if r := c.kubectl(t, "--token", old, "auth", "whoami"); r.code != 0 {
					t.Errorf("a token of the old key was refused before it is retired: %s", r.all())
				}
			}
			time.Sleep(time.Second)
			c.mustRotate(t, kind)
		})
	}
	key := onlyKey(t, c.name)
	during("encryption", func() {
		if r := encryption(t, c.name, "rotate"); r.code != 0 {
			t.Errorf("encryption rotate: exit code %d\n%s", r.code, r.all())
		}
	})
	if now := onlyKey(t, c.name); now == key {
		t.Errorf("objects are still under %s", now)
	}
	l.finish(t)
	r := command(t.Context(), "", nil, filepath.Join(bin, "lab", "kubectl"), "--kubeconfig", withoutUser(t, c), "--token", old, "auth", "whoami")
	if r.code == 0 {
		t.Errorf("a token of the retired key is still taken: %s", r.all())
	}
	c.opensslJudges(t)
}

// renewLeaves renews what is on control planes as somebody would who has the
// authorities' folder, restarts what `pki renew` says must be, and waits until
// the servers show what is new.
func (c *cluster) renewLeaves(t *testing.T, machines ...string) {
	t.Helper()
	root := func(machine string) string { return filepath.Join(stateDir, c.name, "machines", machine) }
	for _, m := range machines {
		r := bulwark(t, "pki", "renew", "--all", "-d", root(m), "--ca-dir", filepath.Join(root(machines[0]), "etc/kubernetes/pki"))
		if r.code != 0 {
			t.Fatalf("renew %s: exit code %d\n%s", m, r.code, r.all())
		}
		for _, component := range []string{"kube-scheduler", "kube-controller-manager"} {
			if !strings.Contains(r.all(), component) {
				t.Errorf("renew %s does not say that %s has to restart:\n%s", m, component, r.all())
			}
			c.enter(t, m, "pkill", "-x", component[:min(len(component), 15)])
		}
	}
	for _, m := range machines {
		for port, leaf := range map[string]string{"6443": "apiserver.crt", "2379": "etcd/server.crt"} {
			want, err := os.ReadFile(filepath.Join(root(m), "etc/kubernetes/pki", leaf))
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, 90*time.Second, func() string {
				shown := c.enter(t, m, "openssl", "s_client", "-connect", "127.0.0.1:"+port, "-showcerts").stdout
				if !strings.Contains(shown, strings.TrimSpace(string(want))) {
					return fmt.Sprintf("%s does not show its new %s", m, leaf)
				}
				return ""
			})
		}
	}
}

// withoutUser writes a kubeconfig that shows no certificate.
func withoutUser(t *testing.T, c *cluster) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	data := c.must(t, "config", "view", "--raw", "-o", "json")
	var cfg map[string]any
	if err := json.Unmarshal([]byte(data), &cfg); err != nil {
		t.Fatal(err)
	}
	for _, u := range cfg["users"].([]any) {
		u.(map[string]any)["user"] = map[string]any{}
	}
	out, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// opensslJudges has openssl verify what is on the machines.
func (c *cluster) opensslJudges(t *testing.T) {
	t.Helper()
	pki := filepath.Join(stateDir, c.name, "machines/control-plane-1/etc/kubernetes/pki")
	for ca, leaves := range map[string][]string{
		"ca.crt":             {"apiserver.crt", "apiserver-kubelet-client.crt"},
		"etcd/ca.crt":        {"etcd/server.crt", "etcd/peer.crt", "etcd/healthcheck-client.crt", "apiserver-etcd-client.crt"},
		"front-proxy-ca.crt": {"front-proxy-client.crt"},
	} {
		for _, leaf := range leaves {
			out, err := exec.Command("openssl", "verify", "-CAfile", filepath.Join(pki, ca), filepath.Join(pki, leaf)).CombinedOutput()
			if err != nil {
				t.Errorf("openssl verify %s: %v\n%s", leaf, err, out)
			}
		}
	}
}

// TestRotateOneControlPlane: with one apiserver, failures are inside announced
// restarts, and their number is told.
func TestRotateOneControlPlane(t *testing.T) {
	t.Parallel()
	c := rotating(t, "e2e-rotate-one", "1", "0", "--profile", "kubeadm")
	l := startTraffic(t, c, false)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "bulwark"), "pki", "rotate", "etcd-ca", "--lab", c.name, "--state-dir", stateDir, "--yes")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A restart is announced when connections are sent away, and over when they
	// are taken again.
	type window struct{ from, to time.Time }
	var restarts []window
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch {
		case strings.Contains(lines.Text(), "send new connections"):
			restarts = append(restarts, window{from: time.Now().Add(-time.Second)})
		case strings.Contains(lines.Text(), "take connections again"):
			restarts[len(restarts)-1].to = time.Now().Add(time.Second)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	l.finish(t)
	var total time.Duration
	for _, w := range restarts {
		total += w.to.Sub(w.from) - 2*time.Second
	}
	t.Logf("one control plane: %d announced restarts, %s in all, %d requests failed", len(restarts), total.Round(100*time.Millisecond), len(l.failed()))
	for _, f := range l.failed() {
		inside := false
		for _, w := range restarts {
			inside = inside || f.at.After(w.from) && f.at.Before(w.to)
		}
		if !inside {
			t.Errorf("outside of every announced restart: %s", f.what)
		}
	}
}

// TestRotateKilled: the process is killed before and after every step, and in
// the middle of every write. Each run goes on where the last one died, and in
// the end every file is what the plan said before the first.
func TestRotateKilled(t *testing.T) {
	t.Parallel()
	c := rotating(t, "e2e-rotate-killed", "1", "0")
	for _, kind := range []string{"front-proxy-ca", "sa-keys", "etcd-ca", "ca"} {
		t.Run(kind, func(t *testing.T) {
			others := c.digests(t)
			killed := 0
			flags := []string{"--settle", "0s", "--force-after", "0s"}
			for n := 0; ; n++ {
				// 2n is before step n, 2n+1 after it, and 2nw in the middle of its write.
				r := c.rotate(t, []string{"BULWARK_TEST_ROTATE_DIE=" + dieAt(n)}, kind, flags...)
				if r.code == 0 {
					break
				}
				if r.code != -1 {
					t.Fatalf("killed at %s: exit code %d\n%s", dieAt(n), r.code, r.all())
				}
				killed++
				if n > 500 {
					t.Fatal("it never ends")
				}
			}
			c.endsAsPlanned(t, others)
			t.Logf("%s: killed %d times", kind, killed)
			c.must(t, "get", "namespaces")
		})
	}
	t.Run("abort", func(t *testing.T) {
		for _, kind := range []string{"sa-keys", "front-proxy-ca"} {
			before := c.digests(t)
			c.mustRotate(t, kind, "--until", "switch", "--force-after", "0s")
			if r := c.rotate(t, []string{"BULWARK_TEST_ROTATE_DIE=1048579"}, kind, "--abort"); r.code != -1 {
				t.Fatalf("abort was to be killed: %s", r.all())
			}
			c.mustRotate(t, kind, "--abort")
			for file, digest := range c.digests(t) {
				if before[file] != digest {
					t.Errorf("%s: %s is not as it was", kind, file)
				}
			}
		}
	})
}

// TestRotateWhereLittleIsVerified: the profile that forgives everything is
// rolled as well, and what cannot be is said.
func TestRotateWhereLittleIsVerified(t *testing.T) {
	t.Parallel()
	c := rotating(t, "e2e-rotate-weak", "1", "1", "--profile", "weak")
	if r := c.rotate(t, nil, "etcd-ca"); r.code != 1 || !strings.Contains(r.stderr, "plain HTTP") {
		t.Errorf("etcd-ca: exit code %d\n%s", r.code, r.all())
	}
	for _, kind := range []string{"sa-keys", "front-proxy-ca", "ca"} {
		c.mustRotate(t, kind, "--settle", "0s", "--force-after", "0s")
		c.must(t, "create", "configmap", "after-"+kind, "--from-literal=a=b")
	}
	c.must(t, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
	c.runsPods(t)
	c.opensslJudges(t)
}

// TestRotateCompromised: everything at once, and who holds the old key is
// nobody from then on.
func TestRotateCompromised(t *testing.T) {
	t.Parallel()
	c := rotating(t, "e2e-rotate-stolen", "1", "1")
	stolen, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "stolen")
	if err := os.WriteFile(file, stolen, 0o600); err != nil {
		t.Fatal(err)
	}
	token := c.must(t, "create", "token", "default", "--duration=1h")
	for _, kind := range []string{"ca", "etcd-ca", "front-proxy-ca", "sa-keys"} {
		c.mustRotate(t, kind, "--compromised")
		c.must(t, "create", "configmap", "after-"+kind, "--from-literal=a=b")
	}
	as := func(args ...string) result {
		return command(t.Context(), "", nil, filepath.Join(bin, "lab", "kubectl"), append(args, "auth", "whoami")...)
	}
	if r := as("--kubeconfig", file, "--insecure-skip-tls-verify"); r.code == 0 {
		t.Errorf("the stolen kubeconfig is still taken: %s", r.all())
	}
	if r := as("--kubeconfig", withoutUser(t, c), "--token", token); r.code == 0 {
		t.Errorf("a token of the stolen key is still taken: %s", r.all())
	}
	c.must(t, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
	c.runsPods(t)
	c.opensslJudges(t)
}

// runsPods has a pod scheduled, started and asked something through its kubelet.
func (c *cluster) runsPods(t *testing.T) {
	t.Helper()
	c.apply(t, probe("default", "after", "", "sleep"), "apply", "-f", "-")
	c.must(t, "wait", "--for=condition=Ready", "pod/after", "--timeout=60s")
	c.must(t, "exec", "after", "--", "/probe", "id")
}

// dieAt numbers all points: before a step, in its write, after it.
func dieAt(n int) string {
	switch n % 3 {
	case 0:
		return fmt.Sprint(n / 3 * 2)
	case 1:
		return fmt.Sprintf("%dw", n/3*2)
	}
	return fmt.Sprint(n/3*2 + 1)
}

// digests are all certificates, keys and kubeconfigs of the first control plane.
func (c *cluster) digests(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	root := filepath.Join(stateDir, c.name, "machines/control-plane-1")
	err := filepath.WalkDir(filepath.Join(root, "etc/kubernetes"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		all[strings.TrimPrefix(name, root)] = hex.EncodeToString(sum[:])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// endsAsPlanned compares every file with the plan's last word, and those that
// are not in it with what they were.
func (c *cluster) endsAsPlanned(t *testing.T, before map[string]string) {
	t.Helper()
	var last struct {
		Files map[string]map[string]string
	}
	data, err := os.ReadFile(filepath.Join(stateDir, c.name, "rotation.last.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &last); err != nil {
		t.Fatal(err)
	}
	planned := last.Files["control-plane-1"]
	after := c.digests(t)
	for file, digest := range after {
		want, ok := planned[file]
		if !ok {
			want = before[file]
		}
		if digest != want {
			t.Errorf("%s is not what the plan says", file)
		}
	}
	for file := range before {
		if _, ok := after[file]; !ok {
			t.Errorf("%s is gone", file)
		}
	}
	if _, err := os.Stat(filepath.Join(stateDir, c.name, "rotation")); !os.IsNotExist(err) {
		t.Errorf("keys of the rotation are left: %v", err)
	}
}
