package feed

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// OSV reads records of the OSV schema (https://ossf.github.io/osv-schema/): a document, a
// folder of them, or archives in the layout of the OSV bucket, ECOSYSTEM/all.zip.
func OSV(ctx context.Context, location string, sink Sink) error {
	return each(ctx, &documents{location: location, suffixes: []string{".json"}}, osvDocument, sink)
}

type osvRecord struct {
	ID, Modified, Published, Withdrawn string
	Aliases, Related, Upstream         []string
	Summary, Details                   string
	Severity                           []osvSeverity
	Affected                           []osvAffected
	References                         []struct{ Type, URL string }
	Specific                           json.RawMessage `json:"database_specific"`
}

type osvSeverity struct{ Type, Score string }

type osvAffected struct {
	Package struct{ Ecosystem, Name string }
	Ranges  []struct {
		Type   string
		Events []event
	}
	Versions  []string
	Severity  []osvSeverity
	Ecosystem json.RawMessage `json:"ecosystem_specific"`
	Database  json.RawMessage `json:"database_specific"`
}

func osvDocument(name string, data []byte) *Part {
	p := &Part{}
	var r osvRecord
	if err := json.Unmarshal(data, &r); err != nil {
		p.skip(name, "no OSV record: %v", err)
		return p
	}
	r.add(name, p)
	return p
}

// add puts what a record says into a part.
func (r *osvRecord) add(name string, p *Part) {
	p.Modified = timestamp(r.Modified)
	switch {
	case r.ID == "":
		p.skip(name, "a record without an id")
		return
	case r.Withdrawn != "":
		return // the source takes it back: that is no gap
	}
	orders := map[string]*order{}
	distro := false
	var cvss []string
	for i := range r.Affected {
		a := &r.Affected[i]
		e, ok := ecosystemOf(a.Package.Ecosystem)
		if !ok {
			p.skip(r.ID, "ecosystem %q", a.Package.Ecosystem)
			continue
		}
		if a.Package.Name == "" {
			p.skip(r.ID, "a package without a name")
			continue
		}
		o := orders[e.order]
		if o == nil {
			o = &order{ecosystem: e.order}
			orders[e.order] = o
		}
		record, why := r.record(a, &e, o)
		if why != "" {
			p.skip(r.ID, "%s", why)
			continue
		}
		distro = distro || e.distro
		if !e.distro {
			cvss = append(cvss, record.CVSS...)
		}
		p.Entries = append(p.Entries, Entry{e.key, a.Package.Name, record})
	}
	if len(p.Entries) == 0 {
		return
	}
	if !distro {
		p.Aliases = append(p.Aliases, r.names())
	}
	if len(cvss) > 0 {
		p.Enrichments = append(p.Enrichments, EnrichmentOf{r.ID, advisory.Enrichment{CVSS: once(cvss)}})
	}
	p.Details = append(p.Details, r.detail())
}

// record is what the advisory says of one package, or why that cannot be told.
func (r *osvRecord) record(a *osvAffected, e *ecosystem, o *order) (advisory.Record, string) {
	out := advisory.Record{ID: r.ID, Source: e.source, IDs: r.groups(e.distro)}
	none := false // some range says that no version has it
	for _, x := range a.Ranges {
		if x.Type == "GIT" {
			continue // commits, which no package has
		}
		spans, err := o.ranges(x.Events)
		if err != nil {
			return out, why(err)
		}
		none = none || len(spans) == 0
		out.Ranges = append(out.Ranges, spans...)
	}
	out.Versions = once(o.beyond(out.Ranges, a.Versions))
	switch {
	case len(out.Ranges)+len(out.Versions) > 0:
		if len(out.Versions) == 0 && !slices.ContainsFunc(out.Ranges, func(x advisory.Range) bool { return x.Fixed == "" }) {
			out.State = advisory.Fixed
		}
	case none:
		out.State = advisory.NotAffected
	default:
		return out, "only commits, or nothing, says which versions have it"
	}
	r.grade(a, e, &out)
	if e.key == "go" {
		out.Only.Imports = goImports(a.Ecosystem)
	}
	if e.distro {
		out.Only.Module = moduleOf(r.Summary, out.Ranges)
	}
	return out, ""
}

// why is the kind of an error about ranges, without the version that is in it.
func why(err error) string {
	if errors.Is(err, errNoEvents) {
		return errNoEvents.Error()
	}
	return "ranges of versions that are none of the ecosystem's"
}

// names are all names of the vulnerability that a record of an ecosystem is about.
func (r *osvRecord) names() []string {
	return once(append([]string{r.ID}, r.Aliases...))
}

// groups are the vulnerabilities that a record is about. An advisory of a distribution
// lists them where its feed happens to: upstream, aliases, or related.
func (r *osvRecord) groups(distro bool) [][]string {
	if !distro {
		return [][]string{r.names()}
	}
	for _, prefix := range []string{"CVE-", "GHSA-"} {
		for _, list := range [][]string{r.Upstream, r.Aliases, r.Related} {
			var groups [][]string
			for _, id := range list {
				if strings.HasPrefix(id, prefix) && len(groups) < maxGroups {
					groups = append(groups, []string{id})
				}
			}
			if len(groups) > 0 {
				return groups
			}
		}
		if strings.HasPrefix(r.ID, prefix) {
			break
		}
	}
	return [][]string{{r.ID}}
}

// grade sets the severity and the vectors: the package's own before the advisory's.
func (r *osvRecord) grade(a *osvAffected, e *ecosystem, out *advisory.Record) {
	for _, list := range [][]osvSeverity{a.Severity, r.Severity} {
		for _, s := range list {
			switch {
			case strings.HasPrefix(s.Type, "CVSS_"):
				if validVector(s.Score) {
					out.CVSS = append(out.CVSS, s.Score)
				}
			case out.Severity == advisory.Unrated:
				out.Severity = severityOf(s.Score)
			}
		}
		if len(out.CVSS) > 0 {
			break
		}
	}
	out.CVSS = once(out.CVSS)
	var said struct {
		Severity, Urgency, Informational string
	}
	// Any of them may be there, in any shape: what is no text is not a severity.
	for _, raw := range []json.RawMessage{a.Ecosystem, a.Database, r.Specific} {
		if len(raw) > 2 && (strings.Contains(string(raw), `"severity"`) || strings.Contains(string(raw), `"urgency"`) || strings.Contains(string(raw), `"informational"`)) {
			_ = json.Unmarshal(raw, &said)
		}
	}
	if said.Urgency == "end-of-life" || said.Urgency == "unimportant" {
		out.State = advisory.WontFix
	}
	first, _, _ := strings.Cut(r.Summary, ":")
	for _, word := range []string{said.Urgency, said.Severity, first} {
		if out.Severity == advisory.Unrated && (word != first || e.distro) {
			out.Severity = severityOf(word)
		}
	}
	if said.Informational != "" && out.Severity == advisory.Unrated && len(out.CVSS) == 0 {
		out.Severity = advisory.Negligible // unmaintained, unsound: no vulnerability by itself
	}
}

// severityOf reads any source's word.
func severityOf(word string) advisory.Severity {
	switch strings.ToLower(strings.TrimRight(word, "*")) {
	case "critical":
		return advisory.Critical
	case "high", "important":
		return advisory.High
	case "medium", "moderate":
		return advisory.Medium
	case "low":
		return advisory.Low
	case "negligible", "unimportant":
		return advisory.Negligible
	}
	return advisory.Unrated
}

// validVector reports whether a text could be a CVSS vector. Scoring it is for others.
func validVector(s string) bool {
	return len(s) <= 512 && (strings.HasPrefix(s, "CVSS:") || strings.HasPrefix(s, "AV:"))
}

func goImports(raw json.RawMessage) []advisory.Import {
	if len(raw) <= 2 {
		return nil
	}
	var said struct {
		Imports []struct {
			Path                  string
			GOOS, GOARCH, Symbols []string
		}
	}
	if json.Unmarshal(raw, &said) != nil {
		return nil
	}
	var all []advisory.Import
	for _, i := range said.Imports {
		if i.Path != "" {
			all = append(all, advisory.Import{Path: i.Path, GOOS: i.GOOS, GOARCH: i.GOARCH, Symbols: i.Symbols})
		}
	}
	return all
}

// moduleOf returns the stream that a summary names, where the fixed version is one of a
// module: "Important: nodejs:12 security update" and "…module_el8…". Empty where it names
// none, or more than one.
func moduleOf(summary string, ranges []advisory.Range) string {
	modular := slices.ContainsFunc(ranges, func(r advisory.Range) bool {
		return strings.Contains(r.Fixed, ".module_el") || strings.Contains(r.Fixed, ".module+el")
	})
	if !modular {
		return ""
	}
	found := ""
	for word := range strings.FieldsSeq(summary) {
		name, stream, ok := strings.Cut(strings.Trim(word, ",;()"), ":")
		if !ok || name == "" || stream == "" || strings.Contains(stream, ":") {
			continue
		}
		if found != "" && found != name+":"+stream {
			return ""
		}
		found = name + ":" + stream
	}
	return found
}

func (r *osvRecord) detail() DetailOf {
	text := r.Summary
	if strings.TrimSpace(text) == "" {
		text = r.Details
	}
	d := DetailOf{ID: r.ID, Detail: advisory.Detail{Summary: summary(text), Published: timestamp(r.Published)}}
	for _, kind := range []string{"ADVISORY", "FIX", "REPORT", "ARTICLE", "WEB"} {
		for _, ref := range r.References {
			if ref.Type == kind && len(d.References) < maxLinks && validLink(ref.URL) && !slices.Contains(d.References, ref.URL) {
				d.References = append(d.References, ref.URL)
			}
		}
	}
	return d
}

func validLink(s string) bool {
	return len(s) <= 2048 && (strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://"))
}

// once returns a list without doubles, in the order of the first of each.
func once(list []string) []string {
	if len(list) < 2 {
		return list
	}
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(s string) bool {
		if seen[s] {
			return true
		}
		seen[s] = true
		return false
	})
}
