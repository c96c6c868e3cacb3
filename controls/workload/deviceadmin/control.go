// Package deviceadmin finds claims for devices with administrative access.
package deviceadmin

import (
	_ "embed"
	"fmt"

	resourcev1 "k8s.io/api/resource/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is workload.deviceadmin.
var Control = &control.Control{
	ID:       "workload.deviceadmin",
	Title:    "Workload asks for devices that others use",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.DeviceClaims, cluster.DeviceClaimTemplates},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, c := range cluster.All[*resourcev1.ResourceClaim](s, "ResourceClaim") {
		judge(r.Object(o), "spec", c.Spec.Devices.Requests)
	}
	for o, t := range cluster.All[*resourcev1.ResourceClaimTemplate](s, "ResourceClaimTemplate") {
		judge(r.Object(o), "spec.spec", t.Spec.Spec.Devices.Requests)
	}
}

func judge(v *control.Verdict, path string, requests []resourcev1.DeviceRequest) {
	for _, req := range requests {
		if e := req.Exactly; e != nil && e.AdminAccess != nil && *e.AdminAccess {
			v.Broken(fmt.Sprintf("%s.devices.requests[%s].exactly.adminAccess", path, req.Name), "true", "false").
				Because("it gets devices that are in use by others, with their memory")
		}
	}
}
