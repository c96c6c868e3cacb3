package report

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// A spot is a line and a column of a file, counted from 1.
type spot struct{ line, column int }

// locate finds every finding's field in its file: the field's own spot, or that of the
// object where nothing better is known. Findings on what is no file have none.
func locate(r *scan.Result, o Options) map[*control.Finding]spot {
	var findings []*control.Finding
	for _, res := range r.Controls {
		for _, f := range res.Findings {
			if f.Source.Line > 0 {
				findings = append(findings, f)
			}
		}
	}
	// Locate keeps one file open, so each is opened once.
	slices.SortStableFunc(findings, func(a, b *control.Finding) int {
		return cmp.Or(strings.Compare(a.Source.Origin, b.Source.Origin), cmp.Compare(a.Source.Line, b.Source.Line), cmp.Compare(a.Source.Column, b.Source.Column))
	})
	spots := make(map[*control.Finding]spot, len(findings))
	for _, f := range findings {
		at := begin(f.Source)
		if o.Locate != nil {
			if line, column, ok := o.Locate(f.Source, f.Path); ok {
				at = spot{line, column}
			}
		}
		spots[f] = at
	}
	return spots
}

// texts are the lines that findings are on. Files are asked for one after the other,
// as whoever reads them keeps one.
func texts(findings []*control.Finding, spots map[*control.Finding]spot, o Options) map[*control.Finding]string {
	out := map[*control.Finding]string{}
	if o.Text == nil {
		return out
	}
	byFile := slices.Clone(findings)
	slices.SortStableFunc(byFile, func(a, b *control.Finding) int { return strings.Compare(a.Source.Origin, b.Source.Origin) })
	for _, f := range byFile {
		if at := spots[f]; at.line > 0 && fileOf(f.Source, o.Dir) != "" {
			if text, ok := o.Text(f.Source, at.line); ok && utf8.ValidString(text) {
				out[f] = strings.TrimRight(text, " \t\r")
			}
		}
	}
	return out
}

// begin is where an object begins in its file.
func begin(src cluster.Source) spot { return spot{src.Line, max(src.Column, 1)} }

// fileOf is the file that a fact was read from and that a person can open, told from
// the folder dir; "" where there is none.
func fileOf(src cluster.Source, dir string) string {
	name := src.Origin
	if src.Line < 1 || name == "" || name == "-" || name == "standard input" || strings.HasPrefix(name, "<") || strings.HasPrefix(name, "/dev/") {
		return ""
	}
	if filepath.IsAbs(name) && dir != "" {
		if rel, err := filepath.Rel(dir, name); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return filepath.Clean(name)
}

// archived is where in a path a chart's archive ends and the way into it begins, or 0.
func archived(path string) int {
	for _, suffix := range []string{".tgz", ".tar.gz"} {
		if i := strings.Index(path, suffix+"/"); i >= 0 {
			return i + len(suffix)
		}
	}
	return 0
}

// fileLine is where to look in a file, "deploy/cart.yaml:12"; "" where there is none.
func fileLine(f *control.Finding, at spot, dir string) string {
	if file := fileOf(f.Source, dir); file != "" {
		return fmt.Sprintf("%s:%d", file, at.line)
	}
	return ""
}
