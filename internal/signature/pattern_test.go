package signature

import (
	"strings"
	"testing"
)

// FuzzPattern: a pattern never matches a repository of another registry than it names, or
// one with another number of segments unless it has two stars; and each name without stars
// matches itself.
func FuzzPattern(f *testing.F) {
	f.Add("registry.example/shop/*", "registry.example.evil/shop/x")
	f.Add("*.registry.example/**", "a.registry.example/b/c")
	f.Add("docker.io/nginx", "index.docker.io/library/nginx")
	f.Add("localhost:5000/a/**/z*z", "localhost:5000/a/b/zz")
	f.Fuzz(func(t *testing.T, text, repository string) {
		p, err := parsePattern(text)
		if err != nil || text == "**" || repository == "" {
			return
		}
		if !strings.Contains(text, "*") && strings.ToLower(text) == text && !p.match(strings.Join(p.segments, "/")) {
			t.Fatalf("%q does not match itself", text)
		}
		if !p.match(repository) {
			return
		}
		host, rest, _ := strings.Cut(canonical(repository), "/")
		if own := p.segments[0]; own != "**" && own != "*" && own != host && (!strings.HasPrefix(own, "*.") || !strings.HasSuffix(host, own[1:])) {
			t.Fatalf("%q matches %q", text, repository)
		}
		if !strings.Contains(text, "**") && len(p.segments) != 1+len(strings.Split(rest, "/")) {
			t.Fatalf("%q matches %q over a slash", text, repository)
		}
	})
}
