// Package authz answers what the API server would: whether a user may do something, who
// may, which rules somebody has, who may give rights away or be somebody else, and who can
// become able to. It decides by a Snapshot alone, as the authorizers that the API server
// asks (system:masters, Node, RBAC, ABAC), and says Unknown where one of them is outside
// of the cluster or what it decides by was not read. It knows nothing of admission, and
// nothing of authentication but the groups that it adds.
package authz

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// The names that Kubernetes itself gives (k8s.io/apiserver/pkg/authentication/user and
// .../authentication/serviceaccount).
const (
	masters         = "system:masters"
	nodes           = "system:nodes"
	authenticated   = "system:authenticated"
	unauthenticated = "system:unauthenticated"
	anonymous       = "system:anonymous"
	accounts        = "system:serviceaccounts"
	nodePrefix      = "system:node:"
	accountPrefix   = "system:serviceaccount:"
)

// A User is who a request comes from, as authentication says it: the groups are all that
// count, those that it adds by itself among them. The functions below make whole ones.
type User struct {
	Name   string
	Groups []string
	// Extra and UID are seen by webhooks' matchConditions alone.
	UID   string
	Extra map[string][]string
}

// NewUser is a user with the groups that a credential says, and those that authentication
// adds: a service account's and system:authenticated
// (k8s.io/apiserver/pkg/authentication/group/authenticated_group_adder.go).
func NewUser(name string, groups ...string) User {
	u := User{Name: name, Groups: slices.Clone(groups)}
	in := func(group string) {
		if !slices.Contains(u.Groups, group) {
			u.Groups = append(u.Groups, group)
		}
	}
	if namespace, _, ok := account(name); ok {
		in(accounts)
		in(accounts + ":" + namespace)
	}
	switch {
	case name == anonymous:
		in(unauthenticated)
	case !slices.Contains(u.Groups, unauthenticated):
		in(authenticated)
	}
	return u
}

// ServiceAccount is the user that a service account's tokens make.
func ServiceAccount(namespace, name string) User {
	return NewUser(accountPrefix + namespace + ":" + name)
}

// Anonymous is who comes without a credential.
func Anonymous() User { return NewUser(anonymous) }

// Node is a node's kubelet.
func Node(name string) User { return NewUser(nodePrefix+name, nodes) }

// Attributes are what the API server decides by. Request fills them as it does.
type Attributes struct {
	User                                  User
	Verb                                  string
	Group, Version, Resource, Subresource string
	Namespace, Name                       string
	// Path is that of a request for no resource: "/metrics".
	Path            string
	ResourceRequest bool
	// Fields are the field selector's terms with an equals sign, which the Node authorizer
	// looks at: {"spec.nodeName", "worker-1"}.
	Fields [][2]string
}

// Request are the attributes of a request for a resource, without a user. As in the API
// server (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go) a subresource may stand
// behind a slash, and a request for a Namespace by name is one in that namespace.
func Request(verb, group, resource, namespace, name string) Attributes {
	resource, sub, _ := strings.Cut(resource, "/")
	a := Attributes{
		Verb: verb, Group: group, Version: "*", Resource: resource, Subresource: sub,
		Namespace: namespace, Name: name, ResourceRequest: true,
	}
	if group == "" && resource == "namespaces" && namespace == "" {
		a.Namespace = name
	}
	return a
}

// URL are the attributes of a request for a path, without a user.
func URL(verb, path string) Attributes { return Attributes{Verb: verb, Path: path} }

// By returns the attributes with who asks.
func (a Attributes) By(u User) Attributes {
	a.User = u
	return a
}

// String is the request in words: "create pods/exec in namespace shop".
func (a Attributes) String() string {
	if !a.ResourceRequest {
		return a.Verb + " " + a.Path
	}
	b := a.Verb + " " + a.Resource
	if a.Group != "" {
		b += "." + a.Group
	}
	if a.Subresource != "" {
		b += "/" + a.Subresource
	}
	if a.Name != "" {
		b += " named " + a.Name
	}
	if a.Namespace != "" {
		b += " in namespace " + a.Namespace
	}
	return b
}

// A Decision is what the API server would answer. Unknown is what facts that could not be
// read, or an authorizer outside of the cluster, would decide.
type Decision int

// The decisions. Unknown is the zero value.
const (
	Unknown Decision = iota
	Allow
	Deny
)

func (d Decision) String() string { return [...]string{"unknown", "allow", "deny"}[d] }

// An Origin says what decided.
type Origin struct {
	// Authorizer is "system:masters", "Node", "RBAC", "ABAC", "AlwaysAllow", or a
	// webhook's name; empty where nobody had an opinion.
	Authorizer string
	// Binding and Role are RBAC's, and the index of the rule in the role.
	Binding, Role *cluster.Object
	Rule          int
	// Line is that of an ABAC file.
	Line int
	// Through is what relates an object to a node: its pod, mostly.
	Through cluster.Ref
	// Detail is what else there is to say.
	Detail string
}

func (o Origin) String() string {
	switch {
	case o.Binding != nil:
		return fmt.Sprintf("%s gives %s, rule %d", o.Binding, o.Role, o.Rule)
	case o.Line > 0:
		return fmt.Sprintf("%s: line %d", o.Authorizer, o.Line)
	case o.Through != cluster.Ref{}:
		return o.Authorizer + ": by " + o.Through.String()
	case o.Detail != "":
		return o.Authorizer + ": " + o.Detail
	}
	return o.Authorizer
}

// An Answer is a decision and what decided.
type Answer struct {
	Decision Decision
	By       Origin
	// Else, where the decision is Unknown, is what it is if those who cannot be asked have
	// no opinion.
	Else Decision
}

// Reason is the answer's reason in words.
func (a Answer) Reason() string {
	if a.By == (Origin{}) {
		return "nobody allows it"
	}
	return a.By.String()
}

// A Problem is something in the input that the engine could not take as it stands. It
// goes on without it, as the API server does.
type Problem struct {
	Object cluster.Ref
	Text   string
}

func (p Problem) String() string { return p.Object.String() + ": " + p.Text }

// Options say what the Snapshot does not.
type Options struct {
	// Version is the API server's, "v1.36.3", where the Snapshot knows none.
	Version string
	// Defaults completes files as the API server does at its start: with all the roles and
	// bindings that Kubernetes makes for itself.
	Defaults bool
	// Authorizers, where given, are asked in this order whatever the Snapshot says.
	Authorizers []cluster.Authorizer
}

// An Engine answers for one Snapshot. It does not change once made and is safe for
// concurrent use.
type Engine struct {
	release release
	rbac    rbac
	node    *nodeAuthorizer
	// chain are the authorizers of each API server that differs from the others.
	chain    [][]authorizer
	problems []Problem
	notes    []string

	// What Become looks at besides: pods and tokens of each account.
	snapshot     *cluster.Snapshot
	pods, tokens map[cluster.Subject][]string
}

// New indexes the Snapshot, in time and memory that grow with its size.
func New(s *cluster.Snapshot, o Options) *Engine {
	e := &Engine{snapshot: s}
	e.identitiesOf(s)
	e.release = e.releaseOf(s, o)
	if gaps := s.Gaps(append(slices.Clone(cluster.RBAC), cluster.Input)...); len(gaps) > 0 {
		e.rbac.unread = gaps[0].String()
	}
	e.rbac.index(e.policyOf(s, o.Defaults), e.problem)
	e.node = newNodeAuthorizer(s, e.release)
	e.chains(s, o)
	return e
}

func (e *Engine) problem(o cluster.Ref, format string, args ...any) {
	e.problems = append(e.problems, Problem{o, fmt.Sprintf(format, args...)})
}

// Problems are what could not be taken as it stands, in the objects' order.
func (e *Engine) Problems() []Problem { return e.problems }

func (e *Engine) note(text string) { e.notes = append(e.notes, text) }

// Notes are what the answers rest on besides the Snapshot: what was assumed.
func (e *Engine) Notes() []string { return e.notes }

// Authorize answers a request. It makes no garbage for what RBAC decides.
func (e *Engine) Authorize(a *Attributes) Answer {
	answer := decide(e.chain[0], a)
	for _, chain := range e.chain[1:] {
		if other := decide(chain, a); other.Decision != answer.Decision {
			return Answer{Decision: Unknown, By: Origin{Authorizer: "API servers", Detail: "one would " + answer.Decision.String() + ", another " + other.Decision.String()}}
		}
	}
	return answer
}

// A Holder is somebody who may do what was asked.
type Holder struct {
	// Subject is a user, a group or a service account as the binding has it; a node is
	// the user that its kubelet is.
	Subject cluster.Subject
	// Means says who that is, where the name is one of Kubernetes' own: "everybody who is
	// authenticated".
	Means string
	// Within is the group that the user has to be in besides, as ABAC may want.
	Within string
	// Unknown is set where it may be or not: By says what could not be read or asked. A
	// Holder without a subject stands for anybody.
	Unknown bool
	By      Origin
}

// WhoCan returns everybody who may do it, in the order of the authorizers, the bindings and
// their subjects; who has two grants is there twice.
func (e *Engine) WhoCan(a Attributes) []Holder {
	out := e.whoCan(need{Attributes: a})
	for i := range out {
		out[i].Means = means(out[i].Subject)
	}
	return out
}

func (e *Engine) whoCan(n need) []Holder {
	out := []Holder{{Subject: groupSubject(masters), By: Origin{Authorizer: masters}}}
	for i, chain := range e.chain {
		for _, link := range chain {
			if i == 0 || !slices.Contains(e.chain[0], link) {
				out = link.holders(&n, out)
			}
		}
	}
	return out
}

// means puts the groups that nobody is put into by hand into words.
func means(s cluster.Subject) string {
	if s.Kind == rbacv1.UserKind {
		if s.Name == anonymous {
			return "everybody without a credential"
		}
		return ""
	}
	if s.Kind != rbacv1.GroupKind {
		return ""
	}
	switch s.Name {
	case masters:
		return "whoever holds an administrator's certificate; no binding is asked"
	case authenticated:
		return "everybody who is authenticated, every service account among them"
	case unauthenticated:
		return "everybody without a credential"
	case accounts:
		return "every service account"
	case nodes:
		return "every node"
	}
	if namespace, ok := strings.CutPrefix(s.Name, accounts+":"); ok {
		return "every service account of namespace " + namespace
	}
	return ""
}

func userSubject(name string) cluster.Subject {
	return cluster.Subject{Kind: rbacv1.UserKind, Name: name}
}

func groupSubject(name string) cluster.Subject {
	return cluster.Subject{Kind: rbacv1.GroupKind, Name: name}
}

// A Rule is one that a user has, and where from. An empty Namespace is everywhere.
type Rule struct {
	rbacv1.PolicyRule
	Namespace string
	// Unknown is set in place of the rules of those who could not be asked.
	Unknown bool
	By      Origin
}

// everything are the rules that allow everything.
func everything(by Origin) []Rule {
	return []Rule{
		{PolicyRule: rbacv1.PolicyRule{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}, By: by},
		{PolicyRule: rbacv1.PolicyRule{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}}, By: by},
	}
}

// RulesFor returns the rules that a user has in a namespace, those that hold everywhere
// among them; in none, only those.
func (e *Engine) RulesFor(u User, namespace string) []Rule {
	var out []Rule
	if slices.Contains(u.Groups, masters) {
		out = everything(Origin{Authorizer: masters})
	}
	for i, chain := range e.chain {
		for _, link := range chain {
			if i == 0 || !slices.Contains(e.chain[0], link) {
				out = link.rules(&u, namespace, out)
			}
		}
	}
	return out
}
