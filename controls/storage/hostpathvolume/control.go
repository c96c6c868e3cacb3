// Package hostpathvolume finds volumes that are folders of a node.
package hostpathvolume

import (
	_ "embed"
	"path"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is storage.hostpathvolume.
var Control = &control.Control{
	ID:       "storage.hostpathvolume",
	Title:    "Volume is a folder of a node",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.PersistentVolumes},
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: HostPath Volumes"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, pv := range cluster.All[*corev1.PersistentVolume](s, "PersistentVolume") {
		v := r.Object(o)
		if pv.Spec.HostPath == nil || pv.Annotations["pv.kubernetes.io/provisioned-by"] != "" {
			continue // a provisioner chooses a folder of its own for each claim
		}
		f := v.Broken("spec.hostPath.path", pv.Spec.HostPath.Path, "a CSI driver, or a volume of the type local")
		if gain := podsec.Gain(podsec.HostMount{Path: path.Clean(pv.Spec.HostPath.Path), Writable: true}); gain != "" {
			f.Because("%s", gain)
		}
		if claim := pv.Spec.ClaimRef; claim != nil {
			f.Through(cluster.Ref{Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name})
		}
	}
}
