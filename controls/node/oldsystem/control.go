// Package oldsystem finds nodes whose operating system is no longer maintained.
package oldsystem

import (
	_ "embed"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is node.oldsystem.
var Control = &control.Control{
	ID:       "node.oldsystem",
	Title:    "Node's operating system gets no fixes",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Nodes},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1611")},
	Doc:      doc,
}

// ended are systems whose maintainers stopped for everybody, by the beginning of what
// /etc/os-release calls them.
var ended = []string{
	"CentOS Linux 7", "CentOS Linux 8", "CentOS Stream 8", "Debian GNU/Linux 8", "Debian GNU/Linux 9", "Debian GNU/Linux 10",
	"Ubuntu 14.", "Ubuntu 16.", "Ubuntu 18.", "Ubuntu 20.", "Amazon Linux AMI", "Container Linux by CoreOS", "Fedora CoreOS 3",
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, node := range cluster.All[*corev1.Node](s, "Node") {
		v := r.Object(o)
		for _, name := range ended {
			if strings.HasPrefix(node.Status.NodeInfo.OSImage, name) {
				v.Broken("status.nodeInfo.osImage", node.Status.NodeInfo.OSImage, "a release that is maintained")
			}
		}
	}
}
