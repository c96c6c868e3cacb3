//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPolicies: what `scan --policies` says that the cluster's policies would do with each
// object is what the API server says when the object is created again. Policies whose name
// begins with e2e-asks rest on what a scan cannot know, and are to be unknown.
func TestPolicies(t *testing.T) {
	c := hardened.get(t)
	const ns = "e2e-policies"
	c.namespace(t, ns, "tier=test", "pod-security.kubernetes.io/enforce=privileged", "pod-security.kubernetes.io/warn=privileged")
	objects, policies := documents(t, "testdata/policies/objects.yaml"), documents(t, "testdata/policies/policies.yaml")
	all, bound := strings.Join(objects, "---\n"), strings.Join(policies, "---\n")
	c.apply(t, all, "create", "-f", "-")
	t.Cleanup(func() {
		c.kubectlWith(t, bound, "delete", "--ignore-not-found", "--wait=false", "-f", "-")
		c.kubectlWith(t, all, "delete", "--ignore-not-found", "--wait=false", "-f", "-")
	})
	c.apply(t, bound, "create", "-f", "-")
	eventually(t, 20*time.Second, func() string { // the last one is then in force
		if r := c.kubectlWith(t, objects[3], "create", "--dry-run=server", "-f", "-"); !strings.Contains(r.stderr, "e2e-asks-nothing") {
			return "the policies are not in force: " + r.all()
		}
		return ""
	})

	server := map[string][]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, o := range append(objects, "apiVersion: v1\nkind: Namespace\nmetadata: {name: e2e-policies}\n") {
		wg.Go(func() {
			r := c.kubectlWith(t, o, "create", "--dry-run=server", "-f", "-")
			mu.Lock()
			defer mu.Unlock()
			server[objectName(o)] = said(r.stderr)
		})
	}
	wg.Wait()

	r, res := c.scanReport(t, "--policies", "--controls", "policy", "--fail-on", "none")
	if res.code != 4 {
		t.Errorf("exit code %d, want 4\n%s", res.code, res.stderr)
	}
	ours, unknown := map[string][]string{}, map[string]bool{}
	for _, control := range r.Controls {
		policy, ok := strings.CutPrefix(control.ID, "policy.e2e-")
		if !ok {
			continue
		}
		for _, f := range control.Findings {
			name := strings.ToLower(f.Object.Kind) + " " + f.Object.Name
			if _, asked := server[name]; !asked {
				continue // the cluster's own
			}
			if f.Outcome == "unknown" {
				unknown[policy] = true
				continue
			}
			if ofReplicaSet.MatchString(f.Reason) {
				continue // told of the Deployment, and not asked of the server
			}
			m := wouldDo.FindStringSubmatch(f.Reason)
			if m == nil {
				t.Errorf("%s: %s: %q", control.ID, name, f.Reason)
				continue
			}
			ours[name] = append(ours[name], fmt.Sprintf("e2e-%s %s: %s", policy, m[1], m[2]))
		}
	}
	judged := 0
	for _, name := range slices.Sorted(maps.Keys(server)) {
		for _, line := range server[name] {
			if judged++; !strings.HasPrefix(line, "e2e-asks") && !slices.Contains(ours[name], line) {
				t.Errorf("%s: the server says and the scan does not: %s", name, line)
			}
		}
		for _, line := range ours[name] {
			if !slices.Contains(server[name], line) {
				t.Errorf("%s: the scan says and the server does not: %s", name, line)
			}
		}
	}
	if judged < 80 {
		t.Errorf("the server refused %d times, want many more: the test does not see its answers", judged)
	}
	for _, p := range []string{"asks-sender", "asks-group", "asks-authorizer", "asks-secret", "asks-configmap", "asks-params"} {
		if !unknown[p] {
			t.Errorf("policy %s is not unknown", p)
		}
		delete(unknown, p)
	}
	delete(unknown, "asks-nothing") // known for every pod but one
	if len(unknown) > 0 {
		t.Errorf("unknown without need: %v", slices.Sorted(maps.Keys(unknown)))
	}
}

var (
	warned       = regexp.MustCompile(`Validation failed for ValidatingAdmissionPolicy '([^']+)' with binding '([^']+)': (.*)`)
	denied       = regexp.MustCompile(`ValidatingAdmissionPolicy '([^']+)' with binding '([^']+)' denied request: (.*)`)
	wouldDo      = regexp.MustCompile(`^binding (\S+) would [a-z ]+ it(?:, as the policy cannot be evaluated)?: (.*)$`)
	ofReplicaSet = regexp.MustCompile(`^replicaset \S+: binding `)
	header       = regexp.MustCompile(`(?m)^kind: (\S+)\nmetadata: \{name: ([^,}]+)`)
	dryRuns      = regexp.MustCompile(`^failed to configure binding: `)
)

// said are the refusals in what kubectl printed.
func said(stderr string) []string {
	var out []string
	for line := range strings.Lines(stderr) {
		for _, pattern := range []*regexp.Regexp{warned, denied} {
			if m := pattern.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				out = append(out, fmt.Sprintf("%s %s: %s", m[1], m[2], dryRuns.ReplaceAllString(m[3], "")))
			}
		}
	}
	return out
}

func objectName(manifest string) string {
	m := header.FindStringSubmatch(manifest)
	return strings.ToLower(m[1]) + " " + m[2]
}

func documents(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(data), "---\n")
}
