// Package sshserver finds containers that let people in by SSH.
package sshserver

import (
	_ "embed"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is workload.sshserver.
var Control = &control.Control{
	ID:       "workload.sshserver",
	Title:    "Container runs an SSH server",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1021.004")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			for i, arg := range slices.Concat(c.Command, c.Args) {
				if name := path.Base(arg); (name == "sshd" || name == "dropbear") && (i == 0 || strings.Contains(arg, "/sbin/")) {
					v.Broken(c.Path+".command", arg, "no SSH server")
				}
			}
			for _, port := range c.Ports {
				if port.ContainerPort == 22 && (port.Protocol == "" || port.Protocol == corev1.ProtocolTCP) {
					v.Broken(c.Path+".ports", "22", "no port of SSH")
				}
			}
		}
	}
}
