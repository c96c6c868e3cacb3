// Package firewall installs compiled policies and the masquerading of pods in
// nftables. It holds the shape of the tables and knows nothing of Kubernetes
// objects; each table is replaced whole in one transaction, so that packets meet
// either the old rules or the new ones and nothing is left of what an earlier
// process installed.
package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/bulwark-k8s/bulwark/lab/internal/policy"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/knftables"
)

// The tables, both of family ip.
const (
	PolicyTable     = "lab-net-policy"
	MasqueradeTable = "lab-net-masquerade"
)

// SyncPolicy makes table PolicyTable say exactly what the rules say.
//
// The chain hooks forward, which lies after the translation of Service
// addresses: rules see the pod that answers. Replies are let through by
// connection tracking, so a rule need only cover the first packet.
func SyncPolicy(ctx context.Context, nft knftables.Interface, rules policy.Ruleset) error {
	tx := replace(nft, "enforces NetworkPolicies for the pods of this node")
	tx.Add(&knftables.Chain{
		Name:     "forward",
		Type:     knftables.PtrTo(knftables.FilterType),
		Hook:     knftables.PtrTo(knftables.ForwardHook),
		Priority: knftables.PtrTo(knftables.FilterPriority),
	})
	for _, direction := range []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress} {
		tx.Add(&knftables.Map{Name: lower(direction), Type: "ipv4_addr : verdict"})
	}
	tx.Add(&knftables.Rule{Chain: "forward", Rule: "ct state established,related accept"})
	tx.Add(&knftables.Rule{Chain: "forward", Rule: "ip saddr vmap @egress"})
	tx.Add(&knftables.Rule{Chain: "forward", Rule: "ip daddr vmap @ingress"})
	for _, chain := range rules {
		name := lower(chain.Direction) + "-" + chain.Addr.String()
		tx.Add(&knftables.Chain{Name: name, Comment: comment(chain.Pod)})
		// A pod always reaches itself, through a Service too.
		tx.Add(&knftables.Rule{Chain: name, Rule: knftables.Concat("ip", otherEnd(chain.Direction), chain.Addr.String(), "return")})
		for _, rule := range chain.Allow {
			tx.Add(&knftables.Rule{Chain: name, Rule: expression(chain.Direction, rule) + "return", Comment: comment(rule.Policy)})
		}
		tx.Add(&knftables.Rule{Chain: name, Rule: "drop"})
		tx.Add(&knftables.Element{Map: lower(chain.Direction), Key: []string{chain.Addr.String()}, Value: []string{"jump " + name}})
	}
	if err := nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("replacing table %s: %w", PolicyTable, err)
	}
	return nil
}

// SyncMasquerade makes table MasqueradeTable rewrite what leaves the cluster's
// pod networks from this node's pods, so that whoever answers needs no route to
// them. Between pods addresses stay as they are: policies depend on it.
func SyncMasquerade(ctx context.Context, nft knftables.Interface, own netip.Prefix, podCIDRs []netip.Prefix) error {
	tx := replace(nft, "gives packets of pods that leave the pod networks the node's address")
	tx.Add(&knftables.Chain{
		Name:     "postrouting",
		Type:     knftables.PtrTo(knftables.NATType),
		Hook:     knftables.PtrTo(knftables.PostroutingHook),
		Priority: knftables.PtrTo(knftables.SNATPriority),
	})
	tx.Add(&knftables.Rule{Chain: "postrouting", Rule: knftables.Concat(
		"ip saddr", own.String(), "ip daddr !=", set(podCIDRs), "masquerade",
	)})
	if err := nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("replacing table %s: %w", MasqueradeTable, err)
	}
	return nil
}

// Remove takes the table away, and is content if there is none.
func Remove(ctx context.Context, nft knftables.Interface) error {
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	return nft.Run(ctx, tx)
}

// replace begins a transaction that starts from an empty table. Adding it first
// lets the deletion succeed the first time too.
func replace(nft knftables.Interface, purpose string) *knftables.Transaction {
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	tx.Add(&knftables.Table{Comment: &purpose})
	return tx
}

// expression renders the conditions of the rule, with a space after each.
func expression(direction networkingv1.PolicyType, rule policy.Rule) string {
	var b strings.Builder
	if rule.Peers != nil {
		fmt.Fprintf(&b, "ip %s %s ", otherEnd(direction), set(rule.Peers))
	}
	if rule.Except != nil {
		fmt.Fprintf(&b, "ip %s != %s ", otherEnd(direction), set(rule.Except))
	}
	switch protocol := strings.ToLower(string(rule.Protocol)); {
	case protocol == "":
	case rule.Ports == nil:
		fmt.Fprintf(&b, "ip protocol %s ", protocol)
	default:
		ports := make([]string, len(rule.Ports))
		for i, r := range rule.Ports {
			ports[i] = fmt.Sprint(r.First)
			if r.Last != r.First {
				ports[i] = fmt.Sprintf("%d-%d", r.First, r.Last)
			}
		}
		fmt.Fprintf(&b, "%s dport { %s } ", protocol, strings.Join(ports, ", "))
	}
	return b.String()
}

// otherEnd is the field of a packet that holds the peer's address.
func otherEnd(direction networkingv1.PolicyType) string {
	if direction == networkingv1.PolicyTypeEgress {
		return "daddr"
	}
	return "saddr"
}

func set(prefixes []netip.Prefix) string {
	elements := make([]string, len(prefixes))
	for i, p := range prefixes {
		elements[i] = p.String()
		if p.IsSingleIP() {
			elements[i] = p.Addr().String()
		}
	}
	return "{ " + strings.Join(elements, ", ") + " }"
}

func lower(direction networkingv1.PolicyType) string { return strings.ToLower(string(direction)) }

// comment shortens text to what nftables stores.
func comment(text string) *string {
	text = text[:min(len(text), knftables.CommentLengthMax-1)]
	return &text
}
