// Package hostpath finds pods that mount files of their node.
package hostpath

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.hostpath.
var Control = &control.Control{
	ID:       "pod.hostpath",
	Title:    "Pod mounts its node's files",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: HostPath Volumes"), control.CIS("5.2.11"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		mounts := podsec.HostMounts(p)
		for i := range p.Spec.Volumes {
			vol := &p.Spec.Volumes[i]
			if vol.HostPath == nil {
				continue
			}
			path := fmt.Sprintf("%s.volumes[%s]", p.Path, vol.Name)
			f := v.Broken(path+".hostPath.path", vol.HostPath.Path, "no hostPath volume")
			of := slices.DeleteFunc(slices.Clone(mounts), func(m podsec.HostMount) bool { return m.Volume != vol })
			if len(of) == 1 && of[0].Container == nil {
				f.Because("no container mounts it").Remove(path)
				continue
			}
			f.Because("%s", describe(of))
		}
	}
}

// describe says who may do what with a volume, and what it opens at worst.
func describe(mounts []podsec.HostMount) string {
	var writers, readers []string
	gain := ""
	for _, m := range mounts {
		if m.Writable {
			writers = append(writers, m.Container.Name)
		} else {
			readers = append(readers, m.Container.Name)
		}
		gain = cmp.Or(gain, podsec.Gain(m))
	}
	var parts []string
	if len(writers) > 0 {
		parts = append(parts, "writable by "+names(writers))
	}
	if len(readers) > 0 {
		parts = append(parts, "readable by "+names(readers))
	}
	if gain != "" {
		parts = append(parts, gain)
	}
	return strings.Join(parts, "; ")
}

func names(list []string) string {
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ", ")
}
