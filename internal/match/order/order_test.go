package order

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// types are all that have an order.
var types = []image.Type{
	image.Deb, image.Apk, image.RPM, image.Go, image.NPM, image.PyPI, image.Gem, image.Maven, image.NuGet, image.Cargo, image.Composer,
}

func TestCompare(t *testing.T) {
	for name, tt := range map[string]struct {
		of   image.Type
		text string // each version is earlier than the next
	}{
		"deb: epoch, tilde, letters, revision":        {image.Deb, "0~~ 0~ 0 1.0~rc1-1 1.0 1.0-1 1.0-1+b1 1.0-1.1 1.0a-1 1.0+dfsg-1 1.10-1 1:0.1"},
		"deb: a binary's epoch is not its source's":   {image.Deb, "2.38.1-5+deb12u3 1:2.38.1-5"},
		"rpm: epoch, tilde, caret":                    {image.RPM, "1.0~rc1-1 1.0-1 1.0^git1-1 1.0.1-1 1.10-1 1:0.1-1 2:0.0.1-1"},
		"rpm: letters before numbers":                 {image.RPM, "1.a-1 1.0-1 1.0-2 1.0-2.el8 1.0-2.el8_4 1.0-10"},
		"apk: suffixes":                               {image.Apk, "1.0_alpha1-r0 1.0_beta-r0 1.0_pre1-r0 1.0_rc1-r0 1.0-r0 1.0-r1 1.0-r10 1.0_git20200101-r0 1.0_p1-r0 1.0a-r0 1.0.1-r0"},
		"go: pseudo versions and pre-releases":        {image.Go, "v0.0.0-20220906165146-f3363e06e74c 0.0.0-20230101000000-000000000000 v0.1.0 v1.2.3-rc.1 v1.2.3-rc.1.0.20230101000000-abcdefabcdef v1.2.3 v1.2.4-0.20230101000000-abcdefabcdef v2.0.0+incompatible"},
		"go: releases":                                {image.Go, "1.22.0-0 go1.22beta1 go1.22rc1 go1.22rc2 1.22.0 go1.22.1 go1.22.10 1.23.0"},
		"npm: pre-releases":                           {image.NPM, "1.0.0--5 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"},
		"pypi: development, pre, post, local, epoch":  {image.PyPI, "1.0.dev1 1.0a1 1.0rc1 1.0 1.0+local 1.0.post1 1.1 1!0.1"},
		"gem: words before numbers":                   {image.Gem, "1.0.a 1.0.b1 1.0.rc1 1.0 1.0.1 1.10"},
		"maven: qualifiers":                           {image.Maven, "1.0-alpha-1 1.0-beta1 1.0-m1 1.0-rc1 1.0-SNAPSHOT 1.0 1.0-sp1 1.0.1 1.10"},
		"nuget: four numbers, pre-releases, any case": {image.NuGet, "1.0.0-Alpha 1.0.0-beta 1.0.0 1.0.0.1 1.0.1"},
		"cargo":               {image.Cargo, "0.9.9 1.0.0-rc.1 1.0.0"},
		"composer: stability": {image.Composer, "1.0.0-dev 1.0.0-alpha1 1.0.0-beta1 1.0.0-RC1 1.0.0 1.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			versions := strings.Fields(tt.text)
			for i, a := range versions {
				for j, b := range versions {
					got, err := Compare(tt.of, a, b)
					if err != nil {
						t.Fatal(err)
					}
					if sign(got) != sign(i-j) {
						t.Errorf("%s to %s is %d, want %d", a, b, got, sign(i-j))
					}
				}
			}
		})
	}
}

func TestCompareEqual(t *testing.T) {
	for _, tt := range []struct {
		of   image.Type
		text string
	}{
		{image.Deb, "0:1.0-0 1.0 00:1.00-0"},
		{image.RPM, "0:1.0-1 1.0-1 1_0-1 1.00-01"},
		{image.Go, "v1.2.3 1.2.3 v1.2.3+incompatible"},
		{image.Go, "go1.22 1.22 1.22.0 go1.22 go1.22.0"},
		{image.Go, "go1.22rc1 1.22.0-rc.1"},
		{image.NPM, "1.2.3+a 1.2.3+b"},
		{image.PyPI, "1.0 1.0.0 v1.0"},
		{image.Maven, "1.0 1.0.0 1.0-ga"},
		{image.NuGet, "1.0.0 1.0.0.0"},
	} {
		versions := strings.Fields(tt.text)
		for _, v := range versions[1:] {
			if got, err := Compare(tt.of, versions[0], v); got != 0 || err != nil {
				t.Errorf("%s: %s to %s is %d (%v), want 0", tt.of, versions[0], v, got, err)
			}
		}
	}
}

func TestNoOrder(t *testing.T) {
	for _, tt := range []struct {
		of   image.Type
		text string
	}{
		{image.Deb, ""},
		{image.Deb, "x:1.0"},
		{image.Go, "(devel)"},
		{image.Go, "devel go1.23-0123456789"},
		{image.Deb, strings.Repeat("1", maxVersion+1)},
		{"conan", "1.0"},
	} {
		if _, err := Of(tt.of, tt.text); err == nil {
			t.Errorf("%s %.40q has an order, want an error", tt.of, tt.text)
		}
	}
}

// TestDpkg holds our order to dpkg's own, which is on every machine that has Debian's
// packages.
func TestDpkg(t *testing.T) {
	g := newGenerator(1)
	var pairs bytes.Buffer
	var in [][2]string
	for range 2000 {
		a := g.deb()
		b := g.near(a, g.deb)
		in = append(in, [2]string{a, b})
		fmt.Fprintln(&pairs, a, b)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `while read -r a b; do
		if dpkg --compare-versions "$a" lt "$b"; then echo -1
		elif dpkg --compare-versions "$a" eq "$b"; then echo 0
		else echo 1; fi; done`)
	cmd.Stdin = &pairs
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	compareWith(t, image.Deb, in, out)
}

// compareWith holds our order of pairs to what a tool says of them, a line each.
func compareWith(t *testing.T, of image.Type, pairs [][2]string, said []byte) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(said))
	n := map[string]int{}
	for _, p := range pairs {
		if !lines.Scan() {
			t.Fatalf("the tool said %d lines, want %d", len(n), len(pairs))
		}
		n[lines.Text()]++
		got, err := Compare(of, p[0], p[1])
		if err != nil || fmt.Sprint(sign(got)) != lines.Text() {
			t.Errorf("%s to %s is %d (%v), the tool says %s", p[0], p[1], got, err, lines.Text())
		}
	}
	t.Logf("%d pairs: %v", len(pairs), n)
	for _, want := range []string{"-1", "0", "1"} {
		if n[want] < len(pairs)/50 {
			t.Errorf("%d of %d pairs are %s: the generator is one-sided", n[want], len(pairs), want)
		}
	}
}

// TestTotal states that the order of each type is one: of any three versions, what is
// later than a later one is later, and turning a pair turns the answer.
func TestTotal(t *testing.T) {
	for _, of := range types {
		t.Run(string(of), func(t *testing.T) {
			g := newGenerator(2)
			next := func(v string) string { return g.near(v, func() string { return g.of(of) }) }
			if of != image.Deb && of != image.RPM { // the others refuse, or guess, what is no version
				next = func(v string) string { return g.one(v, g.of(of), g.of(of)) }
			}
			for range 3000 {
				a := g.of(of)
				b := next(a)
				c := next(b)
				checkOrder(t, of, a, b, c)
				if t.Failed() {
					return
				}
			}
		})
	}
}

func checkOrder(t *testing.T, of image.Type, a, b, c string) {
	t.Helper()
	compare := func(a, b string) int {
		n, err := Compare(of, a, b)
		if err != nil {
			t.Fatal(err)
		}
		return sign(n)
	}
	ab, bc, ac := compare(a, b), compare(b, c), compare(a, c)
	if ab != -compare(b, a) {
		t.Errorf("%s to %s is %d, and %d the other way round", a, b, ab, compare(b, a))
	}
	if compare(a, a) != 0 {
		t.Errorf("%s is not itself", a)
	}
	if ab <= 0 && bc <= 0 && ac > 0 || ab >= 0 && bc >= 0 && ac < 0 || ab == 0 && bc != ac {
		t.Errorf("%s, %s, %s: %d, %d, and %d from first to last", a, b, c, ab, bc, ac)
	}
}

// FuzzCompare states that whatever is read has an order that turning a pair turns, that
// each version is its own equal, and, for those compared here, that the order is total.
func FuzzCompare(f *testing.F) {
	for i := range types {
		f.Add(uint8(i), "1:1.0~rc1-1", "1.0^1-1", "1.0-alpha.1")
	}
	f.Fuzz(func(t *testing.T, n uint8, a, b, c string) {
		of := types[int(n)%len(types)]
		for _, s := range []string{a, b, c} {
			if v, err := Of(of, s); err != nil || len(s) > 60 {
				return
			} else if v.other != nil {
				// Not ours: what is no version at all may be in any place.
				ab, err := Compare(of, a, a)
				if ab != 0 || err != nil {
					t.Errorf("%q is %d to itself: %v", a, ab, err)
				}
				return
			}
		}
		checkOrder(t, of, a, b, c)
	})
}

func BenchmarkCompare(b *testing.B) {
	for _, of := range types {
		b.Run(string(of), func(b *testing.B) {
			g := newGenerator(3)
			v, err := Of(of, g.of(of))
			if err != nil {
				b.Fatal(err)
			}
			var others []string
			for range 64 {
				others = append(others, g.of(of))
			}
			i := 0
			for b.Loop() {
				if _, err := v.Compare(others[i%len(others)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func sign(n int) int { return min(1, max(-1, n)) }

// A generator makes versions that look like a type's.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator {
	return generator{rand.New(rand.NewPCG(seed, seed))}
}

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

// some is a part, or nothing.
func (g generator) some(of func() string) string {
	if g.IntN(2) == 0 {
		return ""
	}
	return of()
}

func (g generator) num() string {
	return g.one("0", "1", "2", "9", "10", "11", "100", "01", "20240101")
}

func (g generator) plainNum() string { return g.one("0", "1", "2", "9", "10", "11", "100", "20240101") }

func (g generator) dotted(least, most int, num func() string) string {
	parts := make([]string, least+g.IntN(most-least+1))
	for i := range parts {
		parts[i] = num()
	}
	return strings.Join(parts, ".")
}

// near is often a small change of a version, since those are the hard cases.
func (g generator) near(v string, another func() string) string {
	switch g.IntN(8) {
	case 0:
		return v
	case 1, 2, 3:
		return another()
	}
	// The beginning of one and the end of another, epochs aside.
	_, w, ok := strings.Cut(another(), ":")
	if !ok {
		w = another()
		w = w[strings.IndexByte(w, ':')+1:]
	}
	from := strings.IndexByte(v, ':') + 2
	i := min(len(v), from+g.IntN(max(1, len(v)-from)))
	v = v[:i] + w[g.IntN(len(w)):]
	if strings.HasSuffix(v, "-") {
		v += "1"
	}
	return v
}

func (g generator) deb() string {
	v := g.some(func() string { return g.one("0:", "1:", "2:") })
	v += g.dotted(1, 3, g.num)
	for range g.IntN(3) {
		v += g.one("~", "+", "a", "rc", "-", ".", "~rc1", "+dfsg", "~~", "really") + g.some(g.num)
	}
	if strings.HasSuffix(v, "-") {
		v += "1"
	}
	return v + g.some(func() string { return "-" + g.num() + g.one("", "+b1", "+deb12u3", "~bpo12+1", "ubuntu0.1", ".1", "~") })
}

func (g generator) rpm() string {
	v := g.some(func() string { return g.one("0:", "1:", "2:") })
	v += g.dotted(1, 3, g.num)
	for range g.IntN(3) {
		v += g.one("~", "^", "+", "a", "rc", ".", "~rc1", "^git", "_", "..", "~~", "^^", "Z") + g.some(g.num)
	}
	return v + "-" + g.num() + g.one("", ".el8", ".el8_4", ".el9_2.1", ".fc40", "~", "^", ".module_el8.3.0+2023+d2377ea3", ".module+el8.3.0+2023+d2377ea3", ".amzn2", ".el8_4.alma")
}

func (g generator) of(t image.Type) string {
	semver := func() string {
		return g.dotted(3, 3, g.plainNum) + g.some(func() string {
			return "-" + g.one("alpha", "beta", "rc", "0", "1", "x-y", "-5") + g.some(func() string { return "." + g.one("0", "1", "11", "alpha", "-1") })
		}) + g.some(func() string { return "+" + g.one("a", "b.1") })
	}
	switch t {
	case image.Deb:
		return g.deb()
	case image.RPM:
		return g.rpm()
	case image.Apk:
		return g.dotted(1, 4, g.plainNum) + g.some(func() string { return g.one("a", "b", "z") }) +
			g.some(func() string { return g.one("_alpha", "_beta1", "_pre2", "_rc10", "_git20200101", "_p1", "_p") }) + "-r" + g.one("0", "1", "2", "10")
	case image.Go:
		return g.one("v"+semver(), semver(), "v"+g.dotted(3, 3, g.plainNum)+"-0.20230101000000-abcdefabcdef", "v0.0.0-20220906165146-f3363e06e74c", "go1.22rc1", "go1.21.3", "1.22")
	case image.PyPI:
		return g.some(func() string { return g.one("0!", "1!") }) + g.dotted(1, 4, g.plainNum) + g.some(func() string { return g.one("a1", "b2", "rc1", "rc10") }) +
			g.some(func() string { return g.one(".post1", ".post2") }) + g.some(func() string { return g.one(".dev1", ".dev2") })
	case image.Gem:
		return g.dotted(1, 4, g.plainNum) + g.some(func() string { return g.one(".a", ".beta1", ".rc2", "-x86") })
	case image.Maven:
		return g.dotted(1, 4, g.plainNum) + g.some(func() string {
			return g.one("-alpha-1", "-beta2", "-rc1", "-SNAPSHOT", ".Final", "-jre", "-ga", "-sp1")
		})
	case image.NuGet:
		return g.dotted(3, 4, g.plainNum) + g.some(func() string { return g.one("-alpha", "-Beta.1", "-rc.10", "-0") })
	case image.Composer:
		return g.one("v", "") + g.dotted(3, 3, g.plainNum) + g.some(func() string { return g.one("-dev", "-alpha1", "-beta2", "-RC1", "-p1") })
	default:
		return semver()
	}
}
