package network

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Verdict is an answer of the policies.
type Verdict uint8

// The verdicts. Unknown is the zero value.
const (
	Unknown Verdict = iota
	Denied
	Allowed
)

func (v Verdict) String() string { return [...]string{"unknown", "denied", "allowed"}[v] }

// An Answer is what the policies say of one connection, and why.
type Answer struct {
	Verdict Verdict
	// Reason says in a line why the verdict is not, or not only, for Egress and Ingress
	// to explain.
	Reason string
	// From and To are the two that Egress and Ingress speak of: where an end stands for
	// several pods, those of the pair that is let through most.
	From, To string
	// Port is the port at the destination itself, behind a Service.
	Port int32
	// Mixed reports that not all pairs are answered alike.
	Mixed bool
	// Egress is what the source's policies say, Ingress what the destination's do.
	Egress, Ingress Side
}

// A Side is what the policies for one end say.
type Side struct {
	Verdict Verdict
	// Isolating are the NetworkPolicies that isolate it in this direction.
	Isolating []cluster.Ref
	// By is the rule that decided; nil where it was the absence of one.
	By *Rule
	// Doubts are what would have to be known, where the verdict is Unknown.
	Doubts []string
	// Reason says in a line why it is so.
	Reason string
}

// A Rule is one rule of a policy.
type Rule struct {
	Policy cluster.Ref
	Path   string // "spec.ingress[0]"
	Action Action
}

func (r Rule) String() string { return fmt.Sprintf("%s %s (%s)", r.Policy, r.Path, r.Action) }

// Ask tells whether from may open a connection to a port of to. Where an end stands for
// several, it may if one of them may to one of them.
func (w *World) Ask(from, to Endpoint, protocol corev1.Protocol, port int32) Answer {
	if from.service != nil {
		return Answer{Reason: "a Service opens no connections: its pods do", Port: port, From: from.String(), To: to.String()}
	}
	if to.service != nil {
		return w.askService(from, to, protocol, port)
	}
	return w.askPoints(from, to, OnePort(protocol, port))
}

func (w *World) askService(from, to Endpoint, protocol corev1.Protocol, port int32) Answer {
	none := Answer{From: from.String(), To: to.String(), Port: port}
	if end, own, ok := w.outsiders(to.service, protocol, port); ok {
		return w.askPoints(from, end, OnePort(protocol, own))
	}
	backends, why := w.behind(to.service, protocol, port)
	switch {
	case why != "":
		none.Reason = why
		return none
	case len(backends) == 0:
		none.Verdict, none.Reason = Denied, fmt.Sprintf("nobody is behind %s %d of it", protocol, port)
		return none
	}
	var best Answer
	for i, b := range backends {
		a := w.askPoints(from, b.end, OnePort(protocol, b.port))
		if i == 0 || better(a.Verdict, best.Verdict) {
			a.Mixed = a.Mixed || best.Mixed || i > 0
			best = a
		} else {
			best.Mixed = best.Mixed || a.Mixed || a.Verdict != best.Verdict
		}
	}
	return best
}

// better reports whether more is let through. What is not known may be.
func better(a, b Verdict) bool { return openness(a) > openness(b) }

func openness(v Verdict) int { return [...]int{Unknown: 1, Denied: 0, Allowed: 2}[v] }

// outsiders is who answers at a Service that selects nobody and is known nevertheless:
// the API server behind its own, and whoever has the name of an ExternalName.
func (w *World) outsiders(o *cluster.Object, protocol corev1.Protocol, port int32) (Endpoint, int32, bool) {
	svc := w.services[o.Ref]
	switch {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return Endpoint{Ref: o.Ref, groups: one(point{side: elsewhere, member: -1})}, port, true
	case o.Namespace == "default" && o.Name == "kubernetes" && protocol == corev1.ProtocolTCP && len(svc.Spec.Selector) == 0:
		t := w.Targets()[0]
		return t.end, t.Port, true
	}
	return Endpoint{}, 0, false
}

// askPoints asks for the pair that is let through most.
func (w *World) askPoints(from, to Endpoint, port PortSet) Answer {
	best := Answer{Verdict: Denied, Reason: "nobody is at one of the ends", From: from.String(), To: to.String(), Port: port[0].First}
	first := true
	w.pairs(from, to, func(a, b point, near Tri) {
		v := w.outcome(a, b, near, port).connections().Of(port[0].Protocol, port[0].First)
		switch {
		case first || better(v, best.Verdict):
			mixed := !first
			first = false
			best = w.explain(a, b, near, port)
			best.Mixed = mixed
			if a.side.kind == addressKind && a.addr.IsValid() {
				best.From = a.addr.String()
			}
		case v != best.Verdict:
			best.Mixed = true
		}
	})
	return best
}

// Connections tells the same of all ports at once. A Service is its pods, on their own
// ports.
func (w *World) Connections(from, to Endpoint) Connections {
	out, first := outcome{}, true
	w.pairs(w.pods(from), w.pods(to), func(a, b point, near Tri) {
		if o := w.outcome(a, b, near, AllPorts); first {
			out, first = o, false
		} else {
			out = out.any(o)
		}
	})
	if first {
		out = outcome{deny: AllPorts}
	}
	return out.connections()
}

// pods are the pods behind a Service; any other end is itself.
func (w *World) pods(e Endpoint) Endpoint {
	if e.service == nil {
		return e
	}
	svc := w.services[e.Ref]
	if len(svc.Spec.Selector) == 0 {
		return Endpoint{Ref: e.Ref}
	}
	return w.membersEnd(e.Ref, w.selected(e.service.Namespace, svc.Spec.Selector))
}

// pairs calls f for every pair that may be answered differently. near is whether the two
// are on one node; it matters only where one of them is a host.
func (w *World) pairs(from, to Endpoint, f func(a, b point, near Tri)) {
	if len(from.groups) == 1 && len(to.groups) == 1 {
		a, b := from.groups[0], to.groups[0]
		if len(a) == 1 && len(b) == 1 && a[0].member >= 0 && a[0].member == b[0].member && w.members[a[0].member].running() {
			f(a[0], b[0], Yes)
			return
		}
	}
	for _, ours := range from.groups {
		for _, other := range to.groups {
			if !w.exempts(ours[0].side, other[0].side) {
				f(ours[0], other[len(other)-1], No)
				continue
			}
			for near, pair := range neighbours(ours, other) {
				if pair != nil {
					f(pair[0], pair[1], Tri(near))
				}
			}
		}
	}
}

// exempts reports whether it matters that the two are on one node.
func (w *World) exempts(a, b *side) bool {
	return a.kind == hostKind && b.kind == podKind && b.lists[Ingress] != nil ||
		a.kind == podKind && b.kind == hostKind && a.lists[Egress] != nil && w.profile.EgressToOwnNode != Yes
}

// neighbours finds one pair each that is on two nodes, may be on one, and is on one.
func neighbours(as, bs []point) [3][]point {
	var out [3][]point
	few, many, turned := as, bs, false
	if len(bs) < len(as) {
		few, many, turned = bs, as, true
	}
	found := func(near Tri, a, b point) {
		if turned {
			a, b = b, a
		}
		out[near] = []point{a, b}
	}
	byNode := make(map[string]point, len(few))
	for _, a := range few {
		byNode[a.node] = a
	}
	for _, b := range many {
		a, same := byNode[b.node]
		lost, some := byNode[""]
		switch {
		case b.node == "":
			found(Maybe, few[0], b)
			continue
		case some:
			found(Maybe, lost, b)
		}
		if same {
			found(Yes, a, b)
		}
		for _, a := range few[:min(len(few), 3)] {
			if out[No] == nil && a.node != "" && a.node != b.node {
				found(No, a, b)
			}
		}
	}
	return out
}

// common are the families in which the two can talk. A pod without an address is taken
// to get one that the other can reach.
func common(a, b *side) []family {
	if a.has(anyFamily) && b.has(anyFamily) {
		return []family{anyFamily}
	}
	var out []family
	for _, f := range []family{v4, v6} {
		if a.has(f) && b.has(f) {
			out = append(out, f)
		}
	}
	return out
}

// outcome is what becomes of the ports between two points: with two families, what
// becomes of them in the better one.
func (w *World) outcome(a, b point, near Tri, ports PortSet) outcome {
	if a.member >= 0 && a.member == b.member && near == Yes && a.side.kind == podKind {
		return free(ports) // nobody stands between a pod and itself
	}
	out, first := outcome{deny: ports}, true
	for _, f := range common(a.side, b.side) {
		o := w.through(Egress, a.side, b.side, near, f, ports, nil).and(w.through(Ingress, a.side, b.side, near, f, ports, nil))
		switch {
		case first:
			out, first = o, false
		case unsettled(a.side, b.side):
			out = out.or(o)
		default:
			out = out.any(o)
		}
	}
	return out
}

// unsettled reports whether it is not known in which families the two can talk.
func unsettled(a, b *side) bool { return a.has(anyFamily) || b.has(anyFamily) }

// through is what the policies of one end say.
func (w *World) through(d Direction, a, b *side, near Tri, f family, ports PortSet, t *trace) outcome {
	own, peer := b, a
	if d == Egress {
		own, peer = a, b
	}
	l := own.lists[d]
	if l == nil {
		return free(ports)
	}
	exempt := near // a node always reaches its own pods
	if d == Egress {
		exempt = min(near, Yes-w.profile.EgressToOwnNode)
	}
	if exempt == Yes {
		return free(ports)
	}
	o := l.judge(w.hits(l, peer, f), b.ports, ports, t)
	if exempt == Maybe {
		o = o.or(free(ports))
	}
	return o
}

// explain is outcome for one port, with the reasons.
func (w *World) explain(a, b point, near Tri, port PortSet) Answer {
	out := Answer{From: w.name(a), To: w.name(b), Port: port[0].First}
	verdict := func(o outcome) Verdict { return o.connections().Of(port[0].Protocol, port[0].First) }
	if a.member >= 0 && a.member == b.member && near == Yes && a.side.kind == podKind {
		out.Verdict, out.Reason = Allowed, "a pod always reaches itself"
		out.Egress, out.Ingress = Side{Verdict: Allowed}, Side{Verdict: Allowed}
		return out
	}
	if a.side.kind == podKind || b.side.kind == podKind {
		if w.profile.Enforced == No {
			out.Reason = "the network " + w.profile.Name + " enforces no policies"
		}
	}
	list := common(a.side, b.side)
	if len(list) == 0 {
		out.Verdict, out.Reason = Denied, "one has only IPv4 addresses and the other only IPv6"
		return out
	}
	out.Verdict = verdict(w.outcome(a, b, near, port))
	for _, f := range list {
		// Of two families the one that speaks for the verdict is shown.
		var te, ti trace
		e := w.through(Egress, a.side, b.side, near, f, port, &te)
		i := w.through(Ingress, a.side, b.side, near, f, port, &ti)
		out.Egress = w.side(Egress, verdict(e), &te, a.side, b.side, near, f)
		out.Ingress = w.side(Ingress, verdict(i), &ti, b.side, a.side, near, f)
		if verdict(e.and(i)) == out.Verdict {
			return out
		}
	}
	out.Reason = "it is not known whether they talk over IPv4 or IPv6"
	return out
}

func (w *World) name(p point) string {
	switch {
	case p.member >= 0:
		return w.members[p.member].spec.Object.String()
	case p.side.kind == hostKind:
		return "node " + p.node
	}
	if !p.addr.IsValid() {
		return "an address that is not known"
	}
	return p.addr.String()
}

// side puts a trace into words.
func (w *World) side(d Direction, v Verdict, t *trace, own, peer *side, near Tri, f family) Side {
	out := Side{Verdict: v}
	for _, i := range t.isolating {
		if o := t.list.entries[i].object; o != nil {
			out.Isolating = append(out.Isolating, o.Ref)
		}
	}
	switch {
	case own.kind != podKind:
		out.Reason = "policies are not for " + [...]string{hostKind: "nodes and pods on their networks", addressKind: "addresses outside"}[own.kind]
		return out
	case t.list == nil && near == Yes && own.lists[d] != nil:
		out.Reason = "a node and its own pods always reach each other"
		return out
	case t.list == nil:
		out.Reason = "no policy isolates it for " + d.String()
		return out
	}
	if v == Unknown {
		out.Doubts = w.doubts(t, peer, near, f)
		out.Reason = strings.Join(out.Doubts, "; ")
		return out
	}
	if h, ok := t.decided(v); ok {
		if o := t.list.entries[h.entry].object; o != nil {
			out.By = &Rule{Policy: o.Ref, Path: h.rule.path, Action: h.rule.action}
			out.Reason = out.By.String()
			return out
		}
	}
	switch {
	case v == Denied && len(out.Isolating) > 0:
		out.Reason = "isolated by " + refs(out.Isolating) + ", and no rule lets it through"
	case v == Allowed:
		out.Reason = "no policy isolates it for " + d.String() + ", and no rule decides"
	}
	return out
}

func refs(list []cluster.Ref) string {
	out := make([]string, 0, len(list))
	for _, r := range list {
		out = append(out, r.String())
	}
	return strings.Join(out, ", ")
}

// decided is the first rule that has the verdict for its action.
func (t *trace) decided(v Verdict) (hit, bool) {
	want := map[Verdict]Action{Allowed: Accept, Denied: Deny}[v]
	for _, h := range t.hits {
		if h.rule.action == want && h.is == Yes && t.list.entries[h.entry].is == Yes {
			return h, true
		}
	}
	return hit{}, false
}

// doubts are what would have to be known.
func (w *World) doubts(t *trace, peer *side, near Tri, f family) []string {
	var out []string
	add := func(format string, args ...any) {
		if s := fmt.Sprintf(format, args...); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if near == Maybe {
		add("it is not known whether the two are on one node")
	}
	for _, i := range t.isolating {
		w.doubtEntry(t.list.entries[i], add)
	}
	conflict := map[int32]Action{}
	for _, h := range t.hits {
		e := t.list.entries[h.entry]
		w.doubtEntry(e, add)
		switch {
		case e.object == nil:
		case h.rule.ports.doubt != "":
			add("%s: %s", e.object, h.rule.ports.doubt)
		case h.is == Maybe:
			add("%s %s: %s", e.object, h.rule.path, w.doubtPeer(&h.rule.peers, peer, f))
		case h.rule.action == unclear:
			add("what %s lets through is not followed", e.object)
		case e.tier == admin || e.tier == baseline:
			if was, ok := conflict[e.priority]; ok && was != h.rule.action {
				add("%s and another policy have priority %d and disagree: either may go first", e.object, e.priority)
			}
			conflict[e.priority] = h.rule.action
		}
	}
	return out
}

// doubtEntry says why a policy may not be for the pod.
func (w *World) doubtEntry(e entry, add func(string, ...any)) {
	switch {
	case e.object == nil:
		add("%s", e.doubt)
	case e.doubt != "":
		add("%s: %s", e.object, e.doubt)
	case e.is == Maybe:
		add("%s: %s", e.object, w.doubtTerm(e.subject))
	}
}

func (w *World) doubtTerm(id int32) string {
	t := w.terms.all[id]
	if s := w.terms.selectors[t.selector]; s.doubt != "" {
		return s.doubt
	}
	if slices.ContainsFunc(w.terms.spaces[t.spaces].list, func(m match) bool { return m.is == Maybe }) {
		return "whom it selects depends on labels of namespaces that are not known"
	}
	return "whom it selects depends on labels that the pods are given later"
}

// doubtPeer says why a rule may or may not be about the other end.
func (w *World) doubtPeer(p *peers, s *side, f family) string {
	if s.kind == podKind {
		for _, id := range p.terms {
			if of(s.terms, id) == Maybe {
				return w.doubtTerm(id)
			}
		}
	}
	for i := range p.blocks {
		b := &p.blocks[i]
		switch t := b.takes(&w.tables, s.kind, f, s.cells[f]); {
		case t == No:
		case t == Maybe:
			return "the address that " + b.cidr.String() + " may have in it is not known"
		case s.kind == podKind:
			return "whether " + b.cidr.String() + " takes in pods differs between networks, and this one is " + w.profile.Name
		case s.kind == hostKind:
			return "whether " + b.cidr.String() + " takes in nodes differs between networks, and this one is " + w.profile.Name
		}
	}
	if p.outside {
		return "which addresses its names have is not known"
	}
	if s.kind == hostKind && len(p.nodes) > 0 {
		return "which node it is, is not known"
	}
	return p.doubt
}
