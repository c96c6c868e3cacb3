// Package kcmbind finds controller managers that listen on the network.
package kcmbind

import (
	_ "embed"
	"net"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is controllermanager.kcmbind.
var Control = &control.Control{
	ID:       "controllermanager.kcmbind",
	Title:    "Controller manager listens on the network",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ControllerManagerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.3.7")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-controller-manager") {
		v := r.On(c.Ref, c.Source)

		address, got := flag.Text(c.Flags, "bind-address", "0.0.0.0")
		if ip := net.ParseIP(address); ip == nil || !ip.IsLoopback() {
			v.Broken("--bind-address", got, "127.0.0.1")
		}
	}
}
