package cluster

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

// Every version of a kind that Kubernetes' client knows reads as the one that controls
// judge.
func TestEveryVersionIsReadAsOne(t *testing.T) {
	for kind, l := range lineages {
		for gvk := range scheme.Scheme.AllKnownTypes() {
			version := gvk.GroupVersion().String()
			if gvk.Kind != kind {
				continue
			}
			if got := ReadAs(version, kind); got != l.now {
				t.Errorf("%s of %s is read as %s, want %s", kind, version, got, l.now)
			}
		}
		if !scheme.Scheme.Recognizes(schema.FromAPIVersionAndKind(l.now, kind)) {
			t.Errorf("%s of %s is no version that Kubernetes' client knows", kind, l.now)
		}
	}
	if got := ReadAs("networking.internal.knative.dev/v1alpha1", "Ingress"); got != "networking.internal.knative.dev/v1alpha1" {
		t.Errorf("another project's Ingress is read as %s", got)
	}
}
