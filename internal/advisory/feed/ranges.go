package feed

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/osv-scalibr/semantic"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// An event is one of OSV's: one of the four is set.
type event struct {
	Introduced   string `json:"introduced"`
	Fixed        string `json:"fixed"`
	LastAffected string `json:"last_affected"`
	Limit        string `json:"limit"`
}

func (e *event) version() string {
	for _, v := range []string{e.Introduced, e.Fixed, e.LastAffected} {
		if v != "" {
			return v
		}
	}
	return e.Limit
}

// An order compares versions of one ecosystem, and remembers those that it has parsed.
// It is for one goroutine.
type order struct {
	ecosystem string
	known     map[string]semantic.Version
}

// maxKnown is how many parsed versions an order keeps: those of a package with many
// advisories, which is what comes again and again.
const maxKnown = 1 << 14

func (o *order) parse(v string) (semantic.Version, error) {
	if p, ok := o.known[v]; ok {
		return p, nil
	}
	p, err := semantic.Parse(v, o.ecosystem)
	if err != nil {
		return nil, fmt.Errorf("version %q: %w", v, err)
	}
	if o.known == nil || len(o.known) == maxKnown {
		o.known = map[string]semantic.Version{}
	}
	o.known[v] = p
	return p, nil
}

// compare returns the order of two versions. "0" and the empty version are before all.
func (o *order) compare(a, b string) (int, error) {
	if a == b {
		return 0, nil
	}
	if a == "" || a == "0" {
		return -1, nil
	}
	if b == "" || b == "0" {
		return 1, nil
	}
	if c, ok := plain(a, b); ok {
		return c, nil
	}
	x, err := o.parse(a)
	if err != nil {
		return 0, err
	}
	y, err := o.parse(b)
	if err != nil {
		return 0, err
	}
	return x.Compare(y)
}

// plain compares numbers with dots between them, on which all ecosystems agree as long as
// one is greater at some place: not on zeros that one of them lacks, nor on numbers that
// begin with zero. False where it is not for this function to say.
func plain(a, b string) (int, bool) {
	for i, j := 0, 0; ; {
		if i == len(a) || j == len(b) {
			return 0, false
		}
		x, n, ok := number(a[i:])
		if !ok {
			return 0, false
		}
		y, m, ok := number(b[j:])
		if !ok {
			return 0, false
		}
		if x != y {
			// The rest must be plain too: "1.2-3" may be anything.
			if !dotted(a[i+n:]) || !dotted(b[j+m:]) {
				return 0, false
			}
			if x < y {
				return -1, true
			}
			return 1, true
		}
		if i += n; i < len(a) {
			if a[i] != '.' {
				return 0, false
			}
			i++
		}
		if j += m; j < len(b) {
			if b[j] != '.' {
				return 0, false
			}
			j++
		}
	}
}

// number reads the digits at the beginning, nine at most.
func number(s string) (value, n int, ok bool) {
	for n < len(s) && s[n]-'0' <= 9 {
		value = 10*value + int(s[n]-'0')
		n++
	}
	return value, n, n > 0 && n <= 9 && (s[0] != '0' || n == 1)
}

// dotted reports whether a text is empty, or numbers with a dot before each.
func dotted(s string) bool {
	for s != "" {
		if s[0] != '.' {
			return false
		}
		_, n, ok := number(s[1:])
		if !ok {
			return false
		}
		s = s[1+n:]
	}
	return true
}

// ranges makes spans of events: sorted in the ecosystem's order, every introduction with
// the first end that follows. None of them: the events say that no version has it.
func (o *order) ranges(events []event) ([]advisory.Range, error) {
	limits := slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Limit == "" || e.Limit == "*" })
	events = slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Limit != "" })
	if len(events) == 0 {
		return nil, errNoEvents
	}
	// Most ranges are from the first version to one end, and need no order.
	if ordered := len(events) == 1 || len(events) == 2 && events[0].Introduced == "0" && events[1].Introduced == ""; !ordered {
		var failed error
		slices.SortStableFunc(events, func(a, b event) int {
			c, err := o.compare(a.version(), b.version())
			if err != nil {
				failed = err
			}
			return c
		})
		if failed != nil {
			return nil, failed
		}
	}
	var all []advisory.Range
	open := false
	for _, e := range events {
		switch {
		case e.Introduced != "":
			if !open {
				all = append(all, advisory.Range{Introduced: zero(e.Introduced)})
				open = true
			}
		case !open: // an end of nothing: a branch that was fixed again
		default:
			last := &all[len(all)-1]
			last.Fixed, last.LastAffected = e.Fixed, e.LastAffected
			open = false
		}
	}
	all = slices.DeleteFunc(all, func(r advisory.Range) bool {
		return r.Fixed == "0" || r.Fixed != "" && r.Fixed == r.Introduced
	})
	if len(limits) == 0 {
		return all, nil
	}
	return o.limited(all, limits)
}

var errNoEvents = errors.New("a range without events")

// zero is what an introduction at the first version is written as.
func zero(v string) string {
	if v == "0" {
		return ""
	}
	return v
}

// limited ends ranges at the farthest limit: what is after it is not said to have it.
func (o *order) limited(all []advisory.Range, limits []event) ([]advisory.Range, error) {
	farthest := limits[0].Limit
	for _, l := range limits[1:] {
		c, err := o.compare(l.Limit, farthest)
		if err != nil {
			return nil, err
		}
		if c > 0 {
			farthest = l.Limit
		}
	}
	var out []advisory.Range
	for _, r := range all {
		c, err := o.compare(r.Introduced, farthest)
		if err != nil {
			return nil, err
		}
		if c >= 0 {
			continue
		}
		end := r.Fixed
		if end == "" {
			end = r.LastAffected
		}
		if end != "" {
			if c, err = o.compare(end, farthest); err != nil {
				return nil, err
			}
		}
		if end == "" || c >= 0 {
			r.Fixed, r.LastAffected = farthest, ""
		}
		out = append(out, r)
	}
	return out, nil
}

// contains reports whether a version is in one of the ranges.
func (o *order) contains(all []advisory.Range, v string) (bool, error) {
	for _, r := range all {
		if r.Introduced != "" {
			if c, err := o.compare(v, r.Introduced); err != nil {
				return false, err
			} else if c < 0 {
				continue
			}
		}
		end := r.Fixed
		if end == "" {
			end = r.LastAffected
		}
		if end == "" {
			return true, nil
		}
		c, err := o.compare(v, end)
		if err != nil {
			return false, err
		}
		if c < 0 || c == 0 && r.Fixed == "" {
			return true, nil
		}
	}
	return false, nil
}

// beyond returns the versions that are in none of the ranges. One that cannot be compared
// is kept: it is matched exactly.
func (o *order) beyond(all []advisory.Range, versions []string) []string {
	var out []string
	for _, v := range versions {
		if v == "" {
			continue
		}
		if in, err := o.contains(all, v); err != nil || !in {
			out = append(out, v)
		}
	}
	return out
}
