// Package auditlog finds API servers that keep no record of what was asked of them.
package auditlog

import (
	_ "embed"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.auditlog.
var Control = &control.Control{
	ID:       "apiserver.auditlog",
	Title:    "API server keeps no audit log",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("1.2.16").At("--audit-log-path"),
		control.CIS("3.2.1").At("--audit-policy-file"),
		control.NSA("Audit logging"),
		control.MITRE("T1562.008"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		_, policy := flag.Text(c.Flags, "audit-policy-file", "")
		log, _ := flag.Text(c.Flags, "audit-log-path", "")
		webhook, _ := flag.Text(c.Flags, "audit-webhook-config-file", "")
		if c.Flags.Get("audit-policy-file", "") == "" {
			v.Broken("--audit-policy-file", policy, "a policy")
		}
		if log == "" && webhook == "" {
			v.Broken("--audit-log-path", "not set", "a file").Because("neither it nor --audit-webhook-config-file says where events go")
		}
	}
}
