// Package longtoken finds pods that ask for tokens which outlive a day.
package longtoken

import (
	_ "embed"
	"fmt"
	"strconv"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.longtoken.
var Control = &control.Control{
	ID:       "pod.longtoken",
	Title:    "Pod asks for a token that lives long",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1528")},
	Doc:      doc,
}

// longest is a day, in seconds. The kubelet renews at 80 per cent of a token's life, so a
// short one costs nothing.
const longest = 24 * 60 * 60

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, vol := range p.Spec.Volumes {
			if vol.Projected == nil {
				continue
			}
			for i, src := range vol.Projected.Sources {
				t := src.ServiceAccountToken
				if t == nil || t.ExpirationSeconds == nil || *t.ExpirationSeconds <= longest {
					continue
				}
				path := fmt.Sprintf("%s.volumes[%s].projected.sources[%d].serviceAccountToken.expirationSeconds", p.Path, vol.Name, i)
				v.Broken(path, strconv.FormatInt(*t.ExpirationSeconds, 10), "3600").Set(path, 3600)
			}
		}
	}
}
