package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// notCovered is the outcome of an item that no control answers, as the schema spells it.
const notCovered = "not-covered"

// itemOutcome is an item's outcome as the schema spells it.
func itemOutcome(i *scan.ItemResult) string {
	if !i.Covered {
		return notCovered
	}
	return outcomeNames[i.Outcome]
}

func standardJSON(s *scan.StandardResult) *jsonStandard {
	if s == nil {
		return nil
	}
	c := s.Count()
	out := &jsonStandard{
		ID: s.ID, Title: s.Title, Coverage: jsonCoverage{c.Broken, c.Unknown, c.Waived, c.Holds, c.NotApplicable, c.NotCovered},
		Items: make([]jsonItem, len(s.Items)),
	}
	for n, i := range s.Items {
		out.Items[n] = jsonItem{
			Number: i.Number, Title: i.Title, Section: i.Section, Manual: i.Manual, Outcome: itemOutcome(i), Reason: i.Reason,
			Note: i.Note, Controls: append([]string{}, i.Controls...), By: i.By, Findings: i.Faults,
		}
	}
	return out
}

// coverage is a standard in one line: "12 items hold, 3 broken, …".
func coverage(s *scan.StandardResult) string {
	c := s.Count()
	waived := ""
	if c.Waived > 0 {
		waived = fmt.Sprintf("%d waived; ", c.Waived)
	}
	return fmt.Sprintf("%d broken; %d hold; %s%d unknown; %d not applicable; %d not covered, of %s",
		c.Broken, c.Holds, waived, c.Unknown, c.NotApplicable, c.NotCovered, count(len(s.Items), "item"))
}

// itemSays is what a person reads behind an item's title.
func itemSays(i *scan.ItemResult) string {
	switch {
	case !i.Covered:
		return i.Reason
	case i.Outcome == control.Broken:
		return count(i.Faults, "finding") + " of " + strings.Join(i.Broken, ", ")
	case i.Reason != "":
		return i.Reason
	}
	return strings.Join(i.Controls, ", ")
}

// itemsOf are the numbers of the items that a control answers, for formats that list
// findings.
func itemsOf(r *scan.Result, id string) []string {
	var out []string
	if r.Standard == nil {
		return nil
	}
	for _, i := range r.Standard.Items {
		if slices.Contains(i.Controls, id) {
			out = append(out, i.Number)
		}
	}
	return out
}

// itemOrder is the order in which outcomes of items are shown, and their words.
var itemOrder = []struct {
	outcome, label, style string
	always                bool // shown without being asked for
}{
	{outcomeNames[control.Broken], "BROKEN", red, true},
	{outcomeNames[control.Unknown], "UNKNOWN", yellow, true},
	{outcomeNames[control.Waived], "WAIVED", cyan, false},
	{outcomeNames[control.Holds], "HOLDS", green, false},
	{outcomeNames[control.NotApplicable], "N/A", dim, false},
	{notCovered, "NOT COVERED", dim, false},
}

// standard shows the items of a standard: what is broken or unknown, and with all of it
// asked for, everything.
func (t *table) standard(r *scan.Result) {
	if r.Standard == nil {
		return
	}
	t.line(0, span{bold, r.Standard.Title}, span{dim, "  " + coverage(r.Standard)})
	const indent = 13
	width := 0
	for _, group := range itemOrder {
		for _, i := range r.Standard.Items {
			if itemOutcome(i) == group.outcome && (group.always || t.All) {
				width = max(width, len(i.Number))
			}
		}
	}
	for _, group := range itemOrder {
		label := group.label
		for _, i := range r.Standard.Items {
			if itemOutcome(i) != group.outcome || !group.always && !t.All {
				continue
			}
			t.hang(indent+width+2,
				[]span{{group.style, pad(label, indent)}, {bold, pad(i.Number, width+2)}},
				span{plain, i.Title}, span{dim, " (" + printable(itemSays(i)) + ")"})
			label = ""
		}
	}
	t.put("\n")
}

// The views below are what ui/page.html shows of a standard.
type (
	standardView struct {
		Title, Coverage string
		Groups          []itemGroup
	}
	itemGroup struct {
		Label string
		Open  bool
		Items []itemView
	}
	itemView struct{ Number, Title, Note, Says string }
)

func newStandardView(s *scan.StandardResult) *standardView {
	if s == nil {
		return nil
	}
	v := &standardView{Title: printable(s.Title), Coverage: coverage(s)}
	for _, o := range itemOrder {
		g := itemGroup{Label: o.label, Open: o.always}
		for _, i := range s.Items {
			if itemOutcome(i) == o.outcome {
				g.Items = append(g.Items, itemView{i.Number, i.Title, i.Note, printable(itemSays(i))})
			}
		}
		if len(g.Items) > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	return v
}

// SARIF knows standards as taxonomies: the standard's items are its taxa, and a rule
// points to those that it answers. What became of each stands in its properties, since a
// run of SARIF lists faults and not what holds.
type (
	sarifTaxonomy struct {
		Name             string       `json:"name"`
		ShortDescription sarifText    `json:"shortDescription"`
		Taxa             []sarifTaxon `json:"taxa"`
	}
	sarifTaxon struct {
		ID               string              `json:"id"`
		ShortDescription sarifText           `json:"shortDescription"`
		Properties       sarifItemProperties `json:"properties"`
	}
	sarifItemProperties struct {
		Outcome string `json:"outcome"`
		Reason  string `json:"reason,omitempty"`
	}
	sarifRelationship struct {
		Target sarifTarget `json:"target"`
		Kinds  []string    `json:"kinds"`
	}
	sarifTarget struct {
		ID   string         `json:"id"`
		Tool sarifComponent `json:"toolComponent"`
	}
	sarifComponent struct {
		Name string `json:"name"`
	}
)

func taxonomies(s *scan.StandardResult) []sarifTaxonomy {
	if s == nil {
		return nil
	}
	out := sarifTaxonomy{Name: s.ID, ShortDescription: sarifText{Text: printable(s.Title)}, Taxa: []sarifTaxon{}}
	for _, i := range s.Items {
		out.Taxa = append(out.Taxa, sarifTaxon{i.Number, sarifText{Text: i.Title}, sarifItemProperties{itemOutcome(i), plainSARIF(i.Reason)}})
	}
	return []sarifTaxonomy{out}
}

func relationships(r *scan.Result, id string) []sarifRelationship {
	var out []sarifRelationship
	for _, number := range itemsOf(r, id) {
		out = append(out, sarifRelationship{sarifTarget{number, sarifComponent{r.Standard.ID}}, []string{"relevant"}})
	}
	return out
}
