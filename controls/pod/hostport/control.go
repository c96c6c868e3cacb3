// Package hostport finds containers that take a port of their node.
package hostport

import (
	"cmp"
	_ "embed"
	"fmt"
	"strconv"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.hostport.
var Control = &control.Control{
	ID:       "pod.hostport",
	Title:    "Container takes a port of its node",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: Host Ports"), control.CIS("5.2.12")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if p.Spec.HostNetwork {
			continue // the API server then fills hostPort in itself, and pod.hostnetwork says so
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			for i, port := range c.Ports {
				if port.HostPort == 0 {
					continue
				}
				f := v.Broken(fmt.Sprintf("%s.ports[%s].hostPort", c.Path, cmp.Or(port.Name, strconv.Itoa(i))), strconv.Itoa(int(port.HostPort)), "none")
				if port.HostIP != "" {
					f.Because("on address %s", port.HostIP)
				}
			}
		}
	}
}
