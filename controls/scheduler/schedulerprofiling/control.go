// Package schedulerprofiling finds schedulers that serve their profiler.
package schedulerprofiling

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is scheduler.schedulerprofiling.
var Control = &control.Control{
	ID:       "scheduler.schedulerprofiling",
	Title:    "Scheduler serves its profiler",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.SchedulerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.4.1")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-scheduler") {
		v := r.On(c.Ref, c.Source)

		// A machine's facts give the file's setting as the flag; a static pod's flag is
		// ignored beside a file.
		_, given := c.Flags.Lookup("profiling")
		if file := c.Flags.Get("config", ""); file != "" && (!given || c.Object != nil) {
			v.Unknown("--profiling", "profiling is configured in "+file+", which was not read")
			continue
		}
		if on, got := flag.Bool(c.Flags, "profiling", true); on {
			v.Broken("--profiling", got, "false")
		}
	}
}
