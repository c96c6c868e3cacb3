package order

import (
	"fmt"
	"strings"
)

// epoch reports an epoch that is no number.
func epoch(v string) error {
	e, _, ok := strings.Cut(v, ":")
	if ok && (e == "" || strings.Trim(e, "0123456789") != "") {
		return fmt.Errorf("version %q: its epoch is no number", v)
	}
	return nil
}

// compareDeb is the order of dpkg's lib/dpkg/version.c: epoch, upstream version and
// revision, in which ~ is before the end, letters before everything else, and numbers
// are compared as such.
func compareDeb(a, b string) int {
	ae, av, ar := splitDeb(a)
	be, bv, br := splitDeb(b)
	if c := compareNumbers(ae, be); c != 0 {
		return c
	}
	if c := compareDebPart(av, bv); c != 0 {
		return c
	}
	return compareDebPart(ar, br)
}

func splitDeb(v string) (epoch, upstream, revision string) {
	if e, rest, ok := strings.Cut(v, ":"); ok {
		epoch, v = strings.TrimLeft(e, "0"), rest
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

func compareDebPart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a[0]) || b != "" && !digit(b[0]) {
			if c := debWeight(a) - debWeight(b); c != 0 {
				return c
			}
			a, b = a[1:], b[1:]
		}
		var an, bn string
		an, a = number(a)
		bn, b = number(b)
		if c := compareNumbers(an, bn); c != 0 {
			return c
		}
	}
	return 0
}

// debWeight is the weight of the first character; the end and a digit weigh nothing.
func debWeight(s string) int {
	switch {
	case s == "" || digit(s[0]):
		return 0
	case letter(s[0]):
		return int(s[0])
	case s[0] == '~':
		return -1
	}
	return int(s[0]) + 256
}
