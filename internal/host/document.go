package host

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// documentKind is Facts as they travel from the machine that was read.
const documentKind = "HostFacts"

type document struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Facts
}

// Encode writes the facts so that Decode reads them. No secret's value is in them.
func (f *Facts) Encode(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(document{cluster.FactsVersion, documentKind, *f}); err != nil {
		return fmt.Errorf("writing facts: %w", err)
	}
	return nil
}

// Decode reads the facts that one machine has written of itself. Whatever they say,
// they are those of the named machine: nobody speaks for another.
func Decode(r io.Reader, name string) (*Facts, error) {
	var d document
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return nil, fmt.Errorf("facts of %s: no valid JSON: %w", name, err)
	}
	if d.APIVersion != cluster.FactsVersion || d.Kind != documentKind {
		return nil, fmt.Errorf("facts of %s: they are %q of %q, want %s of %s", name, d.Kind, d.APIVersion, documentKind, cluster.FactsVersion)
	}
	if len(d.Machines) != 1 || d.Machines[0] == nil {
		return nil, fmt.Errorf("facts of %s: they are of %d machines, want 1", name, len(d.Machines))
	}
	origin := cluster.Source{Origin: "node " + name}
	d.Machines[0].Name, d.Machines[0].Source = name, origin
	facts := &Facts{Machines: d.Machines, Gaps: d.Gaps}
	for _, k := range d.Kubelets {
		if k != nil && k.Config != nil {
			k.Node, k.Source = name, origin
			facts.Kubelets = append(facts.Kubelets, k)
		}
	}
	for _, c := range d.Configs {
		if c != nil && (c.Audit != nil || c.Encryption != nil || c.Authentication != nil || c.Authorization != nil || c.Admission != nil || c.ABAC != nil) {
			c.Machine, c.Source = name, origin
			facts.Configs = append(facts.Configs, c)
		}
	}
	for i := range facts.Gaps {
		facts.Gaps[i].Scope = name
	}
	return facts, nil
}
