// Package pinnedpolicy finds namespaces that hold to an old version of Pod Security.
package pinnedpolicy

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is namespace.pinnedpolicy.
var Control = &control.Control{
	ID:       "namespace.pinnedpolicy",
	Title:    "Namespace holds to an old version of Pod Security",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Namespaces},
	With:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("baseline: Host Probes / Lifecycle Hooks")},
	Doc:      doc,
}

const label = "pod-security.kubernetes.io/enforce-version"

// stricter is the minor version that last made the level baseline refuse more: from v1.34
// it refuses probes that make the node call other hosts. Later versions and those between
// only ever allowed more.
const stricter = 34

func check(s *cluster.Snapshot, r *control.Report) {
	for _, o := range s.Kind("Namespace") {
		level := o.Meta.Labels["pod-security.kubernetes.io/enforce"]
		if level != "baseline" && level != "restricted" {
			continue // there is nothing to hold to: namespace.podsecurity
		}
		v := r.Object(o)
		pinned, ok := minor(o.Meta.Labels[label])
		if !ok || pinned >= stricter {
			continue
		}
		if server, ok := minor(s.Version); ok && server < stricter {
			continue // this server knows nothing stricter
		}
		path := "metadata.labels[" + label + "]"
		f := v.Broken(path, o.Meta.Labels[label], "latest")
		if who := caller(s.PodsIn(o.Name)); who != "" {
			f.Because("at latest %s would be refused, whose probe calls another host", who)
			continue
		}
		f.Set(path, "latest")
	}
}

func caller(pods []*cluster.PodSpec) string {
	for _, p := range pods {
		for _, c := range p.Containers {
			if len(podsec.HostCalls(c)) > 0 {
				return p.Object.Ref.String()
			}
		}
	}
	return ""
}

// minor reads the minor version of v1.N and v1.N.P.
func minor(version string) (int, bool) {
	rest, ok := strings.CutPrefix(version, "v1.")
	if !ok {
		return 0, false
	}
	rest, _, _ = strings.Cut(rest, ".")
	n, err := strconv.Atoi(rest)
	return n, err == nil
}
