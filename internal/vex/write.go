package vex

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// WriteOptions say what a document cannot know by itself.
type WriteOptions struct {
	// Now is the document's time.
	Now time.Time
	// Version is the program's.
	Version string
}

// A verdict is what is said of a finding, in the words that both formats have.
type verdict struct {
	status Status
	// justification is OpenVEX's, and code CycloneDX's; detail is for people.
	justification, detail string
	code                  cyclonedx.ImpactAnalysisJustification
	responses             []cyclonedx.ImpactAnalysisResponse
}

// verdictOf says no more than is known: what somebody lets stand is affected all the
// same, and what a document said was not affected stays so.
func verdictOf(f *match.Finding) verdict {
	v := verdict{status: Affected}
	if f.State == advisory.UnderInvestigation {
		v.status = UnderInvestigation
	}
	if len(f.FixedIn) > 0 {
		v.detail = "use " + f.Package.Name + " " + strings.Join(f.FixedIn, " or ")
		v.responses = []cyclonedx.ImpactAnalysisResponse{cyclonedx.IARUpdate}
	} else {
		v.detail = "no fix is known"
	}
	if f.Aside == nil {
		return v
	}
	hidden := verdict{status: NotAffected, detail: f.Aside.Reason}
	switch f.Aside.By {
	case match.ByPackage, match.BySymbol, match.ByPlatform:
		hidden.justification, hidden.code = "vulnerable_code_not_present", cyclonedx.IAJCodeNotPresent
		return hidden
	case match.ByDistributor, match.ByVEX:
		return hidden
	case match.ByIgnore:
		v.detail = fmt.Sprintf("accepted by %s until %s: %s", f.Aside.Owner, f.Aside.Expires.Format("2006-01-02"), f.Aside.Reason)
		v.responses = []cyclonedx.ImpactAnalysisResponse{cyclonedx.IARWillNotFix}
	case match.ByUnfixed:
	}
	return v
}

// every calls a function for what counts and what does not.
func every(r *match.Result, of func(*match.Finding)) {
	for i := range r.Findings {
		of(&r.Findings[i])
	}
	for i := range r.SetAside {
		of(&r.SetAside[i])
	}
}

// imageURL is an image's package URL; empty where it has no digest.
func imageURL(img *image.Image) string {
	if img.Digest == "" {
		return ""
	}
	repo, tag := reference(img.Name)
	q := url.Values{}
	if img.Platform.Architecture != "" {
		q.Set("arch", img.Platform.Architecture)
	}
	name := strings.ToLower(path.Base(img.Name))
	if strings.Contains(repo, "/") && !strings.HasSuffix(img.Name, ".tar") && !strings.ContainsAny(img.Name, " \\") {
		name = strings.ToLower(path.Base(repo))
		q.Set("repository_url", repo)
		if tag != "" {
			q.Set("tag", tag)
		}
	}
	return "pkg:oci/" + url.PathEscape(name) + "@" + url.QueryEscape(img.Digest) + "?" + q.Encode()
}

// WriteOpenVEX writes what is known of an image's vulnerabilities, as OpenVEX 0.2.0. The
// same result gives the same bytes.
func WriteOpenVEX(w io.Writer, r *match.Result, o WriteOptions) error {
	type product struct {
		ID         string    `json:"@id"`
		Components []product `json:"subcomponents,omitempty"`
	}
	type vulnerability struct {
		Name        string   `json:"name"`
		Description string   `json:"description,omitempty"`
		Aliases     []string `json:"aliases,omitempty"`
	}
	type statement struct {
		Vulnerability vulnerability `json:"vulnerability"`
		Products      []product     `json:"products"`
		Status        string        `json:"status"`
		Justification string        `json:"justification,omitempty"`
		Impact        string        `json:"impact_statement,omitempty"`
		Action        string        `json:"action_statement,omitempty"`
	}
	type document struct {
		Context    string      `json:"@context"`
		ID         string      `json:"@id"`
		Author     string      `json:"author"`
		Timestamp  string      `json:"timestamp"`
		Version    int         `json:"version"`
		Tooling    string      `json:"tooling"`
		Statements []statement `json:"statements"`
	}
	d := document{
		Context: "https://openvex.dev/ns/v0.2.0", Author: "bulwark", Timestamp: o.Now.UTC().Format(time.RFC3339), Version: 1,
		Tooling: "bulwark " + o.Version, Statements: []statement{},
	}
	whole := cmp.Or(imageURL(r.Image), r.Image.Name)
	every(r, func(f *match.Finding) {
		v := verdictOf(f)
		s := statement{
			Vulnerability: vulnerability{f.ID, f.Summary, f.IDs[1:]},
			Products:      []product{{whole, []product{{ID: f.Package.PURL(r.Image.OS)}}}},
			Justification: v.justification,
		}
		switch v.status {
		case NotAffected:
			s.Status, s.Impact = "not_affected", v.detail
		case UnderInvestigation:
			s.Status = "under_investigation"
		case Affected, Fixed:
			s.Status, s.Action = "affected", v.detail
		}
		d.Statements = append(d.Statements, s)
	})
	sum, err := digest(d)
	if err != nil {
		return err
	}
	d.ID = "https://openvex.dev/docs/public/vex-" + hex.EncodeToString(sum[:])
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(d)
}

// digest is that of a document without its name.
func digest(d any) ([sha256.Size]byte, error) {
	data, err := json.Marshal(d)
	return sha256.Sum256(data), err
}

// methods are CycloneDX's names for what a vector is of.
var methods = map[string]cyclonedx.ScoringMethod{
	"CVSS:4.0": cyclonedx.ScoringMethodCVSSv4, "CVSS:3.1": cyclonedx.ScoringMethodCVSSv31, "CVSS:3.0": cyclonedx.ScoringMethodCVSSv3,
}

// ratings are severities in CycloneDX's words.
var ratings = map[advisory.Severity]cyclonedx.Severity{
	advisory.Unrated: cyclonedx.SeverityUnknown, advisory.Negligible: cyclonedx.SeverityInfo, advisory.Low: cyclonedx.SeverityLow,
	advisory.Medium: cyclonedx.SeverityMedium, advisory.High: cyclonedx.SeverityHigh, advisory.Critical: cyclonedx.SeverityCritical,
}

// WriteCycloneDX writes what is known of an image's vulnerabilities, as a CycloneDX 1.6
// document with the packages that have them. The same result gives the same bytes.
func WriteCycloneDX(w io.Writer, r *match.Result, o WriteOptions) error {
	bom := cyclonedx.NewBOM()
	const root = "image"
	now := o.Now.UTC().Format(time.RFC3339)
	component := cyclonedx.Component{BOMRef: root, Type: cyclonedx.ComponentTypeContainer, Name: r.Image.Name, Version: r.Image.Digest, PackageURL: imageURL(r.Image)}
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: now,
		Component: &component,
		Tools:     &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{{Type: cyclonedx.ComponentTypeApplication, Name: "bulwark", Version: o.Version}}},
	}
	components := []cyclonedx.Component{}
	vulnerabilities := []cyclonedx.Vulnerability{}
	seen := map[string]bool{}
	every(r, func(f *match.Finding) {
		purl := f.Package.PURL(r.Image.OS)
		if !seen[purl] {
			seen[purl] = true
			components = append(components, cyclonedx.Component{BOMRef: purl, Type: cyclonedx.ComponentTypeLibrary, Name: f.Package.Name, Version: f.Package.Version, PackageURL: purl})
		}
		v := verdictOf(f)
		x := cyclonedx.Vulnerability{
			BOMRef: fmt.Sprintf("%d", len(vulnerabilities)+1), ID: f.ID, Description: f.Summary,
			Affects:  &[]cyclonedx.Affects{{Ref: purl}},
			Analysis: &cyclonedx.VulnerabilityAnalysis{Justification: v.code, Detail: v.detail, LastUpdated: now},
			Ratings:  &[]cyclonedx.VulnerabilityRating{rating(f)},
		}
		x.Analysis.State = map[Status]cyclonedx.ImpactAnalysisState{
			Affected: cyclonedx.IASExploitable, NotAffected: cyclonedx.IASNotAffected, UnderInvestigation: cyclonedx.IASInTriage,
		}[v.status]
		if len(v.responses) > 0 {
			x.Analysis.Response = &v.responses
		}
		if len(f.IDs) > 1 {
			var more []cyclonedx.VulnerabilityReference
			for _, id := range f.IDs[1:] {
				more = append(more, cyclonedx.VulnerabilityReference{ID: id, Source: &cyclonedx.Source{Name: sourceOf(id)}})
			}
			x.References = &more
		}
		if len(f.References) > 0 {
			var links []cyclonedx.Advisory
			for _, link := range f.References {
				links = append(links, cyclonedx.Advisory{URL: link})
			}
			x.Advisories = &links
		}
		vulnerabilities = append(vulnerabilities, x)
	})
	bom.Components, bom.Vulnerabilities = &components, &vulnerabilities
	sum, err := digest(bom)
	if err != nil {
		return err
	}
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // a UUID of version 8, RFC 9562
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	return cyclonedx.NewBOMEncoder(w, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cyclonedx.SpecVersion1_6)
}

func rating(f *match.Finding) cyclonedx.VulnerabilityRating {
	out := cyclonedx.VulnerabilityRating{Severity: ratings[f.Severity], Vector: f.Vector}
	if f.SeverityFrom != "" {
		out.Source = &cyclonedx.Source{Name: f.SeverityFrom}
	}
	if f.Vector != "" {
		out.Score = &f.Score
		version, _, _ := strings.Cut(f.Vector, "/")
		out.Method = cmp.Or(methods[version], cyclonedx.ScoringMethodCVSSv2)
	}
	return out
}

// sourceOf is who gives names of a kind.
func sourceOf(id string) string {
	kind, _, _ := strings.Cut(id, "-")
	switch kind {
	case "CVE":
		return "NVD"
	case "GHSA":
		return "GitHub"
	}
	return "OSV"
}
