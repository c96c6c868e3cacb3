// Package podsecurityexemptions finds exemptions from Pod Security that anybody could use.
package podsecurityexemptions

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.podsecurityexemptions.
var Control = &control.Control{
	ID:       "admission.podsecurityexemptions",
	Title:    "Pod Security looks away",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AdmissionFile},
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.2.1").Further(),
		control.NSA("Pod security enforcement"),
		control.MITRE("T1562.001"),
	},
	Doc: doc,
}

// controllers make pods for whoever may make a workload; to exempt one exempts all.
var controllers = []string{
	"replicaset-controller", "daemon-set-controller", "statefulset-controller", "job-controller",
	"replication-controller", "cronjob-controller", "deployment-controller",
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AdmissionFile) {
		v := r.On(c.Ref, c.Source)
		for _, p := range c.Admission.Plugins {
			if p.PodSecurity == nil {
				continue
			}
			path := "plugins[PodSecurity].exemptions."
			for _, u := range p.PodSecurity.Exemptions.Usernames {
				name, system := strings.CutPrefix(u, "system:serviceaccount:kube-system:")
				switch {
				case system && slices.Contains(controllers, name) || u == "system:kube-controller-manager":
					v.Broken(path+"usernames", u, "no controller that makes pods for others").Because("every workload is exempt, whoever made it")
				case u == "system:anonymous" || u == "system:admin":
					v.Broken(path+"usernames", u, "no such user")
				}
			}
			for _, n := range p.PodSecurity.Exemptions.Namespaces {
				if n == "default" {
					v.Broken(path+"namespaces", n, "namespaces of the system alone").Because("it is where things go that name no namespace")
				}
			}
		}
	}
}
