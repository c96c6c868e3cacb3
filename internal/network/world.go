package network

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Options say what a Snapshot does not.
type Options struct {
	// Profile is the network that enforces the policies. Without a name it is told by
	// Detect.
	Profile Profile
	// PodCIDRs are the ranges that pods get their addresses from. Where none are given
	// they are those of the nodes. They decide about pods that have no address yet.
	PodCIDRs []netip.Prefix
}

// A World is a Snapshot with its policies compiled and its pods put into classes.
type World struct {
	snapshot *cluster.Snapshot
	profile  Profile
	podCIDRs []netip.Prefix
	tables   [2]*table
	terms    *terms
	policies []*policy
	problems []Problem

	bySubject map[int32][]int32   // term to policies
	closed    map[int32]Isolation // what those do together
	lists     []*list
	members   []member
	classes   []*class
	hosts     []host
	at        map[netip.Addr]place
	byRef     map[cluster.Ref][]int32 // pods and workloads to members
	services  map[cluster.Ref]*corev1.Service
	byHost    map[string]int32

	// shared while the world is made
	classOf map[string]int32
	listOf  map[string]*list
	portsOf map[string]*portNames

	matrix func() *Matrix
}

// A member is a pod that runs, or a template that no pod was made from yet.
type member struct {
	spec  *cluster.PodSpec
	owner cluster.Ref // the workload; the pod itself where there is none
	class int32
	addrs [2]netip.Addr
	node  string // "" where it is not known
}

func (m *member) running() bool { return m.spec.Path == "spec" && m.spec.Object.Kind == "Pod" }

// A class is all members that policies cannot tell apart.
type class struct {
	side
	members []int32
}

// A host is a node with what policies see of it.
type host struct {
	object *cluster.Object
	name   string
	addrs  [2]netip.Addr
	side   *side // nodes that nothing tells apart share it
}

// A place is what has an address.
type place struct {
	member, host int32 // -1: none
	service      *cluster.Object
}

// New compiles the policies of a Snapshot and puts its pods into classes. It takes time
// that grows with what is in it, and keeps on where a part cannot be understood: Problems
// names those.
func New(s *cluster.Snapshot, opts Options) *World {
	w, named := compiled(s, opts)
	w.sortMembers(named)
	w.sortHosts()
	w.sortServices()
	w.matrix = sync.OnceValue(w.newMatrix)
	w.classOf, w.listOf, w.portsOf = nil, nil, nil
	return w
}

// compiled is a World of policies and nodes, in which no pods are yet, and the names of
// ports that policies speak of.
func compiled(s *cluster.Snapshot, opts Options) (w *World, named map[string]bool) {
	w = &World{
		snapshot: s, profile: opts.Profile, podCIDRs: opts.PodCIDRs,
		bySubject: map[int32][]int32{}, at: map[netip.Addr]place{}, byRef: map[cluster.Ref][]int32{},
		services: map[cluster.Ref]*corev1.Service{}, byHost: map[string]int32{},
		classOf: map[string]int32{}, listOf: map[string]*list{}, portsOf: map[string]*portNames{},
	}
	if w.profile.Name == "" {
		w.profile = Detect(s)
	}
	w.nodes()
	c := &compiler{terms: newTerms(w.spaces()), named: map[string]bool{}}
	c.compile(s, w.profile)
	w.terms, w.policies, w.problems = c.terms, c.policies, c.problems
	for f := range w.tables {
		w.tables[f] = newTable(c.prefixes[f])
	}
	for i, p := range w.policies {
		w.bySubject[p.subject] = append(w.bySubject[p.subject], int32(i))
		for d := range p.rules {
			for j := range p.rules[d] {
				blocks := p.rules[d][j].peers.blocks
				for k := range blocks {
					blocks[k].resolve(&w.tables, w.podCIDRs)
				}
			}
		}
	}
	w.close()
	return w, c.named
}

// Profile is the network that the answers hold for.
func (w *World) Profile() Profile { return w.profile }

// Problems are the parts of policies that could not be understood or do not do what they
// seem to, by object.
func (w *World) Problems() []Problem { return w.problems }

// compile turns all policies of the snapshot into the compiler's form, and stands in for
// those that could not be read.
func (c *compiler) compile(s *cluster.Snapshot, profile Profile) {
	if profile.Enforced == No {
		return
	}
	for o, np := range cluster.All[*networkingv1.NetworkPolicy](s, "NetworkPolicy") {
		c.networkPolicy(o, np)
	}
	c.adminPolicies(s, profile)
	c.conflicts()
	c.others(s)
	c.unread(s, profile)
}

// spaces are the names of all namespaces, and what labels each has. A namespace whose
// object is not in the snapshot has its name, and others that nobody knows.
func (w *World) spaces() ([]string, func(string) labelSet) {
	names := w.snapshot.Namespaces()
	return names, func(name string) labelSet {
		o := w.snapshot.Get(cluster.Ref{Kind: "Namespace", Name: name})
		if o == nil {
			return labelSet{labels.Set{namespaceName: name}, func(string) bool { return true }}
		}
		set := labels.Set(maps.Clone(o.Meta.Labels))
		if set == nil {
			set = labels.Set{}
		}
		set[namespaceName] = name
		return labelSet{labels: set}
	}
}

// nodes reads the nodes' addresses, and the ranges of their pods' where none were given.
func (w *World) nodes() {
	given := len(w.podCIDRs) > 0
	for o, n := range cluster.All[*corev1.Node](w.snapshot, "Node") {
		h := host{object: o, name: o.Name}
		for _, want := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
			for _, a := range n.Status.Addresses {
				if a.Type == want {
					keepAddr(&h.addrs, a.Address)
				}
			}
		}
		w.byHost[h.name] = int32(len(w.hosts))
		w.hosts = append(w.hosts, h)
		if given {
			continue
		}
		cidrs := n.Spec.PodCIDRs
		if len(cidrs) == 0 && n.Spec.PodCIDR != "" {
			cidrs = []string{n.Spec.PodCIDR}
		}
		for _, cidr := range cidrs {
			if p, err := parsePrefix(cidr); err == nil {
				w.podCIDRs = append(w.podCIDRs, p)
			}
		}
	}
	slices.SortFunc(w.podCIDRs, comparePrefix)
	w.podCIDRs = slices.Compact(w.podCIDRs)
}

// keepAddr keeps the first address of each family.
func keepAddr(to *[2]netip.Addr, text string) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return
	}
	a = a.Unmap().WithZone("")
	if f := familyOf(a); !to[f].IsValid() {
		to[f] = a
	}
}

// sortMembers finds all pods, and templates without any, and puts them into classes.
func (w *World) sortMembers(names map[string]bool) {
	memo := map[string][]match{}
	var buf []byte
	for _, spec := range w.snapshot.Pods() {
		if len(spec.Running) > 0 {
			continue // its pods are here themselves
		}
		m := member{spec: spec, owner: spec.Object.Ref, node: spec.Spec.NodeName}
		if spec.Of != nil {
			m.owner = spec.Of.Object.Ref
		}
		if pod, ok := spec.Object.Value.(*corev1.Pod); ok {
			for _, ip := range pod.Status.PodIPs {
				keepAddr(&m.addrs, ip.IP)
			}
			keepAddr(&m.addrs, pod.Status.PodIP)
		}
		at := int32(len(w.members))
		if spec.Spec.HostNetwork {
			m.class = w.hostClass(&m)
		} else {
			buf = w.projection(buf[:0], spec)
			terms, ok := memo[string(buf)]
			if !ok {
				terms = w.terms.pod(spec.Namespace(), labelSet{spec.Meta.Labels, added(spec)})
				memo[string(buf)] = terms
			}
			m.class = w.podClass(terms, w.cells(&m), w.portNames(spec, names))
			for _, a := range m.addrs {
				if a.IsValid() {
					w.at[a] = place{member: at, host: -1}
				}
			}
		}
		w.members = append(w.members, m)
		w.classes[m.class].members = append(w.classes[m.class].members, at)
		w.byRef[m.owner] = append(w.byRef[m.owner], at)
		if m.owner != spec.Object.Ref {
			w.byRef[spec.Object.Ref] = append(w.byRef[spec.Object.Ref], at)
		}
	}
}

// projection is what selectors may see of a pod, as a key: its namespace, the labels that
// some selector asks for, and which others it may yet get.
func (w *World) projection(buf []byte, spec *cluster.PodSpec) []byte {
	buf = append(append(buf, spec.Namespace()...), 0)
	buf = append(append(buf, opens(spec)...), 0)
	var keys []string
	for k := range spec.Meta.Labels {
		if w.terms.selectKeys[k] {
			keys = append(keys, k)
		}
	}
	if len(keys) > 1 {
		slices.Sort(keys)
	}
	for _, k := range keys {
		buf = append(append(append(append(buf, k...), 0), spec.Meta.Labels[k]...), 0)
	}
	return buf
}

// controllers are the labels that controllers give the pods of a template besides its own
// (pkg/controller: deployment/util, statefulset, daemon/util, job).
var controllers = map[string][]string{
	"Deployment":            {"pod-template-hash"},
	"StatefulSet":           {"controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"},
	"DaemonSet":             {"controller-revision-hash", "pod-template-generation"},
	"Job":                   jobLabels,
	"CronJob":               jobLabels,
	"ReplicaSet":            nil,
	"ReplicationController": nil,
	"PodTemplate":           nil,
	"Pod":                   nil,
}

var jobLabels = []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index"}

// opens is the kind of a pod spec whose pods may get more labels, or "".
func opens(spec *cluster.PodSpec) string {
	if list, known := controllers[spec.Object.Kind]; known && list == nil {
		return ""
	}
	return spec.Object.Kind
}

// added reports which labels the pods of a template may get beside its own; nil where it
// is none. Controllers of others than Kubernetes may add any.
func added(spec *cluster.PodSpec) func(string) bool {
	list, known := controllers[spec.Object.Kind]
	switch {
	case !known:
		return func(string) bool { return true }
	case list == nil:
		return nil
	}
	return func(k string) bool { return slices.Contains(list, k) }
}

// cells are where a pod's addresses are. Without any it has one of each family that the
// cluster gives its pods, and nobody knows which.
func (w *World) cells(m *member) [families]int32 {
	out := [families]int32{absent, absent, absent}
	for f, a := range m.addrs {
		if a.IsValid() {
			out[f] = w.tables[f].cell(a)
		}
	}
	if out[v4] == absent && out[v6] == absent {
		out = w.unseen()
	}
	return out
}

func (w *World) unseen() [families]int32 {
	out := [families]int32{absent, absent, absent}
	for _, p := range w.podCIDRs {
		out[familyOf(p.Addr())] = unknown
	}
	if len(w.podCIDRs) == 0 {
		return [families]int32{unknown, unknown, unknown}
	}
	return out
}

// portNames keeps the pod's ports that some rule asks for by name. Those of init
// containers do not count unless they run on beside the others.
func (w *World) portNames(spec *cluster.PodSpec, asked map[string]bool) *portNames {
	if len(asked) == 0 {
		return noNames
	}
	byName := map[string]PortSet{}
	for _, c := range spec.Containers {
		if c.Kind != cluster.Regular && c.Kind != cluster.Sidecar {
			continue
		}
		for _, p := range c.Ports {
			if p.Name == "" || !asked[p.Name] || p.ContainerPort < 1 || p.ContainerPort > maxPort {
				continue
			}
			protocol := p.Protocol
			if protocol == "" {
				protocol = corev1.ProtocolTCP
			}
			if known(protocol) {
				byName[p.Name] = byName[p.Name].Union(OnePort(protocol, p.ContainerPort))
			}
		}
	}
	if len(byName) == 0 {
		return noNames
	}
	var k strings.Builder
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		fmt.Fprintf(&k, "%s=%s;", name, byName[name])
	}
	out, ok := w.portsOf[k.String()]
	if !ok {
		out = &portNames{id: int32(len(w.portsOf) + 1), byName: byName}
		w.portsOf[k.String()] = out
	}
	return out
}

func (w *World) podClass(terms []match, cells [families]int32, ports *portNames) int32 {
	buf := append(key(nil, terms), byte(podKind))
	for _, c := range cells {
		buf = binary.AppendVarint(buf, int64(c))
	}
	k := string(binary.AppendVarint(buf, int64(ports.id)))
	id, ok := w.classOf[k]
	if !ok {
		id = int32(len(w.classes))
		w.classOf[k] = id
		c := &class{side: side{kind: podKind, terms: terms, cells: cells, ports: ports}}
		for _, d := range []Direction{Ingress, Egress} {
			c.lists[d] = w.list(d, terms)
		}
		w.classes = append(w.classes, c)
	}
	return id
}

// list are the policies for pods that are in the terms; nil where there are none.
func (w *World) list(d Direction, terms []match) *list {
	var found []match
	for _, m := range terms {
		for _, p := range w.bySubject[m.id] {
			if w.policies[p].applies[d] {
				found = append(found, match{p, m.is})
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortFunc(found, compareMatch)
	k := string(key([]byte{byte(d)}, found))
	l, ok := w.listOf[k]
	if !ok {
		entries := make([]entry, len(found))
		for i, m := range found {
			entries[i] = entry{w.policies[m.id], m.is}
		}
		l = newList(d, entries)
		l.id = int32(len(w.lists))
		w.lists = append(w.lists, l)
		w.listOf[k] = l
	}
	return l
}

// hostClass is the class of a pod on its node's network: it is what its node is.
func (w *World) hostClass(m *member) int32 {
	addrs, nodes := m.addrs, []match(nil)
	if i, ok := w.byHost[m.node]; ok {
		addrs, nodes = w.hosts[i].addrs, w.terms.nodeTerms(labelSet{labels: w.hosts[i].object.Meta.Labels})
	} else {
		for i := range w.terms.nodes {
			nodes = append(nodes, match{int32(i), Maybe})
		}
	}
	return w.hostSide(addrs, nodes)
}

// hostSide is the class of all on the networks of nodes that nothing tells apart.
func (w *World) hostSide(addrs [2]netip.Addr, nodes []match) int32 {
	cells := [families]int32{absent, absent, absent}
	for f, a := range addrs {
		if a.IsValid() {
			cells[f] = w.tables[f].cell(a)
		}
	}
	if cells[v4] == absent && cells[v6] == absent {
		cells = [families]int32{unknown, unknown, unknown}
	}
	buf := append(key(nil, nodes), byte(hostKind))
	for _, c := range cells {
		buf = binary.AppendVarint(buf, int64(c))
	}
	id, ok := w.classOf[string(buf)]
	if !ok {
		id = int32(len(w.classes))
		w.classOf[string(buf)] = id
		w.classes = append(w.classes, &class{side: side{kind: hostKind, cells: cells, nodes: nodes, ports: noNames}})
	}
	return id
}

func (w *World) sortHosts() {
	for i := range w.hosts {
		h := &w.hosts[i]
		h.side = &w.classes[w.hostSide(h.addrs, w.terms.nodeTerms(labelSet{labels: h.object.Meta.Labels}))].side
		for _, a := range h.addrs {
			if a.IsValid() {
				w.at[a] = place{member: -1, host: int32(i)}
			}
		}
	}
}

func (w *World) sortServices() {
	for o, svc := range cluster.All[*corev1.Service](w.snapshot, "Service") {
		w.services[o.Ref] = svc
		for _, text := range slices.Concat(svc.Spec.ClusterIPs, []string{svc.Spec.ClusterIP}) {
			if a, err := netip.ParseAddr(text); err == nil {
				w.at[a.Unmap()] = place{member: -1, host: -1, service: o}
			}
		}
	}
}
