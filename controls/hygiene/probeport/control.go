// Package probeport finds probes by the name of a port that does not exist.
package probeport

import (
	_ "embed"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.probeport.
var Control = &control.Control{
	ID:       "hygiene.probeport",
	Title:    "Probe asks a port that the container does not have",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		v := r.Pod(p)
		for _, c := range p.Containers {
			for _, probe := range []struct {
				name string
				*corev1.Probe
			}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
				if probe.Probe == nil {
					continue
				}
				path, port := "", intstr.IntOrString{}
				switch {
				case probe.HTTPGet != nil:
					path, port = "httpGet", probe.HTTPGet.Port
				case probe.TCPSocket != nil:
					path, port = "tcpSocket", probe.TCPSocket.Port
				default:
					continue
				}
				// Ports by number need not be declared.
				if port.Type == intstr.String && !slices.ContainsFunc(c.Ports, func(cp corev1.ContainerPort) bool { return cp.Name == port.StrVal }) {
					v.Broken(fmt.Sprintf("%s.%s.%s.port", c.Path, probe.name, path), port.StrVal, "the name of one of the container's ports")
				}
			}
		}
	}
}
