// Package openconsole finds consoles of the cluster that ask for no login.
package openconsole

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is workload.openconsole.
var Control = &control.Control{
	ID:       "workload.openconsole",
	Title:    "Console of the cluster asks for no login",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1133"), control.MITRE("T1613")},
	Doc:      doc,
}

// A console shows and commands the cluster with its own rights.
type console struct {
	image string
	// by is the argument that takes the login away; empty where there never is one.
	by string
}

var consoles = []console{
	{"dashboard", "--enable-skip-login"},
	{"dashboard-amd64", "--enable-skip-login"},
	{"kubernetes-dashboard-amd64", "--enable-skip-login"},
	{"argocli", "--auth-mode=server"},
	{"argocd", "--disable-auth"},
	{"scope", ""},
	{"octant", ""},
	{"kube-ops-view", ""},
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		for _, c := range p.Containers {
			repository, _, _ := strings.Cut(c.Image, "@")
			name := repository[strings.LastIndexByte(repository, '/')+1:]
			name, _, _ = strings.Cut(name, ":")
			for _, known := range consoles {
				if name != known.image || name == "scope" && !strings.Contains(repository, "weaveworks/") {
					continue
				}
				argument, found := given(slices.Concat(c.Command, c.Args), known.by)
				switch {
				case known.by == "":
					v.Broken(c.Path+".image", c.Image, "a console that asks who you are").Because("it never asks for a login")
				case found:
					v.Broken(c.Path+".args", argument, "without it").Because("who reaches it acts as serviceaccount %s/%s", p.Namespace(), p.ServiceAccount())
				}
			}
		}
	}
}

// given returns the argument that switches the flag on, in one word or in two.
func given(args []string, flag string) (string, bool) {
	name, value, valued := strings.Cut(flag, "=")
	for i, arg := range args {
		if arg == flag || !valued && arg == flag+"=true" || valued && arg == name && i+1 < len(args) && args[i+1] == value {
			return flag, true
		}
	}
	return "", false
}
