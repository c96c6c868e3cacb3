package vex

import (
	"cmp"
	"encoding/json"
	"fmt"
)

// The OpenVEX document, https://github.com/openvex/spec, of version 0.2.0 and of those
// before, in which names were plain texts.
type openVEX struct {
	Timestamp  string             `json:"timestamp"`
	Updated    string             `json:"last_updated"`
	Statements []openVEXStatement `json:"statements"`
}

type openVEXStatement struct {
	Vulnerability openVEXVulnerability `json:"vulnerability"`
	Timestamp     string               `json:"timestamp"`
	Updated       string               `json:"last_updated"`
	Products      []openVEXProduct     `json:"products"`
	Components    []openVEXProduct     `json:"subcomponents"`
	Status        string               `json:"status"`
	Justification string               `json:"justification"`
	Impact        string               `json:"impact_statement"`
}

type openVEXVulnerability struct {
	ID      string   `json:"@id"`
	Name    string   `json:"name"`
	Aliases []string `json:"aliases"`
}

// UnmarshalJSON takes a text for the name.
func (v *openVEXVulnerability) UnmarshalJSON(data []byte) error {
	type plain openVEXVulnerability
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &v.Name)
	}
	return json.Unmarshal(data, (*plain)(v))
}

type openVEXProduct struct {
	ID          string            `json:"@id"`
	Identifiers map[string]string `json:"identifiers"`
	Hashes      map[string]string `json:"hashes"`
	Components  []openVEXProduct  `json:"subcomponents"`
}

// UnmarshalJSON takes a text for the identifier.
func (p *openVEXProduct) UnmarshalJSON(data []byte) error {
	type plain openVEXProduct
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &p.ID)
	}
	return json.Unmarshal(data, (*plain)(p))
}

func (p *openVEXProduct) name() Name {
	n := nameOf(p.ID, p.Identifiers["purl"])
	for algorithm, value := range p.Hashes {
		n.hash(algorithm, value)
	}
	return n
}

var openVEXStatuses = map[string]Status{
	"not_affected": NotAffected, "affected": Affected, "fixed": Fixed, "under_investigation": UnderInvestigation,
}

func (r *reader) openVEX(data []byte) error {
	var d openVEX
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	for i := range d.Statements {
		s := &d.Statements[i]
		status, ok := openVEXStatuses[s.Status]
		if !ok {
			return fmt.Errorf("statement %d: status is %q, want not_affected, affected, fixed or under_investigation", i+1, s.Status)
		}
		out := Statement{
			IDs: append([]string{cmp.Or(s.Vulnerability.Name, s.Vulnerability.ID)}, s.Vulnerability.Aliases...), Status: status,
			Justification: s.Justification, Impact: s.Impact, Time: timeOf(s.Updated, s.Timestamp, d.Updated, d.Timestamp),
		}
		for j := range s.Products {
			p := Product{Name: s.Products[j].name()}
			for _, components := range [][]openVEXProduct{s.Products[j].Components, s.Components} {
				for k := range components {
					p.Components = append(p.Components, components[k].name())
				}
			}
			out.Products = append(out.Products, p)
		}
		if err := r.add(out, true); err != nil {
			return err
		}
	}
	return nil
}
