package controls

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/scan"
	"github.com/bulwark-k8s/bulwark/internal/standard"
)

// TestRefsNameItems: what a control says it answers exists, and what a standard says
// answers it exists.
func TestRefsNameItems(t *testing.T) {
	items := map[string]map[string]bool{} // by catalogue
	names := map[string]bool{}
	for _, c := range All() {
		family, _, _ := strings.Cut(c.ID, ".")
		names[c.ID], names[family] = true, true
	}
	for _, s := range standard.Views() {
		items[s.Catalogue] = map[string]bool{}
		for _, i := range s.Items {
			if items[s.Catalogue][i.Number] {
				t.Errorf("%s has two items %s", s.ID, i.Number)
			}
			items[s.Catalogue][i.Number] = true
			for _, c := range i.Controls {
				if !names[c] {
					t.Errorf("%s %s: no control and no family is called %s", s.ID, i.Number, c)
				}
			}
		}
	}
	for _, c := range All() {
		for _, r := range c.Refs {
			if known := items[r.Catalogue]; known != nil && !known[r.Number] {
				t.Errorf("%s: %s is no item of internal/standard: add it there, or mend the number", c.ID, r)
			}
		}
	}
}

// TestItemsAreAnswered: an item that no control ever will answer says why, and one that
// says why has no control.
func TestItemsAreAnswered(t *testing.T) {
	for _, s := range standard.Views() {
		plan := s.Plan(All())
		for i, item := range s.Items {
			if item.Why != "" && len(plan.Parts[i]) > 0 {
				t.Errorf("%s %s: %s answers it, so %q is out of date", s.ID, item.Number, plan.Parts[i][0].Control, item.Why)
			}
		}
		for _, c := range plan.Controls {
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestHouseRulesAreNotTheStandard: findings of a control that is stricter than an item
// never fail it, in a view of the very case that the control calls broken.
func TestHouseRulesAreNotTheStandard(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a}\nspec: %s\n"
	machine := func(files string) string {
		return "apiVersion: facts.bulwark.dev/v1alpha1\nkind: Machine\nname: cp-1\nfiles: [" + files + "]\n"
	}
	apiserver := func(args string) string {
		return "apiVersion: facts.bulwark.dev/v1alpha1\nkind: Machine\nname: cp-1\nprocesses: [{component: kube-apiserver, pid: 1, uid: 0, args: [kube-apiserver" + args + "]}]\n"
	}
	for name, tt := range map[string]struct {
		in   string
		want map[string]string // outcome by number of CIS
	}{
		"escalation that nobody asked for":              {fmt.Sprintf(pod, "{containers: [{name: c, image: c:1}]}"), map[string]string{"5.2.6": "holds"}},
		"escalation that was asked for":                 {fmt.Sprintf(pod, "{containers: [{name: c, image: c:1, securityContext: {allowPrivilegeEscalation: true}}]}"), map[string]string{"5.2.6": "broken"}},
		"privileged is not a host process":              {fmt.Sprintf(pod, "{containers: [{name: c, image: c:1, securityContext: {privileged: true}}]}"), map[string]string{"5.2.2": "broken", "5.2.10": "holds"}},
		"a host process is not privileged":              {fmt.Sprintf(pod, "{os: {name: windows}, hostNetwork: true, securityContext: {windowsOptions: {hostProcess: true}}, containers: [{name: c, image: c:1}]}"), map[string]string{"5.2.2": "holds", "5.2.10": "broken"}},
		"NET_RAW is dropped, and not ALL":               {fmt.Sprintf(pod, "{containers: [{name: c, image: c:1, securityContext: {capabilities: {drop: [NET_RAW]}}}]}"), map[string]string{"5.2.8": "holds", "5.2.9": "broken"}},
		"NET_RAW is kept":                               {fmt.Sprintf(pod, "{containers: [{name: c, image: c:1}]}"), map[string]string{"5.2.8": "broken", "5.2.9": "broken"}},
		"a literal password is no Secret in a variable": {fmt.Sprintf(pod, "{containers: [{name: c, image: c:1, env: [{name: DB_PASSWORD, value: hunter22}]}]}"), map[string]string{"5.4.1": "holds"}},
		"one file of two": {
			machine("{role: static-pod, path: /etc/kubernetes/manifests/kube-apiserver.yaml, mode: 420, uid: 0}, {role: static-pod, path: /etc/kubernetes/manifests/etcd.yaml, mode: 384, uid: 7}"),
			map[string]string{"1.1.1": "broken", "1.1.2": "holds", "1.1.3": "not applicable", "1.1.7": "holds", "1.1.8": "broken"},
		},
		"RBAC beside AlwaysAllow":     {apiserver(`, "--authorization-mode=RBAC,AlwaysAllow"`), map[string]string{"1.2.6": "broken", "1.2.7": "broken", "1.2.8": "holds"}},
		"Node without RBAC":           {apiserver(", --authorization-mode=Node"), map[string]string{"1.2.6": "holds", "1.2.7": "holds", "1.2.8": "broken"}},
		"a policy of audit, no log":   {apiserver(", --audit-policy-file=/p"), map[string]string{"1.2.16": "broken", "3.2.1": "holds"}},
		"weak versions, good suites":  {apiserver(", --tls-min-version=VersionTLS10"), map[string]string{"1.2.29": "holds"}},
		"a namespace without a label": {"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n", map[string]string{"5.2.1": "unknown", "5.2.2": "not applicable"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := cluster.NewBuilder("test", false)
			r := manifest.NewReader(b, "")
			r.Read("in", strings.NewReader(tt.in))
			if p := r.Outcome().Problems; len(p) > 0 {
				t.Fatal(p)
			}
			s, err := standard.Find("cis-1.12")
			if err != nil {
				t.Fatal(err)
			}
			plan := s.Plan(All())
			result := scan.Run(b.Snapshot(), plan.Controls)
			result.Under(plan)
			got := map[string]string{}
			faults := map[string]bool{}
			for _, i := range result.Standard.Items {
				if _, ask := tt.want[i.Number]; ask {
					got[i.Number] = i.Outcome.String()
				}
				for _, id := range i.Broken {
					faults[id] = true
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, res := range result.Controls {
				if (res.Outcome == control.Broken) != faults[res.Control.ID] {
					t.Errorf("%s is %s in the view, and breaks an item: %t", res.Control.ID, res.Outcome, faults[res.Control.ID])
				}
			}
		})
	}
}

// known is what docs/controls.md says of a control's number elsewhere.
func known(r control.Ref) string {
	switch {
	case r.Beyond:
		return r.String() + " (goes further)"
	case r.Of != "" || r.Counts != nil:
		return r.String() + " (in part)"
	}
	return r.String()
}

// answeredBy are the controls of a family that answer an item.
func answeredBy(plan *standard.Plan, i int, family string) []*standard.Part {
	return slices.DeleteFunc(slices.Clone(plan.Parts[i]), func(p *standard.Part) bool { return !strings.HasPrefix(p.Control, family+".") })
}

// TestChecklist keeps docs/checklist.md as internal/standard says.
func TestChecklist(t *testing.T) {
	const path = "../docs/checklist.md"
	s, err := standard.Find("seed")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Checklist\n\nWritten by `go test ./controls -update` from `internal/standard/seed.go`. The items are those of\nthe three articles that Bulwark set out to implement, in our own words; behind each stands\nwhat answers it. `bulwark scan --standard seed` answers them for a cluster.\n")
	plan, section := s.Plan(All()), ""
	for i, item := range s.Items {
		if item.Section != section {
			section = item.Section
			fmt.Fprintf(&b, "\n## %s\n\n| | item | answered by |\n|---|---|---|\n", section)
		}
		var by []string
		for _, name := range item.Controls {
			if strings.Contains(name, ".") {
				by = append(by, fmt.Sprintf("[%s](../controls/%s/doc.md)", name, strings.ReplaceAll(name, ".", "/")))
			} else {
				by = append(by, fmt.Sprintf("all %d of [%s](../controls/%s)", len(answeredBy(plan, i, name)), name, name))
			}
		}
		by = append(by, item.By...)
		if len(by) == 0 {
			by = []string{"not covered: " + item.Reason()}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", item.Number, item.Title, strings.Join(by, ", "))
	}
	same(t, path, b.String())
}

// same compares a generated page with what the folders say, or writes it.
func same(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("%s is not what the folders say: run `make generate` (-want +got):\n%s", path, diff)
	}
}
