package network

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// The policies of a cluster's administrators, all of group policy.networking.k8s.io. The
// newer ClusterNetworkPolicy took the place of the two older kinds.

// adminPolicies compiles those that the network enforces.
func (c *compiler) adminPolicies(s *cluster.Snapshot, profile Profile) {
	read := func(kind, version string, enforced Tri, compile func(o *cluster.Object, p *policy, raw []byte) error) {
		for o, custom := range cluster.All[*cluster.Custom](s, kind) {
			if enforced == No {
				c.problem(o, "", "the network %s does not enforce policies of this kind", profile.Name)
				continue
			}
			p := &policy{object: o, tier: admin}
			if enforced == Maybe {
				p.doubt = "whether the network " + profile.Name + " enforces policies of this kind is not known"
			}
			raw, err := json.Marshal(custom.Content)
			if err == nil && o.APIVersion != version {
				err = fmt.Errorf("%s is not known, only %s", o.APIVersion, version)
			}
			if err == nil {
				err = compile(o, p, raw)
			}
			if err != nil {
				c.opaque(o, p, c.problem(o, "", "%v", err))
			}
			for d := range p.rules {
				for i := range p.rules[d] {
					p.rules[d][i].place = int32(i)
				}
			}
			c.policies = append(c.policies, p)
		}
	}
	read("ClusterNetworkPolicy", v1alpha2.GroupVersion.String(), profile.Cluster, c.clusterPolicy)
	read("AdminNetworkPolicy", v1alpha1.GroupVersion.String(), profile.Admin, c.adminPolicy)
	read("BaselineAdminNetworkPolicy", v1alpha1.GroupVersion.String(), profile.Admin, c.baselinePolicy)
}

// opaque makes of a policy one that may do anything to anybody.
func (c *compiler) opaque(o *cluster.Object, p *policy, why string) {
	*p = policy{object: o, tier: foreign, doubt: why, applies: [2]bool{true, true}}
	everyone := c.terms.everyone()
	p.subject = c.terms.term(c.terms.selected(everyone), everyone)
	r := rule{path: "spec", action: unclear, peers: peers{doubt: why}, ports: ports{set: AllPorts}}
	p.rules = [2][]rule{{r}, {r}}
}

// An adminPeer is a peer of any of the kinds. Exactly one of its fields is set, or it is
// of a version that has others.
type adminPeer struct {
	namespaces *metav1.LabelSelector
	in, pods   *metav1.LabelSelector
	nodes      *metav1.LabelSelector
	networks   []string
	domains    int
}

// An adminRule is a rule of any of the kinds.
type adminRule struct {
	action string
	peers  []adminPeer
	ports  func(path string, to *ports) // nil for all
}

func (c *compiler) clusterPolicy(o *cluster.Object, p *policy, raw []byte) error {
	var cnp v1alpha2.ClusterNetworkPolicy
	if err := json.Unmarshal(raw, &cnp); err != nil {
		return err
	}
	p.priority = cnp.Spec.Priority
	switch cnp.Spec.Tier {
	case v1alpha2.AdminTier:
	case v1alpha2.BaselineTier:
		p.tier = baseline
	default:
		return fmt.Errorf("spec.tier: %q is neither Admin nor Baseline", cnp.Spec.Tier)
	}
	var subject adminPeer
	subject.namespaces = cnp.Spec.Subject.Namespaces
	if s := cnp.Spec.Subject.Pods; s != nil {
		subject.in, subject.pods = &s.NamespaceSelector, &s.PodSelector
	}
	c.subject(o, p, subject)
	for i := range cnp.Spec.Ingress {
		r := &cnp.Spec.Ingress[i]
		a := adminRule{action: string(r.Action), ports: c.protocols(o, r.Protocols)}
		for j := range r.From {
			a.peers = append(a.peers, clusterPeer(r.From[j].Namespaces, r.From[j].Pods))
		}
		c.adminRule(o, p, Ingress, fmt.Sprintf("spec.ingress[%d]", i), &a)
	}
	for i := range cnp.Spec.Egress {
		r := &cnp.Spec.Egress[i]
		a := adminRule{action: string(r.Action), ports: c.protocols(o, r.Protocols)}
		for j := range r.To {
			to := &r.To[j]
			peer := clusterPeer(to.Namespaces, to.Pods)
			peer.nodes, peer.domains = to.Nodes, len(to.DomainNames)
			for _, n := range to.Networks {
				peer.networks = append(peer.networks, string(n))
			}
			a.peers = append(a.peers, peer)
		}
		c.adminRule(o, p, Egress, fmt.Sprintf("spec.egress[%d]", i), &a)
	}
	return nil
}

func clusterPeer(namespaces *metav1.LabelSelector, pods *v1alpha2.NamespacedPod) adminPeer {
	p := adminPeer{namespaces: namespaces}
	if pods != nil {
		p.in, p.pods = &pods.NamespaceSelector, &pods.PodSelector
	}
	return p
}

// protocols are the ports of a rule of a ClusterNetworkPolicy.
func (c *compiler) protocols(o *cluster.Object, list []v1alpha2.ClusterNetworkPolicyProtocol) func(string, *ports) {
	if len(list) == 0 {
		return nil
	}
	return func(path string, to *ports) {
		var set []Ports
		for i := range list {
			p, at := &list[i], fmt.Sprintf("%s.protocols[%d]", path, i)
			number := func(protocol corev1.Protocol, port *v1alpha2.Port) {
				switch {
				case port == nil:
					set = append(set, Ports{protocol, 1, maxPort})
				case port.Range != nil:
					c.numbers(o, at, protocol, port.Range.Start, port.Range.End, &set, to)
				default:
					c.numbers(o, at, protocol, port.Number, port.Number, &set, to)
				}
			}
			switch {
			case p.TCP != nil:
				number(corev1.ProtocolTCP, p.TCP.DestinationPort)
			case p.UDP != nil:
				number(corev1.ProtocolUDP, p.UDP.DestinationPort)
			case p.SCTP != nil:
				number(corev1.ProtocolSCTP, p.SCTP.DestinationPort)
			case p.DestinationNamedPort != "":
				c.named[p.DestinationNamedPort] = true
				to.named = append(to.named, named{name: p.DestinationNamedPort})
			default:
				to.doubt = c.problem(o, at, "names no protocol that is known")
			}
		}
		to.set = normal(set)
	}
}

func (c *compiler) adminPolicy(o *cluster.Object, p *policy, raw []byte) error {
	var anp v1alpha1.AdminNetworkPolicy
	if err := json.Unmarshal(raw, &anp); err != nil {
		return err
	}
	p.priority = anp.Spec.Priority
	c.subject(o, p, olderPeer(anp.Spec.Subject.Namespaces, anp.Spec.Subject.Pods))
	for i := range anp.Spec.Ingress {
		r := &anp.Spec.Ingress[i]
		c.olderIngress(o, p, i, string(r.Action), r.From, r.Ports)
	}
	for i := range anp.Spec.Egress {
		r := &anp.Spec.Egress[i]
		a := adminRule{action: string(r.Action), ports: c.olderPorts(o, r.Ports)}
		for j := range r.To {
			to := &r.To[j]
			peer := olderPeer(to.Namespaces, to.Pods)
			peer.nodes, peer.networks, peer.domains = to.Nodes, texts(to.Networks), len(to.DomainNames)
			a.peers = append(a.peers, peer)
		}
		c.adminRule(o, p, Egress, fmt.Sprintf("spec.egress[%d]", i), &a)
	}
	return nil
}

func (c *compiler) baselinePolicy(o *cluster.Object, p *policy, raw []byte) error {
	var banp v1alpha1.BaselineAdminNetworkPolicy
	if err := json.Unmarshal(raw, &banp); err != nil {
		return err
	}
	p.tier = baseline
	if o.Name != "default" {
		return fmt.Errorf("the only policy of this kind is called default")
	}
	c.subject(o, p, olderPeer(banp.Spec.Subject.Namespaces, banp.Spec.Subject.Pods))
	for i := range banp.Spec.Ingress {
		r := &banp.Spec.Ingress[i]
		c.olderIngress(o, p, i, string(r.Action), r.From, r.Ports)
	}
	for i := range banp.Spec.Egress {
		r := &banp.Spec.Egress[i]
		a := adminRule{action: string(r.Action), ports: c.olderPorts(o, r.Ports)}
		for j := range r.To {
			to := &r.To[j]
			peer := olderPeer(to.Namespaces, to.Pods)
			peer.nodes, peer.networks = to.Nodes, texts(to.Networks)
			a.peers = append(a.peers, peer)
		}
		c.adminRule(o, p, Egress, fmt.Sprintf("spec.egress[%d]", i), &a)
	}
	return nil
}

func (c *compiler) olderIngress(o *cluster.Object, p *policy, i int, action string, from []v1alpha1.AdminNetworkPolicyIngressPeer, list *[]v1alpha1.AdminNetworkPolicyPort) {
	a := adminRule{action: action, ports: c.olderPorts(o, list)}
	for j := range from {
		a.peers = append(a.peers, olderPeer(from[j].Namespaces, from[j].Pods))
	}
	c.adminRule(o, p, Ingress, fmt.Sprintf("spec.ingress[%d]", i), &a)
}

func olderPeer(namespaces *metav1.LabelSelector, pods *v1alpha1.NamespacedPod) adminPeer {
	p := adminPeer{namespaces: namespaces}
	if pods != nil {
		p.in, p.pods = &pods.NamespaceSelector, &pods.PodSelector
	}
	return p
}

func texts(list []v1alpha1.CIDR) []string {
	var out []string
	for _, n := range list {
		out = append(out, string(n))
	}
	return out
}

// olderPorts are the ports of a rule of the older kinds; no protocol is TCP.
func (c *compiler) olderPorts(o *cluster.Object, list *[]v1alpha1.AdminNetworkPolicyPort) func(string, *ports) {
	if list == nil || len(*list) == 0 {
		return nil
	}
	return func(path string, to *ports) {
		var set []Ports
		for i := range *list {
			p, at := &(*list)[i], fmt.Sprintf("%s.ports[%d]", path, i)
			number := func(protocol corev1.Protocol, first, last int32) {
				if protocol == "" {
					protocol = corev1.ProtocolTCP
				}
				if !known(protocol) {
					to.doubt = c.problem(o, at+".protocol", "%q is none of TCP, UDP and SCTP", protocol)
					return
				}
				c.numbers(o, at, protocol, first, last, &set, to)
			}
			switch {
			case p.PortNumber != nil:
				number(p.PortNumber.Protocol, p.PortNumber.Port, p.PortNumber.Port)
			case p.PortRange != nil:
				number(p.PortRange.Protocol, p.PortRange.Start, p.PortRange.End)
			case p.NamedPort != nil:
				c.named[*p.NamedPort] = true
				to.named = append(to.named, named{name: *p.NamedPort})
			default:
				to.doubt = c.problem(o, at, "names no port in a way that is known")
			}
		}
		to.set = normal(set)
	}
}

// subject is whom a policy is for. One that cannot be told may be anybody.
func (c *compiler) subject(o *cluster.Object, p *policy, s adminPeer) {
	id, ok := c.adminTerm(o, "spec.subject", s)
	if !ok {
		id = c.terms.term(c.terms.selected(c.terms.everyone()), c.terms.doubtful(c.problem(o, "spec.subject", "selects in no way that is known")))
	}
	p.subject = id
}

// adminTerm is the set of pods that a peer or a subject selects, if it does.
func (c *compiler) adminTerm(o *cluster.Object, path string, p adminPeer) (int32, bool) {
	switch {
	case p.namespaces != nil:
		return c.terms.term(c.terms.selected(c.selector(o, path+".namespaces", p.namespaces)), c.terms.everyone()), true
	case p.pods != nil:
		in := c.terms.selected(c.selector(o, path+".pods.namespaceSelector", p.in))
		return c.terms.term(in, c.selector(o, path+".pods.podSelector", p.pods)), true
	}
	return 0, false
}

// adminRule adds a rule. One with a peer of a kind that is not known fails closed: it
// accepts nothing, or else denies everything
// (apis/v1alpha2/clusternetworkpolicy_types.go, ClusterNetworkPolicyIngressPeer).
func (c *compiler) adminRule(o *cluster.Object, p *policy, d Direction, path string, a *adminRule) {
	p.applies[d] = true
	r := rule{path: path, ports: ports{set: AllPorts}}
	switch a.action {
	case "Accept", "Allow":
		r.action = Accept
	case "Deny":
		r.action = Deny
	case "Pass":
		r.action = Pass
	default:
		r.action = unclear
		c.problem(o, path+".action", "%q is no action", a.action)
	}
	if a.ports != nil {
		r.ports.set = nil
		a.ports(path, &r.ports)
	}
	field := [...]string{Ingress: "from", Egress: "to"}[d]
	if len(a.peers) == 0 {
		r.peers.doubt = c.problem(o, path+"."+field, "names no peer")
	}
	for i, peer := range a.peers {
		at := fmt.Sprintf("%s.%s[%d]", path, field, i)
		if id, ok := c.adminTerm(o, at, peer); ok {
			r.peers.terms = append(r.peers.terms, id)
			continue
		}
		switch {
		case peer.nodes != nil:
			r.peers.nodes = append(r.peers.nodes, c.terms.node(c.selector(o, at+".nodes", peer.nodes)))
		case len(peer.networks) > 0:
			for j, cidr := range peer.networks {
				c.block(o, fmt.Sprintf("%s.networks[%d]", at, j), cidr, nil, true, &r.peers)
			}
		case peer.domains > 0:
			r.peers.outside = true
		default:
			c.problem(o, at, "is of a kind that is not known: the rule fails closed")
			r.peers, r.ports = peers{}, ports{set: AllPorts}
			if r.action != Accept {
				r.action, r.peers.any = Deny, true
			}
			p.rules[d] = append(p.rules[d], r)
			return
		}
	}
	p.rules[d] = append(p.rules[d], r)
}
