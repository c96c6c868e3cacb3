package network

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// FuzzPolicies: whatever a policy says, every port between two ends is allowed, denied or
// unknown and only one of these; alone, among all ports and in the matrix it is the same;
// and what is unknown has a reason.
func FuzzPolicies(f *testing.F) {
	for _, s := range []string{
		`{"podSelector":{},"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.0.0.0/24","x"]}}],"ports":[{"port":1,"endPort":70000}]}]}`,
		`{"podSelector":{"matchExpressions":[{"key":"a","operator":"In"}]},"egress":[{"to":[{}],"ports":[{"port":"http"}]}]}`,
		`{"tier":"Admin","priority":-5,"subject":{"namespaces":{}},"egress":[{"action":"Pass","to":[{"networks":["::/0","0.0.0.0/0"]}],"protocols":[{"tcp":{}}]}]}`,
		`{"endpointSelector":{"matchLabels":{"k8s:a":"b"}},"ingress":[{}],"egressDeny":[1]}`,
		`{"selector":"a == 'b' && !has(c)","types":["Ingress"],"tier":"x"}`,
		`{"priority":0,"subject":{"pods":{}},"ingress":[{"action":"Allow","from":[{"pods":{}}],"ports":[{"portRange":{"start":9,"end":1}},{}]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := cluster.NewBuilder("fuzz", false)
		for _, pod := range []struct{ name, ip string }{{"a", "10.0.0.1"}, {"b", "fd00::1"}, {"c", ""}} {
			b.Add("v1", "Pod", &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: pod.name, Labels: map[string]string{"a": pod.name}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}}}},
				Status:     corev1.PodStatus{PodIP: pod.ip},
			}, cluster.Source{})
		}
		var spec networkingv1.NetworkPolicySpec
		if json.Unmarshal(data, &spec) == nil {
			b.Add("networking.k8s.io/v1", "NetworkPolicy", &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "np"}, Spec: spec}, cluster.Source{})
		}
		var content map[string]any
		if json.Unmarshal(data, &content) == nil {
			for _, k := range cluster.CustomKinds {
				if len(k.Templates) > 0 {
					continue
				}
				version := map[string]string{"ClusterNetworkPolicy": "v1alpha2"}[k.Kind]
				if version == "" {
					version = "v1alpha1"
				}
				c := &cluster.Custom{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Content: map[string]any{"spec": content}}
				if k.Namespaced {
					c.Namespace = "shop"
				}
				b.Add(k.Group+"/"+version, k.Name(), c, cluster.Source{})
			}
		}
		s := b.Snapshot()
		for _, profile := range Profiles() {
			w := New(s, Options{Profile: profile})
			ends := w.Workloads()
			for _, o := range []string{"203.0.113.1", "::1"} {
				ends = append(ends, find(t, w, o))
			}
			for _, from := range ends {
				for _, to := range ends {
					c := w.Connections(from, to)
					if !c.Allowed.Union(c.Denied).Union(c.Unknown).All() || len(c.Allowed.Intersect(c.Denied))+len(c.Allowed.Intersect(c.Unknown))+len(c.Denied.Intersect(c.Unknown)) > 0 {
						t.Fatalf("%s to %s: allowed %s, denied %s, unknown %s", from, to, c.Allowed, c.Denied, c.Unknown)
					}
					for _, port := range []int32{1, 80, 65535} {
						a := w.Ask(from, to, corev1.ProtocolTCP, port)
						if v := c.Of(corev1.ProtocolTCP, port); a.Verdict != v {
							t.Fatalf("%s to %s TCP %d: %s alone and %s among all ports", from, to, port, a.Verdict, v)
						}
						if a.Verdict == Unknown && a.Reason == "" && len(a.Egress.Doubts)+len(a.Ingress.Doubts) == 0 {
							t.Fatalf("%s to %s TCP %d is unknown without a reason", from, to, port)
						}
					}
					if x, y := w.classOfEnd(from), w.classOfEnd(to); x >= 0 && y >= 0 && from.Ref != to.Ref {
						if m := w.Matrix().Between(int(x), int(y)); !m.Allowed.Equal(c.Allowed) || !m.Denied.Equal(c.Denied) {
							t.Fatalf("%s to %s: allowed %s, and %s in the matrix", from, to, c.Allowed, m.Allowed)
						}
					}
				}
			}
			w.Reaches()
		}
	})
}
