// Package apparmor finds containers that switch AppArmor off.
package apparmor

import (
	_ "embed"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.apparmor.
var Control = &control.Control{
	ID:       "pod.apparmor",
	Title:    "Container switches AppArmor off",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: AppArmor"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) {
			continue // there is no AppArmor
		}
		v := r.Pod(p)
		if sc := p.Spec.SecurityContext; sc != nil && off(sc.AppArmorProfile) {
			broken(v, p.Path)
		}
		for _, c := range p.Containers {
			if sc := c.SecurityContext; sc != nil && off(sc.AppArmorProfile) {
				f := broken(v, c.Path)
				if c.Kind == cluster.Ephemeral {
					f.Changes = nil // it cannot be changed once it is there
				}
				continue
			}
			// The annotation came before the field and counts where there is none.
			key := corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + c.Name
			if c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
				continue
			}
			path := strings.TrimSuffix(p.Path, "spec") + "metadata.annotations[" + key + "]"
			switch value := p.Meta.Annotations[key]; {
			case value == corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
				v.Broken(path, value, "runtime/default").Set(path, corev1.DeprecatedAppArmorBetaProfileRuntimeDefault)
			case value != "" && value != corev1.DeprecatedAppArmorBetaProfileRuntimeDefault && !strings.HasPrefix(value, corev1.DeprecatedAppArmorBetaProfileNamePrefix):
				v.Broken(path, strconv.Quote(value), "runtime/default, or localhost/ and a profile's name").Because("the kubelet knows no such profile")
			}
		}
	}
}

func off(p *corev1.AppArmorProfile) bool {
	return p != nil && p.Type == corev1.AppArmorProfileTypeUnconfined
}

func broken(v *control.Verdict, path string) *control.Finding {
	path += ".securityContext.appArmorProfile"
	return v.Broken(path+".type", "Unconfined", "RuntimeDefault").Set(path, map[string]any{"type": "RuntimeDefault"})
}
