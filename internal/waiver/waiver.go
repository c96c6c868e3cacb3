// Package waiver lets faults stand by somebody's word: for one control, on a few objects,
// with a reason, an owner and a last day. It reads waivers from the text of a file and
// from annotations in a Snapshot, applies them to a Result, and reports those that are
// expired, unused, too wide or unreadable. The same file names kinds of workloads, and
// vulnerabilities of images that may stand. It opens no file and reads no clock.
package waiver

import (
	"fmt"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// Annotation is the key under which an object waives faults of its own, one a line:
//
//	CONTROL[CONTAINER]: REASON; owner OWNER; until YYYY-MM-DD
//
// The container and its brackets may be left out.
const Annotation = "bulwark.dev/waive"

// A Waiver says which faults may stand, why, by whose word and until when. Name, path,
// control and namespace may hold * for anything and ? for one character; what is empty
// matches everything.
type Waiver struct {
	Control   string
	Object    Selector
	Container string
	Path      string

	Reason, Owner string
	// Until is the last day it counts, at midnight UTC.
	Until  time.Time
	Source cluster.Source

	// on is the one object of an annotation.
	on *cluster.Ref
	// found and said are what it was applied to and what that came to.
	found  int
	worst  control.Severity
	waiver *control.Waiver
}

// A Selector says which objects a waiver is for. All of it has to match.
type Selector struct {
	// Cluster is the name that the scan gives the cluster: its context in the kubeconfig.
	Cluster               string
	Kind, Namespace, Name string
	Labels                map[string]string
}

// day is how days are written.
const day = "2006-01-02"

// said is the waiver as a finding carries it.
func (w *Waiver) said() *control.Waiver {
	if w.waiver == nil {
		w.waiver = &control.Waiver{Reason: w.Reason, Owner: w.Owner, Until: w.Until.Format(day), Source: w.Source, Annotation: w.on != nil}
	}
	return w.waiver
}

// expired reports whether the last day is over.
func (w *Waiver) expired(now time.Time) bool { return !now.Before(w.Until.AddDate(0, 0, 1)) }

// String names the waiver by what it is for: "pod.hostnetwork of daemonset monitoring/node-*".
func (w *Waiver) String() string {
	if w.on != nil {
		return or(w.Control, "*") + w.narrower() + " of " + w.on.String()
	}
	s := w.Object
	var labels []string
	for k, v := range sorted(s.Labels) {
		labels = append(labels, k+"="+v)
	}
	name := or(s.Name, "*")
	if s.Namespace != "" {
		name = s.Namespace + "/" + name
	}
	out := or(w.Control, "*") + w.narrower() + " of " + strings.ToLower(or(s.Kind, "*")) + " " + name
	if len(labels) > 0 {
		out += " with " + strings.Join(labels, ", ")
	}
	if s.Cluster != "" {
		out += " in " + s.Cluster
	}
	return out
}

func (w *Waiver) narrower() string {
	out := ""
	if w.Container != "" {
		out += " in container " + w.Container
	}
	if w.Path != "" {
		out += " at " + w.Path
	}
	return out
}

// wide says what is too wide about a waiver, or "".
func (w *Waiver) wide() string {
	s := w.Object
	many := strings.Contains(w.Control, "*") || w.Control == "" || !strings.Contains(w.Control, ".")
	named := anything(s.Name) && len(s.Labels) == 0
	switch {
	case w.on != nil:
		return ""
	case anything(w.Control):
		return "it is for every control"
	case named && anything(s.Kind) && anything(s.Namespace):
		return "it is for every object"
	case many && named:
		return "it is for several controls, and for objects without name or labels"
	}
	return ""
}

func anything(pattern string) bool { return strings.Trim(pattern, "*") == "" }

// longest is how far ahead the last day may be. What is let stand is to be looked at
// once a year.
const longest = 366 * 24 * time.Hour

// check reports what is missing or wrong in a waiver.
func (w *Waiver) check() error {
	for _, f := range []struct{ name, value string }{{"reason", w.Reason}, {"owner", w.Owner}} {
		if strings.TrimSpace(f.value) == "" {
			return fmt.Errorf("%s is missing: want reason, owner and until", f.name)
		}
	}
	if w.Until.IsZero() {
		return fmt.Errorf("until is missing: want reason, owner and until")
	}
	return nil
}

func parseDay(text string) (time.Time, error) {
	t, err := time.Parse(day, text)
	if err != nil || t.Year() < 1970 {
		return time.Time{}, fmt.Errorf("until is %q, want a day such as 2027-03-31", text)
	}
	return t, nil
}

// matches compares a text with a pattern in which * is anything and ? one character.
// It takes at most the product of their lengths, and no memory.
func matches(pattern, text string) bool {
	p, t := 0, 0
	star, mark := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// plain reports whether a pattern matches one text alone.
func plain(pattern string) bool { return pattern != "" && !strings.ContainsAny(pattern, "*?") }

// in reports whether the waiver is for what a cluster of that name holds.
func (w *Waiver) in(cluster string) bool {
	return w.Object.Cluster == "" || matches(w.Object.Cluster, cluster)
}

// forControl reports whether the waiver is for a control: by its ID, its family, or a pattern.
func (w *Waiver) forControl(id string) bool { return w.Control == "" || Names(w.Control, id) }

// Names reports whether an ID, a family or a pattern names a control.
func Names(pattern, id string) bool {
	family, _, _ := strings.Cut(id, ".")
	return pattern == id || pattern == family || matches(pattern, id)
}

// containerOf is the container that a finding's path leads into, or "".
func containerOf(path string) string {
	_, rest, ok := strings.Cut(path, "ontainers[")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "]")
	return name
}

// covers reports whether the waiver is for a finding of a control that it is for.
func (w *Waiver) covers(f *control.Finding, labels map[string]string) bool {
	if w.Container != "" && containerOf(f.Path) != w.Container || w.Path != "" && !matches(w.Path, f.Path) {
		return false
	}
	if w.on != nil {
		return *w.on == f.Object
	}
	s := w.Object
	if s.Kind != "" && !strings.EqualFold(s.Kind, f.Object.Kind) ||
		s.Namespace != "" && !matches(s.Namespace, f.Object.Namespace) || s.Name != "" && !matches(s.Name, f.Object.Name) {
		return false
	}
	for k, v := range s.Labels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}
