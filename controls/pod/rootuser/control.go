// Package rootuser finds containers that nothing keeps from running as root.
package rootuser

import (
	_ "embed"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is pod.rootuser.
var Control = &control.Control{
	ID:       "pod.rootuser",
	Title:    "Container may run as root",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	Check:    check,
	Refs:     []control.Ref{control.PSS("restricted: Running as Non-root"), control.CIS("5.2.7"), control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for p := range podsec.Judged(s) {
		if podsec.Windows(p) || podsec.OwnUsers(p) {
			continue // there is no user 0, or it is nobody on the node
		}
		v := r.Pod(p)
		for _, c := range p.Containers {
			id := podsec.IdentityOf(p, c)
			switch {
			case !id.MayBeRoot():
			case id.User != nil:
				inherited(v.Broken(id.UserPath, "0", "the number of a user without rights"), c)
			case id.NonRoot != nil:
				inherited(v.Broken(id.NonRootPath, "false", "true"), c)
			default:
				v.Broken(id.NonRootPath, "not set", "true").Because("the image decides")
			}
		}
	}
}

// inherited names the container that a field of the pod decides for.
func inherited(f *control.Finding, c cluster.Container) {
	if !strings.HasPrefix(f.Path, c.Path) {
		f.Because("container %s inherits it", c.Name)
	}
}
