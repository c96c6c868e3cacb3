// Package miner finds workloads that mine cryptocurrency.
package miner

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is workload.miner.
var Control = &control.Control{
	ID:       "workload.miner",
	Title:    "Workload looks like a miner",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1496")},
	Doc:      doc,
}

// names are programs that do nothing else, and the protocol that they speak.
var names = []string{"xmrig", "stratum+tcp://", "stratum+ssl://", "minerd", "cpuminer", "nanominer", "t-rex-miner", "ethminer", "lolminer"}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, p := range s.Pods() {
		v := r.Pod(p)
		for _, c := range p.Containers {
			if name := found(c.Image); name != "" {
				v.Broken(c.Path+".image", name, "an image that somebody here knows")
			}
			if name := found(strings.Join(slices.Concat(c.Command, c.Args), " ")); name != "" {
				v.Broken(c.Path+".command", name, "a command that somebody here knows")
			}
		}
	}
}

func found(text string) string {
	text = strings.ToLower(text)
	for _, name := range names {
		if strings.Contains(text, name) {
			return name
		}
	}
	return ""
}
