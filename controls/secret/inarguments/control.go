// Package inarguments finds credentials in commands and probes.
package inarguments

import (
	_ "embed"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/controls/internal/credential"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
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

// words looks at a command: --password=…, --token …, and addresses with a password. A
// flag in two words counts only with two dashes, since -p means something else each time.
func words(v *control.Verdict, path string, args []string) {
	for i, arg := range args {
		at := fmt.Sprintf("%s[%d]", path, i)
		flag, value, joined := strings.Cut(arg, "=")
		name, long := strings.CutPrefix(flag, "--")
		switch {
		case credential.InURL(arg) || joined && credential.InURL(value):
			v.Broken(at, "an address with a password in it", "a reference to a variable from a Secret")
		case !long || strings.ContainsAny(name, " \n") || !credential.Named(name):
			// It is no flag, a script, or about something else.
		case joined && literal(value):
			v.Broken(at, "a literal value", "a reference to a variable from a Secret").Because("--%s promises a credential", name)
		case !joined && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") && literal(args[i+1]):
			v.Broken(fmt.Sprintf("%s[%d]", path, i+1), "a literal value", "a reference to a variable from a Secret").Because("--%s promises a credential", name)
		}
	}
}

// literal reports whether a value could be a credential itself and no path to one.
func literal(value string) bool {
	return credential.Literal(value) && !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "$") && !strings.Contains(value, "://")
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
