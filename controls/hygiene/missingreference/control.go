// Package missingreference finds containers that name a Secret or ConfigMap that does not exist.
package missingreference

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is hygiene.missingreference.
var Control = &control.Control{
	ID:       "hygiene.missingreference",
	Title:    "Container waits for a Secret or ConfigMap that does not exist",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     []cluster.Need{cluster.Secrets, cluster.ConfigMaps},
	Check:    check,
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster
	}
	for _, p := range s.Pods() {
		if p.Of != nil {
			continue // its template speaks for it
		}
		v := r.Pod(p)
		want := func(kind, name, path string, optional *bool) {
			ref := cluster.Ref{Kind: kind, Namespace: p.Namespace(), Name: name}
			if name != "" && (optional == nil || !*optional) && s.Get(ref) == nil {
				v.Broken(path, ref.String()+", which does not exist", "one that exists")
			}
		}
		for _, c := range p.Containers {
			for _, e := range c.Env {
				if e.ValueFrom == nil {
					continue
				}
				path := fmt.Sprintf("%s.env[%s].valueFrom", c.Path, e.Name)
				if f := e.ValueFrom.SecretKeyRef; f != nil {
					want("Secret", f.Name, path, f.Optional)
				}
				if f := e.ValueFrom.ConfigMapKeyRef; f != nil {
					want("ConfigMap", f.Name, path, f.Optional)
				}
			}
			for i, e := range c.EnvFrom {
				path := fmt.Sprintf("%s.envFrom[%d]", c.Path, i)
				if e.SecretRef != nil {
					want("Secret", e.SecretRef.Name, path, e.SecretRef.Optional)
				}
				if e.ConfigMapRef != nil {
					want("ConfigMap", e.ConfigMapRef.Name, path, e.ConfigMapRef.Optional)
				}
			}
		}
		for _, vol := range p.Spec.Volumes {
			path := fmt.Sprintf("%s.volumes[%s]", p.Path, vol.Name)
			if vol.Secret != nil {
				want("Secret", vol.Secret.SecretName, path, vol.Secret.Optional)
			}
			if vol.ConfigMap != nil {
				want("ConfigMap", vol.ConfigMap.Name, path, vol.ConfigMap.Optional)
			}
		}
	}
}
