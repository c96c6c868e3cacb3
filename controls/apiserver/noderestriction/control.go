// Package noderestriction finds API servers that let kubelets change what is not theirs.
package noderestriction

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/controls/internal/flag"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is apiserver.noderestriction.
var Control = &control.Control{
	ID:       "apiserver.noderestriction",
	Title:    "Kubelets may change other nodes and their labels",
	Severity: control.High,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.CIS("1.2.14"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Components("kube-apiserver") {
		v := r.On(c.Ref, c.Source)

		on := slices.Contains(c.Flags.List("enable-admission-plugins"), "NodeRestriction")
		switch off := slices.Contains(c.Flags.List("disable-admission-plugins"), "NodeRestriction"); {
		case off:
			v.Broken("--disable-admission-plugins", strings.Join(c.Flags.List("disable-admission-plugins"), ","), "a list without NodeRestriction")
		case !on:
			_, got := flag.Text(c.Flags, "enable-admission-plugins", "")
			v.Broken("--enable-admission-plugins", got, "a list with NodeRestriction")
		}
	}
}
