// Package tokenfile finds API servers that take tokens from a file.
package tokenfile

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.tokenfile.
var Control = &control.Control{
	ID:       "apiserver.tokenfile",
	Title:    "API server takes tokens from a file",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.2"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		if file, _ := flag.Text(c.Flags, "token-auth-file", ""); file != "" {
			v.Broken("--token-auth-file", file, "not set")
		}
	}
}
