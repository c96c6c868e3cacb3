package signature

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// A pattern matches names of repositories, segment by segment: registry.example/shop/* is
// for every repository right below shop, and registry.example/** for all of the
// registry's. A star never reaches over a slash, and two stars stand alone in their
// segment, so that no pattern matches a name that merely begins like it.
type pattern struct {
	text     string
	segments []string
}

// parsePattern reads a pattern. The registry is always written: without it, a pattern
// would be for Docker Hub's names and somebody would think it is for all.
func parsePattern(text string) (pattern, error) {
	p := pattern{text, strings.Split(text, "/")}
	if text == "**" {
		return p, nil
	}
	if len(text) > 512 || strings.ContainsAny(text, "@ \t\n?[]{}\\") {
		return p, errors.New("want a repository with its registry and without tag or digest; * stands for a segment or part of it, ** for any number of segments")
	}
	for i, s := range p.segments {
		switch {
		case s == "":
			return p, errors.New("a segment is empty")
		case s == "**", s == "*" && i > 0:
		case strings.Contains(s, "**"):
			return p, errors.New("** stands alone in its segment")
		case i > 0 && strings.Contains(s, ":"):
			return p, errors.New("want no tag")
		case i == 0 && s != "*":
			// The registry: only whole leading labels may be left open, since what ends
			// in a star would match a registry of somebody else.
			host := strings.TrimPrefix(s, "*.")
			if strings.Contains(host, "*") || host == "" {
				return p, errors.New("in a registry, * stands for the first label only: *.registry.example")
			}
			if !strings.ContainsAny(host, ".:") && host != "localhost" {
				return p, fmt.Errorf("it begins with %q, want the registry first: docker.io/%s", s, text)
			}
			p.segments[0] = registry(s)
		}
	}
	if len(p.segments) == 1 {
		return p, fmt.Errorf("it is a registry only, want %s/** for all of it", text)
	}
	if p.segments[0] == name.DefaultRegistry && len(p.segments) == 2 && p.segments[1] != "**" {
		// Docker Hub's own images have a folder that nobody writes.
		p.segments = []string{p.segments[0], "library", p.segments[1]}
	}
	return p, nil
}

// match reports whether the pattern is for a repository, named with its registry.
func (p pattern) match(repository string) bool {
	if repository == "" {
		return p.text == "**"
	}
	return matchSegments(p.segments, strings.Split(canonical(repository), "/"))
}

// canonical is the one spelling of a repository's name.
func canonical(repository string) string {
	host, rest, _ := strings.Cut(repository, "/")
	return registry(host) + "/" + rest
}

// registry is the one spelling of a registry's name, so that nobody gets past a rule by
// another: case, the full stop at the end and HTTPS's own port make no difference to who
// is asked, and Docker Hub has three names.
func registry(host string) string {
	host = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), ":443"), ".")
	switch host {
	case "docker.io", "registry-1.docker.io":
		return name.DefaultRegistry
	}
	return host
}

// matchSegments remembers the last ** only: a later one can take over whatever an earlier
// one could, so the work is at most the product of both lengths.
func matchSegments(pattern, segments []string) bool {
	i, j, star, from := 0, 0, -1, 0
	for j < len(segments) {
		switch {
		case i < len(pattern) && pattern[i] == "**":
			star, from = i, j
			i++
		case i < len(pattern) && matchSegment(pattern[i], segments[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == "**" {
		i++
	}
	return i == len(pattern)
}

// matchSegment matches stars in one segment, each for any text.
func matchSegment(pattern, segment string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == segment
	}
	rest, ok := strings.CutPrefix(segment, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// narrower reports whether a pattern is more specific than another: at the first segment
// in which they differ, a text goes before one with stars, that with more letters before
// the other, and any before **.
func (p pattern) narrower(q pattern) bool {
	for i := 0; i < len(p.segments) && i < len(q.segments); i++ {
		if a, b := weight(p.segments[i]), weight(q.segments[i]); a != b {
			return a > b
		}
	}
	return len(p.segments) > len(q.segments)
}

func weight(segment string) int {
	switch {
	case segment == "**":
		return 0
	case strings.Contains(segment, "*"):
		return 1 + len(segment) - strings.Count(segment, "*")
	default:
		return 1 << 20
	}
}
