package vex

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// The parts of a CycloneDX document that make it a VEX document,
// https://cyclonedx.org/docs/1.6/json/.
type cycloneDX struct {
	Metadata struct {
		Timestamp string             `json:"timestamp"`
		Component cycloneDXComponent `json:"component"`
	} `json:"metadata"`
	Components      []cycloneDXComponent     `json:"components"`
	Vulnerabilities []cycloneDXVulnerability `json:"vulnerabilities"`
}

type cycloneDXComponent struct {
	Ref        string               `json:"bom-ref"`
	Name       string               `json:"name"`
	PURL       string               `json:"purl"`
	Components []cycloneDXComponent `json:"components"`
	Hashes     []struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	} `json:"hashes"`
}

type cycloneDXVulnerability struct {
	ID         string `json:"id"`
	References []struct {
		ID string `json:"id"`
	} `json:"references"`
	Published string `json:"published"`
	Updated   string `json:"updated"`
	Analysis  *struct {
		State         string `json:"state"`
		Justification string `json:"justification"`
		Detail        string `json:"detail"`
		FirstIssued   string `json:"firstIssued"`
		LastUpdated   string `json:"lastUpdated"`
	} `json:"analysis"`
	Affects []struct {
		Ref      string `json:"ref"`
		Versions []struct {
			Version string `json:"version"`
			Range   string `json:"range"`
			Status  string `json:"status"`
		} `json:"versions"`
	} `json:"affects"`
}

var cycloneDXStates = map[string]Status{
	"not_affected": NotAffected, "false_positive": NotAffected, "resolved": Fixed, "resolved_with_pedigree": Fixed,
	"exploitable": Affected, "in_triage": UnderInvestigation,
}

func (r *reader) cycloneDX(data []byte) error {
	var d cycloneDX
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	names := map[string]Name{}
	if err := known(names, append(d.Components, d.Metadata.Component), 0); err != nil {
		return err
	}
	// What the document is of holds what it names; where it does not say, the components
	// stand for themselves.
	whole := d.Metadata.Component.name()
	for i := range d.Vulnerabilities {
		v := &d.Vulnerabilities[i]
		if v.Analysis == nil || v.Analysis.State == "" {
			continue // a vulnerability that nobody has judged
		}
		status, ok := cycloneDXStates[v.Analysis.State]
		if !ok {
			return fmt.Errorf("vulnerability %q: state is %q, want not_affected, false_positive, resolved, resolved_with_pedigree, exploitable or in_triage", v.ID, v.Analysis.State)
		}
		s := Statement{
			IDs: []string{v.ID}, Status: status, Justification: v.Analysis.Justification, Impact: v.Analysis.Detail,
			Time: timeOf(v.Analysis.LastUpdated, v.Analysis.FirstIssued, v.Updated, d.Metadata.Timestamp),
		}
		for _, ref := range v.References {
			s.IDs = append(s.IDs, ref.ID)
		}
		for _, a := range v.Affects {
			n, ok := names[a.Ref]
			if !ok {
				n = linked(a.Ref)
			}
			if len(a.Versions) == 0 {
				s.Products = append(s.Products, component(whole, n, a.Ref == d.Metadata.Component.Ref))
				continue
			}
			for _, only := range a.Versions {
				if only.Version == "" || only.Status == "unaffected" || only.Status == "unknown" {
					continue // what the analysis is not of
				}
				one := Name{}
				for _, x := range n.packages {
					one.packages = append(one.packages, x.WithVersion(only.Version))
				}
				s.Products = append(s.Products, component(whole, one, false))
			}
		}
		if err := r.add(s, false); err != nil {
			return err
		}
	}
	return nil
}

// component is a product that is one component of a document about the whole.
func component(whole, n Name, all bool) Product {
	if all || whole.empty() {
		return Product{Name: n}
	}
	return Product{Name: whole, Components: []Name{n}}
}

// linked is the name of a component of another document, which a BOM-Link gives:
// urn:cdx:SERIAL/VERSION#REF. Its reference is often a package URL.
func linked(ref string) Name {
	if _, after, ok := strings.Cut(ref, "#"); ok && strings.HasPrefix(ref, "urn:cdx:") {
		if u, err := url.PathUnescape(after); err == nil {
			ref = u
		}
	}
	if !strings.HasPrefix(ref, "pkg:") {
		return Name{}
	}
	return nameOf(ref)
}

func (c *cycloneDXComponent) name() Name {
	n := nameOf(c.PURL)
	for _, h := range c.Hashes {
		n.hash(h.Algorithm, h.Content)
	}
	if c.PURL == "" {
		n.add(c.Name)
	}
	return n
}

func known(names map[string]Name, components []cycloneDXComponent, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("components are nested deeper than %d", maxDepth)
	}
	for i := range components {
		c := &components[i]
		if c.Ref != "" {
			names[c.Ref] = c.name()
		}
		if err := known(names, c.Components, depth+1); err != nil {
			return err
		}
	}
	return nil
}
