// Package leavescluster finds conversion webhooks at an address outside.
package leavescluster

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/hook"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is conversion.leavescluster.
var Control = &control.Control{
	ID:       "conversion.leavescluster",
	Title:    "Custom resources are converted at an address outside",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Definitions},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1041"), control.MITRE("T1557")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	const path = "spec.conversion.webhook.clientConfig.url"
	for o, d := range cluster.All[*cluster.Custom](s, "CustomResourceDefinition") {
		if d.Field("spec.conversion.strategy") != "Webhook" {
			continue
		}
		v := r.Object(o)
		if url, _ := d.Field(path).(string); url != "" && !hook.Local(url) {
			v.Broken(path, hook.Host(url), "a Service of the cluster").Because("every object of the kind is sent there whole, and is what comes back")
		}
	}
}
