// Package oldruntime finds nodes whose container runtime is no longer maintained.
package oldruntime

import (
	_ "embed"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is node.oldruntime.
var Control = &control.Control{
	ID:       "node.oldruntime",
	Title:    "Container runtime gets no fixes",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Nodes},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1611")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, node := range cluster.All[*corev1.Node](s, "Node") {
		v := r.Object(o)
		version := node.Status.NodeInfo.ContainerRuntimeVersion
		if ended(version) {
			v.Broken("status.nodeInfo.containerRuntimeVersion", version, "containerd 1.7 or newer, or a maintained CRI-O")
		}
	}
}

// ended reports whether a runtime is surely without fixes: containerd below 1.7
// (containerd.io/releases) and dockershim, which left Kubernetes in v1.24.
func ended(version string) bool {
	if docker, ok := strings.CutPrefix(version, "docker://"); ok {
		parts := strings.SplitN(docker, ".", 2)
		major, err := strconv.Atoi(parts[0])
		return err == nil && major < 23
	}
	rest, ok := strings.CutPrefix(version, "containerd://")
	if !ok {
		return false
	}
	parts := strings.SplitN(strings.TrimPrefix(rest, "v"), ".", 3)
	if len(parts) < 2 || parts[0] != "1" {
		return false
	}
	minor, err := strconv.Atoi(parts[1])
	return err == nil && minor < 7
}
