// Package nodeport finds Services that are open to whoever reaches a node.
package nodeport

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is service.nodeport.
var Control = &control.Control{
	ID:       "service.nodeport",
	Title:    "Service is open to every address",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Services},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Network separation"), control.MITRE("T1133")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		v := r.Object(o)
		switch svc.Spec.Type {
		case corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName:
			// Neither opens anything outside the cluster.
		case corev1.ServiceTypeNodePort:
			v.Broken("spec.type", "NodePort", "ClusterIP behind an Ingress or Gateway").Because("%s on every node", ports(svc))
		case corev1.ServiceTypeLoadBalancer:
			ranges := sources(svc)
			switch {
			case slices.Contains(ranges, "0.0.0.0/0") || slices.Contains(ranges, "::/0"):
				v.Broken("spec.loadBalancerSourceRanges", strings.Join(ranges, ", "), "the ranges that clients come from")
			case len(ranges) == 0 && !internal(svc):
				v.Broken("spec.loadBalancerSourceRanges", "not set", "the ranges that clients come from")
			}
		}
	}
}

// sources are the addresses that the load balancer lets in, by the field or by the
// annotation that came before it.
func sources(svc *corev1.Service) []string {
	if len(svc.Spec.LoadBalancerSourceRanges) > 0 {
		return svc.Spec.LoadBalancerSourceRanges
	}
	return strings.FieldsFunc(svc.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey], func(r rune) bool { return r == ',' || r == ' ' })
}

// internal reports whether a cloud was told to give the load balancer an address of
// its private network only.
func internal(svc *corev1.Service) bool {
	for key, value := range map[string]string{
		"service.beta.kubernetes.io/aws-load-balancer-internal":   "true",
		"service.beta.kubernetes.io/aws-load-balancer-scheme":     "internal",
		"service.beta.kubernetes.io/azure-load-balancer-internal": "true",
		"networking.gke.io/load-balancer-type":                    "Internal",
		"cloud.google.com/load-balancer-type":                     "Internal",
	} {
		if svc.Annotations[key] == value {
			return true
		}
	}
	return false
}

func ports(svc *corev1.Service) string {
	var out []string
	for _, p := range svc.Spec.Ports {
		if p.NodePort != 0 {
			out = append(out, "port "+strconv.Itoa(int(p.NodePort)))
		}
	}
	if len(out) == 0 {
		return "a port that the cluster chooses"
	}
	return strings.Join(out, ", ")
}
