package authz

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Step is one way by which somebody comes closer to an act: all of its needs are theirs
// already, and give them an identity, or the right to the act itself.
type Step struct {
	Who cluster.Subject
	// How is what they do: "make a token of serviceaccount shop/cart".
	How string
	// Needs are the requests that it takes, By what allows each of them.
	Needs []Attributes
	By    []Origin
	// Gains is who they are then; the zero Subject where they gain the right itself.
	Gains cluster.Subject
}

func (s Step) String() string { return s.Who.String() + ": " + s.How }

// Become returns who may not do it and can become able to, each by their shortest path, the
// closest first. It is one fixpoint backwards from those who may, and follows: impersonation
// of users, groups and accounts; tokens made of accounts, or read from or into Secrets; pods
// and workloads made or changed in an account's namespace; commands in pods that run as it;
// client certificates requested and approved by oneself; roles bound by the verb bind; and
// one's own roles widened by the verb escalate.
//
// It takes all needs of a step to be one subject's, whose groups it knows only where they
// follow from the name. It knows nothing of admission, of the network, or of what a node
// gives away: a graph of attacks is wider. Of named resources, one name is enough. The
// constrained modes of impersonation are followed as the last step only.
func (e *Engine) Become(a Attributes) [][]Step {
	b := &becoming{e: e, known: map[string]map[cluster.Subject]Origin{}, paths: map[cluster.Subject][]Step{}}
	for _, h := range e.WhoCan(a) {
		if !h.Unknown && h.Within == "" {
			b.add(normal(h.Subject), nil)
		}
	}
	able := len(b.order)
	for _, w := range b.rights(a) {
		b.take(w, nil)
	}
	for i := 0; i < len(b.order); i++ {
		is := b.order[i]
		ways := b.identities(is)
		if i < able && e.release.has(constrained) {
			ways = append(ways, b.constrained(is, a)...)
		}
		for _, w := range ways {
			w.gains = is
			b.take(w, b.paths[is])
		}
	}
	var out [][]Step
	for _, s := range b.order[able:] {
		out = append(out, b.paths[s])
	}
	slices.SortStableFunc(out, func(x, y []Step) int { return len(x) - len(y) })
	return out
}

// A need is a request that a way takes. Named resources are of any of the names, or with
// some, of any name at all.
type need struct {
	Attributes
	names []string
	some  bool
}

func needs(verb, group, resource, namespace, name string) need {
	return need{Attributes: Request(verb, group, resource, namespace, name)}
}

func someOf(verb, group, resource, namespace string) need {
	return need{Attributes: Request(verb, group, resource, namespace, ""), some: true}
}

// A way is a step without who takes it; only limits who can.
type way struct {
	how   string
	needs []need
	gains cluster.Subject
	only  func(cluster.Subject) bool
}

// becoming is one search.
type becoming struct {
	e *Engine
	// known are the holders of each need.
	known map[string]map[cluster.Subject]Origin
	// paths are those of everybody found so far, in their order.
	paths map[cluster.Subject][]Step
	order []cluster.Subject
}

func (b *becoming) add(s cluster.Subject, path []Step) {
	if _, ok := b.paths[s]; !ok {
		b.paths[s] = path
		b.order = append(b.order, s)
	}
}

// normal makes a user that is a service account one.
func normal(s cluster.Subject) cluster.Subject {
	if namespace, name, ok := account(s.Name); ok && s.Kind == rbacv1.UserKind {
		return cluster.ServiceAccount(namespace, name)
	}
	return s
}

// groupsOf are the groups that a subject's members are in for certain.
func groupsOf(s cluster.Subject) []cluster.Subject {
	switch {
	case s.Kind == rbacv1.ServiceAccountKind:
		return []cluster.Subject{groupSubject(accounts + ":" + s.Namespace), groupSubject(accounts), groupSubject(authenticated)}
	case s.Name == anonymous && s.Kind == rbacv1.UserKind:
		return []cluster.Subject{groupSubject(unauthenticated)}
	case s.Kind == rbacv1.GroupKind && (s.Name == unauthenticated || s.Name == authenticated):
		return nil
	case s.Kind == rbacv1.GroupKind && strings.HasPrefix(s.Name, accounts+":"):
		return []cluster.Subject{groupSubject(accounts), groupSubject(authenticated)}
	case s.Kind == rbacv1.UserKind && strings.HasPrefix(s.Name, nodePrefix):
		return []cluster.Subject{groupSubject(nodes), groupSubject(authenticated)}
	}
	return []cluster.Subject{groupSubject(authenticated)}
}

// among returns the subject's entry, its own or by a group that it is in.
func among[V any](m map[cluster.Subject]V, s cluster.Subject) (V, bool) {
	v, ok := m[s]
	for _, g := range groupsOf(s) {
		if ok {
			break
		}
		v, ok = m[g]
	}
	return v, ok
}

// take adds whoever has all needs of a way and was not found before.
func (b *becoming) take(w way, rest []Step) {
	holders := make([]map[cluster.Subject]Origin, len(w.needs))
	for i, n := range w.needs {
		if holders[i] = b.holders(n); len(holders[i]) == 0 {
			return
		}
	}
	var able []cluster.Subject
	for _, h := range holders {
	subjects:
		for s := range h {
			if _, found := among(b.paths, s); found || w.only != nil && !w.only(s) {
				continue
			}
			for _, other := range holders {
				if _, ok := among(other, s); !ok {
					continue subjects
				}
			}
			able = append(able, s)
		}
	}
	slices.SortFunc(able, compareSubjects)
	for _, s := range slices.Compact(able) {
		step := Step{Who: s, How: w.how, Gains: w.gains}
		for i, n := range w.needs {
			origin, _ := among(holders[i], s)
			step.Needs, step.By = append(step.Needs, n.Attributes), append(step.By, origin)
		}
		b.add(s, append([]Step{step}, rest...))
	}
}

func compareSubjects(a, b cluster.Subject) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

func (b *becoming) holders(n need) map[cluster.Subject]Origin {
	key := fmt.Sprintf("%q %q %v", []string{n.Verb, n.Group, n.Resource, n.Subresource, n.Namespace, n.Name}, n.names, n.some)
	if known, ok := b.known[key]; ok {
		return known
	}
	out := map[cluster.Subject]Origin{}
	for _, h := range b.e.whoCan(n) {
		if s := normal(h.Subject); !h.Unknown && h.Within == "" {
			if _, ok := out[s]; !ok {
				out[s] = h.By
			}
		}
	}
	b.known[key] = out
	return out
}

// rights are the ways to give the right itself to oneself.
func (b *becoming) rights(a Attributes) []way {
	q := ask(&a)
	var out []way
	for ref, r := range b.e.rbac.roles {
		if r.allows(&q) < 0 {
			continue
		}
		bind := func(resource, binding, namespace string) {
			out = append(out, way{how: "bind " + ref.String() + " to themselves", needs: []need{
				needs("bind", rbacv1.GroupName, resource, namespace, ref.Name), needs("create", rbacv1.GroupName, binding, namespace, ""),
			}})
		}
		switch {
		case ref.Kind == "ClusterRole":
			bind("clusterroles", "clusterrolebindings", "")
			if a.Namespace != "" {
				bind("clusterroles", "rolebindings", a.Namespace)
			}
		case ref.Namespace == a.Namespace:
			bind("roles", "rolebindings", a.Namespace)
		}
	}
	for _, namespace := range slices.Compact([]string{"", a.Namespace}) {
		for _, bound := range b.e.rbac.bindings[namespace] {
			ref := bound.role.object.Ref
			resource := "clusterroles"
			if ref.Kind == "Role" {
				resource = "roles"
			}
			holds := map[cluster.Subject]bool{}
			for i := range bound.subjects {
				holds[normal(subject(&bound.subjects[i], namespace))] = true
			}
			for _, verb := range []string{"update", "patch"} {
				out = append(out, way{
					how:   "widen " + ref.String() + ", which they have",
					needs: []need{needs("escalate", rbacv1.GroupName, resource, ref.Namespace, ref.Name), needs(verb, rbacv1.GroupName, resource, ref.Namespace, ref.Name)},
					only: func(s cluster.Subject) bool {
						_, ok := among(holds, s)
						return ok
					},
				})
			}
		}
	}
	slices.SortStableFunc(out, func(x, y way) int { return strings.Compare(x.how, y.how) })
	return out
}

// identities are the ways to become somebody.
func (b *becoming) identities(s cluster.Subject) []way {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return append(b.account(s), certificates(s)...)
	case rbacv1.UserKind:
		if s.Name == anonymous {
			return nil
		}
		out := []way{{how: "impersonate " + s.String(), needs: []need{needs("impersonate", "", "users", "", s.Name)}}}
		return append(out, certificates(s)...)
	}
	out := []way{{how: "impersonate " + s.String() + " as some user", needs: []need{needs("impersonate", "", "groups", "", s.Name), someOf("impersonate", "", "users", "")}}}
	switch namespace, of := strings.CutPrefix(s.Name, accounts+":"); {
	case s.Name == authenticated || s.Name == unauthenticated:
		return nil // everybody is
	case s.Name == masters:
		return out // no signer signs it
	case of:
		out = append(out, b.anyAccount(namespace)...)
	case s.Name == accounts:
		for _, namespace := range b.e.snapshot.Namespaces() {
			out = append(out, b.anyAccount(namespace)...)
		}
	}
	return append(out, certificates(s)...)
}

// certificates are the ways to have one's own request for a client certificate signed.
func certificates(s cluster.Subject) []way {
	const group, requests = "certificates.k8s.io", "certificatesigningrequests"
	var out []way
	for _, signer := range []string{"kubernetes.io/kube-apiserver-client", "kubernetes.io/*"} {
		for _, verb := range []string{"update", "patch"} {
			out = append(out, way{how: "request and approve a certificate for " + s.String(), needs: []need{
				needs("create", group, requests, "", ""), someOf("get", group, requests, ""),
				someOf(verb, group, requests+"/approval", ""), needs("approve", group, "signers", "", signer),
			}})
		}
	}
	return out
}

// workloads are the resources whose pods run as whom they say.
var workloads = [][2]string{
	{"", "pods"},
	{"", "replicationcontrollers"},
	{"apps", "deployments"},
	{"apps", "daemonsets"},
	{"apps", "statefulsets"},
	{"apps", "replicasets"},
	{"batch", "jobs"},
	{"batch", "cronjobs"},
}

// anyAccount are the ways to become some account of a namespace.
func (b *becoming) anyAccount(namespace string) []way {
	out := []way{
		{how: "make a token of an account in " + namespace, needs: []need{someOf("create", "", "serviceaccounts/token", namespace)}},
		{how: "impersonate an account in " + namespace, needs: []need{someOf("impersonate", "", "serviceaccounts", namespace)}},
	}
	for _, w := range workloads {
		out = append(out, way{how: "run " + w[1] + " in " + namespace, needs: []need{needs("create", w[0], w[1], namespace, "")}})
		if w[1] == "pods" {
			continue // a pod's account never changes
		}
		for _, verb := range []string{"update", "patch"} {
			out = append(out, way{how: "change " + w[1] + " in " + namespace, needs: []need{someOf(verb, w[0], w[1], namespace)}})
		}
	}
	return out
}

// account are the ways to become one account.
func (b *becoming) account(s cluster.Subject) []way {
	namespace := s.Namespace
	out := []way{
		{how: "make a token of " + s.String(), needs: []need{needs("create", "", "serviceaccounts/token", namespace, s.Name)}},
		{how: "impersonate " + s.String(), needs: []need{needs("impersonate", "", "serviceaccounts", namespace, s.Name)}},
	}
	for _, w := range b.anyAccount(namespace)[2:] {
		w.how += " as " + s.String()
		out = append(out, w)
	}
	for _, read := range []string{"get", "list", "watch"} {
		out = append(out, way{how: "have a token of " + s.String() + " made in a Secret", needs: []need{needs("create", "", "secrets", namespace, ""), needs(read, "", "secrets", namespace, "")}})
		if tokens := b.e.tokens[s]; len(tokens) > 0 {
			n := needs(read, "", "secrets", namespace, "")
			n.names = tokens
			out = append(out, way{how: "read a Secret with a token of " + s.String(), needs: []need{n}})
		}
	}
	if pods := b.e.pods[s]; len(pods) > 0 {
		in := func(verb, resource string) {
			n := needs(verb, "", resource, namespace, "")
			n.names = pods
			out = append(out, way{how: verb + " " + resource + " of a pod that runs as " + s.String(), needs: []need{n}})
		}
		for _, resource := range []string{"pods/exec", "pods/attach"} {
			in("create", resource)
			if !b.e.release.has(execByCreate) {
				in("get", resource) // by a WebSocket
			}
		}
		for _, verb := range []string{"update", "patch"} {
			in(verb, "pods/ephemeralcontainers")
			in(verb, "pods") // its image
		}
	}
	return out
}

// constrained are the ways to do the act, and no other, as somebody.
func (b *becoming) constrained(s cluster.Subject, a Attributes) []way {
	on := func(mode string, who need) way {
		act := need{Attributes: a}
		act.Verb = "impersonate-on:" + mode + ":" + a.Verb
		return way{how: "impersonate " + s.String() + " for this alone", needs: []need{who, act}}
	}
	node, isNode := nodeUser(s.Name)
	switch {
	case s.Kind == rbacv1.ServiceAccountKind:
		return []way{on("serviceaccount", needs("impersonate:serviceaccount", authenticationGroup, "serviceaccounts", s.Namespace, s.Name))}
	case s.Kind == rbacv1.UserKind && isNode:
		return []way{on("arbitrary-node", needs("impersonate:arbitrary-node", authenticationGroup, "nodes", "", node))}
	case s.Kind == rbacv1.UserKind && s.Name != anonymous:
		return []way{on("user-info", needs("impersonate:user-info", authenticationGroup, "users", "", s.Name))}
	case s.Kind == rbacv1.GroupKind && s.Name == nodes:
		return []way{on("arbitrary-node", someOf("impersonate:arbitrary-node", authenticationGroup, "nodes", ""))}
	case s.Kind == rbacv1.GroupKind && s.Name != masters:
		w := on("user-info", needs("impersonate:user-info", authenticationGroup, "groups", "", s.Name))
		w.needs = append(w.needs, someOf("impersonate:user-info", authenticationGroup, "users", ""))
		return []way{w}
	}
	return nil
}

// identitiesOf notes which pods run as an account and which Secrets hold its tokens.
func (e *Engine) identitiesOf(s *cluster.Snapshot) {
	e.pods, e.tokens = map[cluster.Subject][]string{}, map[cluster.Subject][]string{}
	for o, pod := range cluster.All[*corev1.Pod](s, "Pod") {
		if !cluster.Active(pod) {
			continue
		}
		name := pod.Spec.ServiceAccountName
		if name == "" {
			name = "default"
		}
		as := cluster.ServiceAccount(o.Namespace, name)
		e.pods[as] = append(e.pods[as], o.Name)
	}
	for o, secret := range cluster.All[*cluster.SecretFacts](s, "Secret") {
		if secret.Type == string(corev1.SecretTypeServiceAccountToken) {
			of := cluster.ServiceAccount(o.Namespace, o.Meta.Annotations[corev1.ServiceAccountNameKey])
			e.tokens[of] = append(e.tokens[of], o.Name)
		}
	}
}
