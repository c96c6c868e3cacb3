// Package show writes a verdict on trust: as a table for people, as JSON for programs,
// and as a page with a picture of who talks to whom. It sees the verdict and not how it
// came to be.
package show

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// Options are how a report is to look.
type Options struct {
	Color bool
	// Width is the terminal's; 0 means that lines are as long as they are.
	Width int
	// All shows what is left out otherwise: every certificate, with its names and places.
	All bool
	// Version is bulwark's.
	Version string
}

// A Format is one way to write a result.
type Format struct {
	Name  string
	Write func(io.Writer, *trust.Result, Options) error
}

// Formats are all of them, the default first.
var Formats = []Format{{"table", writeTable}, {"json", writeJSON}, {"html", writeHTML}}

// Names are the formats' names.
func Names() []string {
	var out []string
	for _, f := range Formats {
		out = append(out, f.Name)
	}
	return out
}

// Find returns a format by name.
func Find(name string) (Format, error) {
	if i := slices.IndexFunc(Formats, func(f Format) bool { return f.Name == name }); i >= 0 {
		return Formats[i], nil
	}
	return Format{}, fmt.Errorf("format %q: want one of %s", name, strings.Join(Names(), ", "))
}

// printable takes away what a stranger's name could do to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '·'
	}, strings.ToValidUTF8(s, "·"))
}

// count is a number with its noun.
func count(n int, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "ity"):
		noun = strings.TrimSuffix(noun, "y") + "ies"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// tally is how many findings there are of each severity, and how many unknown.
func tally(r *trust.Result) (by map[trust.Severity]int, unknown int) {
	by = map[trust.Severity]int{}
	for _, f := range r.Findings {
		if f.Unknown {
			unknown++
			continue
		}
		by[f.Severity]++
	}
	return by, unknown + len(r.Gaps)
}

// verdict is the result in one sentence.
func verdict(r *trust.Result) string {
	by, unknown := tally(r)
	var parts []string
	for _, s := range trust.Severities() {
		if n := by[s]; n > 0 && s > trust.Note {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	var out string
	switch {
	case len(parts) > 0:
		out = "wrong: " + strings.Join(parts, ", ")
	case len(r.Certificates)+len(r.Endpoints)+r.Kubeconfigs == 0:
		out = "nothing to judge was read"
	default:
		out = "nothing wrong was found"
	}
	if n := by[trust.Note]; n > 0 {
		out += "; " + count(n, "note")
	}
	if unknown > 0 {
		out += fmt.Sprintf("; %d could not be told", unknown)
	}
	return out
}

// looked is what was read, in numbers.
func looked(r *trust.Result) string {
	parts := []string{count(len(r.Certificates), "certificate"), count(r.Keys, "key"), count(r.Kubeconfigs, "kubeconfig"), count(len(r.Endpoints), "port")}
	parts = slices.DeleteFunc(parts, func(s string) bool { return strings.HasPrefix(s, "0 ") })
	if len(r.Machines) > 0 {
		parts = append(parts, count(len(r.Machines), "machine"))
	}
	if r.Cluster != "" {
		parts = append(parts, "the cluster's API")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// who is an identity's name with its groups.
func who(id trust.Identity) string {
	name := id.User
	if name == "" {
		name = "(no name)"
	}
	if len(id.Groups) > 0 {
		name += " (" + strings.Join(id.Groups, ", ") + ")"
	}
	return name
}

// group is findings of one kind and severity, together.
type group struct {
	Kind     *trust.Kind
	Severity trust.Severity
	Findings []trust.Finding
}

// groups gathers findings that are next to each other and of one kind.
func groups(findings []trust.Finding, take func(trust.Finding) bool) []group {
	var out []group
	for _, f := range findings {
		if !take(f) {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Kind == f.Kind && out[n-1].Severity == f.Severity {
			out[n-1].Findings = append(out[n-1].Findings, f)
			continue
		}
		out = append(out, group{f.Kind, f.Severity, []trust.Finding{f}})
	}
	return out
}
