package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// several is the result of two clusters that are alike, and of one that did not answer.
func several(t *testing.T) *scan.Result {
	t.Helper()
	gone := scan.Unread("edge", fixtures, "cluster https://edge: connection refused")
	parts := []*scan.Result{live(shop(t)), live(shop(t)), gone}
	for i, name := range []string{"prod", "stage", "edge"} {
		parts[i].Target = name
		parts[i].As(name)
	}
	r := scan.Join(parts)
	r.Started, r.Took, r.Version = parts[0].Started, parts[0].Took, parts[0].Version
	r.Foreign = map[string]int{"Certificate of cert-manager.io/v1": 2}
	return r
}

// TestEveryFormatNamesTheClusters: no format leaves open which of several clusters a
// finding is of, nor that one of them was not read.
func TestEveryFormatNamesTheClusters(t *testing.T) {
	r := several(t)
	for _, f := range Formats() {
		got := string(render(t, f.Name, r, Options{All: true}))
		for _, name := range []string{"prod", "stage", "edge", "connection refused"} {
			if !strings.Contains(got, name) {
				t.Errorf("%s does not say %q", f.Name, name)
			}
		}
	}
	validateClusters(t, r)
	if got := string(render(t, "table", r, Options{})); !strings.Contains(got, "not looked at: 2 objects of kinds that are not known: 2 Certificate of cert-manager.io/v1") {
		t.Errorf("the table does not count what it did not know:\n%s", got)
	}
}

// validateClusters: each fault stands once for each cluster, under one control.
func validateClusters(t *testing.T, r *scan.Result) {
	t.Helper()
	raw := render(t, "json", r, Options{})
	var doc any
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(doc); err != nil {
		t.Errorf("json: %v", err)
	}
	seen := map[string]bool{}
	for _, res := range r.Controls {
		if seen[res.Control.ID] {
			t.Errorf("%s stands twice", res.Control.ID)
		}
		seen[res.Control.ID] = true
		faults := map[string]int{}
		for _, f := range res.Findings {
			if f.Open() {
				faults[f.Object.Cluster]++
			}
		}
		if faults["prod"] != faults["stage"] || faults["edge"] != 0 {
			t.Errorf("%s: faults by cluster %v", res.Control.ID, faults)
		}
	}
}
