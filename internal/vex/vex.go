// Package vex reads statements that a vulnerability does or does not matter in a product
// (OpenVEX, CycloneDX, CSAF), applies them to the findings of an image, and writes those
// of a match.Result. It opens no file: a document is bytes with a name.
//
// A statement counts for a finding where it names the vulnerability by any of its names,
// and the product: the image, the package, or what the package is a part of, with the
// package as its component. Of several, the one with the latest time counts; of those
// that are as late, the one that hides nothing. Only "not affected" and "fixed" hide.
package vex

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// Limits of a document, which a stranger may have written.
const (
	MaxSize       = 64 << 20
	maxStatements = 200_000
	maxProducts   = 1_000_000 // of all statements together
	maxDepth      = 64        // of branches and components
)

// A Status is what a statement says. The zero value is UnderInvestigation: it hides
// nothing.
type Status uint8

// The statuses, which all formats share.
const (
	UnderInvestigation Status = iota
	Affected
	NotAffected
	Fixed
)

func (s Status) String() string {
	return [...]string{"under investigation", "affected", "not affected", "fixed"}[s&3]
}

// A Statement is what a document says of one vulnerability in some products.
type Statement struct {
	// IDs are all names that it gives the vulnerability.
	IDs      []string
	Status   Status
	Products []Product
	// Justification is the format's own word, "code_not_reachable"; Impact, a sentence.
	Justification, Impact string
	// Time is when it was said last; zero where nobody tells.
	Time time.Time
	// From is the document.
	From string
}

// A Product is what a statement is about. Without Components, all of it is meant.
type Product struct {
	Name       Name
	Components []Name
}

// A Document is what one file says.
type Document struct {
	Statements []Statement
	// Warnings are statements that do not count, and why.
	Warnings []string
}

// Parse reads a document of any of the three formats. The name is for messages.
func Parse(name string, data []byte) (*Document, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", name, len(data), MaxSize)
	}
	var probe struct {
		Context  json.RawMessage `json:"@context"`
		Format   string          `json:"bomFormat"`
		Document struct {
			Version string `json:"csaf_version"`
		} `json:"document"`
	}
	if err := json.Unmarshal(data, &probe); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := reader{name: name, doc: &Document{}}
	var err error
	switch {
	case strings.Contains(string(probe.Context), "openvex"):
		err = r.openVEX(data)
	case probe.Format == "CycloneDX":
		err = r.cycloneDX(data)
	case probe.Document.Version != "":
		err = r.csaf(data)
	default:
		err = errors.New("no VEX document, want OpenVEX, CycloneDX or CSAF")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r.doc, nil
}

// A reader reads one document.
type reader struct {
	name     string
	doc      *Document
	products int
}

func (r *reader) warn(format string, args ...any) {
	r.doc.Warnings = append(r.doc.Warnings, r.name+": "+fmt.Sprintf(format, args...))
}

var errTooMuch = fmt.Errorf("more than %d statements or %d products", maxStatements, maxProducts)

// add takes a statement. One that hides without saying why is none in the formats that
// ask for a reason: the vulnerability counts, and somebody is told.
func (r *reader) add(s Statement, reasonNeeded bool) error {
	s.From = r.name
	s.IDs = slices.DeleteFunc(s.IDs, func(id string) bool { return strings.TrimSpace(id) == "" })
	what := strings.Join(s.IDs, ", ")
	switch {
	case len(s.IDs) == 0:
		r.warn("a statement without a vulnerability does not count")
		return nil
	case len(s.Products) == 0:
		r.warn("what it says of %s does not count: it names no product", what)
		return nil
	case s.Status == NotAffected && reasonNeeded && s.Justification == "" && s.Impact == "":
		r.warn("what it says of %s does not count: it is not affected, but for no reason; want a justification or an impact statement", what)
		return nil
	}
	for _, p := range s.Products {
		r.products += 1 + len(p.Components)
	}
	if r.doc.Statements = append(r.doc.Statements, s); len(r.doc.Statements) > maxStatements || r.products > maxProducts {
		return errTooMuch
	}
	return nil
}

// timeOf reads the first text that is a time.
func timeOf(texts ...string) time.Time {
	for _, s := range texts {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// A Set judges findings by the statements of documents. It is a match.Judge.
type Set struct {
	byID map[string][]*Statement
}

// NewSet joins documents. Their order does not matter.
func NewSet(documents ...*Document) *Set {
	s := &Set{byID: map[string][]*Statement{}}
	for _, d := range documents {
		for i := range d.Statements {
			for _, id := range d.Statements[i].IDs {
				id = strings.ToUpper(id)
				s.byID[id] = append(s.byID[id], &d.Statements[i])
			}
		}
	}
	return s
}

// Judge sets a finding aside where the statement that counts says that the product is
// not affected, or fixed.
func (s *Set) Judge(img *image.Image, f *match.Finding) *match.Aside {
	var last *Statement
	for _, id := range slices.Concat(f.IDs, f.Advisories) {
		for _, t := range s.byID[strings.ToUpper(id)] {
			if (last == nil || t.after(last)) && slices.ContainsFunc(t.Products, func(p Product) bool { return p.covers(img, f) }) {
				last = t
			}
		}
	}
	if last == nil || !last.hides() {
		return nil
	}
	return &match.Aside{By: match.ByVEX, Reason: last.words(), From: last.From}
}

func (s *Statement) hides() bool { return s.Status == NotAffected || s.Status == Fixed }

// after reports whether a statement counts rather than another. What is as late and
// hides as much is ordered by its words, so that the order of documents does not matter.
func (s *Statement) after(t *Statement) bool {
	if n := s.Time.Compare(t.Time); n != 0 {
		return n > 0
	}
	if s.hides() != t.hides() {
		return t.hides()
	}
	return cmp.Or(strings.Compare(s.words(), t.words()), strings.Compare(s.From, t.From)) < 0
}

func (s *Statement) words() string {
	out := s.Status.String()
	if s.Justification != "" {
		out += ", " + strings.ReplaceAll(s.Justification, "_", " ")
	}
	if s.Impact != "" {
		out += ": " + s.Impact
	}
	return out
}
