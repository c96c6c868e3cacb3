package segment

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/network"
)

// A Pair is what one place may do to another, and why.
type Pair struct {
	From, To    Place
	Connections network.Connections
	// Mixed are ports that some of the one place may use to some of the other, and not all
	// of them to all.
	Mixed network.PortSet
	Why   []Reason
}

// A Reason is why some ports have a verdict, told for one of them.
type Reason struct {
	Verdict network.Verdict
	Ports   network.PortSet
	Answer  network.Answer
}

// maxReasons of one verdict: more ranges of ports than this are explained by the first.
const maxReasons = 8

// Ask tells what one place may do to another on the given ports; nil means all of them, or
// those that a Service has.
func (v *View) Ask(from, to Place, ports network.PortSet) Pair {
	p := Pair{From: from, To: to}
	service := len(to.Ends) == 1 && to.Ends[0].Ref.Kind == "Service"
	if ports.Empty() {
		ports = network.AllPorts
		if service {
			ports = v.ServicePorts(to.Ends[0])
		}
	}
	if service || one(ports) {
		v.askEach(&p, ports)
	} else {
		v.askAll(&p, ports)
	}
	return p
}

// one reports whether it is a single port.
func one(s network.PortSet) bool { return len(s) == 1 && s[0].First == s[0].Last }

// maxEach bounds the ports of a Service that are asked one by one.
const maxEach = 1024

// askEach asks port by port: a Service leads each to another one.
func (v *View) askEach(p *Pair, ports network.PortSet) {
	asked := 0
	for _, r := range ports {
		for port := r.First; port <= r.Last && asked < maxEach; port++ {
			asked++
			set := network.OnePort(r.Protocol, port)
			best := v.best(p.From, p.To, r.Protocol, port)
			p.put(best.Verdict, set)
			if best.Mixed {
				p.Mixed = p.Mixed.Union(set)
			}
			p.because(Reason{best.Verdict, set, best})
		}
	}
}

// best asks for the pair of ends that is let through most.
func (v *View) best(from, to Place, protocol corev1.Protocol, port int32) network.Answer {
	var best network.Answer
	first := true
	for _, a := range from.Ends {
		for _, b := range to.Ends {
			answer := v.World.Ask(a, b, protocol, port)
			switch {
			case first:
				best, first = answer, false
			case order(answer.Verdict) > order(best.Verdict):
				answer.Mixed = true
				best = answer
			default:
				best.Mixed = best.Mixed || answer.Mixed || answer.Verdict != best.Verdict
			}
		}
	}
	return best
}

func order(v network.Verdict) int {
	return slices.Index([]network.Verdict{network.Denied, network.Unknown, network.Allowed}, v)
}

func (p *Pair) put(v network.Verdict, s network.PortSet) {
	c := &p.Connections
	switch v {
	case network.Allowed:
		c.Allowed = c.Allowed.Union(s)
	case network.Denied:
		c.Denied = c.Denied.Union(s)
	case network.Unknown:
		c.Unknown = c.Unknown.Union(s)
	}
}

// because adds a reason, to an equal one where there is one.
func (p *Pair) because(r Reason) {
	for i := range p.Why {
		w := &p.Why[i]
		if w.Verdict == r.Verdict && w.Answer.Reason == r.Answer.Reason && w.Answer.Egress.Reason == r.Answer.Egress.Reason && w.Answer.Ingress.Reason == r.Answer.Ingress.Reason {
			w.Ports = w.Ports.Union(r.Ports)
			return
		}
	}
	p.Why = append(p.Why, r)
}

// itself reports whether two ends of one place of several are the same pod.
func itself(from, to Place, a, b network.Endpoint) bool {
	return from.Label == to.Label && len(from.Ends) > 1 && a.Ref.Kind == "Pod" && a.Ref == b.Ref
}

// Between is what some end of one place may do to some end of another, on all ports.
func (v *View) Between(from, to Place) (best network.Connections, mixed network.PortSet) {
	first := true
	var all network.PortSet // allowed to everybody
	for _, a := range from.Ends {
		for _, b := range to.Ends {
			if itself(from, to, a, b) {
				continue
			}
			c := v.Connections(a, b)
			if first {
				best, all, first = c, c.Allowed, false
				continue
			}
			best.Allowed = best.Allowed.Union(c.Allowed)
			best.Denied = best.Denied.Intersect(c.Denied)
			all = all.Intersect(c.Allowed)
		}
	}
	if first {
		best.Denied = network.AllPorts
	}
	best.Unknown = network.AllPorts.Minus(best.Allowed).Minus(best.Denied)
	return best, best.Allowed.Minus(all)
}

// askAll asks for all ports at once, and explains each range by one of its ports.
func (v *View) askAll(p *Pair, ports network.PortSet) {
	c, mixed := v.Between(p.From, p.To)
	p.Connections = network.Connections{Allowed: c.Allowed.Intersect(ports), Denied: c.Denied.Intersect(ports), Unknown: c.Unknown.Intersect(ports)}
	p.Mixed = mixed.Intersect(ports)
	for _, part := range []struct {
		verdict network.Verdict
		ports   network.PortSet
	}{{network.Allowed, p.Connections.Allowed}, {network.Unknown, p.Connections.Unknown}, {network.Denied, p.Connections.Denied}} {
		for i, r := range part.ports {
			if i == maxReasons {
				p.because(Reason{part.verdict, part.ports[i:], v.best(p.From, p.To, r.Protocol, r.First)})
				break
			}
			p.because(Reason{part.verdict, network.PortSet{r}, v.best(p.From, p.To, r.Protocol, r.First)})
		}
	}
	for i := range p.Why {
		if p.Why[i].Answer.Mixed {
			p.Mixed = p.Mixed.Union(p.Why[i].Ports.Intersect(p.Connections.Allowed))
		}
	}
}

// Around is all that some places reach and that reaches them, as far as it is on the given
// ports; nil means all. Pairs from the places come first.
func (v *View) Around(those []Place, only network.PortSet) []Pair {
	if only.Empty() {
		only = network.AllPorts
	}
	others := append(places(v.Workloads()), v.internet)
	var out []Pair
	put := func(from, to Place) {
		c, mixed := v.Between(from, to)
		out = append(out, Pair{From: from, To: to, Mixed: mixed.Intersect(only), Connections: network.Connections{
			Allowed: c.Allowed.Intersect(only), Denied: c.Denied.Intersect(only), Unknown: c.Unknown.Intersect(only),
		}})
	}
	for _, p := range those {
		for _, o := range others {
			if o.Label != p.Label {
				put(p, o)
			}
		}
	}
	for _, p := range those {
		for _, o := range others {
			if o.Label != p.Label {
				put(o, p)
			}
		}
	}
	return out
}

// Alone reports whether a place is a single pod, which has nobody to talk to but itself.
func (v *View) Alone(p Place) bool {
	if len(p.Ends) != 1 {
		return false
	}
	ref := p.Ends[0].Ref
	if ref.Kind == "Pod" {
		return true
	}
	for _, spec := range v.Snapshot.PodsIn(ref.Namespace) {
		if spec.Object.Ref == ref {
			return len(spec.Running) == 1
		}
	}
	return false
}

// Judge parts ports by whether the verdict holds of them: allowed for everybody of the one
// place to everybody of the other, or denied for all of them. What is in neither set
// cannot be told.
func (v *View) Judge(from, to Place, ports network.PortSet, want network.Verdict) (good, bad network.PortSet) {
	if len(to.Ends) == 1 && to.Ends[0].Ref.Kind == "Service" {
		return v.judgeService(from, to, ports, want)
	}
	good = ports
	pairs, strangers := 0, 0
	for _, a := range from.Ends {
		for _, b := range to.Ends {
			if itself(from, to, a, b) {
				continue
			}
			pairs++
			c := v.Connections(a, b)
			if want == network.Allowed {
				all, some := v.ConnectionsOfAll(a, b)
				if !some {
					strangers++ // who is of the other family is not kept out by policies
					continue
				}
				c = all
			}
			yes, no := c.Allowed, c.Denied
			if want == network.Denied {
				yes, no = no, yes
			}
			good, bad = good.Intersect(yes), bad.Union(ports.Intersect(no))
		}
	}
	if strangers > 0 && strangers == pairs {
		return nil, ports // but where all are, nobody gets through
	}
	return good, bad
}

// judgeService does so for the ports of a Service, each of which leads to another one. One
// that it does not have leads nowhere.
func (v *View) judgeService(from, to Place, ports network.PortSet, want network.Verdict) (good, bad network.PortSet) {
	has := v.ServicePorts(to.Ends[0]).Intersect(ports)
	if want == network.Denied {
		good = ports.Minus(has)
	} else if ports.All() {
		good = ports.Minus(has) // all that it has
	} else {
		bad = ports.Minus(has)
	}
	asked := 0
	for _, r := range has {
		for port := r.First; port <= r.Last && asked < maxEach; port++ {
			asked++
			set := network.OnePort(r.Protocol, port)
			switch a := v.best(from, to, r.Protocol, port); {
			case a.Verdict == want && (want == network.Denied || !a.Mixed):
				good = good.Union(set)
			case a.Verdict != network.Unknown:
				bad = bad.Union(set)
			}
		}
	}
	return good, bad
}

// Example is an answer for one of some ports, of a pair of ends with the verdict where
// there is one.
func (v *View) Example(from, to Place, ports network.PortSet, verdict network.Verdict) network.Answer {
	var out network.Answer
	for _, a := range from.Ends {
		for _, b := range to.Ends {
			if out = v.World.Ask(a, b, ports[0].Protocol, ports[0].First); out.Verdict == verdict {
				return out
			}
		}
	}
	return out
}
