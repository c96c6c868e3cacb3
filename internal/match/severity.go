package match

import (
	"cmp"
	"slices"
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// A scored is a vector that could be read.
type scored struct {
	vector, version string // "CVSS:3.1"
	score           float64
	from            string // the feed; empty: no distributor's
}

// versions are those of CVSS, the preferred first.
var versions = []string{"CVSS:4.0", "CVSS:3.1", "CVSS:3.0", "CVSS:2.0"}

// score reads a vector; false where it is none. Version 2 has vectors without a prefix.
func score(vector string) (scored, bool) {
	s := scored{vector: vector}
	s.version, _, _ = strings.Cut(vector, "/")
	var base interface{ BaseScore() float64 }
	var err error
	switch s.version {
	case "CVSS:4.0":
		v, wrong := gocvss40.ParseVector(vector)
		if wrong != nil {
			return s, false
		}
		s.score = v.Score()
		return s, true
	case "CVSS:3.1":
		base, err = gocvss31.ParseVector(vector)
	case "CVSS:3.0":
		base, err = gocvss30.ParseVector(vector)
	default:
		s.version = "CVSS:2.0"
		base, err = gocvss20.ParseVector(strings.Trim(strings.TrimPrefix(vector, "CVSS:2.0/"), "()"))
	}
	if err != nil {
		return s, false
	}
	s.score = base.BaseScore()
	return s, true
}

// rating is the qualitative scale of FIRST for CVSS 3 and 4, which NVD's for version 2
// agrees with but for critical.
func (s scored) rating() advisory.Severity {
	switch {
	case s.score >= 9 && s.version != "CVSS:2.0":
		return advisory.Critical
	case s.score >= 7:
		return advisory.High
	case s.score >= 4:
		return advisory.Medium
	case s.score > 0:
		return advisory.Low
	}
	return advisory.Negligible
}

// rate gives a finding its severity: the source's own word on the package first, since
// a distributor knows how it built it; then the newest CVSS, and of several the highest.
func (f *finding) rate(e advisory.Enrichment) {
	var all []scored
	for _, r := range f.records {
		if r.Severity > f.Severity {
			f.Severity, f.SeverityFrom = r.Severity, r.Source
		}
		for _, v := range r.CVSS {
			if s, ok := score(v); ok {
				s.from = r.Source
				all = append(all, s)
			}
		}
	}
	for _, v := range e.CVSS {
		if s, ok := score(v); ok {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return
	}
	best := slices.MinFunc(all, func(a, b scored) int {
		return cmp.Or(
			cmp.Compare(slices.Index(versions, a.version), slices.Index(versions, b.version)),
			cmp.Compare(b.score, a.score), cmp.Compare(a.vector, b.vector), cmp.Compare(b.from, a.from),
		)
	})
	f.Score, f.Vector = best.score, best.vector
	if f.Severity == advisory.Unrated {
		f.Severity, f.SeverityFrom = best.rating(), best.version
		if best.from != "" {
			f.SeverityFrom += " of " + best.from
		}
	}
}

// maxReferences is how many links a finding shows.
const maxReferences = 5

// enrich adds what is known of a vulnerability whoever ships it.
func (m *matcher) enrich(f *finding, details map[string]advisory.Detail) error {
	slices.SortFunc(f.records, compareRecords)
	var e advisory.Enrichment
	for _, id := range f.IDs {
		one, err := m.db.Enrichment(id)
		if err != nil {
			return err
		}
		if e.Exploited.IsZero() || !one.Exploited.IsZero() && one.Exploited.Before(e.Exploited) {
			e.Exploited = one.Exploited
		}
		e.Ransomware = e.Ransomware || one.Ransomware
		e.EPSS = max(e.EPSS, one.EPSS)
		e.CVSS = append(e.CVSS, one.CVSS...)
	}
	f.Exploited, f.Ransomware, f.EPSS = e.Exploited, e.Ransomware, e.EPSS
	f.rate(e)
	for _, id := range slices.Concat(f.IDs, f.Advisories) {
		d, ok := details[id]
		if !ok {
			var err error
			if d, err = m.db.Detail(id); err != nil {
				return err
			}
			details[id] = d
		}
		f.Summary = cmp.Or(f.Summary, d.Summary)
		for _, link := range d.References {
			if len(f.References) < maxReferences && !slices.Contains(f.References, link) {
				f.References = append(f.References, link)
			}
		}
	}
	return nil
}
