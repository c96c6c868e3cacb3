package order

import "strings"

// compareRPM is the order of epoch (0 where there is none), version and release.
func compareRPM(a, b string) int {
	ae, av, ar := SplitRPM(a)
	be, bv, br := SplitRPM(b)
	if c := compareNumbers(ae, be); c != 0 {
		return c
	}
	if c := compareRPMPart(av, bv); c != 0 {
		return c
	}
	return compareRPMPart(ar, br)
}

// SplitRPM splits the version of an RPM. The epoch is without leading zeros: no epoch is
// epoch 0.
func SplitRPM(v string) (epoch, version, release string) {
	if e, rest, ok := strings.Cut(v, ":"); ok && strings.Trim(e, "0123456789") == "" {
		epoch, v = strings.TrimLeft(e, "0"), rest
	}
	version, release, _ = strings.Cut(v, "-")
	return epoch, version, release
}

// compareRPMPart is the order of RPM's rpmio/rpmvercmp.c: runs of digits and of letters
// in turn, in which ~ is before the end and ^ after it but before anything else.
func compareRPMPart(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, separator), strings.TrimLeftFunc(b, separator)
		at, bt := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~")
		ac, bc := strings.HasPrefix(a, "^"), strings.HasPrefix(b, "^")
		switch {
		case at && bt, !at && !bt && ac && bc:
			a, b = a[1:], b[1:]
			continue
		case at:
			return -1
		case bt:
			return 1
		case ac:
			return either(b == "")
		case bc:
			return either(a != "")
		}
		if a == "" || b == "" {
			break
		}
		if digit(a[0]) != digit(b[0]) {
			return either(digit(a[0]))
		}
		if digit(a[0]) {
			var an, bn string
			an, a = number(a)
			bn, b = number(b)
			if c := compareNumbers(an, bn); c != 0 {
				return c
			}
			continue
		}
		i, j := letters(a), letters(b)
		if c := strings.Compare(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return min(1, len(a)) - min(1, len(b)) // at most one of them goes on
}

func either(later bool) int {
	if later {
		return 1
	}
	return -1
}

func separator(r rune) bool {
	return r != '~' && r != '^' && (r > 'z' || !digit(byte(r)) && !letter(byte(r)))
}

func letters(s string) int {
	i := 0
	for i < len(s) && letter(s[i]) {
		i++
	}
	return i
}
