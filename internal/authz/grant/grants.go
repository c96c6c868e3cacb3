package grant

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// A Grant is a role that somebody was given, and by which bindings. What Kubernetes
// binds for itself is no grant, and neither are the roles for people (cluster-admin,
// admin, edit, view), which have controls of their own.
type Grant struct {
	// Object is what to change: the role, or the binding where the role is one that
	// every cluster has.
	Object   *cluster.Object
	Role     *cluster.Object
	Bindings []*cluster.Binding
}

// Grants returns every role that is given to somebody, in the order of the bindings.
func Grants(s *cluster.Snapshot) []*Grant {
	return cluster.Once(s, ofSnapshot{}, func() []*Grant { return grants(s) })
}

type ofSnapshot struct{} // the key of Grants

func grants(s *cluster.Snapshot) []*Grant {
	bindings := s.Bindings()
	out := make([]*Grant, 0, len(bindings))
	space := make([]Grant, len(bindings)) // for all of them at once
	byRole := make(map[*cluster.Object]*Grant, len(bindings))
	for i, b := range bindings {
		if b.Role == nil || authz.Default(b.Object) || !slices.ContainsFunc(b.Subjects, func(sub cluster.Subject) bool { return !ofControlPlane[sub] }) {
			continue
		}
		if authz.Default(b.Role) {
			if !userFacing[b.Role.Name] {
				space[i] = Grant{b.Object, b.Role, bindings[i : i+1 : i+1]}
				out = append(out, &space[i])
			}
			continue
		}
		if g := byRole[b.Role]; g != nil {
			g.Bindings = append(g.Bindings, b)
			continue
		}
		space[i] = Grant{b.Role, b.Role, bindings[i : i+1 : i+1]}
		byRole[b.Role] = &space[i]
		out = append(out, &space[i])
	}
	return out
}

// ofControlPlane are users that are the control plane itself, by the names that
// kubeadm puts into their certificates.
var ofControlPlane = map[cluster.Subject]bool{
	{Kind: rbacv1.UserKind, Name: "kube-apiserver-kubelet-client"}:  true,
	{Kind: rbacv1.UserKind, Name: "system:kube-controller-manager"}: true,
	{Kind: rbacv1.UserKind, Name: "system:kube-scheduler"}:          true,
}

// A Reach says where a right has to hold to be worth a finding.
type Reach int

// The reaches. In one namespace some rights are meant to be given: admin and edit have
// them there.
const (
	// Anywhere: one namespace is enough.
	Anywhere Reach = iota
	// Beyond one namespace: in all of them, or in kube-system, whose accounts rule the
	// cluster.
	Beyond
	// Programs counts, besides Beyond, what a service account holds in a namespace:
	// people debug with such rights, programs seldom need them.
	Programs
)

func (r Reach) counts(b *cluster.Binding) bool {
	return r == Anywhere || b.Namespace == "" || b.Namespace == "kube-system" ||
		r == Programs && slices.ContainsFunc(b.Subjects, func(sub cluster.Subject) bool { return sub.Kind == rbacv1.ServiceAccountKind })
}

// Acts are the verbs on the resources of a group, each with each.
func Acts(group string, verbs, resources []string) []Act {
	out := make([]Act, 0, len(verbs)*len(resources))
	for _, resource := range resources {
		for _, verb := range verbs {
			out = append(out, Act{verb, group, resource})
		}
	}
	return out
}

// Write are the verbs that make or change an object.
var Write = []string{"create", "update", "patch"}

// Judge opens a verdict on every grant and reports the rules that allow one of the
// acts. A rule that names no resources is rbac.wildcard's to report.
func Judge(s *cluster.Snapshot, r *control.Report, reach Reach, want string, acts ...Act) {
	var able []Act
	requests := make([]authz.Attributes, len(acts))
	for i, act := range acts {
		requests[i] = act.request()
	}
	for _, g := range Grants(s) {
		v := r.Object(g.Object)
		rules := cluster.Rules(g.Role)
		for i := range rules {
			able = able[:0]
			for j := range requests {
				if allows(&rules[i], &requests[j]) {
					able = append(able, acts[j])
				}
			}
			if len(able) == 0 || Wild(&rules[i]) {
				continue
			}
			var bindings []*cluster.Binding
			local := true
			for _, b := range g.Bindings {
				if reach.counts(b) && slices.ContainsFunc(able, func(act Act) bool { return b.Namespace == "" || !clusterWide(act) }) {
					bindings, local = append(bindings, b), local && b.Namespace != ""
				}
			}
			if local {
				able = slices.DeleteFunc(able, clusterWide)
			}
			if len(bindings) > 0 {
				g.Report(v, i, describe(able), want, bindings)
			}
		}
	}
}

// clusterWide reports whether an act is on something that is in no namespace, so that a
// RoleBinding gives nothing. To bind a ClusterRole in a namespace is an act there. A
// Namespace counts as in itself (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go).
func clusterWide(act Act) bool {
	resource, _, _ := strings.Cut(act.Resource, "/")
	if resource == "clusterroles" {
		return act.Verb != "bind"
	}
	return slices.Contains(inNoNamespace, resource)
}

var inNoNamespace = []string{
	"users", "groups", "uids", "userextras", "nodes", "persistentvolumes", "clusterrolebindings",
	"validatingwebhookconfigurations", "mutatingwebhookconfigurations",
	"validatingadmissionpolicies", "validatingadmissionpolicybindings", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
	"apiservices", "customresourcedefinitions", "certificatesigningrequests", "signers", "clustertrustbundles",
	"flowschemas", "prioritylevelconfigurations",
}

// Report records a fault of one of the grant's rules, and who holds it by which bindings.
func (g *Grant) Report(v *control.Verdict, rule int, got, want string, bindings []*cluster.Binding) *control.Finding {
	if g.Object != g.Role {
		return v.Broken("roleRef", g.Role.Name, "a role without this").
			Because("it allows %s; held by %s", got, Holders(bindings)).Through(g.Role.Ref)
	}
	f := v.Broken(fmt.Sprintf("rules[%d]", rule), got, want).Because("held by %s", Holders(bindings))
	for _, b := range bindings {
		f.Through(b.Object.Ref)
	}
	return f
}

// describe puts acts into words: "create, patch on pods, daemonsets".
func describe(acts []Act) string {
	var verbs, resources []string
	for _, act := range acts {
		verbs, resources = append(verbs, act.Verb), append(resources, act.Resource)
	}
	return unique(verbs) + " on " + unique(resources)
}

// unique lists the words once each, in the order they came.
func unique(words []string) string {
	var out []string
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return strings.Join(out, ", ")
}

// Holders says who the bindings grant to and where, the first few of them.
func Holders(bindings []*cluster.Binding) string {
	const most = 4
	var out []string
	for _, b := range bindings {
		var who []string
		for _, sub := range b.Subjects {
			who = append(who, sub.String())
		}
		out = append(out, unique(who)+" "+Scope(b))
	}
	if n := len(out) - most; n > 0 {
		return fmt.Sprintf("%s; and by %d more bindings", strings.Join(out[:most], "; "), n)
	}
	return strings.Join(out, "; ")
}

// Wild reports whether a rule gives power over resources that it does not name. On the
// group of an operator's own kinds that is a list by another name, so only the groups
// of Kubernetes count.
func Wild(rule *rbacv1.PolicyRule) bool {
	writes := slices.ContainsFunc(rule.Verbs, func(verb string) bool {
		return slices.Contains([]string{"*", "create", "update", "patch", "delete", "deletecollection"}, verb)
	})
	return writes && slices.Contains(rule.Resources, "*") && len(rule.ResourceNames) == 0 &&
		slices.ContainsFunc(rule.APIGroups, func(group string) bool {
			return group == "*" || !strings.Contains(group, ".") || slices.Contains(builtin, group)
		})
}

// builtin are the groups with a dot in their name whose kinds decide over others.
var builtin = []string{
	"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io",
	"authorization.k8s.io", "certificates.k8s.io", "networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io",
	"storage.k8s.io", "flowcontrol.apiserver.k8s.io",
}
