package vex

import (
	"encoding/json"
	"fmt"
	"slices"
)

// The parts of a CSAF document that its VEX profile is made of,
// https://docs.oasis-open.org/csaf/csaf/v2.0/csaf-v2.0.html#45-profile-5-vex.
type csaf struct {
	Document struct {
		Tracking struct {
			Current string `json:"current_release_date"`
		} `json:"tracking"`
	} `json:"document"`
	Tree struct {
		Branches  []csafBranch  `json:"branches"`
		Products  []csafProduct `json:"full_product_names"`
		Relations []struct {
			Product csafProduct `json:"full_product_name"`
			Part    string      `json:"product_reference"`
			Whole   string      `json:"relates_to_product_reference"`
		} `json:"relationships"`
		Groups []struct {
			ID       string   `json:"group_id"`
			Products []string `json:"product_ids"`
		} `json:"product_groups"`
	} `json:"product_tree"`
	Vulnerabilities []csafVulnerability `json:"vulnerabilities"`
}

type csafBranch struct {
	Branches []csafBranch `json:"branches"`
	Product  *csafProduct `json:"product"`
}

type csafProduct struct {
	ID     string `json:"product_id"`
	Name   string `json:"name"`
	Helper struct {
		PURL   string `json:"purl"`
		CPE    string `json:"cpe"`
		Hashes []struct {
			Files []struct {
				Algorithm string `json:"algorithm"`
				Value     string `json:"value"`
			} `json:"file_hashes"`
		} `json:"hashes"`
	} `json:"product_identification_helper"`
}

type csafVulnerability struct {
	CVE string `json:"cve"`
	IDs []struct {
		Text string `json:"text"`
	} `json:"ids"`
	Status map[string][]string `json:"product_status"`
	Flags  []struct {
		csafScope
		Label string `json:"label"`
		Date  string `json:"date"`
	} `json:"flags"`
	Threats []struct {
		csafScope
		Category string `json:"category"`
		Details  string `json:"details"`
	} `json:"threats"`
}

// A csafScope says which products a remark is for.
type csafScope struct {
	Products []string `json:"product_ids"`
	Groups   []string `json:"group_ids"`
}

// csafStatuses are the statuses that say something of a product as it is named. The
// first and last versions that are affected, and what is recommended, are ranges.
var csafStatuses = []struct {
	name   string
	status Status
}{
	{"known_affected", Affected},
	{"known_not_affected", NotAffected},
	{"fixed", Fixed},
	{"first_fixed", Fixed},
	{"under_investigation", UnderInvestigation},
}

func (r *reader) csaf(data []byte) error {
	var d csaf
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	products := map[string]Product{}
	for _, p := range d.Tree.Products {
		products[p.ID] = Product{Name: p.name()}
	}
	if err := branches(products, d.Tree.Branches, 0); err != nil {
		return err
	}
	for _, rel := range d.Tree.Relations {
		part := products[rel.Part].Name
		if len(part.packages) == 0 {
			part = rel.Product.name()
		}
		products[rel.Product.ID] = Product{Name: products[rel.Whole].Name, Components: []Name{part}}
	}
	groups := map[string][]string{}
	for _, g := range d.Tree.Groups {
		groups[g.ID] = g.Products
	}
	for i := range d.Vulnerabilities {
		if err := r.csafVulnerability(&d, &d.Vulnerabilities[i], products, groups); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) csafVulnerability(d *csaf, v *csafVulnerability, products map[string]Product, groups map[string][]string) error {
	ids := []string{v.CVE}
	for _, id := range v.IDs {
		ids = append(ids, id.Text)
	}
	type remark struct{ justification, impact, date string }
	remarks := map[string]remark{}
	each := func(s csafScope, of func(*remark)) {
		all := s.Products
		for _, g := range s.Groups {
			all = append(slices.Clip(all), groups[g]...)
		}
		for _, id := range all {
			m := remarks[id]
			of(&m)
			remarks[id] = m
		}
	}
	for _, f := range v.Flags {
		each(f.csafScope, func(m *remark) { m.justification, m.date = f.Label, f.Date })
	}
	for _, t := range v.Threats {
		if t.Category == "impact" {
			each(t.csafScope, func(m *remark) { m.impact = t.Details })
		}
	}
	for _, status := range csafStatuses {
		// Products with one remark are one statement.
		byRemark := map[remark]*Statement{}
		var order []remark
		for _, id := range v.Status[status.name] {
			p, ok := products[id]
			if !ok {
				return fmt.Errorf("vulnerability %s: product %q is not in the product tree", v.CVE, id)
			}
			m := remark{}
			if status.status == NotAffected {
				m = remarks[id]
			}
			s := byRemark[m]
			if s == nil {
				s = &Statement{
					IDs: slices.Clone(ids), Status: status.status, Justification: m.justification, Impact: m.impact,
					Time: timeOf(d.Document.Tracking.Current, m.date),
				}
				byRemark[m] = s
				order = append(order, m)
			}
			s.Products = append(s.Products, p)
		}
		for _, m := range order {
			if err := r.add(*byRemark[m], true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *csafProduct) name() Name {
	n := nameOf(p.Helper.PURL, p.Helper.CPE)
	for _, h := range p.Helper.Hashes {
		for _, f := range h.Files {
			n.hash(f.Algorithm, f.Value)
		}
	}
	return n
}

func branches(products map[string]Product, all []csafBranch, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("branches are nested deeper than %d", maxDepth)
	}
	for i := range all {
		if p := all[i].Product; p != nil {
			products[p.ID] = Product{Name: p.name()}
		}
		if err := branches(products, all[i].Branches, depth+1); err != nil {
			return err
		}
	}
	return nil
}
