// Package podsecurity finds namespaces that let in any pod.
package podsecurity

import (
	"cmp"
	_ "embed"
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is namespace.podsecurity.
var Control = &control.Control{
	ID:       "namespace.podsecurity",
	Title:    "Namespace lets in privileged pods",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Namespaces},
	Check:    check,
	Refs:     []control.Ref{control.CIS("5.2.1"), control.CIS("5.2.2"), control.NSA("Pod security enforcement"), control.MITRE("T1610")},
	Doc:      doc,
}

const enforce = "pod-security.kubernetes.io/enforce"

func check(s *cluster.Snapshot, r *control.Report) {
	defaults := defaultsFile(s)
	for _, o := range s.Kind("Namespace") {
		switch o.Name {
		case "kube-system", "kube-public", "kube-node-lease":
			// Who may write there owns the cluster, and what runs there has to be
			// privileged on most clusters.
			continue
		}
		v := r.Object(o)
		path := "metadata.labels[" + enforce + "]"
		level, labelled := o.Meta.Labels[enforce]
		switch {
		case level == "baseline" || level == "restricted":
			continue
		case !labelled && defaults != "":
			v.Unknown(path, "the level without a label is configured in "+defaults+", which was not read")
			continue
		}
		f := v.Broken(path, cmp.Or(level, "not set"), "baseline or restricted")
		if who := refused(s.PodsIn(o.Name)); who != "" {
			f.Because("at baseline %s", who)
			continue
		}
		f.Set(path, "baseline")
		for _, mode := range []string{"warn", "audit"} {
			label := "pod-security.kubernetes.io/" + mode
			if _, chosen := o.Meta.Labels[label]; !chosen {
				f.Set("metadata.labels["+label+"]", "restricted")
			}
		}
	}
}

// refused names a pod that would not start again, and how many more there are.
func refused(pods []*cluster.PodSpec) string {
	var first string
	n := 0
	for _, p := range pods {
		if p.Of != nil {
			continue // its template speaks for it
		}
		why := podsec.BelowBaseline(p)
		if why == "" {
			continue
		}
		if n++; n == 1 {
			first = fmt.Sprintf("%s would be refused: %s", p.Object.Ref, why)
		}
	}
	if n > 1 {
		first += fmt.Sprintf("; and %d more", n-1)
	}
	return first
}

// defaultsFile is where an API server was told what to do without labels, or "".
func defaultsFile(s *cluster.Snapshot) string {
	for _, c := range s.Components("kube-apiserver") {
		if file := c.Flags.Get("admission-control-config-file", ""); file != "" {
			return file
		}
	}
	return ""
}
