package network

import (
	"fmt"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// An Isolation is whether policies close a pod, by direction: what nothing lets through
// is then denied.
type Isolation struct {
	Ingress, Egress Tri
	// Doubt says why a direction is Maybe.
	Doubt string
}

// Policies are a World's alone, for who only asks which pods they isolate.
type Policies struct{ world *World }

// Compile compiles the policies of a Snapshot, in time that grows with their number.
func Compile(s *cluster.Snapshot, opts Options) Policies {
	w, _ := compiled(s, opts)
	return Policies{w}
}

// Isolation is that of the World.
func (p Policies) Isolation(pod *cluster.PodSpec) Isolation { return p.world.Isolation(pod) }

// IsolationOfAll is that of the World.
func (p Policies) IsolationOfAll(namespace string) Isolation {
	return p.world.IsolationOfAll(namespace)
}

// Isolation tells it of one pod or template. Besides policies that isolate, a rule of an
// administrator's closes a direction that denies every pod, or every address, on all ports.
func (w *World) Isolation(p *cluster.PodSpec) Isolation {
	if p.Spec.HostNetwork {
		return Isolation{}
	}
	return w.isolation(w.terms.pod(p.Namespace(), labelSet{p.Meta.Labels, added(p)}))
}

// IsolationOfAll tells it of every pod that a namespace may ever have: by policies that
// select all of them, whatever their labels.
func (w *World) IsolationOfAll(namespace string) Isolation {
	ns, ok := w.terms.byName[namespace]
	if !ok {
		return Isolation{}
	}
	var all []match
	for _, in := range w.terms.of[ns] {
		for _, id := range w.terms.spaces[in.id].terms {
			switch sel := w.terms.selectors[w.terms.all[id].selector]; {
			case sel.doubt != "":
				all = append(all, match{id, Maybe})
			case len(sel.requirements) == 0:
				all = append(all, match{id, in.is})
			}
		}
	}
	return w.isolation(all)
}

// isolation joins what the policies for several terms do.
func (w *World) isolation(terms []match) Isolation {
	var out Isolation
	for _, m := range terms {
		is, ok := w.closed[m.id]
		if !ok {
			continue
		}
		if ingress, egress := min(is.Ingress, m.is), min(is.Egress, m.is); ingress > out.Ingress || egress > out.Egress {
			out.Ingress, out.Egress = max(out.Ingress, ingress), max(out.Egress, egress)
			switch {
			case is.Doubt != "":
				out.Doubt = is.Doubt
			case m.is == Maybe:
				w.doubtEntry(entry{w.policies[w.bySubject[m.id][0]], Maybe}, func(format string, args ...any) { out.Doubt = fmt.Sprintf(format, args...) })
			}
		}
	}
	return out
}

// close works out once what the policies for each set of pods close.
func (w *World) close() {
	w.closed = map[int32]Isolation{}
	for _, p := range w.policies {
		is, to := Yes, w.closed[p.subject]
		if p.doubt != "" {
			is = Maybe
		}
		ingress, egress := No, No
		if p.closes(Ingress, w.terms) {
			ingress = is
		}
		if p.closes(Egress, w.terms) {
			egress = is
		}
		if ingress == No && egress == No {
			continue
		}
		if is == Maybe && (ingress > to.Ingress || egress > to.Egress) {
			w.doubtEntry(entry{p, Yes}, func(format string, args ...any) { to.Doubt = fmt.Sprintf(format, args...) })
		}
		to.Ingress, to.Egress = max(to.Ingress, ingress), max(to.Egress, egress)
		w.closed[p.subject] = to
	}
}

// closes reports whether the policy leaves a direction shut but for what rules let through.
func (p *policy) closes(d Direction, t *terms) bool {
	switch {
	case !p.applies[d]:
		return false
	case p.tier == namespaced || p.tier == foreign:
		return true
	}
	for i := range p.rules[d] {
		if r := &p.rules[d][i]; r.action == Deny && r.ports.set.All() && r.peers.everybody(t) {
			return true
		}
	}
	return false
}

// everybody reports whether the peers are every pod, or every address of a family.
func (p *peers) everybody(t *terms) bool {
	if p.any {
		return true
	}
	for _, id := range p.terms {
		k := t.all[id]
		if len(t.spaces[k.spaces].list) == len(t.names) && len(t.selectors[k.selector].requirements) == 0 && t.selectors[k.selector].doubt == "" {
			return true
		}
	}
	for i := range p.blocks {
		if b := &p.blocks[i]; b.cidr.Bits() == 0 && len(b.except) == 0 {
			return true
		}
	}
	return false
}
