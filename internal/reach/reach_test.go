package reach

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
)

func index(t *testing.T, in string) *Index {
	t.Helper()
	b := cluster.NewBuilder("test", false)
	r := manifest.NewReader(b, "")
	r.Read("in", strings.NewReader(in))
	if out := r.Outcome(); len(out.Problems)+len(out.Skipped) > 0 {
		t.Fatal(out)
	}
	return New(b.Snapshot())
}

func deployment(name, more string) string {
	return fmt.Sprintf(`
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop}
spec: {selector: {matchLabels: {app: %[1]s}}, template: {metadata: {labels: {app: %[1]s, tier: all}}, spec: {%s}}}
`, name, more)
}

const plainPod = `automountServiceAccountToken: false, containers: [{name: c, image: c:1, ports: [{containerPort: 80}]}]`

func service(name, spec string) string {
	return fmt.Sprintf("\n---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: shop}\nspec: {%s}\n", name, spec)
}

const bind = `
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [secrets], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: %s
metadata: {name: b, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [%s]
`

func httpRoute(parent, backend string) string {
	return fmt.Sprintf("\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web, namespace: shop}\nspec: {parentRefs: [%s], rules: [{backendRefs: [%s]}]}\n", parent, backend)
}

// TestAttached: a route reaches through a Gateway if one of its listeners takes it.
func TestAttached(t *testing.T) {
	const labelled = "\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {web: \"yes\"}}\n"
	for name, tt := range map[string]struct {
		listener, parent, more string
		want                   bool
	}{
		"its own namespace alone":      {"name: a, port: 80, protocol: HTTP", "name: edge, namespace: infra", "", false},
		"every namespace":              {"name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}", "name: edge, namespace: infra", "", true},
		"none":                         {"name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: None}}", "name: edge, namespace: infra", "", false},
		"namespaces by label":          {"name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {web: \"yes\"}}}}", "name: edge, namespace: infra", labelled, true},
		"other namespaces by label":    {"name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {web: \"no\"}}}}", "name: edge, namespace: infra", labelled, false},
		"a namespace that is not here": {"name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {web: \"no\"}}}}", "name: edge, namespace: infra", "", true},
		"another listener":             {"name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}", "name: edge, namespace: infra, sectionName: b", "", false},
		"another port":                 {"name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}", "name: edge, namespace: infra, port: 81", "", false},
		"another protocol":             {"name: a, port: 80, protocol: TCP, allowedRoutes: {namespaces: {from: All}}", "name: edge, namespace: infra", "", false},
		"other kinds":                  {"name: a, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}, kinds: [{kind: GRPCRoute}]}", "name: edge, namespace: infra", "", false},
		"a protocol of somebody's own": {"name: a, port: 80, protocol: example.com/x, allowedRoutes: {namespaces: {from: All}}", "name: edge, namespace: infra", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			gateway := "\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: infra}\nspec: {listeners: [{" + tt.listener + "}]}\n"
			in := service("cart", "selector: {app: cart}") + gateway + httpRoute("{"+tt.parent+"}", "{name: cart, port: 80}") + tt.more
			reach := index(t, in).Of(cluster.Ref{Kind: "Service", Namespace: "shop", Name: "cart"})
			if got := len(reach) > 0; got != tt.want {
				t.Errorf("reach is %v, want exposed: %t", reach, tt.want)
			}
		})
	}
}

func TestReach(t *testing.T) {
	cart := cluster.Ref{Kind: "Deployment", Namespace: "shop", Name: "cart"}
	for name, tt := range map[string]struct {
		in   string
		of   cluster.Ref
		want []string
	}{
		"an ordinary workload": {deployment("cart", plainPod) + service("cart", "selector: {app: cart}"), cart, nil},
		"a load balancer":      {deployment("cart", plainPod) + service("cart", "type: LoadBalancer, selector: {app: cart}"), cart, []string{"exposed: reachable from outside through service shop/cart"}},
		"a node port":          {deployment("cart", plainPod) + service("cart", "type: NodePort, selector: {tier: all, app: cart}"), cart, []string{"exposed: reachable from outside through service shop/cart"}},
		"a Service of somebody else": {
			deployment("cart", plainPod) + service("front", "type: NodePort, selector: {tier: all, app: front}"), cart, nil,
		},
		"an external address": {deployment("cart", plainPod) + service("cart", "externalIPs: [192.0.2.1], selector: {app: cart}"), cart, []string{"exposed: reachable from outside through service shop/cart"}},
		"the Service itself":  {service("cart", "type: NodePort, selector: {app: cart}"), cluster.Ref{Kind: "Service", Namespace: "shop", Name: "cart"}, []string{"exposed: reachable from outside"}},
		"an Ingress": {
			deployment("cart", plainPod) + service("cart", "selector: {app: cart}") + `
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec: {rules: [{host: a.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}]}}]}
`, cart, []string{"exposed: reachable from outside through ingress shop/web"},
		},
		"a route of a Gateway that is elsewhere": {
			deployment("cart", plainPod) + service("cart", "selector: {app: cart}") + httpRoute("{name: edge, namespace: infra}", "{name: cart, port: 80}"),
			cart,
			[]string{"exposed: reachable from outside through httproute shop/web"},
		},
		"a route itself": {httpRoute("{name: edge, namespace: infra}", "{name: cart, port: 80}"), cluster.Ref{Kind: "HTTPRoute", Namespace: "shop", Name: "web"}, []string{"exposed: reachable from outside"}},
		"a route within a mesh": {
			deployment("cart", plainPod) + service("cart", "selector: {app: cart}") + httpRoute("{kind: Service, group: \"\", name: front}", "{name: cart, port: 80}"), cart, nil,
		},
		"a route that sends nothing": {
			deployment("cart", plainPod) + service("cart", "selector: {app: cart}") + httpRoute("{name: edge}", "{name: cart, port: 80, weight: 0}"), cart, nil,
		},
		"a host port": {deployment("cart", `automountServiceAccountToken: false, containers: [{name: c, image: c:1, ports: [{containerPort: 80, hostPort: 8080}]}]`), cart, []string{"exposed: reachable from outside on port 8080 of its node"}},
		"the node's network, with a port": {
			deployment("cart", `automountServiceAccountToken: false, hostNetwork: true, containers: [{name: c, image: c:1, ports: [{containerPort: 80}]}]`), cart,
			[]string{"exposed: reachable from outside on port 80 of its node"},
		},
		"the node's network, listening to nothing": {deployment("cart", `automountServiceAccountToken: false, hostNetwork: true, containers: [{name: c, image: c:1}]`), cart, nil},
		"a privileged container": {
			deployment("cart", `automountServiceAccountToken: false, initContainers: [{name: i, image: c:1, securityContext: {privileged: true}}], containers: [{name: c, image: c:1}]`), cart,
			[]string{"leads-on: container i is privileged on its node"},
		},
		"an account that reads secrets": {
			deployment("cart", `containers: [{name: c, image: c:1}]`) + fmt.Sprintf(bind, "ClusterRoleBinding", "{kind: ServiceAccount, name: default, namespace: shop}"), cart,
			[]string{"leads-on: serviceaccount shop/default may read secrets in every namespace"},
		},
		"by a group that every account is in": {
			deployment("cart", `containers: [{name: c, image: c:1}]`) + fmt.Sprintf(bind, "ClusterRoleBinding", `{kind: Group, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccounts"}`), cart,
			[]string{"leads-on: serviceaccount shop/default may read secrets in every namespace"},
		},
		"its token is not mounted": {
			deployment("cart", plainPod) + fmt.Sprintf(bind, "ClusterRoleBinding", "{kind: ServiceAccount, name: default, namespace: shop}"), cart, nil,
		},
		"in its own namespace alone": {
			deployment("cart", `containers: [{name: c, image: c:1}]`) + fmt.Sprintf(bind, "RoleBinding", "{kind: ServiceAccount, name: default, namespace: shop}"), cart, nil,
		},
		"scaled to zero": {
			strings.Replace(deployment("cart", plainPod), "spec: {selector", "spec: {replicas: 0, selector", 1) + service("cart", "type: NodePort, selector: {app: cart}"), cart,
			[]string{"dead-end: it is scaled to zero"},
		},
		"a role that nobody has": {
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: shop}\n",
			cluster.Ref{Kind: "Role", Namespace: "shop", Name: "r"},
			[]string{"dead-end: no binding here names it"},
		},
		"a role that somebody has":    {fmt.Sprintf(bind, "RoleBinding", "{kind: ServiceAccount, name: default}"), cluster.Ref{Kind: "ClusterRole", Name: "reader"}, nil},
		"a role that nobody is given": {fmt.Sprintf(bind, "RoleBinding", ""), cluster.Ref{Kind: "ClusterRole", Name: "reader"}, []string{"dead-end: no binding here names it"}},
		"a role that others take in": {
			"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r, labels: {rbac.authorization.k8s.io/aggregate-to-edit: \"true\"}}\n", cluster.Ref{Kind: "ClusterRole", Name: "r"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range index(t, tt.in).Of(tt.of) {
				got = append(got, string(r.Way)+": "+r.Text)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestReachIsLinear: many open Services of one shared label among many pods. Each with
// each would be sixteen million comparisons.
func TestReachIsLinear(t *testing.T) {
	const n = 4_000
	var in strings.Builder
	for i := range n {
		fmt.Fprintf(&in, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%d","namespace":"shop","labels":{"a":"all","z":"%[1]d"}},"spec":{"containers":[{"name":"c","image":"c:1"}]}}
---
{"apiVersion":"v1","kind":"Service","metadata":{"name":"s%[1]d","namespace":"shop"},"spec":{"type":"NodePort","selector":{"a":"all","z":"%[1]d"}}}
---
`, i)
	}
	b := cluster.NewBuilder("test", false)
	manifest.NewReader(b, "").Read("in", strings.NewReader(in.String()))
	s := b.Snapshot()
	began := time.Now()
	x := New(s)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := x.Of(cluster.Ref{Kind: "Pod", Namespace: "shop", Name: "p77"}); len(got) != 1 || !strings.HasSuffix(got[0].Text, "service shop/s77") {
		t.Errorf("p77 has the reach %v", got)
	}
}

// TestImages: an image has the reach of the workload that runs it and reaches the most.
func TestImages(t *testing.T) {
	const image = "\n---\napiVersion: facts.bulwark.dev/v1alpha1\nkind: Image\nname: c:1\n"
	open := service("front", "type: NodePort, selector: {app: a}")
	for name, tt := range map[string]struct{ in, want string }{
		"nothing runs it":        {image, ""},
		"an ordinary one does":   {image + deployment("a", plainPod), ""},
		"one is exposed":         {image + deployment("a", plainPod) + deployment("b", plainPod) + open, "exposed: deployment shop/a: reachable from outside through service shop/front"},
		"one is on its node":     {image + deployment("a", "hostPID: true, "+plainPod) + deployment("b", plainPod), "leads-on: deployment shop/a: it sees its node's processes"},
		"none runs":              {image + strings.Replace(deployment("a", plainPod), "spec: {sel", "spec: {replicas: 0, sel", 1), "dead-end: deployment shop/a: it is scaled to zero"},
		"one of them runs":       {image + strings.Replace(deployment("a", plainPod), "spec: {sel", "spec: {replicas: 0, sel", 1) + deployment("b", plainPod), ""},
		"another image is meant": {strings.Replace(image, "c:1", "c:2", 1) + deployment("a", "hostPID: true, "+plainPod), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for ref, all := range index(t, tt.in).of {
				for _, r := range all {
					if ref.Kind == "Image" {
						got = append(got, string(r.Way)+": "+r.Text)
					}
				}
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "; ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
