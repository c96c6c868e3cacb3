// Package retirednginx finds the ingress-nginx controller, which is retired.
package retirednginx

import (
	_ "embed"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is ingress.retirednginx.
var Control = &control.Control{
	ID:       "ingress.retirednginx",
	Title:    "Ingress controller gets no fixes any more",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1190")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			image, _, _ := strings.Cut(c.Image, "@")
			if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
				image = image[:i]
			}
			// A mirror keeps the last two parts of the name.
			if strings.HasSuffix(image, "ingress-nginx/controller") || strings.HasSuffix(image, "ingress-nginx/controller-chroot") {
				v.Broken(c.Path+".image", c.Image, "a controller that is kept, or a Gateway").Because("ingress-nginx was retired in March 2026")
			}
		}
	}
}
