// Package controls is the catalogue: one folder for each control, named family/name,
// holding control.go, doc.md and testdata/*.txtar. Where a family's controls differ in
// little but data, family/table.go has a row for each in place of their control.go.
// catalog.go is generated from the folders, so that registering is not a step;
// `make control ID=family.name` begins a new one.
package controls

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:generate go run ./gen

// byID joins the controls of all folders and tables in the order of their IDs.
func byID(lists ...[]*control.Control) []*control.Control {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b *control.Control) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// All returns every control, ordered by ID.
func All() []*control.Control { return slices.Clone(catalog) }

// Find returns the control with an ID.
func Find(id string) (*control.Control, bool) {
	i := slices.IndexFunc(catalog, func(c *control.Control) bool { return c.ID == id })
	if i < 0 {
		return nil, false
	}
	return catalog[i], true
}

// Optional are the families that are checked only where somebody asks for them.
var Optional = []string{"hygiene"}

// Select returns the controls that patterns name: an ID ("pod.privileged"), a family
// ("pod") or either with a leading "-" to leave it out. Patterns apply in order; with
// none, or with only exclusions, the start is every control but the optional families
// that with does not name. A pattern that names nothing is an error, because a gate with
// a typing mistake must not stay open.
func Select(patterns []string, with ...string) ([]*control.Control, error) {
	for _, family := range with {
		if !slices.Contains(Optional, family) {
			return nil, fmt.Errorf("family %q: want one of %s", family, strings.Join(Optional, ", "))
		}
	}
	chosen := map[string]bool{}
	plain := !slices.ContainsFunc(patterns, func(p string) bool { return !strings.HasPrefix(p, "-") })
	for _, c := range catalog {
		family, _, _ := strings.Cut(c.ID, ".")
		chosen[c.ID] = slices.Contains(with, family) || plain && !slices.Contains(Optional, family)
	}
	for _, p := range patterns {
		name, drop := strings.CutPrefix(p, "-")
		found := false
		for _, c := range catalog {
			family, _, _ := strings.Cut(c.ID, ".")
			if c.ID == name || family == name {
				found, chosen[c.ID] = true, !drop
			}
		}
		if !found {
			return nil, fmt.Errorf("control %q: no such ID or family", name)
		}
	}
	var out []*control.Control
	for _, c := range catalog {
		if chosen[c.ID] {
			out = append(out, c)
		}
	}
	return out, nil
}
