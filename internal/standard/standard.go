// Package standard holds other people's catalogues of practices, item by item, and says
// which controls answer which item. A standard is a view on the same controls, but for
// the Pod Security Standards, which Kubernetes itself judges. It refuses to know what a
// scan found.
package standard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// A Standard is one such catalogue.
type Standard struct {
	// ID is its name on the command line: "cis-1.12".
	ID    string
	Title string
	// Catalogue is its name in control.Ref; empty where items name the controls.
	Catalogue string
	Items     []Item
	// Own are the controls of a standard that is judged by itself; nil where it is a
	// view on the catalogue.
	Own []*control.Control
}

// An Item is one practice of a standard.
type Item struct {
	Number string
	// Title says in our words what the item asks for.
	Title   string
	Section string
	// Manual is set where the standard itself leaves the item to a person.
	Manual bool
	// Controls are those that answer it, by ID or family, beside those whose Refs say so.
	Controls []string
	// By are commands and pages that answer what no scan can: "bulwark pki check".
	By []string
	// Why says why no control answers it, where none ever will.
	Why string
	// Note says what the answer leaves out.
	Note string
}

// Reason says why no control answers the item.
func (i Item) Reason() string {
	switch {
	case i.Why != "":
		return i.Why
	case len(i.By) > 0:
		return "see " + strings.Join(i.By, ", ")
	}
	return "no control answers it yet"
}

// Names are the standards as the command line takes them.
func Names() []string {
	return []string{"pss-baseline", "pss-restricted", "cis-1.12", "nsa", "mitre", "seed"}
}

// Find returns the standard with a name. Those of Pod Security may name a version of
// Kubernetes: "pss-restricted@v1.30".
func Find(name string) (*Standard, error) {
	id, version, versioned := strings.Cut(name, "@")
	if level, ok := strings.CutPrefix(id, "pss-"); ok && slices.Contains(Names(), id) {
		if versioned && version == "" {
			version = "@"
		}
		return pss(level, version)
	}
	for _, s := range []*Standard{&cis, &nsa, &mitre, &seed} {
		if s.ID == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("standard %q: want %s; the first two take a version, as in pss-baseline@v1.30", name, strings.Join(Names(), ", "))
}

// Views are the standards that are views on the catalogue.
func Views() []*Standard { return []*Standard{&cis, &nsa, &mitre, &seed} }

// A Plan is what to check for a standard, and how to read the answers.
type Plan struct {
	Standard *Standard
	// Controls are to be run. They answer nothing but what some item asks.
	Controls []*control.Control
	// Parts are the answers to each item, in the order of Standard.Items.
	Parts [][]*Part
}

// A Part is what one control answers to one item.
type Part struct {
	Control string
	Ref     control.Ref
	// Judged counts the subjects that the control judged for the item, after it ran.
	Judged int
}

// Plan works out which of the catalogue's controls answer the standard's items.
func (s *Standard) Plan(catalogue []*control.Control) *Plan {
	if s.Own != nil {
		catalogue = s.Own
	}
	p := &Plan{Standard: s, Parts: make([][]*Part, len(s.Items))}
	for _, c := range catalogue {
		var parts []*Part
		for i, item := range s.Items {
			for _, ref := range s.answers(item, c) {
				part := &Part{Control: c.ID, Ref: ref}
				parts = append(parts, part)
				p.Parts[i] = append(p.Parts[i], part)
			}
		}
		if len(parts) > 0 {
			p.Controls = append(p.Controls, narrow(c, parts))
		}
	}
	return p
}

// answers are the ways in which a control answers an item.
func (s *Standard) answers(item Item, c *control.Control) []control.Ref {
	var refs []control.Ref
	for _, ref := range c.Refs {
		if s.Catalogue != "" && ref.Catalogue == s.Catalogue && ref.Number == item.Number && !ref.Beyond {
			refs = append(refs, ref)
		}
	}
	family, _, _ := strings.Cut(c.ID, ".")
	if len(refs) == 0 && (slices.Contains(item.Controls, c.ID) || slices.Contains(item.Controls, family)) {
		refs = append(refs, control.Ref{Catalogue: s.ID, Number: item.Number})
	}
	return refs
}

// narrow makes a control say only what one of its parts takes, and counts what each was
// judged for, over all clusters of a scan. A control runs once in each, one after the
// other, so its parts are its own.
func narrow(c *control.Control, parts []*Part) *control.Control {
	out := *c
	out.Check = func(s *cluster.Snapshot, r *control.Report) {
		c.Check(s, r)
		r.Retain(func(subject cluster.Ref, f *control.Finding) bool {
			kept := false
			for _, p := range parts {
				switch {
				case !p.Ref.Covers(subject):
				case f == nil:
					p.Judged++
					kept = true
				case p.Ref.Includes(f):
					kept = true
				}
			}
			return kept
		})
	}
	return &out
}

// Takes reports whether a finding of the part's control counts for its item.
func (p *Part) Takes(f *control.Finding) bool {
	// What could not be listed at all stands under the name of its need, and may be
	// anything.
	gap := f.Outcome == control.Unknown && f.Path == ""
	return (gap || p.Ref.Covers(f.Object)) && p.Ref.Includes(f)
}
