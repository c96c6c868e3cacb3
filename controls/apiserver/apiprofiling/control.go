// Package apiprofiling finds API servers that serve their profiler.
package apiprofiling

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.apiprofiling.
var Control = &control.Control{
	ID:       "apiserver.apiprofiling",
	Title:    "API server serves its profiler",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.15")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		if on, got := flag.Bool(c.Flags, "profiling", true); on {
			v.Broken("--profiling", got, "false")
		}
	}
}
