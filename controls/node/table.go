// Package node holds the controls on versions that differ in little but data.
package node

import (
	"embed"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bulwark-k8s/bulwark/controls/internal/release"
	"github.com/bulwark-k8s/bulwark/controls/internal/table"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed */doc.md
var docs embed.FS

// Paths of versions in a Node.
const (
	kubeletVersion = "status.nodeInfo.kubeletVersion"
	runtimeVersion = "status.nodeInfo.containerRuntimeVersion"
)

// Controls are the rows.
var Controls = table.Of(
	docs, cluster.Nodes,
	&control.Control{
		ID: "node.endoflife", Title: "Kubernetes version gets no fixes any more", Severity: control.High,
		Refs:  []control.Ref{control.NSA("Upgrading and application security practices"), control.MITRE("T1190")},
		Check: endOfLife,
	},
	&control.Control{
		ID: "node.kubeletcve", Title: "Kubelet has a published vulnerability", Severity: control.High,
		Refs: []control.Ref{control.NSA("Upgrading and application security practices"), control.MITRE("T1611")},
		Check: each(func(n *corev1.Node, v *control.Verdict) {
			faults(v, kubeletVersion, n.Status.NodeInfo.KubeletVersion, release.Kubelet)
		}),
	},
	&control.Control{
		ID: "node.runtimecve", Title: "Container runtime has a published vulnerability", Severity: control.High,
		Refs: []control.Ref{control.NSA("Upgrading and application security practices"), control.MITRE("T1611")},
		Check: each(func(n *corev1.Node, v *control.Verdict) {
			// Others than containerd are not in the table.
			if text, ok := strings.CutPrefix(n.Status.NodeInfo.ContainerRuntimeVersion, "containerd://"); ok {
				faults(v, runtimeVersion, text, release.Containerd)
			}
		}),
	},
	&control.Control{
		ID: "node.servercve", Title: "API server has a published vulnerability", Severity: control.Medium,
		Refs: []control.Ref{control.NSA("Upgrading and application security practices"), control.MITRE("T1190")},
		Check: func(s *cluster.Snapshot, r *control.Report) {
			if s.Version != "" {
				faults(r.On(server(s)), "version", s.Version, release.APIServer)
			}
		},
	},
)

func each(judge func(*corev1.Node, *control.Verdict)) func(*cluster.Snapshot, *control.Report) {
	return func(s *cluster.Snapshot, r *control.Report) {
		for o, node := range cluster.All[*corev1.Node](s, "Node") {
			judge(node, r.Object(o))
		}
	}
}

// server is the subject of verdicts on the API server's version.
func server(s *cluster.Snapshot) (cluster.Ref, cluster.Source) {
	return cluster.Ref{Kind: "kube-apiserver", Name: s.Name}, cluster.Source{Origin: "/version"}
}

func endOfLife(s *cluster.Snapshot, r *control.Report) {
	judge := func(v *control.Verdict, path, text string) {
		got, err := version.ParseGeneric(text)
		switch {
		case err != nil:
			v.Unknown(path, "the version "+strconv.Quote(text)+" cannot be read")
		case got.Major() == 1 && got.Minor() < release.Oldest:
			v.Broken(path, text, "1."+strconv.Itoa(release.Oldest)+" or later")
		}
	}
	if s.Version != "" {
		judge(r.On(server(s)), "version", s.Version)
	}
	each(func(n *corev1.Node, v *control.Verdict) {
		judge(v, kubeletVersion, n.Status.NodeInfo.KubeletVersion)
	})(s, r)
}

// faults says on a verdict what a version is open to. Of a vendor's build only the
// vendor knows.
func faults(v *control.Verdict, path, text string, list []release.Fault) {
	got, err := version.ParseGeneric(text)
	if err != nil {
		v.Unknown(path, "the version "+strconv.Quote(text)+" cannot be read")
		return
	}
	open, fix := release.Faults(got, list)
	for i, f := range open {
		if release.Rebuilt(text) {
			v.Unknown(path, "upstream's "+got.String()+" is open to "+f.ID+", and "+text+" is a vendor's build that may have the fix")
			continue
		}
		v.Broken(path, text, fix[i]+" or later").Because("it is open to %s: %s", f.ID, f.What)
	}
}
