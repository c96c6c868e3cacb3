// Package podsecurityplugin finds API servers that were told not to look at pods.
package podsecurityplugin

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.podsecurityplugin.
var Control = &control.Control{
	ID:       "apiserver.podsecurityplugin",
	Title:    "Pod Security admission is switched off",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.2.1").Further(),
		control.MITRE("T1562.001"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		if off := c.Flags.List("disable-admission-plugins"); slices.Contains(off, "PodSecurity") {
			v.Broken("--disable-admission-plugins", strings.Join(off, ","), "a list without PodSecurity")
		}
	}
}
