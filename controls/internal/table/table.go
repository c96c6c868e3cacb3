// Package table makes controls out of rows: a family's controls that differ in little
// but data share one Go file, and each still has a folder with its page and cases. It
// knows no control.
package table

import (
	"embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// Of completes a family's rows. What a row does not say is the same for all of them: it
// judges over, and its page is NAME/doc.md of docs. A row without a page is left without
// one, which the catalogue's tests name.
func Of(docs embed.FS, over cluster.Need, rows ...*control.Control) []*control.Control {
	for _, c := range rows {
		if c.Over == nil {
			c.Over = []cluster.Need{over}
		}
		if c.Since == "" {
			c.Since = "0.1.0"
		}
		_, name, _ := strings.Cut(c.ID, ".")
		if text, err := docs.ReadFile(name + "/doc.md"); err == nil {
			c.Doc = string(text)
		}
	}
	return rows
}

// Components makes a check of a judgement on every instance of a component.
func Components(name string, judge func(c *cluster.Component, v *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		for _, c := range s.Components(name) {
			judge(c, r.On(c.Ref, c.Source))
		}
	}
}

// SameAuthority reports whether two files of certificates, each on its machine, hold
// the same authority: they are one path of one machine, or one key is in both.
func SameAuthority(s *cluster.Snapshot, machineA, a, machineB, b string) bool {
	if a == "" || b == "" {
		return false
	}
	if machineA == machineB && a == b {
		return true
	}
	keys := keysOf(s, machineB, b)
	return slices.ContainsFunc(keysOf(s, machineA, a), func(k string) bool { return slices.Contains(keys, k) })
}

func keysOf(s *cluster.Snapshot, machine, path string) []string {
	for _, m := range s.Machines() {
		for _, f := range m.Files {
			if m.Name == machine && f.Path == path {
				return f.Keys
			}
		}
	}
	return nil
}
