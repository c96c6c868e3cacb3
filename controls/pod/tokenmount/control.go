// Package tokenmount finds pods that are handed a token which nothing they do needs.
package tokenmount

import (
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.tokenmount.
var Control = &control.Control{
	ID:       "pod.tokenmount",
	Title:    "Pod is handed a token it does not need",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     append([]cluster.Need{cluster.ServiceAccounts}, cluster.RBAC...),
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.1.6"),
		control.CIS("5.1.5").When(func(f *control.Finding) bool { return len(f.Via) > 0 }),
		control.MITRE("T1528"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		v := r.Pod(p)
		name := p.ServiceAccount()
		account := podsec.AccountOf(s, p)
		path := p.Path + ".automountServiceAccountToken"
		if !podsec.Automounts(p, account) {
			continue
		}
		granted := grants(s, p.Namespace(), name)
		switch {
		case account == nil && name != "default" && p.Spec.AutomountServiceAccountToken == nil:
			v.Unknown(path, fmt.Sprintf("serviceaccount %s/%s, which may say otherwise, is not in this input", p.Namespace(), name))
		case len(granted) == 0:
			v.Broken(path, got(p), "false").
				Because("no role is bound to serviceaccount %s/%s", p.Namespace(), name).
				Set(path, false)
		case name == "default":
			v.Broken(path, got(p), "false").
				Because("whatever is granted to serviceaccount %s/default, every pod there that names no other account has it", p.Namespace()).
				Through(granted...)
		}
	}
}

func got(p *cluster.PodSpec) string {
	if p.Spec.AutomountServiceAccountToken != nil {
		return "true"
	}
	return "not set, so true"
}

// grants are the bindings that give the account something beyond what every account
// has: what Kubernetes itself binds to the groups of all accounts needs no token.
func grants(s *cluster.Snapshot, namespace, name string) []cluster.Ref {
	var out []cluster.Ref
	for b := range grant.Bindings(s, namespace, name) {
		if !authz.Default(b.Object) {
			out = append(out, b.Object.Ref)
		}
	}
	return out
}
