package trust

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A Realm is where an identity means something.
type Realm string

// The realms.
const (
	RealmCluster    Realm = "cluster"
	RealmEtcd       Realm = "etcd"
	RealmFrontProxy Realm = "front proxy"
	// RealmUnknown is that of certificates whose authority was not read.
	RealmUnknown Realm = "unknown"
)

// An Identity is somebody whom certificates (or other credentials) name.
type Identity struct {
	Realm  Realm
	User   string
	Groups []string
	// May is what it may do, in plain words. The first says most.
	May []string
	// Everything is whether there is nothing that it may not do.
	Everything bool
	// Unknown is whether May is only a guess from names, since nobody was asked.
	Unknown bool
	// Credential is "client certificate", or the kind of another.
	Credential string
	// Places are where its credentials lie.
	Places []string
	// Expires is the last moment that one of them works; zero where it does not tell.
	Expires time.Time
	// Prints are the certificates.
	Prints []string
}

// identities gathers whom the certificates name, everything first.
func (j *judge) identities() []Identity {
	byKey := map[string]*Identity{}
	var keys []string
	for _, v := range j.views {
		if v.authority() || !logsIn(v.Certificate) || v.purpose() != nil && v.purpose().Server && !v.purpose().Client {
			continue
		}
		for _, realm := range j.realms(v) {
			user, groups := v.Certificate.Subject.CommonName, slices.Sorted(slices.Values(v.Certificate.Subject.Organization))
			key := string(realm) + "\x00" + user + "\x00" + strings.Join(groups, "\x00")
			id := byKey[key]
			if id == nil {
				id = &Identity{Realm: realm, User: user, Groups: groups, Credential: ByCertificate}
				j.powers(id)
				byKey[key] = id
				keys = append(keys, key)
			}
			id.Prints = append(id.Prints, v.print)
			if v.NotAfter.After(id.Expires) {
				id.Expires = v.NotAfter
			}
			for _, c := range v.at {
				place := c.Place.Name
				if c.Place.Machine != "" {
					place += " on " + c.Place.Machine
				}
				if !slices.Contains(id.Places, place) {
					id.Places = append(id.Places, place)
				}
			}
		}
	}
	out := make([]Identity, 0, len(keys))
	for _, k := range keys {
		out = append(out, *byKey[k])
	}
	out = append(out, j.otherCredentials()...)
	order := []Realm{RealmCluster, RealmFrontProxy, RealmEtcd, RealmUnknown}
	slices.SortStableFunc(out, func(a, b Identity) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Realm), slices.Index(order, b.Realm)), -compareBool(a.Everything, b.Everything),
			strings.Compare(a.User, b.User), strings.Compare(strings.Join(a.Groups, " "), strings.Join(b.Groups, " ")))
	})
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// otherCredentials are the users of kubeconfigs who come with something else than a
// certificate. Who they are, only the server knows.
func (j *judge) otherCredentials() []Identity {
	var out []Identity
	for _, k := range j.Kubeconfigs {
		for _, a := range k.Accesses {
			for _, c := range a.Credentials {
				if c == ByCertificate {
					continue
				}
				out = append(out, Identity{
					Realm: RealmCluster, User: a.User, Credential: c, Unknown: true,
					May:    []string{"whom this " + c + " stands for, only the server can tell"},
					Places: []string{k.Place.Name},
				})
			}
		}
	}
	return out
}

// realms are where a certificate is taken for somebody.
func (j *judge) realms(v *view) []Realm {
	roots := j.circle(v)
	var out []Realm
	for _, r := range []struct {
		root  Root
		realm Realm
	}{{RootClients, RealmCluster}, {RootEtcd, RealmEtcd}, {RootFrontProxy, RealmFrontProxy}} {
		if roots[r.root] != nil {
			out = append(out, r.realm)
		}
	}
	switch {
	case len(out) > 0:
		return out
	case roots != nil:
		return nil // believed in no circle that takes clients
	case j.signerOf(v) == v:
		return nil // self-made: nobody believes it
	case v.purpose() == nil && serves(v.Certificate) && len(v.DNSNames)+len(v.IPAddresses) > 0:
		return nil // a server of somebody else's
	}
	return []Realm{RealmUnknown}
}

// powers says what an identity may do.
func (j *judge) powers(id *Identity) {
	switch id.Realm {
	case RealmEtcd:
		id.Everything = true
		id.May = []string{"etcd: everything in it, every Secret included, unless etcd's own roles say otherwise"}
		return
	case RealmFrontProxy:
		id.May = []string{"speaks to the API server in the name of any user"}
		id.Everything = true
		if names := j.proxyNames(); len(names) > 0 && !slices.Contains(names, id.User) {
			id.Everything = false
			id.May = []string{"nothing: only " + strings.Join(names, ", ") + " is taken for a front proxy"}
		}
		return
	case RealmUnknown:
		id.Unknown = true
		id.May = []string{"its authority was not read, so who believes it is unknown"}
		return
	case RealmCluster:
	}
	if slices.Contains(id.Groups, masters) {
		id.Everything = true
		id.May = []string{"everything, past RBAC; cannot be revoked before it expires"}
		return
	}
	modes := j.authorization()
	if slices.Contains(modes, "AlwaysAllow") {
		id.Everything = true
		id.May = []string{"everything, as everybody: the API server runs with --authorization-mode=AlwaysAllow"}
		return
	}
	if node, ok := strings.CutPrefix(id.User, "system:node:"); ok && slices.Contains(id.Groups, "system:nodes") && (modes == nil || slices.Contains(modes, "Node")) {
		id.May = append(id.May, "Node authorizer: only what runs on "+node)
	}
	if j.Cluster == nil || j.Cluster.RBAC == nil {
		id.wellKnown()
		return
	}
	j.granted(id)
}

// authorization are the API server's authorizers, nil where its flags do not tell.
func (j *judge) authorization() []string {
	if f, ok := j.flags("kube-apiserver"); ok && f.Get("authorization-config", "") == "" {
		return f.List("authorization-mode")
	}
	return nil
}

// granted adds what the cluster's bindings give.
func (j *judge) granted(id *Identity) {
	s := j.Cluster.RBAC
	subjects := []cluster.Subject{{Kind: rbacv1.UserKind, Name: id.User}}
	for _, g := range id.Groups {
		subjects = append(subjects, cluster.Subject{Kind: rbacv1.GroupKind, Name: g})
	}
	var grants []string
	for _, sub := range subjects {
		for _, b := range s.BoundTo(sub) {
			text := b.RoleRef.Kind + " " + b.RoleRef.Name
			if b.Namespace != "" {
				text += " in " + b.Namespace
			}
			if sub.Kind == rbacv1.GroupKind {
				text += " (group " + sub.Name + ")"
			}
			rules := b.Rules()
			switch {
			case b.Role == nil:
				text += ", which does not exist"
			case b.Namespace == "" && grant.Everything(rules):
				id.Everything = true
				text = "everything, by " + text + "; revoked by removing " + b.Object.Ref.String()
			default:
				text += ": " + inWords(rules)
			}
			if !slices.Contains(grants, text) {
				grants = append(grants, text)
			}
		}
	}
	slices.SortStableFunc(grants, func(a, b string) int {
		return -compareBool(strings.HasPrefix(a, "everything"), strings.HasPrefix(b, "everything"))
	})
	id.May = append(id.May, grants...)
	if len(id.May) == 0 {
		id.May = []string{"no more than anybody who logs in"}
	}
}

// inWords says what rules allow: the worst of it first, then what is written and what is
// read. It names kinds and not every verb, since it is one line for a person to weigh.
func inWords(rules []rbacv1.PolicyRule) string {
	var writes, reads, others []string
	add := func(list *[]string, what string) {
		if !slices.Contains(*list, what) {
			*list = append(*list, what)
		}
	}
	for i := range rules {
		r := &rules[i]
		for _, resource := range r.Resources {
			for _, verb := range r.Verbs {
				switch verb {
				case "get", "list", "watch":
					if !grant.Allows(r, grant.Act{Verb: verb, Resource: "secrets"}) || resource != "secrets" { // strongest says it
						add(&reads, resourceOf(r, resource))
					}
				case "create", "update", "patch", "delete", "deletecollection", "*":
					add(&writes, resourceOf(r, resource))
				default:
					add(&others, verb+" "+resourceOf(r, resource))
				}
			}
		}
		for _, url := range r.NonResourceURLs {
			add(&reads, url)
		}
	}
	out := strongest(rules)
	for _, part := range []struct {
		verb string
		list []string
	}{{"writes ", writes}, {"", others}, {"reads ", reads}} {
		switch {
		case slices.Contains(part.list, everyKind):
			out = append(out, part.verb+everyKind)
		case len(part.list) > 0:
			out = append(out, part.verb+brief(part.list))
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, "; ")
}

const everyKind = "every kind of object"

// resourceOf is a rule's resource, with the names that the rule is limited to.
func resourceOf(r *rbacv1.PolicyRule, resource string) string {
	if resource == "*" {
		resource = everyKind
		if !slices.Contains(r.APIGroups, "*") {
			resource += " of " + cmp.Or(strings.Join(r.APIGroups, ", "), "the core API")
		}
	}
	if len(r.ResourceNames) > 0 {
		resource += " (" + strings.Join(r.ResourceNames, ", ") + ")"
	}
	return resource
}

// strongest says the worst that rules allow, where it is bad.
func strongest(rules []rbacv1.PolicyRule) []string {
	var out []string
	for _, p := range []struct {
		words string
		acts  []grant.Act
	}{
		{"reads Secrets", grant.ReadSecrets},
		{"impersonates users", []grant.Act{{Verb: "impersonate", Resource: "users"}, {Verb: "impersonate", Resource: "groups"}}},
		{"gives rights that it has not", []grant.Act{
			{Verb: "escalate", Group: rbacv1.GroupName, Resource: "clusterroles"}, {Verb: "bind", Group: rbacv1.GroupName, Resource: "clusterroles"},
		}},
		{"runs commands on nodes", []grant.Act{{Verb: "create", Resource: "nodes/proxy"}, {Verb: "*", Resource: "nodes/proxy"}}},
		{"approves certificates", []grant.Act{{Verb: "approve", Group: "certificates.k8s.io", Resource: "signers"}}},
	} {
		if _, ok := grant.AllowsAny(rules, p.acts...); ok {
			out = append(out, p.words)
		}
	}
	return out
}

// bootstrap is what Kubernetes' and kubeadm's own bindings give to well-known names
// (plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go).
var bootstrapUsers = map[string]string{
	"system:kube-scheduler":          "ClusterRole system:kube-scheduler: binds pods to nodes",
	"system:kube-controller-manager": "ClusterRole system:kube-controller-manager: reads everything, Secrets included, and makes tokens for any service account",
	"system:kube-proxy":              "ClusterRole system:node-proxier: reads services and endpoints",
	"system:apiserver":               "what the API server needs of itself",
}

var bootstrapGroups = map[string]string{
	"kubeadm:cluster-admins":   "everything, by kubeadm's ClusterRoleBinding kubeadm:cluster-admins; revoked by removing it",
	"system:bootstrappers":     "asks for a kubelet's client certificate",
	"system:monitoring":        "ClusterRole system:monitoring: reads metrics and health",
	"system:nodes":             "",
	"system:kubelet-api-admin": "",
	"system:serviceaccounts":   "",
	"system:k3s-controller":    "",
	"system:authenticated":     "",
}

// wellKnown says what names mean where no cluster was asked.
func (id *Identity) wellKnown() {
	if text := bootstrapUsers[id.User]; text != "" {
		id.May = append(id.May, text+" (by default)")
	}
	for _, g := range id.Groups {
		if text := bootstrapGroups[g]; text != "" {
			id.May = append(id.May, text+" (by default)")
			id.Everything = id.Everything || strings.HasPrefix(text, "everything")
		}
	}
	if len(id.May) == 0 {
		id.Unknown = true
		id.May = []string{"what the cluster's RBAC gives " + id.who() + "; no cluster was asked"}
	}
}

func (id *Identity) who() string {
	if len(id.Groups) > 0 {
		return fmt.Sprintf("%s and its groups", id.User)
	}
	return id.User
}
