package suggest

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WriteYAML writes policies as people write them: short fields on one line, and a comment
// above each that says what it is for.
func WriteYAML(w io.Writer, policies []Policy) error {
	var b strings.Builder
	for i, p := range policies {
		if i > 0 {
			b.WriteString("---\n")
		}
		writePolicy(&b, p)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writePolicy(b *strings.Builder, p Policy) {
	if p.Why != "" {
		fmt.Fprintf(b, "# %s\n", oneLine(p.Why))
	}
	fmt.Fprintf(b, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", quote(p.Name), quote(p.Namespace))
	fmt.Fprintf(b, "  podSelector: %s\n", selectorYAML(p.Spec.PodSelector))
	types := make([]string, len(p.Spec.PolicyTypes))
	for i, t := range p.Spec.PolicyTypes {
		types[i] = string(t)
	}
	fmt.Fprintf(b, "  policyTypes: [%s]\n", strings.Join(types, ", "))
	if len(p.Spec.Ingress) > 0 {
		b.WriteString("  ingress:\n")
	}
	for _, r := range p.Spec.Ingress {
		writeRule(b, "from", r.From, r.Ports)
	}
	if len(p.Spec.Egress) > 0 {
		b.WriteString("  egress:\n")
	}
	for _, r := range p.Spec.Egress {
		writeRule(b, "to", r.To, r.Ports)
	}
}

// writeRule writes one rule. Without peers and ports it is for everything.
func writeRule(b *strings.Builder, key string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
	lead := "  - "
	if len(peers) > 0 {
		fmt.Fprintf(b, "%s%s:\n", lead, key)
		lead = "    "
	}
	for _, p := range peers {
		item := "    - "
		field := func(name, value string) {
			fmt.Fprintf(b, "%s%s: %s\n", item, name, value)
			item = "      "
		}
		if p.NamespaceSelector != nil {
			field("namespaceSelector", selectorYAML(*p.NamespaceSelector))
		}
		if p.PodSelector != nil {
			field("podSelector", selectorYAML(*p.PodSelector))
		}
		if p.IPBlock != nil {
			field("ipBlock", "{cidr: "+quote(p.IPBlock.CIDR)+"}")
		}
	}
	if len(ports) > 0 {
		fmt.Fprintf(b, "%sports:\n", lead)
	}
	for _, p := range ports {
		fmt.Fprintf(b, "    - {protocol: %s, port: %d}\n", *p.Protocol, p.Port.IntVal)
	}
	if len(peers)+len(ports) == 0 {
		b.WriteString("  - {}\n")
	}
}

func selectorYAML(s metav1.LabelSelector) string {
	if len(s.MatchLabels) == 0 {
		return "{}"
	}
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		pairs = append(pairs, quote(key)+": "+quote(s.MatchLabels[key]))
	}
	return "{matchLabels: {" + strings.Join(pairs, ", ") + "}}"
}

// quote writes a name or a label so that YAML reads it as the same text. Whatever could be
// taken for something else (yes, null, 1e3, 0x1f, 12:30) is quoted.
func quote(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '/' && r != '_'
	}) < 0 && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		plain = false
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}

// oneLine keeps a comment from ending.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
