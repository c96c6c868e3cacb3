// Package filemodes finds authorization configurations with an authorizer too many or one too few.
package filemodes

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is authorization.filemodes.
var Control = &control.Control{
	ID:       "authorization.filemodes",
	Title:    "Authorization file leaves RBAC or nodes unguarded",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuthorizationFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.6").When(func(f *control.Finding) bool { return f.Got == "AlwaysAllow" }),
		control.CIS("1.2.7").When(func(f *control.Finding) bool { return strings.HasPrefix(f.Want, "Node") }),
		control.CIS("1.2.8").When(func(f *control.Finding) bool { return strings.HasPrefix(f.Want, "RBAC among") }),
		control.MITRE("T1078"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AuthorizationFile) {
		v := r.On(c.Ref, c.Source)
		var types []string
		for _, a := range c.Authorization.Authorizers {
			types = append(types, a.Type)
			if a.Type == "AlwaysAllow" {
				v.Broken(fmt.Sprintf("authorizers[%s].type", a.Name), a.Type, "RBAC").Because("everything that no authorizer before it refused is allowed")
			}
		}
		for _, want := range []string{"Node", "RBAC"} {
			if !slices.Contains(types, want) {
				v.Broken("authorizers", strings.Join(types, ", "), want+" among them")
			}
		}
	}
}
