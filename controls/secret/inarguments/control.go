// Package inarguments finds credentials in commands and probes.
package inarguments

import (
	_ "embed"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/credential"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is secret.inarguments.
var Control = &control.Control{
	ID:       "secret.inarguments",
	Title:    "Credential stands in a command",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.4.1").Further(),
		control.MITRE("T1552.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			words(v, c.Path+".command", c.Command)
			words(v, c.Path+".args", c.Args)
			for _, probe := range []struct {
				path string
				*corev1.Probe
			}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
				if probe.Probe != nil {
					handler(v, c.Path+"."+probe.path, probe.Exec, probe.HTTPGet)
				}
			}
			if c.Lifecycle == nil {
				continue
			}
			if h := c.Lifecycle.PostStart; h != nil {
				handler(v, c.Path+".lifecycle.postStart", h.Exec, h.HTTPGet)
			}
			if h := c.Lifecycle.PreStop; h != nil {
				handler(v, c.Path+".lifecycle.preStop", h.Exec, h.HTTPGet)
			}
		}
	}
}

// words looks at a command.
func words(v *control.Verdict, path string, args []string) {
	for at := range credential.InArgs(args) {
		field := fmt.Sprintf("%s[%d]", path, at.Index)
		if at.Name == "" {
			v.Broken(field, "an address with a password in it", "a reference to a variable from a Secret")
		} else {
			v.Broken(field, "a literal value", "a reference to a variable from a Secret").Because("%s promises a credential", at.Name)
		}
	}
}

func handler(v *control.Verdict, path string, exec *corev1.ExecAction, get *corev1.HTTPGetAction) {
	if exec != nil {
		words(v, path+".exec.command", exec.Command)
	}
	if get == nil {
		return
	}
	for i, h := range get.HTTPHeaders {
		if (strings.EqualFold(h.Name, "Authorization") || strings.EqualFold(h.Name, "X-Api-Key") || strings.EqualFold(h.Name, "Cookie")) && credential.Literal(h.Value) {
			v.Broken(fmt.Sprintf("%s.httpGet.httpHeaders[%d].value", path, i), "a literal value", "a path that needs no credential").Because("the header %s carries one", h.Name)
		}
	}
}
