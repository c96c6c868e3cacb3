package network

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A PortSet is a set of ports of TCP, UDP and SCTP. Two equal sets are equal slices.
type PortSet []Ports

// Ports are all ports of one protocol from First to Last.
type Ports struct {
	Protocol    corev1.Protocol `json:"protocol"`
	First, Last int32           // 1 to 65535
}

const maxPort = 65535

// AllPorts is every port of every protocol that policies know.
var AllPorts = PortSet{
	{corev1.ProtocolTCP, 1, maxPort}, {corev1.ProtocolUDP, 1, maxPort}, {corev1.ProtocolSCTP, 1, maxPort},
}

// OnePort is a set of one port.
func OnePort(protocol corev1.Protocol, port int32) PortSet {
	return PortSet{{protocol, port, port}}
}

// rank is a protocol's place in a PortSet.
func rank(p corev1.Protocol) int {
	switch p {
	case corev1.ProtocolTCP:
		return 0
	case corev1.ProtocolUDP:
		return 1
	case corev1.ProtocolSCTP:
	}
	return 2
}

// order compares by protocol and first port.
func (p Ports) order(o Ports) int {
	return cmp.Or(cmp.Compare(rank(p.Protocol), rank(o.Protocol)), cmp.Compare(p.First, o.First))
}

// Empty reports whether nothing is in the set.
func (s PortSet) Empty() bool { return len(s) == 0 }

// All reports whether every port is in the set.
func (s PortSet) All() bool { return s.Equal(AllPorts) }

// Equal reports whether the sets are the same.
func (s PortSet) Equal(o PortSet) bool { return slices.Equal(s, o) }

// Has reports whether one port is in the set.
func (s PortSet) Has(protocol corev1.Protocol, port int32) bool {
	return slices.ContainsFunc(s, func(p Ports) bool {
		return p.Protocol == protocol && p.First <= port && port <= p.Last
	})
}

// normal sorts the ports and joins those that touch. It may change the argument.
func normal(list []Ports) PortSet {
	slices.SortFunc(list, Ports.order)
	out := list[:0]
	for _, p := range list {
		if n := len(out); n > 0 && out[n-1].Protocol == p.Protocol && p.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, p.Last)
			continue
		}
		out = append(out, p)
	}
	return PortSet(out)
}

// Union is what is in one of the sets.
func (s PortSet) Union(o PortSet) PortSet {
	switch {
	case len(o) == 0 || s.All():
		return s
	case len(s) == 0 || o.All():
		return o
	}
	return normal(slices.Concat(s, o))
}

// Intersect is what is in both sets.
func (s PortSet) Intersect(o PortSet) PortSet {
	switch {
	case len(s) == 0 || len(o) == 0:
		return nil
	case s.All():
		return o
	case o.All():
		return s
	}
	var out PortSet
	for i, j := 0, 0; i < len(s) && j < len(o); {
		a, b := s[i], o[j]
		if a.Protocol == b.Protocol {
			if first, last := max(a.First, b.First), min(a.Last, b.Last); first <= last {
				out = append(out, Ports{a.Protocol, first, last})
			}
		}
		if cmp.Or(cmp.Compare(rank(a.Protocol), rank(b.Protocol)), cmp.Compare(a.Last, b.Last)) < 0 {
			i++
		} else {
			j++
		}
	}
	return out
}

// Minus is what is in s and not in o.
func (s PortSet) Minus(o PortSet) PortSet {
	switch {
	case len(s) == 0 || o.All():
		return nil
	case len(o) == 0:
		return s
	}
	var out PortSet
	j := 0
	for _, p := range s {
		for j < len(o) && (rank(o[j].Protocol) < rank(p.Protocol) || o[j].Protocol == p.Protocol && o[j].Last < p.First) {
			j++
		}
		for k := j; k < len(o) && o[k].Protocol == p.Protocol && o[k].First <= p.Last; k++ {
			if o[k].First > p.First {
				out = append(out, Ports{p.Protocol, p.First, o[k].First - 1})
			}
			p.First = o[k].Last + 1
		}
		if p.First <= p.Last {
			out = append(out, p)
		}
	}
	return out
}

// String is how people write ports: "all ports", "TCP 80, TCP 8000-8080, UDP all".
func (s PortSet) String() string {
	switch {
	case len(s) == 0:
		return "no port"
	case s.All():
		return "all ports"
	}
	out := make([]string, len(s))
	for i, p := range s {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}

func (p Ports) String() string {
	switch {
	case p.First == 1 && p.Last == maxPort:
		return string(p.Protocol) + " all"
	case p.First == p.Last:
		return fmt.Sprintf("%s %d", p.Protocol, p.First)
	}
	return fmt.Sprintf("%s %d-%d", p.Protocol, p.First, p.Last)
}

// Connections are all ports between two ends, parted by what the policies say of them.
type Connections struct {
	Allowed, Denied, Unknown PortSet
}

// Of is what the policies say of one port.
func (c Connections) Of(protocol corev1.Protocol, port int32) Verdict {
	switch {
	case c.Allowed.Has(protocol, port):
		return Allowed
	case c.Denied.Has(protocol, port):
		return Denied
	}
	return Unknown
}

// An outcome is what may become of each port as far as is known: a port in both sets is
// one that cannot be told.
type outcome struct{ allow, deny PortSet }

// free is the outcome where nothing stands between.
func free(ports PortSet) outcome { return outcome{allow: ports} }

// and is the outcome of a connection that has to pass both.
func (a outcome) and(b outcome) outcome {
	return outcome{a.allow.Intersect(b.allow), a.deny.Union(b.deny)}
}

// or is the outcome where either may be the case and nobody can say which.
func (a outcome) or(b outcome) outcome {
	return outcome{a.allow.Union(b.allow), a.deny.Union(b.deny)}
}

// any is the outcome where the one who connects may choose.
func (a outcome) any(b outcome) outcome {
	return outcome{a.allow.Union(b.allow), a.deny.Intersect(b.deny)}
}

func (a outcome) connections() Connections {
	unknown := a.allow.Intersect(a.deny)
	return Connections{Allowed: a.allow.Minus(unknown), Denied: a.deny.Minus(unknown), Unknown: unknown}
}
