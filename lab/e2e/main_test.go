//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// bin is the folder with the bulwark binary and lab/, the components.
var bin = os.Getenv("BULWARK_BIN")

// stateDir holds the clusters of this run, away from the user's own.
var stateDir string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if bin == "" {
		return 1, errors.New("BULWARK_BIN is not set: run `make e2e`")
	}
	if stateDir, err = os.MkdirTemp("", "bulwark-e2e-"); err != nil {
		return 1, err
	}
	defer moreWatchers()()
	before := hostState()
	defer func() {
		down := exec.Command(filepath.Join(bin, "bulwark"), "down", "--all", "--state-dir", stateDir)
		if out, downErr := down.CombinedOutput(); downErr != nil {
			err = errors.Join(err, fmt.Errorf("down --all: %w\n%s", downErr, out))
		}
		left, _ := os.ReadDir(stateDir)
		err = errors.Join(err, os.RemoveAll(stateDir))
		for _, entry := range left {
			if strings.HasPrefix(entry.Name(), ".") {
				continue
			}
			err = errors.Join(err, fmt.Errorf("%s stayed in the state folder", entry.Name()))
		}
		if diff := before.diff(hostState()); diff != "" {
			err = errors.Join(err, fmt.Errorf("after down the host is not as before:\n%s", diff))
		}
	}()
	return m.Run(), nil
}

// A result is what a command said and how it ended.
type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
	maxRSS         int64 // bytes
}

func (r result) all() string { return r.stdout + r.stderr }

// command runs a program to its end.
func command(ctx context.Context, stdin string, env []string, name string, args ...string) result {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.Env = append(os.Environ(), env...)
	started := time.Now()
	err := cmd.Run()
	r := result{stdout: out.String(), stderr: errs.String(), took: time.Since(started)}
	if cmd.ProcessState != nil {
		r.code = cmd.ProcessState.ExitCode()
		r.maxRSS = maxRSS(cmd.ProcessState)
	} else {
		r.code, r.stderr = -1, r.stderr+err.Error()
	}
	return r
}

func bulwark(t *testing.T, args ...string) result {
	t.Helper()
	return command(t.Context(), "", nil, filepath.Join(bin, "bulwark"), args...)
}

// A cluster is one that the tests share.
type cluster struct {
	name, profile string
	nodes         int
	kubeconfig    string
	up            result
	// first is the scan right after the start, before any test left its traces; live
	// the one without a look at the machines.
	first, live       report
	firstRun, liveRun result
	err               error
	start             sync.Once
}

var (
	hardened = &cluster{name: "e2e-hardened", profile: "hardened", nodes: 2}
	weak     = &cluster{name: "e2e-weak", profile: "weak", nodes: 1}
	kubeadm  = &cluster{name: "e2e-kubeadm", profile: "kubeadm", nodes: 1}
)

// get starts the cluster on first use. Nodes need root: without it, the test is skipped.
func (c *cluster) get(t *testing.T) *cluster {
	t.Helper()
	if c.nodes > 0 && os.Geteuid() != 0 {
		t.Skip("nodes need root: run as root")
	}
	c.start.Do(func() {
		c.up = command(context.Background(), "", nil, filepath.Join(bin, "bulwark"), "up", "--name", c.name, "--profile", c.profile,
			"--nodes", fmt.Sprint(c.nodes), "--state-dir", stateDir)
		if c.up.code != 0 {
			c.err = fmt.Errorf("up: exit code %d\n%s", c.up.code, c.up.all())
		}
		c.kubeconfig = filepath.Join(stateDir, c.name, "kubeconfig")
		if c.err == nil {
			c.first, c.firstRun = c.scanReport(t, "--host")
			c.live, c.liveRun = c.scanReport(t)
		}
	})
	if c.err != nil {
		t.Fatal(c.err)
	}
	return c
}

// scan runs a scan of the cluster with more arguments.
func (c *cluster) scan(t *testing.T, args ...string) result {
	t.Helper()
	return bulwark(t, append([]string{"scan", "--kubeconfig", c.kubeconfig}, args...)...)
}

// kubectl runs the kubectl that the lab built.
func (c *cluster) kubectl(t *testing.T, args ...string) result {
	t.Helper()
	return c.kubectlWith(t, "", args...)
}

func (c *cluster) kubectlWith(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	// A test's own context has ended when it cleans up.
	ctx := context.WithoutCancel(t.Context())
	return command(ctx, stdin, []string{"KUBECONFIG=" + c.kubeconfig}, filepath.Join(bin, "lab", "kubectl"), args...)
}

// must is a kubectl that has to succeed.
func (c *cluster) must(t *testing.T, args ...string) string {
	t.Helper()
	return c.apply(t, "", args...)
}

func (c *cluster) apply(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := c.kubectlWith(t, stdin, args...)
	if r.code != 0 {
		t.Fatalf("kubectl %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.all())
	}
	return strings.TrimSpace(r.stdout)
}

// namespace makes a namespace for one test and removes it afterwards.
func (c *cluster) namespace(t *testing.T, name string, labels ...string) {
	t.Helper()
	c.must(t, "create", "namespace", name)
	for _, l := range labels {
		c.must(t, "label", "namespace", name, l)
	}
	t.Cleanup(func() {
		c.kubectl(t, "delete", "namespace", name, "--wait=false")
	})
}

// enter runs a command inside one of the cluster's machines.
func (c *cluster) enter(t *testing.T, machine string, args ...string) result {
	t.Helper()
	return bulwark(t, append([]string{"enter", "--name", c.name, "--state-dir", stateDir, machine, "--"}, args...)...)
}

// eventually repeats a check until it returns nothing to complain of.
func eventually(t *testing.T, within time.Duration, check func() string) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		complaint := check()
		if complaint == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", within, complaint)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// A report is what the tests read of -o json.
type report struct {
	Schema   string `json:"schema"`
	Controls []struct {
		ID       string         `json:"id"`
		Severity string         `json:"severity"`
		Outcome  string         `json:"outcome"`
		Reason   string         `json:"reason"`
		Findings []finding      `json:"findings"`
		Counts   map[string]int `json:"counts"`
	} `json:"controls"`
}

type finding struct {
	Outcome string `json:"outcome"`
	Object  struct {
		Kind, Namespace, Name string
	} `json:"object"`
	Path     string `json:"path"`
	Evidence string `json:"evidence"`
	Reason   string `json:"reason"`
}

// scanReport scans with -o json and decodes it.
func (c *cluster) scanReport(t *testing.T, args ...string) (report, result) {
	t.Helper()
	res := c.scan(t, append([]string{"-o", "json"}, args...)...)
	var r report
	if err := json.Unmarshal([]byte(res.stdout), &r); err != nil {
		t.Fatalf("scan: %v\n%s", err, res.stderr)
	}
	return r, res
}

// outcome is one control's answer, "" where the report lacks it.
func (r report) outcome(id string) string {
	for _, c := range r.Controls {
		if c.ID == id {
			return c.Outcome
		}
	}
	return ""
}

// with lists the controls with an outcome, with their evidence.
func (r report) with(outcome string) string {
	var b strings.Builder
	for _, c := range r.Controls {
		if c.Outcome != outcome {
			continue
		}
		fmt.Fprintf(&b, "%s %s\n", c.ID, c.Reason)
		for _, f := range c.Findings {
			fmt.Fprintf(&b, "    %s %s/%s %s %s\n", f.Object.Kind, f.Object.Namespace, f.Object.Name, f.Path, f.Reason)
		}
	}
	return b.String()
}
