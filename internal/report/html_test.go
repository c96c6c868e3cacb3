package report

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// walk calls visit for every element of a page.
func walk(t *testing.T, page []byte, visit func(*html.Node)) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			visit(n)
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// TestPageIsSelfContained: nothing is loaded, nothing runs but our own style and
// script, and the policy knows exactly these two. Hostile names change none of it.
func TestPageIsSelfContained(t *testing.T) {
	results := []*scan.Result{shop(t), clean(), {}, scanFile(t, controls.All(), "testdata/shop.yaml")}
	for seed := range uint64(100) {
		results = append(results, scatter(seed, 4))
	}
	for i, r := range results {
		policy, inline := "", []string{}
		walk(t, render(t, "html", r, Options{}), func(n *html.Node) {
			switch n.Data {
			case "meta":
				if attr(n, "http-equiv") == "Content-Security-Policy" {
					policy = attr(n, "content")
				}
			case "style", "script":
				inline = append(inline, n.Data+"-src 'sha256-"+sum(n.FirstChild.Data)+"'")
			case "link", "img", "iframe", "object", "embed", "base", "audio", "video":
				t.Errorf("result %d: the page has the element %s", i, n.Data)
			}
			for _, a := range n.Attr {
				switch {
				case a.Key == "src", a.Key == "style", a.Key == "action", strings.HasPrefix(a.Key, "on"):
					t.Errorf("result %d: <%s %s=%q>", i, n.Data, a.Key, a.Val)
				case a.Key == "href" && !strings.HasPrefix(a.Val, "#") && !strings.HasPrefix(a.Val, "https://"):
					t.Errorf("result %d: a link to %q", i, a.Val)
				}
			}
		})
		if len(inline) != 2 || !strings.HasPrefix(policy, "default-src 'none';") {
			t.Fatalf("result %d: inline elements %v, policy %q", i, inline, policy)
		}
		for _, want := range inline {
			if !strings.Contains(policy, want) {
				t.Errorf("result %d: policy %q lacks %s", i, policy, want)
			}
		}
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}

// TestPageLinksLead: every link inside the page has a target, and no two elements share an ID.
func TestPageLinksLead(t *testing.T) {
	for _, r := range []*scan.Result{shop(t), clean(), large(1000), {}} {
		ids, links := map[string]bool{}, []string{}
		walk(t, render(t, "html", r, Options{}), func(n *html.Node) {
			if id := attr(n, "id"); id != "" {
				if ids[id] {
					t.Errorf("%s: ID %q twice", r.Target, id)
				}
				ids[id] = true
			}
			if to, ok := strings.CutPrefix(attr(n, "href"), "#"); ok {
				links = append(links, to)
			}
		})
		for _, to := range links {
			if !ids[to] {
				t.Errorf("%s: a link to #%s, which does not exist", r.Target, to)
			}
		}
		if r.Target == "prod-eu" && !slices.Contains(links, "pod.privileged") {
			t.Error("no link to #pod.privileged")
		}
	}
}

// TestPageStaysSmall: fifty thousand findings still open in a browser, and the page
// says that they are not all there.
func TestPageStaysSmall(t *testing.T) {
	page := render(t, "html", large(50_000), Options{})
	if n := len(page); n > 1<<20 {
		t.Errorf("the page has %d bytes, want less than 1 MB", n)
	}
	if !strings.Contains(string(page), "49750 more findings of this control are in the JSON report") {
		t.Error("the page does not say that it is cut")
	}
}

var color = regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)

// TestContrast holds text to WCAG 2.2 AA (4.5:1) in both colour schemes.
func TestContrast(t *testing.T) {
	_, dark, _ := strings.Cut(pageStyle, "prefers-color-scheme: dark")
	light, _, _ := strings.Cut(pageStyle, "prefers-color-scheme: dark")
	for scheme, css := range map[string]string{"light": light, "dark": dark[:strings.Index(dark, "}\n}")]} {
		c := map[string]string{}
		for _, m := range color.FindAllStringSubmatch(css, -1) {
			c[m[1]] = m[2]
		}
		pairs := [][2]string{{"ink", "bg"}, {"ink", "panel"}, {"ink", "sunk"}, {"muted", "bg"}, {"muted", "panel"}, {"muted", "sunk"}, {"accent", "panel"}, {"got", "sunk"}, {"want", "sunk"}, {"ink", "unknown-bg"}}
		for _, name := range []string{"critical", "high", "medium", "low", "unknown", "holds"} {
			pairs = append(pairs, [2]string{name, name + "-bg"}, [2]string{name, "panel"}, [2]string{name, "bg"})
		}
		for _, p := range pairs {
			if ratio := contrast(t, c[p[0]], c[p[1]]); ratio < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want 4.5", scheme, p[0], p[1], ratio)
			}
		}
	}
}

func BenchmarkFormats(b *testing.B) {
	r := large(10_000)
	for _, f := range Formats() {
		b.Run(f.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Write(io.Discard, r, Options{Width: 100, All: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// contrast is the ratio of two colours' relative luminances as WCAG 2.2 defines it.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (math.Max(la, lb) + 0.05) / (math.Min(la, lb) + 0.05)
}

func luminance(t *testing.T, color string) float64 {
	t.Helper()
	var rgb [3]int
	if _, err := fmt.Sscanf(color, "#%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2]); err != nil {
		t.Fatalf("colour %q: %v", color, err)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb[i]) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
