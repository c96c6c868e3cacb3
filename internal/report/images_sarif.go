package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// The structs below are the part of SARIF 2.1.0 that is written of images: a vulnerability
// is a rule, a package that has it a result. Code scanning shows results at files of the
// repository, so the path inside the image stands for one.
type (
	sarifImages struct {
		Schema  string          `json:"$schema"`
		Version string          `json:"version"`
		Runs    []sarifImageRun `json:"runs"`
	}
	sarifImageRun struct {
		Tool        sarifTool          `json:"tool"`
		Invocations []sarifInvocation  `json:"invocations"`
		ColumnKind  string             `json:"columnKind"`
		Results     []sarifImageResult `json:"results"`
	}
	sarifImageResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Kind         string             `json:"kind"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	}
)

func writeImagesSARIF(w io.Writer, r *Images, _ Options) error {
	b := bufio.NewWriter(w)
	text, err := compact(toSARIFImages(r))
	if err != nil {
		return err
	}
	_, _ = b.Write(append(text, '\n')) // Flush returns the first error
	return b.Flush()
}

func toSARIFImages(r *Images) sarifImages {
	run := sarifImageRun{
		Tool:       sarifTool{sarifDriver{Name: "Bulwark", Version: r.Version, InformationURI: "https://github.com/bulwark-k8s/bulwark", Rules: []sarifRule{}}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifImageResult{},
	}
	index := map[string]int{}
	rule := func(id string, make func() sarifRule) int {
		n, ok := index[id]
		if !ok {
			n = len(run.Tool.Driver.Rules)
			index[id] = n
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, make())
		}
		return n
	}
	inv := sarifInvocation{Successful: true, Started: utc(r.Started), Ended: utc(r.Started.Add(r.Took)), Notifications: []sarifNotification{}}
	note := func(level, text string) {
		inv.Notifications = append(inv.Notifications, sarifNotification{Level: level, Message: sarifText{Text: printable(text)}})
	}
	for _, i := range r.Images {
		if i.Err != nil {
			inv.Successful = false
			note("error", i.Name+": "+i.Err.Error())
			continue
		}
		for _, g := range i.NotAssessed {
			note("warning", fmt.Sprintf("%s: %s not assessed: %s", i.Name, count(g.Packages, "package"), g.Reason))
		}
		add := func(f *match.Finding) {
			n := rule(f.ID, func() sarifRule { return vulnerabilityRule(f) })
			run.Results = append(run.Results, vulnerabilityResult(i, f, n))
		}
		for n := range i.Findings {
			add(&i.Findings[n])
		}
		for n := range i.SetAside {
			// What is not in the image by its platform or functions is no result at all.
			if by := i.SetAside[n].Aside.By; by == match.ByVEX || by == match.ByIgnore {
				add(&i.SetAside[n])
			}
		}
		for _, res := range faultsOf(i) {
			n := rule(res.Control.ID, func() sarifRule { return ruleSARIF(res.Control) })
			for _, f := range res.Findings {
				if f.Outcome != control.Broken {
					continue
				}
				at := cmp.Or(f.Path, "image")
				run.Results = append(run.Results, sarifImageResult{
					RuleID: res.Control.ID, RuleIndex: n, Kind: "fail", Level: sarifLevels[res.SeverityOf(f)],
					Message:      sarifText{Text: printable(i.Name + ": " + evidenceOf(f.Path, f.Got, f.Want, f.Reason))},
					Locations:    imageLocation(i.Name, at, at),
					Fingerprints: map[string]string{"bulwark/v1": f.ID},
				})
			}
		}
	}
	if cut := len(run.Results) - maxSARIFResults; cut > 0 {
		run.Results = run.Results[:maxSARIFResults]
		note("warning", fmt.Sprintf("%d results are left out: code scanning takes %d", cut, maxSARIFResults))
	}
	run.Invocations = []sarifInvocation{inv}
	return sarifImages{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifImageRun{run}}
}

func vulnerabilityRule(f *match.Finding) sarifRule {
	tags := []string{"security", "vulnerability"}
	if !f.Exploited.IsZero() {
		tags = append(tags, "exploited")
	}
	tags = append(tags, f.IDs...)
	about := printable(cmp.Or(f.Summary, f.ID))
	help := []string{about}
	for _, ref := range f.References {
		help = append(help, printable(ref))
	}
	score := securitySeverity[grave(f.Severity)]
	if f.Score > 0 {
		score = fmt.Sprintf("%.1f", f.Score)
	}
	return sarifRule{
		ID: f.ID, Name: f.ID, ShortDescription: sarifText{Text: about}, FullDescription: sarifText{Text: about}, Help: sarifText{Text: strings.Join(help, "\n")},
		Default:    sarifLevel{sarifLevels[grave(f.Severity)]},
		Properties: sarifProperties{Tags: tags[:min(len(tags), maxSARIFTags)], Precision: "very-high", SecuritySeverity: score},
	}
}

func vulnerabilityResult(i *ScannedImage, f *match.Finding, rule int) sarifImageResult {
	p := f.Package
	text := fmt.Sprintf("%s: %s %s has %s (%s)", i.Name, p.Name, p.Version, strings.Join(f.IDs, ", "), f.Severity)
	if len(f.FixedIn) > 0 {
		text += ", fixed in " + strings.Join(f.FixedIn, " and ")
	} else {
		text += ", no fix is known"
	}
	path := p.Path
	if len(f.Paths) > 0 {
		path = f.Paths[0]
	}
	out := sarifImageResult{
		RuleID: f.ID, RuleIndex: rule, Kind: "fail", Level: sarifLevels[grave(f.Severity)],
		Message: sarifText{Text: printable(text)}, Locations: imageLocation(i.Name, path, p.Name+"@"+p.Version),
		// The version is not part of it: an upgrade that does not help makes no new alert.
		Fingerprints: map[string]string{"bulwark/v1": fingerprintOf(i.Name, f.ID, string(p.Type), p.Name, path)},
	}
	if a := f.Aside; a != nil {
		out.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: printable(cmp.Or(a.Reason, asideWords[a.By]))}}
	}
	return out
}

func imageLocation(name, path, what string) []sarifLocation {
	uri := strings.TrimPrefix(path, "/")
	return []sarifLocation{{
		Physical: sarifPhysical{Artifact: sarifArtifact{URI: cmp.Or((&url.URL{Path: uri}).EscapedPath(), "image")}, Region: sarifRegion{StartLine: 1, StartColumn: 1, EndLine: 1, EndColumn: 1}},
		Logical:  []sarifLogical{{Name: what, QualifiedName: printable(name + "/" + what), Kind: "package"}},
	}}
}

// fingerprintOf names a finding from one scan to the next.
func fingerprintOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
