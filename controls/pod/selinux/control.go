// Package selinux finds pods that choose an SELinux context of their own.
package selinux

import (
	_ "embed"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.selinux.
var Control = &control.Control{
	ID:       "pod.selinux",
	Title:    "Pod sets SELinux options beyond the allowed ones",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: SELinux"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		if sc := p.Spec.SecurityContext; sc != nil {
			judge(v, p.Path, sc.SELinuxOptions, true)
		}
		for _, c := range p.Containers {
			if sc := c.SecurityContext; sc != nil {
				judge(v, c.Path, sc.SELinuxOptions, c.Kind != cluster.Ephemeral)
			}
		}
	}
}

// judge looks at one set of options; mendable says that they can be changed.
func judge(v *control.Verdict, path string, o *corev1.SELinuxOptions, mendable bool) {
	if podsec.SafeSELinux(o) {
		return
	}
	path += ".securityContext.seLinuxOptions"
	for _, field := range []struct{ name, value string }{{"user", o.User}, {"role", o.Role}} {
		if field.value != "" {
			if f := v.Broken(path+"."+field.name, field.value, "not set"); mendable {
				f.Remove(path + "." + field.name)
			}
		}
	}
	if !podsec.SafeSELinux(&corev1.SELinuxOptions{Type: o.Type}) {
		if f := v.Broken(path+".type", o.Type, "not set, container_t, container_init_t, container_kvm_t or container_engine_t"); mendable {
			f.Remove(path + ".type")
		}
	}
}
