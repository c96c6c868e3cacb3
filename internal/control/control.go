// Package control says what a control is: one practice of securing Kubernetes that
// can be checked against a Snapshot, with its evidence, its outcome and its fix as
// data. It knows nothing of how snapshots are read or findings are shown.
package control

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Control is one entry of the catalogue. Its folder under controls/ is its ID.
type Control struct {
	// ID is the path of its folder with dots: "pod.hostnetwork". It never changes
	// once released.
	ID string
	// Title names the fault, not the virtue: "Pod shares its node's network".
	Title    string
	Severity Severity
	// Since is the release that brought it.
	Since string
	// Over are the kinds of facts that are judged one by one. One that could not be
	// read is Unknown and the others still get their verdict.
	Over []cluster.Need
	// With are the facts that every verdict rests on. A gap there makes the
	// verdicts in its scope Unknown, since a missing NetworkPolicy and one that
	// could not be read look the same.
	With []cluster.Need
	// Check judges every subject it finds: one Verdict each.
	Check func(*cluster.Snapshot, *Report)
	Refs  []Ref
	// Doc is the text of doc.md: Why, Evidence, Fix, Prove, References.
	Doc string
}

// Needs are all facts that the control reads.
func (c *Control) Needs() []cluster.Need {
	return append(append([]cluster.Need{}, c.Over...), c.With...)
}

// A Ref is the control's number in somebody else's catalogue: an item that the control
// answers. A control that asks more than the item does must say which of its findings
// count there, or that none does, so that a rule of ours never fails a standard.
type Ref struct {
	Catalogue string
	Number    string
	// Of limits the item to subjects whose name, or the last part of it, matches this
	// pattern of package path: "kube-apiserver.yaml". Empty: all.
	Of string
	// Counts limits the item to some of the faults; nil: all.
	Counts func(*Finding) bool
	// Beyond is set where the control is about the same thing and answers another
	// question, mostly a stricter one: it never counts there.
	Beyond bool
}

func (r Ref) String() string { return r.Catalogue + " " + r.Number }

// On limits the item to subjects whose name matches a pattern of package path.
func (r Ref) On(pattern string) Ref {
	r.Of = pattern
	return r
}

// When limits the item to the faults that f is true of.
func (r Ref) When(f func(*Finding) bool) Ref {
	r.Counts = f
	return r
}

// At limits the item to faults of one field, flag or file mode: the end of their path.
func (r Ref) At(field string) Ref {
	return r.When(func(f *Finding) bool { return f.Path == field || strings.HasSuffix(f.Path, "."+field) })
}

// Further says that the control goes further than the item, or another way.
func (r Ref) Further() Ref {
	r.Beyond = true
	return r
}

// Covers reports whether a subject is one of those that the item is about.
func (r Ref) Covers(subject cluster.Ref) bool {
	if r.Of == "" {
		return true
	}
	ok, _ := path.Match(r.Of, path.Base(subject.Name))
	return ok
}

// Includes reports whether a finding on a covered subject counts for the item. What is
// unknown counts: it may be the very thing.
func (r Ref) Includes(f *Finding) bool {
	return !r.Beyond && (f.Outcome == Unknown || r.Counts == nil || r.Counts(f))
}

// CIS is a number of the CIS Kubernetes Benchmark 1.12.
func CIS(number string) Ref { return Ref{Catalogue: "CIS 1.12", Number: number} }

// MITRE is a technique of MITRE ATT&CK for Containers.
func MITRE(number string) Ref { return Ref{Catalogue: "MITRE ATT&CK", Number: number} }

// PSS is a control of the Pod Security Standards: "baseline: Host Namespaces".
func PSS(name string) Ref { return Ref{Catalogue: "Pod Security Standards", Number: name} }

// NSA is a chapter of the NSA/CISA Kubernetes Hardening Guide.
func NSA(chapter string) Ref { return Ref{Catalogue: "NSA/CISA", Number: chapter} }

// Severity says how much an attacker gains, before it is known who can reach it.
type Severity int

// The severities. Critical: the cluster or a node is the attacker's in one step.
// High: one more weakness is needed. Medium: it widens what a break-in can reach.
// Low: it takes a defender's sight or a layer of defence away.
const (
	Low Severity = iota + 1
	Medium
	High
	Critical
)

var severities = map[Severity]string{Low: "low", Medium: "medium", High: "high", Critical: "critical"}

// Severities lists them, worst first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low} }

func (s Severity) String() string { return severities[s] }

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseSeverity reads a severity's name.
func ParseSeverity(text string) (Severity, error) {
	for s, name := range severities {
		if strings.EqualFold(name, text) {
			return s, nil
		}
	}
	return 0, fmt.Errorf("severity %q: want critical, high, medium or low", text)
}

// Outcome is the answer of a control. The zero value is Unknown: what was not read
// never counts as held.
type Outcome int

// The outcomes. Waived is a control that is broken only where somebody answers for it.
const (
	Unknown Outcome = iota
	Holds
	Broken
	NotApplicable
	Waived
)

var outcomes = map[Outcome]string{Unknown: "unknown", Holds: "holds", Broken: "broken", NotApplicable: "not applicable", Waived: "waived"}

func (o Outcome) String() string { return outcomes[o] }

// MarshalText writes the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// A Finding is one fault, or one thing that could not be told, with its evidence.
type Finding struct {
	Outcome Outcome `json:"outcome"`
	// Object is the thing to change: the workload, not its hundred pods.
	Object cluster.Ref    `json:"object"`
	Source cluster.Source `json:"source"`
	// Path leads to the field, flag or file: "spec.containers[cart].securityContext.privileged".
	Path string `json:"path,omitempty"`
	// Got and Want complete the sentence "Path is Got, want Want". They never hold
	// the value of a secret.
	Got  string `json:"got,omitempty"`
	Want string `json:"want,omitempty"`
	// Reason says why it is Unknown, or what else makes it Broken.
	Reason string `json:"reason,omitempty"`
	// Via are other objects that the verdict rests on.
	Via []cluster.Ref `json:"via,omitempty"`
	// Changes are the fix as data, on Object; none where it must be done by hand.
	Changes []Change `json:"changes,omitempty"`
	// Pods counts the running pods made from Object.
	Pods int `json:"pods,omitempty"`
	// Severity is this finding's own: the control's, unless the control rated this case
	// otherwise, moved by Reach. The scan sets it; 0 stands for the control's.
	Severity Severity `json:"severity,omitempty"`
	// Reach says who gets to Object and where it leads.
	Reach []Reach `json:"reach,omitempty"`
	// ID names the fault from one scan to the next; see Fingerprint.
	ID string `json:"fingerprint,omitempty"`
	// Waiver is set where somebody answers for the fault.
	Waiver *Waiver `json:"waiver,omitempty"`
	// Known is set where the fault stood in the baseline, and no less gravely.
	Known bool `json:"known,omitempty"`
}

// Open reports whether the finding is a fault that nobody answers for.
func (f *Finding) Open() bool { return f.Outcome == Broken && f.Waiver == nil }

// Counts reports whether the finding decides how a gate ends: it is open and new.
func (f *Finding) Counts() bool { return f.Open() && !f.Known }

// A Reach is one fact about who gets to a thing, or where it leads.
type Reach struct {
	Way  Way    `json:"way"`
	Text string `json:"text"` // "reachable from outside through ingress shop/web"
}

// A Way is what a Reach does to a finding.
type Way string

// The ways. A finding on what is both exposed and leads on is one step graver, one on a
// dead end one step milder, and one on what is only exposed comes first among its equals.
const (
	Exposed Way = "exposed"  // somebody outside the cluster gets to it
	LeadsOn Way = "leads-on" // whoever has it has a node or the cluster
	DeadEnd Way = "dead-end" // it does nothing as it stands
)

// Exposed reports whether somebody outside the cluster gets to the finding's object.
func (f *Finding) Exposed() bool { return f.reaches(Exposed) }

func (f *Finding) reaches(w Way) bool {
	for _, r := range f.Reach {
		if r.Way == w {
			return true
		}
	}
	return false
}

// Rank sets the severity that follows from what reaches the object.
func (f *Finding) Rank(of *Control, reach []Reach) {
	if f.Severity == 0 {
		f.Severity = of.Severity
	}
	f.Reach = reach
	switch {
	case f.reaches(DeadEnd):
		f.Severity = max(f.Severity-1, Low)
	case f.reaches(Exposed) && f.reaches(LeadsOn):
		f.Severity = min(f.Severity+1, Critical)
	}
}

// A Waiver is why a fault is let stand, by whose word, and until when.
type Waiver struct {
	Reason string `json:"reason"`
	Owner  string `json:"owner"`
	// Until is the last day it counts, "2027-03-31", in UTC.
	Until string `json:"until"`
	// Source is where it is written.
	Source cluster.Source `json:"source"`
	// Annotation is set where it stands on the object itself.
	Annotation bool `json:"annotation,omitempty"`
}

// Fingerprint names a fault by what it is about: control, object, with its cluster where
// there are several, and path, which holds the container. Lines, counts and what was
// found there do not matter, so it stays the same one when they move. An item of a list
// that has no name, as in rules[2].verbs, is told by what was found in it instead of its
// place. Faults that are alike in all of it are numbered from 1, by way of seen, which
// serves all faults of one control in their order.
func Fingerprint(id string, f *Finding, seen map[string]int) string {
	path, placed := unplaced(f.Path)
	text := make([]byte, 0, 256)
	for i, part := range [...]string{id, f.Object.Kind, f.Object.Namespace, f.Object.Name, path} {
		if i > 0 {
			text = append(text, 0)
		}
		text = append(text, part...)
	}
	if placed {
		text = append(append(text, 0), f.Got...)
	}
	if f.Outcome == Unknown {
		text = append(text, "\x00unknown"...)
	}
	if f.Object.Cluster != "" {
		text = append(append(text, "\x00cluster\x00"...), f.Object.Cluster...)
	}
	sum := sha256.Sum256(text)
	text = hex.AppendEncode(text[:0], sum[:16])
	n := seen[string(text)] + 1
	name := string(strconv.AppendInt(append(text, ':'), int64(n), 10))
	seen[name[:len(text)]] = n
	return name
}

var place = regexp.MustCompile(`\[[0-9]+\]`)

// unplaced is a path without the places of items in lists, and whether it had any.
func unplaced(path string) (string, bool) {
	for i := 0; ; i++ {
		at := strings.IndexByte(path[i:], '[')
		if at < 0 {
			return path, false
		}
		if i += at; i+1 < len(path) && '0' <= path[i+1] && path[i+1] <= '9' {
			break // which a name may begin with as well
		}
	}
	if !place.MatchString(path) {
		return path, false
	}
	return place.ReplaceAllString(path, "[]"), true
}

// String is the finding in one line: "pod shop/cart: spec.hostNetwork is true, want false".
func (f Finding) String() string { return f.Object.String() + ": " + f.Evidence() }

// Evidence is the finding without its object.
func (f Finding) Evidence() string {
	if f.Path == "" {
		return f.Reason
	}
	want, reason := "", ""
	if f.Want != "" {
		want = ", want "
	}
	if f.Reason != "" {
		reason = ": "
	}
	return f.Path + " is " + f.Got + want + f.Want + reason + f.Reason
}

// A Report takes the verdicts of one control on one snapshot.
type Report struct {
	verdicts []*Verdict
}

// A Verdict is what a control says of one subject. It Holds until told otherwise.
type Verdict struct {
	Object   cluster.Ref
	Source   cluster.Source
	Pod      *cluster.PodSpec // set where the subject is a pod spec
	Findings []*Finding
}

// Verdicts returns every verdict, in the order the subjects were judged.
func (r *Report) Verdicts() []*Verdict { return r.verdicts }

// Retain drops the verdicts on subjects, and of the others the findings, that keep is
// false of. It is called with a nil finding once for each subject.
func (r *Report) Retain(keep func(cluster.Ref, *Finding) bool) {
	r.verdicts = slices.DeleteFunc(r.verdicts, func(v *Verdict) bool { return !keep(v.Object, nil) })
	for _, v := range r.verdicts {
		v.Findings = slices.DeleteFunc(v.Findings, func(f *Finding) bool { return !keep(v.Object, f) })
	}
}

// On opens the verdict on a subject.
func (r *Report) On(ref cluster.Ref, src cluster.Source) *Verdict {
	if n := len(r.verdicts); n < cap(r.verdicts) {
		if v := r.verdicts[:n+1][n]; v != nil { // of before Reset
			*v = Verdict{Object: ref, Source: src}
			r.verdicts = r.verdicts[:n+1]
			return v
		}
	}
	v := &Verdict{Object: ref, Source: src}
	r.verdicts = append(r.verdicts, v)
	return v
}

// Reset makes the report ready for another control. Its verdicts are used again, for
// there is one for each subject; findings that were taken from them stay what they are.
func (r *Report) Reset() { r.verdicts = r.verdicts[:0] }

// Object opens the verdict on an object of the API.
func (r *Report) Object(o *cluster.Object) *Verdict { return r.On(o.Ref, o.Source) }

// Pod opens the verdict on a pod spec.
func (r *Report) Pod(p *cluster.PodSpec) *Verdict {
	v := r.Object(p.Object)
	v.Pod = p
	return v
}

// Broken records a fault. The returned Finding may be given a fix and a reason.
func (v *Verdict) Broken(path, got, want string) *Finding {
	f := &Finding{Outcome: Broken, Object: v.Object, Source: v.Source, Path: path, Got: got, Want: want}
	if v.Pod != nil {
		f.Pods = len(v.Pod.Running)
	}
	v.Findings = append(v.Findings, f)
	return f
}

// Unknown records that the subject could not be judged.
func (v *Verdict) Unknown(path, reason string) *Finding {
	f := &Finding{Outcome: Unknown, Object: v.Object, Source: v.Source, Path: path, Got: "unknown", Reason: reason}
	v.Findings = append(v.Findings, f)
	return f
}

// Set proposes to set the field at path to value.
func (f *Finding) Set(path string, value any) *Finding {
	f.Changes = append(f.Changes, Change{Op: Set, Path: path, Value: value})
	return f
}

// Remove proposes to remove the field or list item at path.
func (f *Finding) Remove(path string) *Finding {
	f.Changes = append(f.Changes, Change{Op: Remove, Path: path})
	return f
}

// Rated gives this case another severity than the control's.
func (f *Finding) Rated(s Severity) *Finding {
	f.Severity = s
	return f
}

// Because says what else makes it so.
func (f *Finding) Because(format string, args ...any) *Finding {
	f.Reason = fmt.Sprintf(format, args...)
	return f
}

// Through names other objects that the verdict rests on.
func (f *Finding) Through(refs ...cluster.Ref) *Finding {
	f.Via = append(f.Via, refs...)
	return f
}

// Headings are the parts of every doc.md, in their order.
var Headings = []string{"Why", "Evidence", "Fix", "Prove", "References"}

// Section returns the text under one heading of the control's doc.md.
func (c *Control) Section(heading string) string {
	_, rest, ok := strings.Cut("\n"+c.Doc, "\n## "+heading+"\n")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return strings.TrimSpace(rest)
}

var idPattern = regexp.MustCompile(`^[a-z]+\.[a-z0-9]+$`)

// Validate reports what is wrong with the entry itself.
func (c *Control) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("control "+c.ID+": "+format, args...))
	}
	if !idPattern.MatchString(c.ID) {
		bad("ID is %q, want family.name in lower case", c.ID)
	}
	if c.Title == "" || strings.HasSuffix(c.Title, ".") {
		bad("Title is %q, want the fault in a few words without a full stop", c.Title)
	}
	if c.Severity.String() == "" {
		bad("Severity is %d, want Low to Critical", c.Severity)
	}
	if c.Since == "" {
		bad("Since is empty, want the release that brought it")
	}
	if len(c.Over) == 0 {
		bad("Over is empty, want what it judges")
	}
	if c.Check == nil {
		bad("Check is nil")
	}
	at := -1
	for _, h := range Headings {
		i := strings.Index("\n"+c.Doc, "\n## "+h+"\n")
		switch {
		case i < 0:
			bad("doc.md lacks the heading %q", "## "+h)
		case i < at:
			bad("doc.md has the heading %q too early: want the order %s", "## "+h, strings.Join(Headings, ", "))
		case c.Section(h) == "":
			bad("doc.md says nothing under %q", "## "+h)
		}
		at = i
	}
	return errors.Join(errs...)
}
