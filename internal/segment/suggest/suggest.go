// Package suggest writes the NetworkPolicies that let through what is wanted and nothing
// else: deny by default, names resolved, and a readable policy for each workload. What is
// wanted comes from what the objects declare, or from connections that were observed. A
// plan is proved against the engine before anybody is shown it.
package suggest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/flow"
)

// Options say for whom policies are wanted, and by what.
type Options struct {
	// Namespaces to write policies for; none means all with pods but Kubernetes' own.
	Namespaces []string
	// Observed: Flows are what is wanted, instead of what the objects declare.
	Observed bool
	Flows    []flow.Flow
}

// A Plan is policies, what they are to let through, and what there is to say of them.
type Plan struct {
	Namespaces []string
	Policies   []Policy
	// Wanted are all connections that the policies are for, in order. One without a From
	// is open to everybody.
	Wanted []Edge
	// Replaces are the policies that stand in those namespaces now. They have to go:
	// policies only ever add to what is allowed.
	Replaces []cluster.Ref
	// Cannot are wishes that no NetworkPolicy can express; Notes are what to know.
	Cannot, Notes []string
	// Observation is set where flows were given.
	Observation *Observation

	maker *maker
}

// A maker makes one plan.
type maker struct {
	snapshot  *cluster.Snapshot
	groups    []*Group
	services  []service
	targets   map[string]bool
	resolvers map[*Group][]Port
	// nodeResolvers are addresses at which nodes answer their own pods.
	nodeResolvers []netip.Prefix
	wants         *wants
	observation   *Observation
	cannots       []string
	said          map[string]bool
}

var dnsPorts = []Port{{corev1.ProtocolTCP, 53}, {corev1.ProtocolUDP, 53}}

// nodeDNS is where NodeLocal DNSCache answers
// (https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/).
var nodeDNS = netip.MustParsePrefix("169.254.20.10/32")

// Make makes a plan.
func Make(s *cluster.Snapshot, o Options) *Plan {
	m := &maker{snapshot: s, groups: groups(s), targets: map[string]bool{}, said: map[string]bool{}}
	m.services = services(s, m.groups)
	for _, g := range m.groups {
		ns := g.Ref.Namespace
		if len(o.Namespaces) == 0 && !systemNamespace(ns) || slices.Contains(o.Namespaces, ns) {
			m.targets[ns] = true
		}
	}
	m.resolvers = resolvers(m.groups, m.services)
	if slices.ContainsFunc(m.groups, func(g *Group) bool {
		return g.Ref.Namespace == metav1.NamespaceSystem && g.Ref.Name == "node-local-dns"
	}) {
		m.nodeResolvers = append(m.nodeResolvers, nodeDNS)
	}

	if o.Observed {
		m.wants = m.observed(newDirectory(s, m.groups, m.services), o.Flows)
	} else {
		m.wants = declaredWants(s, m.groups, m.services, m.target)
		m.wants.note("what pods want from outside of the cluster, and from the API server, is not declared anywhere: these policies let none of it out; --observed tells")
	}
	m.dnsWants()
	m.sane()
	p := &Plan{Policies: m.policies(), Replaces: m.replaced(s), Cannot: m.cannots, Notes: m.wants.notes, Observation: m.observation, maker: m}
	for ns := range m.targets {
		p.Namespaces = append(p.Namespaces, ns)
	}
	slices.Sort(p.Namespaces)
	for e := range m.wants.edges {
		p.Wanted = append(p.Wanted, e)
	}
	slices.SortFunc(p.Wanted, func(a, b Edge) int {
		if c := a.To.compare(b.To); c != 0 {
			return c
		}
		if c := a.From.compare(b.From); c != 0 {
			return c
		}
		return a.Port.compare(b.Port)
	})
	return p
}

// systemNamespace reports whether a namespace is Kubernetes' own, which is left alone
// unless it is asked for.
func systemNamespace(ns string) bool {
	return ns == metav1.NamespaceSystem || ns == metav1.NamespacePublic || ns == corev1.NamespaceNodeLease
}

func (m *maker) target(ns string) bool { return m.targets[ns] }

func (m *maker) cannot(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !m.said[text] {
		m.said[text] = true
		m.cannots = append(m.cannots, text)
	}
}

// dnsWants: every pod of the namespaces may resolve names.
func (m *maker) dnsWants() {
	for _, g := range m.groups {
		if g.Host || !m.target(g.Ref.Namespace) {
			continue
		}
		for to, ports := range m.resolvers {
			for _, port := range ports {
				m.wants.add(Peer{Group: g}, Peer{Group: to}, port)
			}
		}
		for _, net := range m.nodeResolvers {
			for _, port := range dnsPorts {
				m.wants.add(Peer{Group: g}, Peer{Net: net}, port)
			}
		}
	}
	if len(m.resolvers) == 0 {
		m.wants.note("no pod here answers for names: the policies allow those that installers call k8s-app=kube-dns, in kube-system")
	}
}

// isDNS reports whether an edge is one that the namespace's own DNS policy allows.
func (m *maker) isDNS(e Edge) bool {
	if e.To.Group != nil {
		return slices.Contains(m.resolvers[e.To.Group], e.Port)
	}
	return slices.Contains(m.nodeResolvers, e.To.Net) && slices.Contains(dnsPorts, e.Port)
}

// sane says beforehand what policies cannot tell apart.
func (m *maker) sane() {
	needed := map[*Group]bool{}
	for e := range m.wants.edges {
		for _, p := range []Peer{e.From, e.To} {
			if p.Group != nil {
				needed[p.Group] = true
			}
		}
	}
	byNamespace := map[string][]*Group{}
	for _, g := range m.groups {
		if !g.Host {
			byNamespace[g.Ref.Namespace] = append(byNamespace[g.Ref.Namespace], g)
		}
	}
	for _, g := range m.groups {
		switch {
		case !needed[g] || g.Host:
		case g.Select == nil:
			m.cannot("%s has no label that lasts, so no policy can speak of it: give its pods a label such as app.kubernetes.io/name", g)
			for e := range m.wants.edges {
				if e.From.Group == g && !m.isDNS(e) || e.To.Group == g {
					delete(m.wants.edges, e)
				}
			}
		default:
			selects := labels.SelectorFromSet(g.Select)
			for _, o := range byNamespace[g.Ref.Namespace] {
				if o != g && o.selects(selects) {
					m.cannot("no label that lasts tells %s from %s: what one of them gets, both do (%s)", g, o, labelText(g.Select))
				}
			}
		}
	}
}

func labelText(m map[string]string) string {
	return strings.ReplaceAll(labels.SelectorFromSet(m).String(), ",", ", ")
}
