// Package reach says who gets to a thing of the cluster and where it leads: what is open
// to the outside, what holds a node or the cluster, what does nothing as it stands. It is
// told from the objects alone, one step in each direction; it follows no path further.
package reach

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

// Needs are the facts that reach is told from. Where some of them were not read, less is
// known of it, and findings are ranked by their kind alone.
var Needs = slices.Concat(cluster.Workloads, cluster.RBAC, []cluster.Need{cluster.Services, cluster.ServiceAccounts}, Fronted)

// An Index knows the reach of everything in one snapshot. It does not change once made.
type Index struct {
	of map[cluster.Ref][]control.Reach
}

// Of returns what is known of a thing's reach: who gets to it first, then where it
// leads; nil for an ordinary thing.
func (x *Index) Of(r cluster.Ref) []control.Reach { return x.of[r] }

// New works out the reach of every object, in time that grows with their number.
func New(s *cluster.Snapshot) *Index {
	x := &Index{of: map[cluster.Ref][]control.Reach{}}
	doors := x.doors(s)
	accounts := powers{s: s, bySubject: map[cluster.Subject]string{}, byRole: map[roleIn]string{}}
	for _, p := range s.Pods() {
		ref := p.Object.Ref
		if why := idle(p); why != "" {
			x.add(ref, control.DeadEnd, "%s", why)
			continue
		}
		if door := cmp.Or(doors[p], port(p)); door != "" {
			x.add(ref, control.Exposed, "%s", door)
		}
		if why := accounts.of(p); why != "" {
			x.add(ref, control.LeadsOn, "%s", why)
		}
		if why := host(p); why != "" {
			x.add(ref, control.LeadsOn, "%s", why)
		}
	}
	x.unbound(s)
	x.images(s)
	return x
}

// images gives each image the reach of the workload that runs it and from which the most
// can be done. An image that only idle workloads name is a dead end.
func (x *Index) images(s *cluster.Snapshot) {
	for _, i := range s.Images() {
		var worst *cluster.PodSpec
		var most int
		for _, p := range s.RunBy(i) {
			weight := 1 // more than a dead end
			for _, r := range x.of[p.Object.Ref] {
				weight += weights[r.Way]
			}
			if worst == nil || weight > most {
				worst, most = p, weight
			}
		}
		if worst == nil {
			continue
		}
		ref := s.ImageRef(i)
		for _, r := range x.of[worst.Object.Ref] {
			x.add(ref, r.Way, "%s: %s", worst.Object, r.Text)
		}
	}
}

var weights = map[control.Way]int{control.Exposed: 10, control.LeadsOn: 4, control.DeadEnd: -1}

func (x *Index) add(r cluster.Ref, w control.Way, format string, args ...any) {
	x.of[r] = append(x.of[r], control.Reach{Way: w, Text: fmt.Sprintf(format, args...)})
}

// idle says why a workload runs nothing, or "". Pods that are still there speak
// against it.
func idle(p *cluster.PodSpec) string {
	if len(p.Running) > 0 {
		return ""
	}
	zero := func(n *int32) bool { return n != nil && *n == 0 }
	suspended := func(b *bool) bool { return b != nil && *b }
	const scaled = "it is scaled to zero"
	switch v := p.Object.Value.(type) {
	case *appsv1.Deployment:
		if zero(v.Spec.Replicas) {
			return scaled
		}
	case *appsv1.StatefulSet:
		if zero(v.Spec.Replicas) {
			return scaled
		}
	case *appsv1.ReplicaSet:
		if zero(v.Spec.Replicas) {
			return scaled
		}
	case *corev1.ReplicationController:
		if zero(v.Spec.Replicas) {
			return scaled
		}
	case *batchv1.CronJob:
		if suspended(v.Spec.Suspend) {
			return "it is suspended"
		}
	case *batchv1.Job:
		switch {
		case suspended(v.Spec.Suspend):
			return "it is suspended"
		case v.Status.CompletionTime != nil:
			return "it has run and ended"
		}
	}
	return ""
}

// port says by which port of its node a pod is open, or "".
func port(p *cluster.PodSpec) string {
	for _, c := range p.Containers {
		for _, port := range c.Ports {
			// With the node's network, a declared port is the node's too
			// (pkg/apis/core/v1/defaults.go, SetDefaults_Pod).
			if port.HostPort != 0 || p.Spec.HostNetwork {
				n := port.HostPort
				if n == 0 {
					n = port.ContainerPort
				}
				return fmt.Sprintf("reachable from outside on port %d of its node", n)
			}
		}
	}
	return ""
}

// doors says of the pods that a Service opens to the outside, by itself or by what stands
// before it, how. It notes the Services and what is before them that are exposed themselves.
func (x *Index) doors(s *cluster.Snapshot) map[*cluster.PodSpec]string {
	before, fronts := Fronts(s)
	for _, ref := range fronts {
		x.add(ref, control.Exposed, "reachable from outside")
	}
	var open []cluster.Selection[string]
	for o, svc := range cluster.All[*corev1.Service](s, "Service") {
		text := ""
		switch front, ok := before[o.Ref]; {
		case svc.Spec.Type == corev1.ServiceTypeLoadBalancer, svc.Spec.Type == corev1.ServiceTypeNodePort, len(svc.Spec.ExternalIPs) > 0:
			text = "reachable from outside through " + o.String()
		case ok:
			text = "reachable from outside through " + front.String()
		default:
			continue
		}
		x.add(o.Ref, control.Exposed, "%s", strings.TrimSuffix(text, " through "+o.String()))
		if len(svc.Spec.Selector) > 0 {
			open = append(open, cluster.Selection[string]{Namespace: o.Namespace, Selector: labels.SelectorFromSet(svc.Spec.Selector), Of: text})
		}
	}
	return cluster.Selecting(s, open)
}

// host says how a process in the pod gets to its node, or "". Static pods are the node's
// own and lead nowhere further.
func host(p *cluster.PodSpec) string {
	if p.Static() {
		return ""
	}
	for _, c := range p.Containers {
		if podsec.Privileged(c) {
			return "container " + c.Name + " is privileged on its node"
		}
	}
	for _, m := range podsec.HostMounts(p) {
		switch socket := podsec.RuntimeSocket(m); {
		case socket != "":
			return "it commands its node's container runtime"
		case m.Container != nil && m.Writable && podsec.Gain(m) != "":
			return "it writes to " + m.Path + " of its node"
		}
	}
	if p.Spec.HostPID && !podsec.OwnUsers(p) {
		return "it sees its node's processes"
	}
	for _, c := range p.Containers {
		for _, name := range podsec.Added(c) {
			if slices.Contains([]string{"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "DAC_READ_SEARCH", "BPF"}, name) && !podsec.OwnUsers(p) {
				return "container " + c.Name + " has " + name + " on its node"
			}
		}
	}
	return ""
}

// powers remembers what a subject or a role may do, so that each is judged once.
type powers struct {
	s         *cluster.Snapshot
	bySubject map[cluster.Subject]string
	byRole    map[roleIn]string
}

// A roleIn is a role as one binding grants it.
type roleIn struct {
	role cluster.Ref
	wide bool // in the whole cluster or kube-system, whose accounts rule the cluster
}

// of says how the pod's identity gets to the cluster, or "".
func (a *powers) of(p *cluster.PodSpec) string {
	if !podsec.HoldsToken(p, podsec.AccountOf(a.s, p)) {
		return ""
	}
	account := p.ServiceAccount()
	for _, sub := range grant.Identities(p.Namespace(), account) {
		if may := a.subject(sub); may != "" {
			return fmt.Sprintf("serviceaccount %s/%s %s", p.Namespace(), account, may)
		}
	}
	return ""
}

func (a *powers) subject(sub cluster.Subject) string {
	may, ok := a.bySubject[sub]
	if !ok {
		for _, b := range a.s.BoundTo(sub) {
			if b.Namespace != "" && b.Namespace != metav1.NamespaceSystem {
				continue
			}
			if does := a.role(b); does != "" {
				may = "may " + does + " " + grant.Scope(b)
				break
			}
		}
		a.bySubject[sub] = may
	}
	return may
}

func (a *powers) role(b *cluster.Binding) string {
	key := roleIn{cluster.Ref{Kind: b.RoleRef.Kind, Name: b.RoleRef.Name}, b.Namespace == ""}
	if b.RoleRef.Kind == "Role" {
		key.role.Namespace = b.Namespace
	}
	does, ok := a.byRole[key]
	if !ok {
		rules := grant.Rules(b)
		for _, power := range strong {
			if power.wide && !key.wide {
				continue
			}
			if _, ok := grant.AllowsAny(rules, power.acts...); ok {
				does = power.does
				break
			}
		}
		a.byRole[key] = does
	}
	return does
}

// strong are single acts that end with the cluster. What takes several together is for
// workload.takeover to find.
var strong = []struct {
	does string
	wide bool // counts only in the whole cluster
	acts []grant.Act
}{
	{"do everything", true, []grant.Act{{Verb: "*", Group: "*", Resource: "*"}}},
	{"read secrets", false, grant.ReadSecrets},
	{"make pods", false, append(grant.Acts("", []string{"create"}, []string{"pods"}),
		grant.Acts("apps", grant.Write, []string{"deployments", "daemonsets", "statefulsets"})...)},
	{"run commands in pods", false, grant.Acts("", []string{"create"}, []string{"pods/exec", "pods/attach"})},
	{"make tokens of accounts", false, grant.Acts("", []string{"create"}, []string{"serviceaccounts/token"})},
	{"impersonate", true, grant.Acts("", []string{"impersonate"}, []string{"users", "groups", "serviceaccounts"})},
	{"give itself rights", true, grant.Acts(rbacv1.GroupName, []string{"escalate", "bind"}, []string{"clusterroles"})},
	{"run commands through kubelets", true, grant.Acts("", []string{"get", "create"}, []string{"nodes/proxy"})},
}

// unbound finds the roles that nobody holds: by no binding, and by no aggregation into
// another role.
func (x *Index) unbound(s *cluster.Snapshot) {
	bound := map[cluster.Ref]bool{}
	for _, b := range s.Bindings() {
		if b.Role != nil && len(b.Subjects) > 0 {
			bound[b.Role.Ref] = true
		}
	}
	why := "no binding here names it"
	if s.Live {
		why = "nobody is bound to it"
	}
	for _, kind := range []string{"ClusterRole", "Role"} {
		for _, o := range s.Kind(kind) {
			aggregated := slices.ContainsFunc(slices.Collect(maps.Keys(o.Meta.Labels)), func(label string) bool {
				return strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-")
			})
			if !bound[o.Ref] && !aggregated {
				x.add(o.Ref, control.DeadEnd, "%s", why)
			}
		}
	}
}
