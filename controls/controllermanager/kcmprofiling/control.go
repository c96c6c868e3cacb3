// Package kcmprofiling finds controller managers that serve their profiler.
package kcmprofiling

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is controllermanager.kcmprofiling.
var Control = &control.Control{
	ID:       "controllermanager.kcmprofiling",
	Title:    "Controller manager serves its profiler",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ControllerManagerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.3.2")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-controller-manager") {
		v := r.On(c.Ref, c.Source)

		if on, got := flag.Bool(c.Flags, "profiling", true); on {
			v.Broken("--profiling", got, "false")
		}
	}
}
