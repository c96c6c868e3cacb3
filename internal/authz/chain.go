package authz

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// An opinion is what one authorizer says of a request.
type opinion int

const (
	none     opinion = iota
	allows           // and nobody else is asked
	denies           // likewise
	mayAllow         // or has none: it rests on facts that were not read
	mayDo            // anything: it is outside of the cluster
)

// An authorizer is one link of the chain.
type authorizer interface {
	judge(a *Attributes) (opinion, Origin)
	// holders and rules are as WhoCan and RulesFor, of this authorizer alone.
	holders(a *need, out []Holder) []Holder
	rules(u *User, namespace string, out []Rule) []Rule
}

// decide asks one authorizer after the other; the first that allows or denies decides, and
// nobody's opinion is a no (k8s.io/apiserver/pkg/authorization/union/union.go). Before all
// of them, system:masters may do everything (pkg/kubeapiserver/authorizer/reload.go).
func decide(chain []authorizer, a *Attributes) Answer {
	if slices.Contains(a.User.Groups, masters) {
		return Answer{Decision: Allow, By: Origin{Authorizer: masters}}
	}
	final, by := Deny, Origin{}
	allow, deny := false, false // what those who are unsure may say
	var unsure Origin
ask:
	for _, link := range chain {
		says, origin := link.judge(a)
		switch says {
		case allows:
			final, by = Allow, origin
			break ask
		case denies:
			by = origin
			break ask
		case mayAllow, mayDo:
			if !allow {
				unsure = origin
			}
			allow, deny = true, deny || says == mayDo
		case none:
		}
	}
	if allow && final == Deny || deny && final == Allow {
		return Answer{Decision: Unknown, By: unsure, Else: final}
	}
	return Answer{Decision: final, By: by}
}

// always is AlwaysAllow; AlwaysDeny has no opinion, so that it stops nobody
// (k8s.io/apiserver/pkg/authorization/authorizerfactory/builtin.go).
type always bool

func (w always) judge(*Attributes) (opinion, Origin) {
	if w {
		return allows, Origin{Authorizer: "AlwaysAllow"}
	}
	return none, Origin{}
}

func (w always) holders(_ *need, out []Holder) []Holder {
	if w {
		for _, group := range []string{authenticated, unauthenticated} {
			out = append(out, Holder{Subject: groupSubject(group), By: Origin{Authorizer: "AlwaysAllow"}})
		}
	}
	return out
}

func (w always) rules(_ *User, _ string, out []Rule) []Rule {
	if w {
		out = append(out, everything(Origin{Authorizer: "AlwaysAllow"})...)
	}
	return out
}

// An outside is somebody who is asked, or a file that was not read: it may say anything to
// the requests that its conditions let through.
type outside struct {
	by Origin
	// worst is what it may say: mayAllow or mayDo.
	worst opinion
	// conditions are nil where every request goes there. denyOnError is what failurePolicy
	// makes of a condition that cannot be evaluated.
	conditions  *authorizationcel.CELMatcher
	denyOnError bool
}

func (o *outside) judge(a *Attributes) (opinion, Origin) {
	if o.conditions != nil {
		matches, err := o.conditions.Eval(context.Background(), review(a))
		switch {
		case err != nil && o.denyOnError:
			by := o.by
			by.Detail = "a match condition cannot be evaluated, and its failurePolicy is Deny"
			return denies, by
		case err != nil || !matches:
			return none, Origin{}
		}
	}
	return o.worst, o.by
}

func (o *outside) holders(a *need, out []Holder) []Holder {
	return append(out, Holder{Unknown: true, By: o.by})
}

func (o *outside) rules(_ *User, _ string, out []Rule) []Rule {
	return append(out, Rule{Unknown: true, By: o.by})
}

// review is the question that a webhook is asked
// (k8s.io/apiserver/plugin/pkg/authorizer/webhook/webhook.go).
func review(a *Attributes) *authorizationv1.SubjectAccessReview {
	r := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: a.User.Name, UID: a.User.UID, Groups: a.User.Groups,
	}}
	if a.User.Extra != nil {
		r.Spec.Extra = map[string]authorizationv1.ExtraValue{}
		for k, v := range a.User.Extra {
			r.Spec.Extra[k] = v
		}
	}
	if !a.ResourceRequest {
		r.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: a.Path, Verb: a.Verb}
		return r
	}
	r.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Namespace: a.Namespace, Verb: a.Verb, Group: a.Group, Version: a.Version,
		Resource: a.Resource, Subresource: a.Subresource, Name: a.Name,
	}
	if len(a.Fields) > 0 {
		fields := new(authorizationv1.FieldSelectorAttributes)
		for _, f := range a.Fields {
			fields.Requirements = append(fields.Requirements, fieldRequirement(f[0], f[1]))
		}
		r.Spec.ResourceAttributes.FieldSelector = fields
	}
	return r
}

// A condition is one expression of matchConditions.
type condition string

func (c condition) expression() authorizationcel.ExpressionAccessor {
	return &authorizationcel.SubjectAccessReviewMatchCondition{Expression: string(c)}
}

// conditionsOf compiles matchConditions as ValidateAndCompileMatchConditions in
// k8s.io/apiserver/pkg/apis/apiserver/validation.
func conditionsOf(hook *cluster.AuthorizationWebhook) (*authorizationcel.CELMatcher, error) {
	if len(hook.MatchConditions) == 0 {
		return nil, nil
	}
	compiler := authorizationcel.NewDefaultCompiler()
	m := new(authorizationcel.CELMatcher)
	for i, c := range hook.MatchConditions {
		compiled, err := compiler.CompileCELExpression(condition(c.Expression).expression())
		if err != nil {
			return nil, fmt.Errorf("matchConditions[%d]: %w", i, err)
		}
		m.CompilationResults = append(m.CompilationResults, compiled)
		m.UsesFieldSelector = m.UsesFieldSelector || compiled.UsesFieldSelector
		m.UsesLabelSelector = m.UsesLabelSelector || compiled.UsesLabelSelector
	}
	return m, nil
}

// chains finds the order of authorizers of every API server, each order once.
func (e *Engine) chains(s *cluster.Snapshot, o Options) {
	if len(o.Authorizers) > 0 {
		e.chain = [][]authorizer{e.link(s, nil, o.Authorizers)}
		return
	}
	servers := s.Components("kube-apiserver")
	seen := map[string]bool{}
	for _, c := range servers {
		list, unread := modes(s, c)
		key := fmt.Sprintf("%+v %s %s", list, unread, c.Flags.Get("authorization-policy-file", ""))
		if seen[key] {
			continue
		}
		seen[key] = true
		chain := e.link(s, c, list)
		if unread != "" {
			chain = slices.Insert(chain, 0, authorizer(&outside{by: Origin{Authorizer: "authorization-config", Detail: unread}, worst: mayDo}))
		}
		e.chain = append(e.chain, chain)
	}
	switch {
	case len(e.chain) > 1:
		e.note("the API servers do not ask the same authorizers: where their answers differ, the answer is unknown")
		return
	case len(e.chain) == 1:
		return
	}
	list := slices.Clone(usual)
	what := "Node,RBAC is assumed"
	switch configs := s.Configs(cluster.AuthorizationFile); {
	case len(configs) == 1:
		list, what = configs[0].Authorization.Authorizers, configs[0].Ref.String()+" is assumed to be in use"
	case len(s.Configs(cluster.ABACFile)) > 0:
		list, what = append(list, cluster.Authorizer{Type: "ABAC"}), "Node,RBAC,ABAC is assumed"
	}
	e.note("which authorizers the API server asks is not known: " + what)
	e.chain = [][]authorizer{e.link(s, nil, list)}
}

var usual = []cluster.Authorizer{{Type: "Node"}, {Type: "RBAC"}}

// modes are the authorizers that an API server was told to ask
// (pkg/kubeapiserver/options/authorization.go), and why they were not read.
func modes(s *cluster.Snapshot, c *cluster.Component) (list []cluster.Authorizer, unread string) {
	config, told := s.ConfigOf(c, cluster.AuthorizationFile)
	switch {
	case config != nil:
		return config.Authorization.Authorizers, ""
	case told:
		return usual, c.Flags.Get(cluster.ConfigFlags[cluster.AuthorizationFile], "") + " was not read"
	}
	for _, mode := range c.Flags.List("authorization-mode") {
		a := cluster.Authorizer{Type: mode}
		if mode == "Webhook" {
			a.Webhook = &cluster.AuthorizationWebhook{FailurePolicy: "NoOpinion"}
		}
		list = append(list, a)
	}
	if len(list) == 0 {
		list = []cluster.Authorizer{{Type: "AlwaysAllow"}}
	}
	return list, ""
}

// link makes the authorizers of one API server; nil is one that nobody saw.
func (e *Engine) link(s *cluster.Snapshot, c *cluster.Component, list []cluster.Authorizer) []authorizer {
	var chain []authorizer
	for i, a := range list {
		switch a.Type {
		case "Node":
			chain = append(chain, e.node)
		case "RBAC":
			chain = append(chain, &e.rbac)
		case "AlwaysAllow", "AlwaysDeny":
			chain = append(chain, always(a.Type == "AlwaysAllow"))
		case "ABAC":
			chain = append(chain, e.abac(s, c))
		case "Webhook":
			chain = append(chain, e.webhook(&a, i))
		default:
			e.problem(cluster.Ref{Kind: "AuthorizationConfiguration"}, "authorizers[%d].type is %q, which keeps the API server from starting", i, a.Type)
		}
	}
	return chain
}

func (e *Engine) webhook(a *cluster.Authorizer, i int) authorizer {
	o := &outside{by: Origin{Authorizer: "webhook", Detail: "what it answers is not known"}, worst: mayDo}
	if a.Name != "" {
		o.by.Authorizer += " " + a.Name
	}
	if a.Webhook == nil {
		return o
	}
	o.denyOnError = a.Webhook.FailurePolicy == "Deny"
	conditions, err := conditionsOf(a.Webhook)
	if err != nil {
		e.problem(cluster.Ref{Kind: "AuthorizationConfiguration"}, "authorizers[%d].webhook.%v", i, err)
	}
	o.conditions = conditions
	return o
}

// A gate is a feature of the API server that changes what is authorized, with the versions
// in which it came and in which it was turned on; 0 is not yet
// (pkg/features/kube_features.go).
type gate struct {
	name              string
	known, on, locked int
}

var (
	nodeSelectors    = gate{"AuthorizeNodeWithSelectors", 31, 32, 34}
	nodeReadsAccount = gate{"KubeletServiceAccountTokenForCredentialProviders", 33, 34, 0}
	podCertificates  = gate{"PodCertificateRequest", 34, 0, 0}
	trustBundles     = gate{"ClusterTrustBundle", 27, 0, 0}
	deviceClaims     = gate{"DynamicResourceAllocation", 26, 34, 35}
	execByCreate     = gate{"AuthorizePodWebsocketUpgradeCreatePermission", 35, 35, 0}
	constrained      = gate{"ConstrainedImpersonation", 35, 36, 0}
)

// latest is the minor version that is assumed where none is known.
const latest = 36

// A release is a version of the API server with the gates that it was told.
type release struct {
	minor int
	gates map[string]bool
}

// has reports whether the feature is in use.
func (r release) has(g gate) bool {
	switch told, ok := r.gates[g.name]; {
	case r.minor < g.known:
		return false
	case ok && (g.locked == 0 || r.minor < g.locked):
		return told
	}
	return g.on > 0 && r.minor >= g.on
}

// releaseOf reads the version of the Snapshot, or the given one, and the API server's gates.
func (e *Engine) releaseOf(s *cluster.Snapshot, o Options) release {
	version := s.Version
	if o.Version != "" {
		version = o.Version
	}
	r := release{minor: minor(version), gates: map[string]bool{}}
	if r.minor == 0 {
		r.minor = latest
		e.note(fmt.Sprintf("the API server's version is not known: v1.%d is assumed", latest))
	}
	for _, c := range s.Components("kube-apiserver") {
		for _, told := range c.Flags.List("feature-gates") {
			name, value, _ := strings.Cut(told, "=")
			if on, err := strconv.ParseBool(value); err == nil {
				r.gates[name] = on
			}
		}
	}
	return r
}

// minor is 36 of "v1.36.3"; 0 where it is no version of Kubernetes.
func minor(version string) int {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(version, "v"), "1.")
	if !ok {
		return 0
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	n, err := strconv.Atoi(rest[:end])
	if err != nil {
		return 0
	}
	return n
}

// fieldRequirement is a field selector's term with an equals sign, as a review has it.
func fieldRequirement(key, value string) metav1.FieldSelectorRequirement {
	return metav1.FieldSelectorRequirement{Key: key, Operator: metav1.FieldSelectorOpIn, Values: []string{value}}
}
