package policy

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// portSet holds the destination ports of a rule by protocol; no ranges mean
// every port of the protocol.
type portSet struct {
	any    bool // every protocol and port
	ranges map[corev1.Protocol][]PortRange
}

// portName is a port by name: its number depends on the destination pod.
type portName struct {
	protocol corev1.Protocol
	name     string
}

// everyPort stands for a protocol without a port.
var everyPort = PortRange{0, 65535}

func (s *portSet) add(protocol corev1.Protocol, r PortRange) {
	s.ranges[protocol] = append(s.ranges[protocol], r)
}

// numbered splits the ports of a rule into numbers and names.
func (c *compiler) numbered(np *networkingv1.NetworkPolicy, ports []networkingv1.NetworkPolicyPort) (portSet, []portName) {
	set := portSet{any: len(ports) == 0, ranges: make(map[corev1.Protocol][]PortRange)}
	var named []portName
	for _, port := range ports {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		switch {
		case port.Port == nil:
			set.add(protocol, everyPort)
		case port.Port.Type == intstr.String:
			named = append(named, portName{protocol, port.Port.StrVal})
		default:
			first, last := port.Port.IntVal, port.Port.IntVal
			if port.EndPort != nil {
				last = *port.EndPort
			}
			if first < 1 || last > 65535 || first > last {
				c.fail(np, "ports: %d-%d is not a range of ports", first, last)
				continue
			}
			set.add(protocol, PortRange{uint16(first), uint16(last)})
		}
	}
	return set, named
}

// rules completes the rule once for each protocol.
func (s portSet) rules(rule Rule) []Rule {
	if s.any {
		return []Rule{rule}
	}
	var rules []Rule
	for _, protocol := range sortedKeys(s.ranges) {
		rule.Protocol, rule.Ports = protocol, merge(s.ranges[protocol])
		if rule.Ports[0] == everyPort {
			rule.Ports = nil
		}
		rules = append(rules, rule)
	}
	return rules
}

// merge joins ranges that overlap or touch and sorts them.
func merge(ranges []PortRange) []PortRange {
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	merged := ranges[:1]
	for _, r := range ranges[1:] {
		last := &merged[len(merged)-1]
		if int(r.First) > int(last.Last)+1 {
			merged = append(merged, r)
			continue
		}
		last.Last = max(last.Last, r.Last)
	}
	return merged
}

// namedPort finds the port in the pod's containers, among them the init
// containers that keep running.
func namedPort(pod pod, want portName) (uint16, bool) {
	containers := pod.Spec.Containers
	for _, init := range pod.Spec.InitContainers {
		if init.RestartPolicy != nil && *init.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(slices.Clip(containers), init)
		}
	}
	for _, container := range containers {
		for _, port := range container.Ports {
			protocol := cmp.Or(port.Protocol, corev1.ProtocolTCP)
			if port.Name == want.name && protocol == want.protocol {
				return uint16(port.ContainerPort), true
			}
		}
	}
	return 0, false
}
