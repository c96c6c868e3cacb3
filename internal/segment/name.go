package segment

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/network"
)

// A Name is what people call one end of a connection.
type Name struct {
	// Text is as it was written.
	Text string
	// Kind is a kind in lower case, AnyKind where none was given, or one of the words below.
	Kind            string
	Namespace, Name string
	Net             netip.Prefix // of Addresses
}

// What a Name can be of beside the kinds of objects.
const (
	AnyKind   = ""          // a pod or a workload
	AllPods   = "pods"      // every pod of the cluster
	Namespace = "namespace" // every pod of a namespace
	Addresses = "addresses"
	Service   = "service"
	Node      = "node"
	Pod       = "pod"
)

// shortKinds are kubectl's short names, and plurals as people type them.
var shortKinds = map[string]string{
	"po": Pod, "deploy": "deployment", "sts": "statefulset", "ds": "daemonset", "rs": "replicaset",
	"cj": "cronjob", "rc": "replicationcontroller", "svc": Service, "no": Node, "ns": Namespace,
}

var kinds = []string{Pod, "deployment", "statefulset", "daemonset", "replicaset", "job", "cronjob", "replicationcontroller", Service, Node, Namespace}

// kindOf returns the kind that a word means.
func kindOf(word string) (string, bool) {
	word = strings.ToLower(word)
	if long, ok := shortKinds[word]; ok {
		return long, true
	}
	if slices.Contains(kinds, word) {
		return word, true
	}
	if one := strings.TrimSuffix(word, "s"); slices.Contains(kinds, one) {
		return one, true
	}
	return "", false
}

// NameForms says in one line what ParseName takes.
const NameForms = "NS/POD, NS/KIND/NAME (shop/deploy/web, shop/svc/db), NS/* for a whole namespace, node/NAME, an IP address, a CIDR, internet, or pods for all of them"

// ParseName reads what somebody typed. Names without a namespace are in the given one.
func ParseName(text, namespace string) (Name, error) {
	n := Name{Text: text}
	if text == "" {
		return n, errors.New("it is empty")
	}
	switch text {
	case Internet:
		n.Kind = Internet
		return n, nil
	case AllPods, "*", "*/*":
		n.Kind = AllPods
		return n, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return n, fmt.Errorf("%s: a zone is one machine's own", text)
		}
		addr = addr.Unmap()
		n.Kind, n.Net = Addresses, netip.PrefixFrom(addr, addr.BitLen())
		return n, nil
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		if p.Addr().Is4In6() {
			return n, fmt.Errorf("%s: it is an IPv4 range written as IPv6", text)
		}
		n.Kind, n.Net = Addresses, p.Masked()
		return n, nil
	}
	parts := strings.Split(text, "/")
	if slices.Contains(parts, "") {
		return n, fmt.Errorf("%q: want %s", text, NameForms)
	}
	switch len(parts) {
	case 1:
		n.Namespace, n.Name = namespace, parts[0]
	case 2:
		if kind, ok := kindOf(parts[0]); ok {
			n.Kind, n.Namespace, n.Name = kind, namespace, parts[1]
		} else {
			n.Namespace, n.Name = parts[0], parts[1]
		}
	case 3:
		kind, ok := kindOf(parts[1])
		if !ok {
			kind = strings.ToLower(parts[1]) // somebody's own, such as rollout
		}
		n.Kind, n.Namespace, n.Name = kind, parts[0], parts[2]
	default:
		return n, fmt.Errorf("%q: want %s", text, NameForms)
	}
	switch {
	case n.Kind == Namespace:
		n.Namespace, n.Name = n.Name, ""
	case n.Kind == AnyKind && n.Name == "*":
		n.Kind, n.Name = Namespace, ""
	case n.Kind == Node:
		n.Namespace = ""
	}
	return n, nil
}

// ParsePorts reads ports as TCP/80, UDP/53, 8080 (which is TCP), TCP/8000-8080, or TCP for
// all of a protocol.
func ParsePorts(list []string) (network.PortSet, error) {
	var out network.PortSet
	for _, text := range list {
		p, err := parsePorts(text)
		if err != nil {
			return nil, err
		}
		out = out.Union(network.PortSet{p})
	}
	return out, nil
}

// portForm is how an error says what is wanted.
const portForm = "want TCP/80, UDP/53, 8080 or TCP/8000-8080"

func parsePorts(text string) (network.Ports, error) {
	p := network.Ports{Protocol: corev1.ProtocolTCP, First: 1, Last: 65535}
	protocol, numbers, both := strings.Cut(text, "/")
	if !both {
		if text == "" || text[0] < '0' || text[0] > '9' {
			protocol, numbers = text, "1-65535"
		} else {
			protocol, numbers = string(corev1.ProtocolTCP), text
		}
	}
	switch p.Protocol = corev1.Protocol(strings.ToUpper(protocol)); p.Protocol {
	case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
	default:
		return p, fmt.Errorf("port %q: %s", text, portForm)
	}
	first, last, ranged := strings.Cut(numbers, "-")
	if !ranged {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if err := cmp.Or(errA, errB); err != nil || a == 0 || b < a {
		return p, fmt.Errorf("port %q: %s", text, portForm)
	}
	p.First, p.Last = int32(a), int32(b)
	return p, nil
}
