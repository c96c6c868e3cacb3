// Package release knows which versions of components have a published fault. It knows
// few, those that matter and whose ranges are official, and it is no substitute for a
// database: an image's contents are another matter.
package release

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// A Fault is one published vulnerability.
type Fault struct {
	ID string
	// What it gives, to end the sentence "it is open to CVE-…: …".
	What string
	// Since is the first version that has it; empty means all before the fixes.
	Since string
	// Fixed are the first versions without it, one for each minor version that got a
	// fix, oldest first. A minor version between that got none stays open.
	Fixed []string
}

// Kubelet, APIServer and Containerd are the faults of each. What only bites with a
// setting that a control of its own judges (CVE-2025-0426: the read-only port), or with
// one that hardly anybody has, is left out. Ranges are those of the
// Kubernetes CVE feed (kubernetes-sigs/cve-feed-osv), where it differs from the
// announcement the announcement's (CVE-2021-25741: kubernetes/kubernetes#104980), and
// of containerd's own advisories.
var (
	Kubelet = []Fault{
		{"CVE-2021-25741", "a pod with a subPath mount reaches the node's files", "", []string{"1.19.15", "1.20.11", "1.21.5", "1.22.2"}},
		{"CVE-2024-10220", "a pod with a gitRepo volume runs commands on the node", "", []string{"1.28.12", "1.29.7", "1.30.3"}},
	}
	APIServer = []Fault{
		{"CVE-2022-3172", "an aggregated API server sends clients and their credentials elsewhere", "", []string{"1.22.14", "1.23.11", "1.24.5", "1.25.1"}},
		{"CVE-2022-3294", "who may change nodes reaches the control plane's network", "", []string{"1.22.16", "1.23.14", "1.24.8", "1.25.4"}},
		{"CVE-2025-5187", "a node deletes and remakes itself with other labels and taints", "1.31.0", []string{"1.31.12", "1.32.8", "1.33.4"}},
	}
	Containerd = []Fault{
		{"CVE-2022-23648", "an image's volumes show a container the node's files", "", []string{"1.4.13", "1.5.10", "1.6.1"}},
		{"CVE-2024-40635", "an image with a large user number runs as root", "", []string{"1.6.38", "1.7.27", "2.0.4"}},
		{"CVE-2026-53488", "an image's labels run commands on the node", "1.7.0", []string{"1.7.33", "2.0.10", "2.1.9", "2.2.5", "2.3.2"}},
	}
)

// Faults returns those of a list that a version has, with the version that mends each.
func Faults(v *version.Version, list []Fault) (open []Fault, fix []string) {
	for _, f := range list {
		if f.Since != "" && v.LessThan(version.MustParseGeneric(f.Since)) {
			continue
		}
		for _, text := range f.Fixed {
			// The first fix at or above the version's own minor version decides.
			fixed := version.MustParseGeneric(text)
			if fixed.Major() == v.Major() && fixed.Minor() == v.Minor() || v.LessThan(fixed) {
				if v.LessThan(fixed) {
					open, fix = append(open, f), append(fix, text)
				}
				break
			}
		}
	}
	return open, fix
}

// Rebuilt reports whether a version is of a vendor who mends without changing the
// number: v1.29.3-eks-adc7111, v1.29.3-gke.1282000. k3s, RKE2 and distributions that add
// +… follow upstream's.
func Rebuilt(text string) bool {
	core, _, _ := strings.Cut(text, "+")
	return strings.Contains(core, "-")
}

// Newest is the newest minor version of Kubernetes 1 that this catalogue knows.
const Newest = 36

// Oldest is the oldest minor version that may still get fixes. Each gets them for some
// fourteen months and there are three a year, so that when Newest came out, the one
// four before it had ended (kubernetes.io/releases/patch-releases). No clock is asked:
// it errs towards silence, for the one three before Newest ends soon after.
const Oldest = Newest - 3
