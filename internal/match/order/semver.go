package order

import (
	"strings"
)

// A semver is a semantic version, less its build metadata, which has no order.
type semver struct {
	major, minor, patch string // without leading zeros
	pre                 string
}

// parseSemver reads a whole semantic version (semver.org 2.0.0), with or without a "v".
func parseSemver(s string) (semver, bool) {
	var v semver
	s = strings.TrimPrefix(s, "v")
	s, build, built := strings.Cut(s, "+")
	s, pre, early := strings.Cut(s, "-")
	if built && !identifiers(build) || early && !identifiers(pre) {
		return v, false
	}
	v.pre = pre
	for i, part := range []*string{&v.major, &v.minor, &v.patch} {
		if s == "" || !digit(s[0]) {
			return v, false
		}
		*part, s = number(s)
		if i < 2 {
			var ok bool
			if s, ok = strings.CutPrefix(s, "."); !ok {
				return v, false
			}
		}
	}
	return v, s == ""
}

func identifiers(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if c := part[i]; !digit(c) && !letter(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

func (v semver) compare(w semver) int {
	for _, p := range [...][2]string{{v.major, w.major}, {v.minor, w.minor}, {v.patch, w.patch}} {
		if c := compareNumbers(p[0], p[1]); c != 0 {
			return c
		}
	}
	switch {
	case v.pre == w.pre:
		return 0
	case v.pre == "":
		return 1
	case w.pre == "":
		return -1
	}
	a, b := v.pre, w.pre
	for {
		var x, y string
		var moreA, moreB bool
		x, a, moreA = strings.Cut(a, ".")
		y, b, moreB = strings.Cut(b, ".")
		if c := compareIdentifiers(x, y); c != 0 {
			return c
		}
		switch {
		case moreA && moreB:
		case moreA:
			return 1
		case moreB:
			return -1
		default:
			return 0
		}
	}
}

// compareIdentifiers: numbers are before words.
func compareIdentifiers(a, b string) int {
	an, arest := number(a)
	bn, brest := number(b)
	switch anum, bnum := arest == "", brest == ""; {
	case anum && bnum:
		return compareNumbers(an, bn)
	case anum:
		return -1
	case bnum:
		return 1
	}
	return strings.Compare(a, b)
}
