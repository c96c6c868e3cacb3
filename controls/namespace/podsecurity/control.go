// Package podsecurity finds namespaces that let in any pod.
package podsecurity

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"

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
	Refs: []control.Ref{
		control.CIS("5.2.1").Further(),
		control.CIS("5.2.2").Further(),
		control.NSA("Pod security enforcement"),
		control.MITRE("T1610"),
	},
	Doc: doc,
}

const enforce = "pod-security.kubernetes.io/enforce"

func check(s *cluster.Snapshot, r *control.Report) {
	defaults := defaultsOf(s)
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
			if defaults.exempts(o.Name) {
				v.Broken(path, level, "no exemption of the namespace").Because("%s exempts it, so the label does nothing", defaults.where)
			}
			continue
		case !labelled && defaults.unread != "":
			v.Unknown(path, "the level without a label is configured in "+defaults.unread+", which was not read")
			continue
		case !labelled && defaults.guards && !defaults.exempts(o.Name):
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

// defaults are what the API servers do without labels.
type defaults struct {
	// guards is whether every server holds a namespace without a label to baseline or more.
	guards bool
	exempt []string
	// where is the file, unread a file that was not read.
	where, unread string
}

func (d defaults) exempts(namespace string) bool { return slices.Contains(d.exempt, namespace) }

// defaultsOf reads the configuration of the plugin PodSecurity: that of the running API
// servers, or in files the one that is among them.
func defaultsOf(s *cluster.Snapshot) defaults {
	var d defaults
	configs := s.Configs(cluster.AdmissionFile)
	if servers := s.Components("kube-apiserver"); len(servers) > 0 {
		configs = nil
		for _, c := range servers {
			config, told := s.ConfigOf(c, cluster.AdmissionFile)
			switch {
			case !told:
				return defaults{} // this one lets everything in
			case config == nil:
				d.unread = c.Flags.Get(cluster.ConfigFlags[cluster.AdmissionFile], "")
				return d
			}
			configs = append(configs, config)
		}
	}
	d.guards = len(configs) > 0
	for _, c := range configs {
		strict := false
		for _, p := range c.Admission.Plugins {
			if p.Name != "PodSecurity" {
				continue
			}
			if p.PodSecurity == nil {
				d.unread = p.Path
				return d
			}
			level := p.PodSecurity.Defaults.Enforce
			strict = level == "baseline" || level == "restricted"
			d.exempt, d.where = append(d.exempt, p.PodSecurity.Exemptions.Namespaces...), c.String()
		}
		d.guards = d.guards && strict
	}
	return d
}
