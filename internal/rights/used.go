package rights

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulwark-k8s/bulwark/internal/auditlog"
	"github.com/bulwark-k8s/bulwark/internal/authz"
)

// UsedOptions say what to collect.
type UsedOptions struct {
	// Only limits it to these user names; nil is all.
	Only []string
	// MaxNames is the number of names of one resource above which they become any name.
	MaxNames int
	// Given are the rules that everybody who is authenticated has anyway, which no role
	// has to repeat.
	Given []rbacv1.PolicyRule
}

// maxPlaces bounds what is kept: different things that were done by whom and where.
const maxPlaces = 1 << 20

// Used collects what identities did, from the events of an audit log.
type Used struct {
	o        UsedOptions
	given    Set
	subjects map[string]*Subject
	places   int
	open     map[string]bool

	// First and Last are the times of the first and last event.
	First, Last time.Time
	// Requests is the number of requests, one for all of its stages.
	Requests int
	// Unfinished is the number of requests whose end the log does not show.
	Unfinished int
	// Overflow is the number of requests that were not taken because there were too many
	// different ones.
	Overflow int
}

// A Subject is an identity with what it did.
type Subject struct {
	User     authz.User
	Requests int
	// Given is the number of requests that need no more than what everybody has.
	Given int
	// Widened says which names became any name: "pods in namespace shop".
	Widened []string
	// Notes say what else a role has to be looked at for.
	Notes []string

	acts   map[act]*record
	denied map[act]*record
	notes  map[string]bool
	given  map[act]bool
}

// An act is a request without its name; a denied one with it.
type act struct {
	namespace, verb, group, resource, url, name string
}

type record struct {
	requests int
	any      bool
	names    map[string]bool
	widened  bool
}

// NewUsed begins a collection.
func NewUsed(o UsedOptions) (*Used, error) {
	u := &Used{o: o, given: Set{}, subjects: map[string]*Subject{}, open: map[string]bool{}}
	for i := range o.Given {
		if err := u.given.Add(&o.Given[i]); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// maxOpen bounds the requests whose end is waited for. What is in flight at once in an
// API server is some thousands, watches among them.
const maxOpen = 1 << 18

// Take adds one event.
func (u *Used) Take(e *auditlog.Event) error {
	if !e.Time.IsZero() {
		if u.First.IsZero() || e.Time.Before(u.First) {
			u.First = e.Time
		}
		if e.Time.After(u.Last) {
			u.Last = e.Time
		}
	}
	if e.Outcome == auditlog.Received {
		if len(u.open) < maxOpen && e.ID != "" {
			u.open[e.ID] = false
		}
		return nil
	}
	// A watch is counted as it begins, since it may last longer than the log.
	counted := u.open[e.ID]
	if e.Stage == auditlog.Started && len(u.open) < maxOpen && e.ID != "" {
		u.open[e.ID] = true
	} else {
		delete(u.open, e.ID)
	}
	if !counted {
		u.Requests++
	}
	for _, a := range e.Impersonations() {
		if e.Outcome != auditlog.Dropped {
			u.did(&a, !counted)
		}
	}
	if e.Outcome == auditlog.Denied {
		u.denied(e, !counted)
		if s := u.subjects[e.Request.User.Name]; s != nil && !counted {
			s.Requests++
		}
	}
	if e.Outcome == auditlog.Allowed {
		s := u.did(&e.Request, !counted)
		if e.Created {
			made := e.Request
			made.Verb = "create"
			u.did(&made, false)
		}
		u.signed(e)
		s.remark(e)
	}
	return nil
}

// signed records what the API server asks besides of those who approve or sign
// certificates (k8s.io/kubernetes/plugin/pkg/admission/certificates).
func (u *Used) signed(e *auditlog.Event) {
	verb := map[string]string{"approval": "approve", "status": "sign"}[e.Request.Subresource]
	if verb == "" || e.Signer == "" {
		return
	}
	asked := *e
	asked.Request = authz.Request(verb, e.Request.Group, "signers", "", e.Signer).By(e.Request.User)
	if e.Refused { // for want of it, as far as the log tells
		u.denied(&asked, true)
		return
	}
	u.did(&asked.Request, false)
}

func (u *Used) subject(who *authz.User) *Subject {
	s := u.subjects[who.Name]
	if s == nil {
		s = &Subject{User: *who, acts: map[act]*record{}, denied: map[act]*record{}, notes: map[string]bool{}, given: map[act]bool{}}
		u.subjects[who.Name] = s
	}
	return s
}

func (u *Used) wants(who *authz.User) bool {
	return u.o.Only == nil || slices.Contains(u.o.Only, who.Name)
}

// did records what was allowed. It returns nil where nothing was to be recorded.
func (u *Used) did(a *authz.Attributes, count bool) *Subject {
	if !u.wants(&a.User) {
		return nil
	}
	s := u.subject(&a.User)
	if count {
		s.Requests++
	}
	atom := atomOf(a)
	if u.given.Covers(atom) && slices.Contains(a.User.Groups, "system:authenticated") {
		if count {
			s.Given++
		}
		return s
	}
	at := act{namespace: a.Namespace, verb: a.Verb, group: atom.Group, resource: atom.Resource, url: atom.URL}
	r := u.record(s.acts, at)
	if r == nil {
		return s
	}
	if count {
		r.requests++
	}
	switch {
	case !a.ResourceRequest || r.any:
	case a.Name == "":
		r.any, r.names = true, nil
	case passing(a.Resource, a.Name) || !r.names[a.Name] && len(r.names) >= u.o.MaxNames:
		r.any, r.widened, r.names = true, true, nil
	case r.names == nil:
		r.names = map[string]bool{a.Name: true}
	default:
		r.names[a.Name] = true
	}
	return s
}

// record returns that of an act, or nil where there are too many.
func (u *Used) record(in map[act]*record, at act) *record {
	r := in[at]
	if r == nil {
		if u.places >= maxPlaces {
			u.Overflow++
			return nil
		}
		u.places++
		r = new(record)
		in[at] = r
	}
	return r
}

func (u *Used) denied(e *auditlog.Event, count bool) {
	a := &e.Request
	if !u.wants(&a.User) {
		return
	}
	s := u.subject(&a.User)
	at := act{a.Namespace, a.Verb, a.Group, atomOf(a).Resource, a.Path, a.Name}
	if e.Impersonating {
		at = act{verb: "impersonate", resource: "users"}
	}
	if r := u.record(s.denied, at); r != nil && count {
		r.requests++
	}
}

// atomOf is the right that a request needs.
func atomOf(a *authz.Attributes) Atom {
	if !a.ResourceRequest {
		return Atom{Verb: a.Verb, URL: a.Path}
	}
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	return Atom{Verb: a.Verb, Group: a.Group, Resource: resource, Named: a.Name != "", Name: a.Name}
}

// passing reports whether an object's name was made by a machine and will not come again:
// it ends in five characters of those that generateName takes
// (k8s.io/apimachinery/pkg/util/rand/rand.go).
func passing(resource, name string) bool {
	switch resource {
	case "pods", "replicasets", "jobs", "events", "endpointslices", "controllerrevisions", "certificatesigningrequests":
	default:
		return false
	}
	if resource == "events" { // NAME.TIME
		return true
	}
	i := strings.LastIndexByte(name, '-')
	if i < 0 || len(name)-i-1 < 5 {
		return false
	}
	return strings.Trim(name[i+1:], "bcdfghjklmnpqrstvwxz0123456789") == ""
}

// remark notes what was done that the API server asks more for than the log shows. Nil
// takes no remarks.
func (s *Subject) remark(e *auditlog.Event) {
	if s == nil {
		return
	}
	a := &e.Request
	writes := a.Verb == "create" || a.Verb == "update" || a.Verb == "patch"
	what := a.Resource
	if a.Name != "" {
		what += " " + a.Name
	}
	if a.Namespace != "" {
		what += " in " + a.Namespace
	}
	note := ""
	switch {
	case !writes:
	case a.Group == "rbac.authorization.k8s.io" && strings.HasSuffix(a.Resource, "roles"):
		note = "wrote " + what + ": it has to hold every right in there itself, or the verb escalate"
	case a.Group == "rbac.authorization.k8s.io" && strings.HasSuffix(a.Resource, "rolebindings"):
		note = "wrote " + what + ": it has to hold every right of the role itself, or the verb bind on the role"
	case a.Group == "certificates.k8s.io" && a.Resource == "certificatesigningrequests" && a.Subresource == "approval" && e.Signer == "":
		note = "approved certificates: it has to hold the verb approve on the signer, which this log does not name"
	case a.Group == "certificates.k8s.io" && a.Resource == "certificatesigningrequests" && a.Subresource == "status" && e.Signer == "":
		note = "wrote the status of certificatesigningrequests: it has to hold the verb sign on the signer, which this log does not name, if it signed"
	case a.Group == "certificates.k8s.io" && a.Resource == "clustertrustbundles":
		note = "wrote clustertrustbundles: it has to hold the verb attest on their signer, where they have one"
	case a.Group == "admissionregistration.k8s.io" && strings.HasSuffix(a.Resource, "admissionpolicies"), strings.HasSuffix(a.Resource, "admissionpolicybindings"):
		note = "wrote " + what + ": it has to be allowed to get the parameters that it names"
	}
	if e.Refused && note != "" {
		note += " (the API server refused at least one)"
	}
	const most = 50
	if note != "" && len(s.notes) < most {
		s.notes[note] = true
	}
}

// Subjects returns every identity that did something, by name.
func (u *Used) Subjects() []*Subject {
	u.Unfinished = 0
	for _, counted := range u.open {
		if !counted {
			u.Unfinished++
		}
	}
	out := slices.SortedFunc(maps.Values(u.subjects), func(a, b *Subject) int { return strings.Compare(a.User.Name, b.User.Name) })
	for _, s := range out {
		s.Notes = slices.Sorted(maps.Keys(s.notes))
		s.Widened = nil
		for at, r := range s.acts {
			if r.widened {
				text := at.verb + " " + dotted(at.group, at.resource)
				if at.namespace != "" {
					text += " in " + at.namespace
				}
				s.Widened = append(s.Widened, text)
			}
		}
		slices.Sort(s.Widened)
	}
	return out
}

// Rights are what the subject needs, by namespace: "" is everywhere. What it needs
// everywhere is not repeated in a namespace.
func (s *Subject) Rights() map[string]Set {
	out := map[string]Set{}
	for at, r := range s.acts {
		set := out[at.namespace]
		if set == nil {
			set = Set{}
			out[at.namespace] = set
		}
		a := Atom{Verb: at.verb, Group: at.group, Resource: at.resource, URL: at.url}
		if r.any || at.url != "" {
			set[a] = struct{}{}
			continue
		}
		for name := range r.names {
			a.Named, a.Name = true, name
			set[a] = struct{}{}
		}
	}
	for namespace, set := range out {
		set.Reduce()
		if namespace != "" {
			out[namespace] = set.Without(out[""])
		}
	}
	maps.DeleteFunc(out, func(_ string, set Set) bool { return len(set) == 0 })
	return out
}

// A Refusal is something that was asked for and not allowed.
type Refusal struct {
	Text     string `json:"request"`
	Requests int    `json:"requests"`
}

// Denied returns what was asked for in vain, most often first.
func (s *Subject) Denied() []Refusal {
	var out []Refusal
	for at, r := range s.denied {
		text := at.verb + " " + at.url
		if at.url == "" {
			text = at.verb + " " + dotted(at.group, at.resource)
			if at.name != "" {
				text += " named " + at.name
			}
			if at.namespace != "" {
				text += " in " + at.namespace
			}
		}
		out = append(out, Refusal{text, r.requests})
	}
	slices.SortFunc(out, func(a, b Refusal) int {
		return cmp.Or(-cmp.Compare(a.Requests, b.Requests), strings.Compare(a.Text, b.Text))
	})
	return out
}

// dotted writes a resource as kubectl does: "deployments.apps/scale".
func dotted(group, resource string) string {
	if group == "" {
		return resource
	}
	name, sub, ok := strings.Cut(resource, "/")
	if ok {
		sub = "/" + sub
	}
	return name + "." + group + sub
}

// BuiltIn says why an identity is not to be given a role of one's own: it has its rights
// from elsewhere. It is empty for all others.
func BuiltIn(who *authz.User) string {
	name, isSystem := strings.CutPrefix(who.Name, "system:")
	switch {
	case slices.Contains(who.Groups, "system:masters"):
		return "is in system:masters, which no role limits"
	case slices.Contains(who.Groups, "system:nodes"):
		return "is a node, whose rights are the Node authorizer's"
	case !isSystem:
		return ""
	case slices.Contains([]string{"apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"}, name):
		return "is a part of the control plane, whose roles Kubernetes keeps"
	case name == "anonymous":
		return "is everybody without a credential"
	}
	account, ok := strings.CutPrefix(name, "serviceaccount:kube-system:")
	if ok && slices.Contains(controllers, account) {
		return "is a controller of Kubernetes, whose role it keeps"
	}
	return ""
}

// controllers are the service accounts of kube-controller-manager
// (.../bootstrappolicy/controller_policy.go).
var controllers = strings.Fields(`
	attachdetach-controller certificate-controller clusterrole-aggregation-controller cronjob-controller
	daemon-set-controller deployment-controller device-taint-eviction-controller disruption-controller
	endpoint-controller endpointslice-controller endpointslicemirroring-controller ephemeral-volume-controller
	expand-controller generic-garbage-collector horizontal-pod-autoscaler job-controller
	kube-apiserver-serving-clustertrustbundle-publisher legacy-service-account-token-cleaner namespace-controller node-controller
	persistent-volume-binder pod-garbage-collector podcertificaterequestcleaner podgroup-protection-controller
	pv-protection-controller pvc-protection-controller replicaset-controller replication-controller
	resource-claim-controller resourcepoolstatusrequest-controller resourcequota-controller root-ca-cert-publisher
	route-controller selinux-warning-controller service-account-controller service-cidrs-controller
	service-controller statefulset-controller storage-version-garbage-collector storage-version-migrator-controller
	ttl-after-finished-controller ttl-controller validatingadmissionpolicy-status-controller volumeattributesclass-protection-controller
`)

// Authenticated are the rules of the roles that Kubernetes binds to everybody who is
// authenticated: system:basic-user, system:discovery and system:public-info-viewer
// (k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go).
func Authenticated() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{Verbs: []string{"create"}, APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"selfsubjectaccessreviews", "selfsubjectrulesreviews"}},
		{Verbs: []string{"create"}, APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"selfsubjectreviews"}},
		{Verbs: []string{"get"}, NonResourceURLs: []string{
			"/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/",
		}},
	}
}
