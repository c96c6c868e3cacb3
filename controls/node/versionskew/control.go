// Package versionskew finds nodes whose kubelet is too far from the API server.
package versionskew

import (
	_ "embed"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is node.versionskew.
var Control = &control.Control{
	ID:       "node.versionskew",
	Title:    "Node's kubelet does not fit the API server",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Nodes},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1190")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	server, serverErr := version.ParseGeneric(s.Version)
	for o, node := range cluster.All[*corev1.Node](s, "Node") {
		v := r.Object(o)
		const path = "status.nodeInfo.kubeletVersion"
		got := node.Status.NodeInfo.KubeletVersion
		kubelet, err := version.ParseGeneric(got)
		switch {
		case s.Version == "":
			v.Unknown(path, "there is no API server to compare with")
		case serverErr != nil:
			v.Unknown(path, "the API server's version "+strconv.Quote(s.Version)+" cannot be read")
		case err != nil:
			v.Unknown(path, "the version "+strconv.Quote(got)+" cannot be read")
		case kubelet.Major() != server.Major() || kubelet.Minor() > server.Minor():
			v.Broken(path, got, "no newer than the API server's "+s.Version)
		case server.Minor()-kubelet.Minor() > 3:
			v.Broken(path, got, "at most three minor versions behind the API server's "+s.Version)
		}
	}
}
