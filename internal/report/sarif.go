package report

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// What code scanning takes of one run; more, and it refuses the upload.
const (
	maxSARIFResults = 25000
	maxSARIFTags    = 20
	maxSARIFBytes   = 9_000_000 // compressed, of 10 MB, for what is flushed late
	maxSARIFText    = 2000      // bytes of one line of a message
	maxSARIFNotes   = 1000      // ours: a thousand reasons for blindness are read by nobody
)

// The structs below are the part of SARIF 2.1.0 that we write.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool            `json:"tool"`
		Invocations []sarifInvocation    `json:"invocations"`
		Bases       map[string]sarifBase `json:"originalUriBaseIds"`
		ColumnKind  string               `json:"columnKind"`
		Taxonomies  []sarifTaxonomy      `json:"taxonomies,omitempty"`
		Results     []sarifResult        `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string          `json:"id"`
		Name             string          `json:"name"`
		ShortDescription sarifText       `json:"shortDescription"`
		FullDescription  sarifText       `json:"fullDescription"`
		Help             sarifText       `json:"help"`
		Default          sarifLevel      `json:"defaultConfiguration"`
		Properties       sarifProperties `json:"properties"`

		Relationships []sarifRelationship `json:"relationships,omitempty"`
	}
	sarifText struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifProperties struct {
		Tags             []string `json:"tags"`
		Precision        string   `json:"precision"`
		SecuritySeverity string   `json:"security-severity"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Started       string              `json:"startTimeUtc,omitempty"`
		Ended         string              `json:"endTimeUtc,omitempty"`
		Notifications []sarifNotification `json:"toolExecutionNotifications"`
	}
	sarifNotification struct {
		Level   string          `json:"level"`
		Message sarifText       `json:"message"`
		Rule    *sarifReference `json:"associatedRule,omitempty"`
	}
	sarifReference struct {
		ID    string `json:"id"`
		Index int    `json:"index"`
	}
	sarifBase struct {
		Description sarifText `json:"description"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Kind         string             `json:"kind"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
		Baseline     string             `json:"baselineState,omitempty"`
		Fixes        []sarifFix         `json:"fixes,omitempty"`
		Properties   sarifFacts         `json:"properties"`
	}
	// A sarifSuppression is a waiver: in the file itself, or in one beside it.
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
	// sarifFacts are what else a finding holds, for programs that read it.
	sarifFacts struct {
		Severity   string   `json:"severity"`
		Path       string   `json:"path,omitempty"`
		Got        string   `json:"got,omitempty"`
		Want       string   `json:"want,omitempty"`
		Reach      []string `json:"reach,omitempty"`
		Show       string   `json:"show,omitempty"`
		Fix        []string `json:"fix,omitempty"`
		FixCommand string   `json:"fixCommand,omitempty"`
		ByHand     string   `json:"byHand,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI  string `json:"uri"`
		Base string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndLine     int `json:"endLine"`
		EndColumn   int `json:"endColumn,omitempty"` // of the character behind the last
	}
	sarifFix struct {
		Description sarifText     `json:"description"`
		Changes     []sarifChange `json:"artifactChanges"`
	}
	sarifChange struct {
		Artifact     sarifArtifact      `json:"artifactLocation"`
		Replacements []sarifReplacement `json:"replacements"`
	}
	sarifReplacement struct {
		Deleted  sarifRegion `json:"deletedRegion"`
		Inserted sarifInsert `json:"insertedContent"`
	}
	sarifInsert struct {
		Text string `json:"text"`
	}
	sarifLogical struct {
		Name          string `json:"name"`
		QualifiedName string `json:"fullyQualifiedName"`
		Kind          string `json:"kind"`
	}
)

// sourceRoot is the name by which code scanning knows the repository's folder.
const sourceRoot = "%SRCROOT%"

var (
	sarifLevels = map[control.Severity]string{
		control.Critical: "error", control.High: "error", control.Medium: "warning", control.Low: "note",
	}
	// In code scanning, 9.0 and more is critical, 7.0 high, 4.0 medium.
	securitySeverity = map[control.Severity]string{
		control.Critical: "9.5", control.High: "8.0", control.Medium: "5.5", control.Low: "2.5",
	}
)

func writeSARIF(w io.Writer, r *scan.Result, o Options) error {
	log := toSARIF(r, o)
	run := &log.Runs[0]
	rules, results := run.Tool.Driver.Rules, run.Results
	run.Tool.Driver.Rules, run.Results = nil, nil
	frame, err := compact(log)
	if err != nil {
		return err
	}
	// One rule and one result a line. The marks cannot stand in a string, where
	// quotes are escaped.
	head, rest, _ := bytes.Cut(frame, []byte(`"rules":null`))
	middle, tail, _ := bytes.Cut(rest, []byte(`"results":null`))
	b := bufio.NewWriter(w)
	_, _ = b.Write(slices.Concat(head, []byte(`"rules":[`))) // the Writer keeps the first error
	if err := lines(b, rules); err != nil {
		return err
	}
	_, _ = b.Write(slices.Concat([]byte("]"), middle, []byte(`"results":[`)))
	if err := lines(b, results); err != nil {
		return err
	}
	_, _ = b.Write(slices.Concat([]byte("]"), tail, []byte("\n")))
	return b.Flush()
}

// lines writes the items of a JSON array, one a line.
func lines[T any](b *bufio.Writer, items []T) error {
	for i, item := range items {
		text, err := compact(item)
		if err != nil {
			return err
		}
		if i > 0 {
			_ = b.WriteByte(',')
		}
		_ = b.WriteByte('\n')
		_, _ = b.Write(text)
	}
	return nil
}

// compact is a value in JSON, for programs and people and not for browsers.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func toSARIF(r *scan.Result, o Options) sarifLog {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "Bulwark", Version: r.Version, InformationURI: "https://github.com/bulwark-k8s/bulwark", Rules: []sarifRule{}}},
		Bases:      map[string]sarifBase{sourceRoot: {sarifText{Text: "the folder that the scan was started in"}}},
		ColumnKind: "unicodeCodePoints",
		Taxonomies: taxonomies(r.Standard),
		Results:    []sarifResult{},
	}
	index := map[*scan.ControlResult]int{}
	type fault struct {
		rule    int
		finding *control.Finding
	}
	var faults []fault
	for i, res := range r.Controls {
		index[res] = i
		rule := ruleSARIF(res.Control)
		rule.Relationships = relationships(r, res.Control.ID)
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
		for _, f := range res.Findings {
			if f.Outcome == control.Broken {
				faults = append(faults, fault{i, f})
			}
		}
	}
	cut := max(len(faults)-maxSARIFResults, 0)
	if cut > 0 { // the gravest stay, and those that somebody answers for go first
		slices.SortStableFunc(faults, func(a, b fault) int {
			weight := func(x fault) control.Severity {
				if !x.finding.Open() {
					return 0
				}
				return r.Controls[x.rule].SeverityOf(x.finding)
			}
			return cmp.Compare(weight(b), weight(a))
		})
		faults = faults[:maxSARIFResults]
	}
	spots, prints := locate(r, o), map[string]int{}
	all := make([]*control.Finding, len(faults))
	for i, x := range faults {
		all[i] = x.finding
	}
	lines := texts(all, spots, o)
	for _, x := range faults {
		res := resultSARIF(r, x.rule, x.finding, spots[x.finding], prints, o)
		if text, ok := lines[x.finding]; ok {
			res.mark(x.finding, spots[x.finding], text)
		}
		run.Results = append(run.Results, res)
	}
	if fit := fitSARIF(run); fit < len(run.Results) {
		cut += len(run.Results) - fit
		run.Results = run.Results[:fit]
	}
	run.Invocations = []sarifInvocation{{
		Successful: true, Started: utc(r.Started), Ended: utc(r.Started.Add(r.Took)), Notifications: notesSARIF(r, index, cut),
	}}
	return sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}}
}

// fitSARIF is how many of the results an upload has room for when compressed.
func fitSARIF(run sarifRun) int {
	const small = 4 << 20 // of text, which does not double when it is quoted
	size := 0
	for i := range run.Results {
		res := &run.Results[i]
		size += 1000 + len(res.Message.Text) + len(res.Properties.Got) + len(res.Properties.Path) + len(res.Locations[0].Logical[0].QualifiedName)
	}
	if size < small {
		return len(run.Results)
	}
	var written counter
	gz := gzip.NewWriter(&written)
	for _, rule := range run.Tool.Driver.Rules {
		text, _ := compact(rule)
		_, _ = gz.Write(text) // a counter takes everything
	}
	for i, res := range run.Results {
		text, _ := compact(res)
		_, _ = gz.Write(text)
		if i%100 == 0 {
			_ = gz.Flush()
		}
		if written > maxSARIFBytes {
			return i / 100 * 100
		}
	}
	return len(run.Results)
}

// A counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func resultSARIF(r *scan.Result, rule int, f *control.Finding, at spot, prints map[string]int, o Options) sarifResult {
	res := r.Controls[rule]
	m := mend(res.Control, f)
	facts := sarifFacts{
		Severity: res.SeverityOf(f).String(), Path: printable(f.Path), Got: printable(f.Got), Want: printable(f.Want),
		Show: look(f).String(), FixCommand: m.Command, ByHand: printable(m.Hand),
	}
	for _, reach := range f.Reach {
		facts.Reach = append(facts.Reach, printable(reach.Text))
	}
	for _, e := range edits(f) {
		facts.Fix = append(facts.Fix, printable(e))
	}
	out := sarifResult{
		RuleID: res.Control.ID, RuleIndex: rule, Kind: "fail", Level: sarifLevels[res.SeverityOf(f)],
		Message: sarifText{Text: messageSARIF(f, facts)}, Locations: []sarifLocation{locationSARIF(f, at, o.Dir)},
		Fingerprints: fingerprints(res.Control, f, prints), Properties: facts,
	}
	if w := f.Waiver; w != nil {
		kind := "external"
		if w.Annotation {
			kind = "inSource"
		}
		out.Suppressions = []sarifSuppression{{kind, "accepted", printable(waiverText(w))}}
	}
	if r.Baseline != nil {
		out.Baseline = "new"
		if f.Known {
			out.Baseline = "unchanged"
		}
	}
	return out
}

// setting is a line of YAML that gives one field a plain value: what stands before the
// value, the value, and a comment.
var setting = regexp.MustCompile(`^(\s*(?:- )*"?([A-Za-z][A-Za-z0-9_./-]*)"?:[ ]+)([A-Za-z0-9_.\-]+)([ ]*(?: #.*)?)$`)

// mark tells where the field's line ends and, where the fault is the plain value of a
// field on a line of its own, the edit of the file that mends it.
func (out *sarifResult) mark(f *control.Finding, at spot, text string) {
	place := &out.Locations[0].Physical
	if end := utf8.RuneCountInString(text) + 1; end > at.column {
		place.Region.EndColumn = end
	}
	if len(f.Changes) != 1 || f.Changes[0].Op != control.Set || f.Changes[0].Path != f.Path {
		return
	}
	m := setting.FindStringSubmatch(text)
	value, err := compact(f.Changes[0].Value)
	if m == nil || err != nil || m[2] != f.Path[strings.LastIndexAny(f.Path, ".]")+1:] || m[3] != f.Got {
		return
	}
	from := utf8.RuneCountInString(m[1]) + 1
	out.Fixes = []sarifFix{{
		sarifText{Text: plainSARIF(f.Changes[0].String())},
		[]sarifChange{{place.Artifact, []sarifReplacement{{
			sarifRegion{at.line, from, at.line, from + utf8.RuneCountInString(m[3])}, sarifInsert{string(value)},
		}}}},
	}}
}

// messageSARIF is the evidence, which viewers show first, then what reaches the object,
// how it is seen and how it is mended.
func messageSARIF(f *control.Finding, facts sarifFacts) string {
	text := []string{bounded(f.String())}
	add := func(label string, values ...string) {
		for _, v := range values {
			if v != "" {
				text = append(text, label+bounded(v))
			}
		}
	}
	add("Reach: ", facts.Reach...)
	add("Show: ", facts.Show)
	add("Fix: ", facts.Fix...)
	add("Fix: ", facts.FixCommand)
	add("Fix by hand: ", facts.ByHand)
	for i := range text {
		text[i] = plainSARIF(text[i])
	}
	return strings.Join(text, "\n")
}

// bounded cuts what nobody reads to its end.
func bounded(text string) string {
	if len(text) <= maxSARIFText {
		return text
	}
	return strings.ToValidUTF8(text[:maxSARIFText], "") + "…"
}

func utc(t time.Time) string {
	if t.IsZero() || t.Year() > 9999 {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func ruleSARIF(c *control.Control) sarifRule {
	var help []string
	for _, h := range control.Headings {
		if text := c.Section(h); text != "" {
			help = append(help, "## "+h+"\n\n"+text)
		}
	}
	title := printable(c.Title)
	family, _, _ := strings.Cut(c.ID, ".")
	tags := []string{"security", "kubernetes", family}
	for _, ref := range c.Refs {
		tags = append(tags, printable(ref.String()))
	}
	slices.Sort(tags[3:])
	tags = slices.Compact(tags)
	return sarifRule{
		ID: c.ID, Name: c.ID, ShortDescription: sarifText{Text: title},
		FullDescription: sarifText{Text: printable(or(c.Section("Why"), c.Title))},
		Help:            sarifText{or(c.Section("Fix"), title), or(strings.Join(help, "\n\n"), title)},
		Default:         sarifLevel{sarifLevels[c.Severity]},
		Properties:      sarifProperties{tags[:min(len(tags), maxSARIFTags)], "high", securitySeverity[c.Severity]},
	}
}

// or is the first text that says something.
func or(texts ...string) string {
	for _, t := range texts {
		if strings.TrimSpace(t) != "" {
			return t
		}
	}
	return ""
}

// plainSARIF keeps a stranger's text from becoming a link: "[text](target)" is one in
// a SARIF message.
func plainSARIF(text string) string { return strings.ReplaceAll(printable(text), "](", "] (") }

func locationSARIF(f *control.Finding, at spot, dir string) sarifLocation {
	loc := sarifLocation{
		Physical: sarifPhysical{Artifact: sarifArtifact{URI: syntheticURI(f.Object)}, Region: sarifRegion{1, 1, 1, 0}},
		Logical: []sarifLogical{{
			Name: printable(f.Object.Name), Kind: "resource",
			QualifiedName: printable(strings.TrimPrefix(f.Object.Cluster+"/", "/") + strings.TrimPrefix(f.Object.Namespace+"/", "/") + f.Object.Kind + "/" + f.Object.Name),
		}},
	}
	if file := fileOf(f.Source, dir); file != "" {
		if end := archived(file); end > 0 { // a viewer opens no archive
			file, at = file[:end], spot{1, 1}
		}
		uri := url.URL{Path: filepath.ToSlash(file)}
		loc.Physical.Artifact = sarifArtifact{URI: uri.String(), Base: sourceRoot}
		if filepath.IsAbs(file) {
			uri.Scheme = "file"
			loc.Physical.Artifact = sarifArtifact{URI: uri.String()}
		}
		loc.Physical.Region = sarifRegion{at.line, at.column, at.line, 0}
	}
	return loc
}

// syntheticURI is a file name for what is in no file: code scanning shows nothing
// without one. A namespace is never called "-".
func syntheticURI(ref cluster.Ref) string {
	root, suffix := "kubernetes", ".yaml"
	if ref.OnMachine() {
		root, suffix = "machines", ""
	}
	parts := []string{root, or(ref.Namespace, "-"), or(ref.Kind, "-"), or(ref.Name, "-") + suffix}
	if ref.Cluster != "" {
		parts = slices.Concat([]string{"clusters", ref.Cluster}, parts)
	}
	for i, part := range parts {
		part = strings.Map(func(c rune) rune {
			if c == '/' || c == '\\' || !unicode.IsPrint(c) || c == unicode.ReplacementChar {
				return '_'
			}
			return c
		}, part)
		if strings.Trim(part, ".") == "" {
			part = "_" + part // never a way upwards
		}
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

// fingerprints name a fault by what it is about and not by where it stands, so that
// it stays the same alert when lines move. seen counts those that the scan did not name.
func fingerprints(c *control.Control, f *control.Finding, seen map[string]int) map[string]string {
	id := f.ID
	if id == "" {
		id = control.Fingerprint(c.ID, f, seen)
	}
	// The second name is the only one that GitHub compares.
	return map[string]string{"bulwarkFinding/v1": id, "primaryLocationLineHash": id}
}

// notesSARIF says what could not be told, and what was left out.
func notesSARIF(r *scan.Result, index map[*scan.ControlResult]int, cut int) []sarifNotification {
	notes := []sarifNotification{}
	if cut > 0 {
		notes = append(notes, sarifNotification{Level: "warning", Message: sarifText{Text: fmt.Sprintf(
			"%s left out: code scanning takes %d of one run, and 10 MB; the gravest are here and -o json has all", count(cut, "finding"), maxSARIFResults)}})
	}
	more := 0
	note := func(res *scan.ControlResult, text string) {
		if len(notes) >= maxSARIFNotes {
			more++
			return
		}
		n := sarifNotification{Level: "warning", Message: sarifText{Text: plainSARIF(text)}}
		if res != nil {
			n.Rule = &sarifReference{res.Control.ID, index[res]}
		}
		notes = append(notes, n)
	}
	for _, b := range blinds(r) {
		what := strings.Join(b.needs, ", ")
		switch {
		case len(b.controls) == 0:
			note(nil, "not read: "+what+": "+b.reason)
		case what == "" && len(b.findings) > 0:
			for _, f := range b.findings {
				note(b.controls[0], f.String())
			}
		default:
			for _, res := range b.controls {
				note(res, strings.TrimPrefix("could not look at "+what+": ", "could not look at : ")+b.reason)
			}
		}
	}
	if more > 0 {
		notes = append(notes, sarifNotification{Level: "warning", Message: sarifText{Text: fmt.Sprintf("%d more could not be told; -o json has all", more)}})
	}
	return notes
}
