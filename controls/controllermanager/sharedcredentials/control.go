// Package sharedcredentials finds controller managers whose controllers all use one credential.
package sharedcredentials

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is controllermanager.sharedcredentials.
var Control = &control.Control{
	ID:       "controllermanager.sharedcredentials",
	Title:    "Controllers share one credential",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ControllerManagerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.3.3")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-controller-manager") {
		v := r.On(c.Ref, c.Source)

		if separate, got := flag.Bool(c.Flags, "use-service-account-credentials", false); !separate {
			v.Broken("--use-service-account-credentials", got, "true")
		}
	}
}
