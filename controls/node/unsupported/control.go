// Package unsupported finds nodes whose Kubernetes is no longer maintained.
package unsupported

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is node.unsupported.
var Control = &control.Control{
	ID:       "node.unsupported",
	Title:    "Kubernetes of this version gets no fixes",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Nodes},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1190")},
	Doc:      doc,
}

// oldest is the oldest minor version that still got fixes when this control was written,
// so that a lower one surely does not (kubernetes.io/releases/patch-releases).
const oldest = 34

func check(s *cluster.Snapshot, r *control.Report) {
	for o, node := range cluster.All[*corev1.Node](s, "Node") {
		v := r.Object(o)
		version := node.Status.NodeInfo.KubeletVersion
		rest, ok := strings.CutPrefix(version, "v1.")
		text, _, _ := strings.Cut(rest, ".")
		minor, err := strconv.Atoi(text)
		if ok && err == nil && minor < oldest {
			v.Broken("status.nodeInfo.kubeletVersion", version, fmt.Sprintf("v1.%d or newer", oldest)).
				Because("unless a vendor maintains it, weaknesses found in it stay")
		}
	}
}
