//go:build e2e

package e2e

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestScannerRole: with exactly the role that `bulwark role` prints, a scan knows what
// an administrator's does. Without a part of it, the controls that rest on that part
// are unknown, and no other.
func TestScannerRole(t *testing.T) {
	c := hardened.get(t)
	// What other tests have left goes away while this one compares.
	eventually(t, 2*time.Minute, func() string {
		return c.must(t, "get", "namespaces", "-o", `jsonpath={range .items[?(@.status.phase=="Terminating")]}{.metadata.name} {end}`)
	})
	c.namespace(t, "e2e-role")
	c.must(t, "-n", "e2e-role", "create", "serviceaccount", "scanner")
	c.must(t, "create", "clusterrolebinding", "e2e-role", "--clusterrole=e2e-role", "--serviceaccount=e2e-role:scanner")
	t.Cleanup(func() {
		c.kubectl(t, "delete", "clusterrole,clusterrolebinding", "e2e-role")
	})
	outcomes := func(args ...string) map[string]string {
		r, _ := c.scanReport(t, args...)
		all := map[string]string{}
		for _, control := range r.Controls {
			all[control.ID] = control.Outcome
		}
		return all
	}
	grant := func(args ...string) {
		t.Helper()
		r := bulwark(t, append([]string{"role", "--name", "e2e-role"}, args...)...)
		if r.code != 0 {
			t.Fatal(r.all())
		}
		c.apply(t, r.stdout, "apply", "-f", "-")
	}
	const as = "--as=system:serviceaccount:e2e-role:scanner"
	grant()
	want := outcomes()
	// The API server learns of a binding within a moment.
	eventually(t, 10*time.Second, func() string {
		if r := c.kubectl(t, "get", "secrets", "-A", as); r.code != 0 {
			return r.all()
		}
		return ""
	})
	got := outcomes(as)
	for id, outcome := range want {
		if got[id] != outcome {
			t.Errorf("with the role %s is %q, and %q for an administrator", id, got[id], outcome)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d controls with the role, %d for an administrator", len(got), len(want))
	}
	for without, asks := range map[string]string{
		"secrets":                                "secrets",
		"pods":                                   "pods",
		"networkpolicies.networking.k8s.io":      "networkpolicies.networking.k8s.io",
		"clusterroles.rbac.authorization.k8s.io": "clusterroles.rbac.authorization.k8s.io",
		"services":                               "services",
		"nodes/proxy":                            "kubelet-config",
		"validatingadmissionpolicybindings.admissionregistration.k8s.io": "validatingadmissionpolicybindings.admissionregistration.k8s.io",
	} {
		t.Run(strings.ReplaceAll(without, "/", "-"), func(t *testing.T) {
			grant("--without", without)
			resource, sub, _ := strings.Cut(without, "/")
			check := []string{"auth", "can-i", "list", resource, "-A", as}
			if sub != "" {
				check = []string{"auth", "can-i", "get", resource, "--subresource", sub, as}
			}
			eventually(t, 10*time.Second, func() string {
				if r := c.kubectl(t, check...); r.code == 0 {
					return "it may still: " + r.all()
				}
				return ""
			})
			less := outcomes(as)
			rest := resting(t, asks)
			for _, id := range slices.Sorted(maps.Keys(want)) {
				lost := less[id] != want[id]
				if strings.HasPrefix(id, "rbac.") && want[id] == "broken" && less[id] == "holds" {
					continue // it is the scanner's own role that it had found
				}
				switch {
				case lost && !rest[id]:
					t.Errorf("%s is %q, was %q, and does not rest on %s", id, less[id], want[id], asks)
				case lost && less[id] != "unknown":
					t.Errorf("%s is %q without %s, want unknown", id, less[id], asks)
				case !lost && rest[id] && want[id] == "holds":
					t.Errorf("%s holds without %s, which it rests on", id, asks)
				}
			}
		})
	}
}

// resting are the controls that read a fact, as docs/controls.md has it.
func resting(t *testing.T, need string) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("../../docs/controls.md")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(line, " | ")
		id, _, ok := strings.Cut(strings.TrimPrefix(cells[0], "| ["), "](")
		if !ok || len(cells) < 5 {
			continue
		}
		for read := range strings.SplitSeq(cells[3], ", ") {
			ids[id] = ids[id] || read == need || read == "all workloads" && need == "pods"
		}
	}
	return ids
}
