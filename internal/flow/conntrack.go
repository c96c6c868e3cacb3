package flow

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Why a line of the table is no flow.
const (
	leftProtocol = "of a protocol that has no ports"
	leftAttempt  = "tried and never answered"
	leftLocal    = "within one machine"
	leftNotice   = "said by the tool itself"
)

// parseConntrack reads one line of `conntrack -L`, `conntrack -E` or
// /proc/net/nf_conntrack (net/netfilter/nf_conntrack_standalone.c, ct_seq_show):
//
//	ipv4 2 tcp 6 86396 ESTABLISHED src=10.1.1.5 dst=10.96.0.9 sport=4242 dport=80
//	  src=10.1.2.7 dst=10.1.1.5 sport=8080 dport=4242 [ASSURED] mark=0 use=1
//
// The first tuple is what the client sent, the second one what the answers are expected
// to be. So the server, after a Service's address was translated, is the second one's
// source: that is what policies are about.
func parseConntrack(line []byte) (Flow, string, error) {
	if strings.HasPrefix(string(line), "conntrack v") {
		return Flow{}, leftNotice, nil
	}
	var f Flow
	var src, dst, sport []string
	unreplied, other := false, false
	for word := range strings.FieldsSeq(string(line)) {
		key, value, ok := strings.Cut(word, "=")
		switch {
		case word == "[UNREPLIED]":
			unreplied = true
		case !ok && f.Protocol == "" && len(src) == 0:
			switch word {
			case "tcp", "udp", "sctp":
				f.Protocol = corev1.Protocol(strings.ToUpper(word))
			case "icmp", "icmpv6", "gre", "dccp", "udplite", "unknown":
				other = true
			}
		case key == "src":
			src = append(src, value)
		case key == "dst":
			dst = append(dst, value)
		case key == "sport":
			sport = append(sport, value)
		}
	}
	switch {
	case len(src) != 2 || len(dst) != 2:
		return f, "", errors.New("it is no connection of conntrack's: want src= and dst= twice")
	case other:
		return f, leftProtocol, nil
	case f.Protocol == "":
		return f, "", errors.New("it names no protocol")
	case len(sport) != 2:
		return f, "", errors.New("it has no ports: want sport= twice")
	case unreplied && f.Protocol != corev1.ProtocolUDP:
		// A datagram may want no answer; a handshake without one is no connection.
		return f, leftAttempt, nil
	}
	from, err := netip.ParseAddr(src[0])
	if err != nil {
		return f, "", fmt.Errorf("src=%s is no address", src[0])
	}
	to, err := netip.ParseAddr(src[1])
	if err != nil {
		return f, "", fmt.Errorf("src=%s is no address", src[1])
	}
	if f.FromPort, err = port(sport[0]); err != nil {
		return f, "", err
	}
	if f.Port, err = port(sport[1]); err != nil {
		return f, "", err
	}
	from, to = from.Unmap().WithZone(""), to.Unmap().WithZone("")
	if from.IsLoopback() || to.IsLoopback() || from == to {
		return f, leftLocal, nil
	}
	f.From, f.To = from.String(), to.String()
	return f, "", nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("sport=%s is no port", s)
	}
	return uint16(n), nil
}
