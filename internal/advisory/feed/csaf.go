package feed

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// CSAF reads Red Hat's VEX documents, one for each CVE: a document, a folder of them, or
// the archive that archive_latest.txt names
// (https://security.access.redhat.com/data/csaf/v2/vex/). What is fixed is listed by
// binary package, what is not by source package. Only what a plain system of a release
// gets is taken: extended support of minor releases and other products are not.
func CSAF(ctx context.Context, location string, sink Sink) error {
	return each(ctx, &documents{location: location, suffixes: []string{".json"}}, csafDocument, sink)
}

type csafFile struct {
	Document struct {
		Publisher struct{ Namespace string }
		Tracking  struct {
			Released string `json:"current_release_date"`
		}
		Severity struct{ Text string } `json:"aggregate_severity"`
	}
	Tree struct {
		Branches      []csafBranch
		Relationships []struct {
			Full struct {
				ID string `json:"product_id"`
			} `json:"full_product_name"`
			Of string `json:"product_reference"`
			To string `json:"relates_to_product_reference"`
		}
	} `json:"product_tree"`
	Vulnerabilities []csafVulnerability
}

type csafBranch struct {
	Branches []csafBranch
	Product  *struct {
		ID     string                     `json:"product_id"`
		Helper struct{ CPE, PURL string } `json:"product_identification_helper"`
	}
}

type csafVulnerability struct {
	CVE, Title string
	Release    string `json:"release_date"`
	Scores     []struct {
		V3       struct{ VectorString string } `json:"cvss_v3"`
		Products []string
	}
	Status struct {
		Fixed         []string
		Affected      []string `json:"known_affected"`
		NotAffected   []string `json:"known_not_affected"`
		Investigating []string `json:"under_investigation"`
	} `json:"product_status"`
	Remediations []struct {
		Category, Details, URL string
		Products               []string `json:"product_ids"`
	}
	Threats []struct {
		Category, Details string
		Products          []string `json:"product_ids"`
	}
	References []struct{ URL string }
}

// maxBranches is how deep a tree of products may be.
const maxBranches = 16

// A csafReader resolves the products of one document.
type csafReader struct {
	purl, cpe map[string]string    // by product
	related   map[string][2]string // of a component to what it is a component of
}

// A component is an RPM of a release.
type component struct {
	key                         advisory.Key
	name, version, arch, module string
}

func csafDocument(name string, data []byte) *Part {
	p := &Part{}
	var f csafFile
	if err := json.Unmarshal(data, &f); err != nil {
		p.skip(name, "no CSAF document: %v", err)
		return p
	}
	if !strings.Contains(f.Document.Publisher.Namespace, "redhat.com") {
		p.skip(name, "a CSAF document of %.60q", f.Document.Publisher.Namespace)
		return p
	}
	p.Modified = timestamp(f.Document.Tracking.Released)
	r := &csafReader{map[string]string{}, map[string]string{}, map[string][2]string{}}
	if !r.branches(f.Tree.Branches, 0) {
		p.skip(name, "a tree of products of more than %d levels", maxBranches)
		return p
	}
	for _, x := range f.Tree.Relationships {
		r.related[x.Full.ID] = [2]string{x.Of, x.To}
	}
	for i := range f.Vulnerabilities {
		v := &f.Vulnerabilities[i]
		if !strings.HasPrefix(v.CVE, "CVE-") {
			p.skip(name, "a vulnerability without a CVE")
			continue
		}
		before := len(p.Entries)
		r.vulnerability(v, f.Document.Severity.Text, p)
		if len(p.Entries) > before {
			p.Details = append(p.Details, v.detail())
		}
	}
	return p
}

func (r *csafReader) branches(all []csafBranch, depth int) bool {
	if depth > maxBranches {
		return false
	}
	for i := range all {
		if x := all[i].Product; x != nil {
			if x.Helper.PURL != "" {
				r.purl[x.ID] = x.Helper.PURL
			}
			if x.Helper.CPE != "" {
				r.cpe[x.ID] = x.Helper.CPE
			}
		}
		if !r.branches(all[i].Branches, depth+1) {
			return false
		}
	}
	return true
}

// vulnerability adds the records of one CVE.
func (r *csafReader) vulnerability(v *csafVulnerability, overall string, p *Part) {
	base := advisory.Record{ID: v.CVE, IDs: [][]string{{v.CVE}}, Source: "redhat"}
	for _, s := range v.Scores {
		if vector := s.V3.VectorString; validVector(vector) && !slices.Contains(base.CVSS, vector) {
			base.CVSS = append(base.CVSS, vector)
			break // the first is Red Hat's on the plain systems
		}
	}
	severity := map[string]advisory.Severity{}
	base.Severity = severityOf(overall)
	for _, t := range v.Threats {
		if t.Category != "impact" {
			continue
		}
		for _, id := range t.Products {
			severity[id] = severityOf(t.Details)
		}
		if len(t.Products) == 0 {
			base.Severity = severityOf(t.Details)
		}
	}
	state, erratum := map[string]advisory.State{}, map[string]string{}
	for _, x := range v.Remediations {
		for _, id := range x.Products {
			switch x.Category {
			case "vendor_fix":
				if at := strings.LastIndex(x.URL, "/"); at >= 0 && strings.HasPrefix(x.URL[at+1:], "RH") {
					erratum[id] = x.URL[at+1:]
				}
			case "no_fix_planned":
				state[id] = advisory.WontFix // "Will not fix", "Out of support scope"
			case "none_available":
				if strings.Contains(strings.ToLower(x.Details), "deferred") {
					state[id] = advisory.Deferred
				}
			}
		}
	}
	fill := func(id string, record *advisory.Record) {
		if s, ok := severity[id]; ok {
			record.Severity = s
		}
	}
	r.fixed(v.Status.Fixed, base, erratum, fill, p)
	seen := map[component]bool{}
	unfixed := func(ids []string, of func(id string) advisory.State) {
		for _, id := range ids {
			c, ok := r.component(id)
			if !ok || c.arch != "src" && c.arch != "" {
				continue // a binary that is listed beside its source, or a module
			}
			c.version, c.arch = "", ""
			if seen[c] {
				continue
			}
			seen[c] = true
			record := base
			fill(id, &record)
			record.State = of(id)
			record.Only = advisory.Qualifiers{Module: c.module, Source: true}
			p.Entries = append(p.Entries, Entry{c.key, c.name, record})
		}
	}
	// One package may be listed twice, for two repositories: the graver word counts.
	unfixed(v.Status.Affected, func(id string) advisory.State { return state[id] })
	unfixed(v.Status.Investigating, func(string) advisory.State { return advisory.UnderInvestigation })
	unfixed(v.Status.NotAffected, func(string) advisory.State { return advisory.NotAffected })
}

// fixed adds what is fixed in which version. Architectures are kept where they matter:
// where a package was fixed in several versions, on different ones.
func (r *csafReader) fixed(ids []string, base advisory.Record, erratum map[string]string, fill func(string, *advisory.Record), p *Part) {
	type group struct {
		key          advisory.Key
		name, module string
	}
	type build struct {
		version string
		arch    []string
		id      string // one of its products
	}
	builds := map[group][]*build{}
	var order []group
	for _, id := range ids {
		c, ok := r.component(id)
		if !ok || c.arch == "src" || c.version == "" {
			continue
		}
		g := group{c.key, c.name, c.module}
		at := slices.IndexFunc(builds[g], func(b *build) bool { return b.version == c.version })
		if at < 0 {
			if len(builds[g]) == 0 {
				order = append(order, g)
			}
			at = len(builds[g])
			builds[g] = append(builds[g], &build{version: c.version, id: id})
		}
		b := builds[g][at]
		if !slices.Contains(b.arch, c.arch) {
			b.arch = append(b.arch, c.arch)
		}
		b.id = min(b.id, id)
	}
	for _, g := range order {
		apart := len(builds[g]) > 1
		for i, b := range builds[g] {
			for _, other := range builds[g][:i] {
				apart = apart && !slices.ContainsFunc(b.arch, func(a string) bool { return a == "noarch" || slices.Contains(other.arch, a) })
			}
		}
		for _, b := range builds[g] {
			record := base
			fill(b.id, &record)
			if e := erratum[b.id]; e != "" {
				record.ID = e
			}
			record.State, record.Ranges = advisory.Fixed, []advisory.Range{{Fixed: b.version}}
			record.Only.Module = g.module
			if apart {
				slices.Sort(b.arch)
				record.Only.Arch = b.arch
			}
			p.Entries = append(p.Entries, Entry{g.key, g.name, record})
		}
	}
}

// component resolves a product of a status list; false where it is no RPM of a plain
// release.
func (r *csafReader) component(id string) (component, bool) {
	rel, ok := r.related[id]
	if !ok {
		return component{}, false
	}
	c, ok := rpmOf(r.purl[rel[0]])
	if !ok {
		return component{}, false
	}
	product := rel[1]
	if parent, ok := r.related[product]; ok { // an RPM of a module of a product
		if m, ok := rpmOf(r.purl[parent[0]]); ok && c.module == "" {
			c.module = m.module
		}
		product = parent[1]
	}
	c.key = plainRelease(r.cpe[product])
	return c, c.key != ""
}

// plainRelease reads "cpe:/o:redhat:enterprise_linux:9::baseos"; empty for any other
// product.
func plainRelease(cpe string) advisory.Key {
	parts := strings.Split(cpe, ":")
	if len(parts) < 5 || parts[0] != "cpe" || parts[2] != "redhat" || parts[3] != "enterprise_linux" {
		return ""
	}
	major, _, _ := strings.Cut(parts[4], ".")
	if !isRelease(major) {
		return ""
	}
	return advisory.Key("rpm/redhat/" + major)
}

// rpmOf reads the package URLs that Red Hat gives RPMs:
//
//	pkg:rpm/redhat/openssl@3.0.7-27.el9?arch=x86_64&epoch=1
//	pkg:rpm/redhat/perl-libs@5.32.1-473.module%2Bel8.10.0?arch=x86_64&epoch=4&rpmmod=perl:5.32:8100…:489197e6
//	pkg:rpmmod/redhat/nodejs@18:9020…:rhel9    a module
//	pkg:rpmmod/redhat/ruby:2.6/ruby            a package of a module
func rpmOf(purl string) (component, bool) {
	rest, rpm := strings.CutPrefix(purl, "pkg:rpm/redhat/")
	if !rpm {
		var ok bool
		if rest, ok = strings.CutPrefix(purl, "pkg:rpmmod/redhat/"); !ok {
			return component{}, false
		}
	}
	rest, query, _ := strings.Cut(rest, "?")
	name, version, _ := strings.Cut(rest, "@")
	name, err := url.PathUnescape(name)
	if err != nil || name == "" {
		return component{}, false
	}
	if version, err = url.PathUnescape(version); err != nil {
		return component{}, false
	}
	c := component{name: name, version: version}
	values := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(pair, "=")
		if v, err := url.PathUnescape(v); err == nil {
			values[k] = v
		}
	}
	c.arch = values["arch"]
	if !rpm {
		if module, pkg, ok := strings.Cut(name, "/"); ok {
			return component{name: pkg, module: stream(module), arch: "src"}, true
		}
		return component{name: name, module: stream(name + ":" + version), arch: "module"}, true
	}
	if e := values["epoch"]; e != "" && e != "0" && version != "" {
		c.version = e + ":" + version
	}
	c.module = stream(values["rpmmod"])
	return c, true
}

// stream is a module's name and stream: "perl:5.32" of "perl:5.32:8100…:489197e6".
func stream(s string) string {
	parts := strings.SplitN(s, ":", 3)
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return ""
	}
	return parts[0] + ":" + parts[1]
}

func (v *csafVulnerability) detail() DetailOf {
	d := DetailOf{v.CVE, advisory.Detail{Summary: summary(v.Title), Published: timestamp(v.Release)}}
	for _, ref := range v.References {
		if len(d.References) < maxLinks && validLink(ref.URL) && !slices.Contains(d.References, ref.URL) {
			d.References = append(d.References, ref.URL)
		}
	}
	return d
}
