package waiver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// Options say what counts.
type Options struct {
	// Now tells what is expired.
	Now time.Time
	// Known reports whether a control or family with that pattern exists.
	Known func(pattern string) bool
	// Annotations lets objects waive faults of their own.
	Annotations bool
}

// Apply marks what the waivers let stand, reports what is wrong with the waivers
// themselves, and puts the result in order again. Only faults can be waived: what could
// not be told stays unknown.
func Apply(r *scan.Result, s *cluster.Snapshot, written []*Waiver, o Options) {
	b := NewBook(written, o)
	b.Mark(r, s)
	b.Judge(r)
}

// A Book holds all the waivers of a scan, which may be about several clusters: those
// that are written, and those that were found on objects.
type Book struct {
	options Options
	written []*Waiver
	all     []*Waiver
	wrong   []bad
	// scanned are the names of the clusters, or what else was scanned.
	scanned []string
}

// NewBook opens a book with the waivers of files.
func NewBook(written []*Waiver, o Options) *Book {
	return &Book{options: o, written: written, all: slices.Clone(written)}
}

// Mark marks what may stand in the result of one cluster.
func (b *Book) Mark(r *scan.Result, s *cluster.Snapshot) {
	name := cmp.Or(r.Cluster, r.Target)
	b.scanned = append(b.scanned, name)
	here := slices.DeleteFunc(slices.Clone(b.written), func(w *Waiver) bool { return !w.in(name) })
	if b.options.Annotations {
		found, wrong := annotations(s, r.Cluster, b.options.Known)
		here = append(here, found...)
		b.all = append(b.all, found...)
		b.wrong = append(b.wrong, wrong...)
	}
	if len(here) == 0 {
		return
	}
	index := newIndex(here)
	for _, res := range r.Controls {
		of := index.of(res.Control.ID)
		if of.empty() {
			continue
		}
		for _, f := range res.Findings {
			if f.Outcome != control.Broken {
				continue
			}
			var labels map[string]string
			if object := s.Get(f.Object.Within()); object != nil {
				labels = object.Meta.Labels
			}
			for w := range of.candidates(f.Object) {
				if !w.covers(f, labels) {
					continue
				}
				w.found++
				w.worst = max(w.worst, res.SeverityOf(f))
				if f.Waiver == nil && !w.expired(b.options.Now) {
					f.Waiver = w.said()
				}
			}
		}
		res.Conclude()
	}
}

// Judge reports what is wrong with the waivers, once all that they are for was marked,
// and puts the result in order again.
func (b *Book) Judge(r *scan.Result) {
	if len(b.all)+len(b.wrong) == 0 {
		return
	}
	r.Controls = append(r.Controls, b.judge(r)...)
	r.Order()
}

func isController(ref metav1.OwnerReference) bool { return ref.Controller != nil && *ref.Controller }

// An index finds waivers by control, and those by the name of the object.
type index struct {
	byID     map[string][]*Waiver
	patterns []*Waiver
}

func newIndex(all []*Waiver) index {
	x := index{byID: map[string][]*Waiver{}}
	for _, w := range all {
		if plain(w.Control) && strings.Contains(w.Control, ".") {
			x.byID[w.Control] = append(x.byID[w.Control], w)
		} else {
			x.patterns = append(x.patterns, w)
		}
	}
	return x
}

// A nameKey is an object without its kind, whose case a selector may write as it likes.
type nameKey struct{ namespace, name string }

// An ofControl are the waivers for one control.
type ofControl struct {
	byName map[nameKey][]*Waiver
	others []*Waiver
}

func (x index) of(id string) ofControl {
	out := ofControl{byName: map[nameKey][]*Waiver{}}
	put := func(w *Waiver) {
		switch {
		case w.on != nil:
			k := nameKey{w.on.Namespace, w.on.Name}
			out.byName[k] = append(out.byName[k], w)
		case plain(w.Object.Name) && plain(w.Object.Namespace):
			k := nameKey{w.Object.Namespace, w.Object.Name}
			out.byName[k] = append(out.byName[k], w)
		default:
			out.others = append(out.others, w)
		}
	}
	for _, w := range x.byID[id] {
		put(w)
	}
	for _, w := range x.patterns {
		if w.forControl(id) {
			put(w)
		}
	}
	return out
}

func (c ofControl) empty() bool { return len(c.byName)+len(c.others) == 0 }

func (c ofControl) candidates(r cluster.Ref) func(func(*Waiver) bool) {
	return func(yield func(*Waiver) bool) {
		for _, w := range c.byName[nameKey{r.Namespace, r.Name}] {
			if !yield(w) {
				return
			}
		}
		for _, w := range c.others {
			if !yield(w) {
				return
			}
		}
	}
}

// judge reports what is wrong with the waivers themselves. These findings cannot be waived.
func (b *Book) judge(r *scan.Result) []*scan.ControlResult {
	now := b.options.Now
	reports := map[*control.Control]*control.Report{}
	for _, c := range Controls() {
		reports[c] = &control.Report{}
	}
	unsure := unsureOf(r)
	for _, w := range b.all {
		verdict := func(c *control.Control) *control.Verdict {
			if w.on != nil {
				return reports[c].On(*w.on, w.Source)
			}
			return reports[c].On(cluster.Ref{Kind: "Waiver", Name: w.String()}, w.Source)
		}
		path := ""
		if w.on != nil {
			path = "metadata.annotations[" + Annotation + "]"
		}
		last := w.Until.Format(day)
		if v := verdict(expired); w.expired(now) {
			v.Broken(or(path, "until"), last, "a day to come, or no waiver").
				Because("the waiver of %s by %s is over; findings that count again: %d", or(w.Control, "every control"), w.Owner, w.found)
		}
		if v := verdict(unused); w.found == 0 && !w.expired(now) && slices.ContainsFunc(b.scanned, w.in) && w.looked(r, unsure) {
			v.Broken(or(path, "control"), or(w.Control, "*")+w.narrower(), "a waiver that is needed").
				Because("nothing that was scanned is broken where it is for; owner %s", w.Owner)
		}
		v := verdict(overwide)
		if why := w.wide(); why != "" && !w.expired(now) {
			// No gate is opened by it: it weighs what the worst of what it lets stand does.
			v.Broken("control", w.String(), "one control, and objects by name or labels").Because("%s; owner %s", why, w.Owner).
				Rated(max(w.worst, overwide.Severity))
		}
		if w.Until.Sub(now) > longest {
			v.Broken(or(path, "until"), last, "a day within a year").Because("nobody looks at it again before; owner %s", w.Owner).Rated(control.Low)
		}
	}
	for _, bad := range b.wrong {
		reports[invalid].On(bad.on, bad.source).Broken("metadata.annotations["+Annotation+"]", fmt.Sprintf("%.80q", bad.line), "CONTROL: REASON; owner OWNER; until DAY").
			Because("%v", bad.err)
	}
	var out []*scan.ControlResult
	for _, c := range Controls() {
		if len(reports[c].Verdicts()) > 0 {
			out = append(out, scan.Judged(c, reports[c]))
		}
	}
	return out
}

// unsureOf are the controls that could not tell everything.
func unsureOf(r *scan.Result) map[string]bool {
	out := map[string]bool{}
	for _, res := range r.Controls {
		out[res.Control.ID] = res.Unknown > 0 || res.Outcome == control.Unknown ||
			res.Outcome == control.NotApplicable && res.Reason != scan.NothingToJudge
	}
	return out
}

// looked reports whether the scan would have found what the waiver is for: a control of
// it ran, and each of them could tell.
func (w *Waiver) looked(r *scan.Result, unsure map[string]bool) bool {
	if plain(w.Control) && strings.Contains(w.Control, ".") {
		not, ran := unsure[w.Control]
		return ran && !not
	}
	ran := false
	for _, res := range r.Controls {
		if w.forControl(res.Control.ID) {
			if unsure[res.Control.ID] {
				return false
			}
			ran = true
		}
	}
	return ran
}
