package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulwark-k8s/bulwark/internal/apiresource"
	"github.com/bulwark-k8s/bulwark/internal/authz"
)

// resourceForms say how to name what is asked about.
const resourceForms = `A RESOURCE is written as for kubectl: pods, po, pod, deployments.apps, deploy, pods/exec
for a subresource, or a path such as /metrics. Without -n a question about what is in
namespaces is about all of them at once.`

// A question is what is asked, without who.
type question struct {
	authz.Attributes
	// namespaced is true for what is in namespaces, as far as it is known.
	namespaced bool
	note       string
}

// String is the question in words: "get secrets named db in namespace shop".
func (q *question) String() string {
	text := q.Attributes.String()
	if q.ResourceRequest && q.namespaced && q.Namespace == "" {
		text += " in every namespace"
	}
	return text
}

// question reads VERB RESOURCE[/SUB] [NAME].
func (o *askOptions) question(args []string) (*question, error) {
	verb, word, name := args[0], args[1], ""
	if len(args) > 2 {
		name = args[2]
	}
	if verb == "" || word == "" {
		return nil, misuse("get pods, create pods/exec, get /metrics", "verb %q and resource %q: want both", verb, word)
	}
	if strings.HasPrefix(word, "/") {
		if name != "" || *o.kube.Namespace != "" {
			return nil, misuse("", "%s: a path has neither name nor namespace", word)
		}
		return &question{Attributes: authz.URL(verb, word)}, nil
	}
	resource, sub, _ := strings.Cut(word, "/")
	found, err := o.resource(resource)
	if err != nil {
		return nil, err
	}
	if known := apiresource.Find(found.Group, found.Name); known != nil && sub != "" && sub != "*" && !known.Virtual && !slices.Contains(known.Subresources, sub) {
		hint := "an object's name stands apart: " + resource + " " + sub
		if len(known.Subresources) > 0 {
			hint += "; its subresources are " + strings.Join(known.Subresources, ", ")
		}
		return nil, misuse(hint, "%s has no subresource %q", known, sub)
	}
	q := &question{namespaced: found.Namespaced}
	if !verbs.MatchString(verb) {
		q.note = fmt.Sprintf("Kubernetes itself asks for no verb %q; a role may have it all the same", verb)
	}
	namespace := *o.kube.Namespace
	if namespace != "" && !found.Namespaced {
		q.note = strings.TrimPrefix(q.note+"; ", "; ") + found.String() + " are in no namespace, so -n is left aside"
		namespace = ""
	}
	if found.Namespaced && namespace == "" && name != "" {
		return nil, misuse("give its namespace with -n", "%s %s: in which namespace?", found, name)
	}
	q.Attributes = authz.Request(verb, found.Group, found.Name, namespace, name)
	q.Subresource = sub
	return q, nil
}

// verbs are those that the API server asks for of resources: of requests
// (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go) and of what it checks besides.
var verbs = regexp.MustCompile(`^(get|list|watch|create|update|patch|delete|deletecollection|bind|escalate|impersonate|impersonate:.+|impersonate-on:.+|approve|sign|attest|use|proxy|unsafe-delete-ignore-read-errors|\*)$`)

// resource finds what a word means: Kubernetes' own resource, a resource with its group,
// or one that the cluster says it has.
func (o *askOptions) resource(word string) (*apiresource.Resource, error) {
	if word == "*" {
		return &apiresource.Resource{Group: "*", Name: "*", Namespaced: true}, nil
	}
	name, group, dotted := strings.Cut(strings.ToLower(word), ".")
	if version, rest, more := strings.Cut(group, "."); more && apiVersion.MatchString(version) {
		group = rest // deployments.v1.apps
	}
	for _, r := range apiresource.Named(name) {
		if !dotted || r.Group == group {
			return r, nil
		}
	}
	if len(o.files) == 0 {
		if mapper, err := o.kube.ToRESTMapper(); err == nil {
			if kind, err := mapper.KindFor(schema.GroupVersionResource{Group: group, Resource: name}); err == nil {
				if m, err := mapper.RESTMapping(kind.GroupKind(), kind.Version); err == nil {
					return &apiresource.Resource{Group: m.Resource.Group, Name: m.Resource.Resource, Kind: kind.Kind, Namespaced: m.Scope.Name() == "namespace"}, nil
				}
			}
		}
	}
	if dotted && group != "" {
		// Whose scope nobody knows: -n decides.
		return &apiresource.Resource{Group: group, Name: name, Namespaced: *o.kube.Namespace != ""}, nil
	}
	return nil, misuse("write it with its group: "+word+".example.com", "resource %q: Kubernetes has none of this name", word)
}

var apiVersion = regexp.MustCompile(`^v\d+((alpha|beta)\d+)?$`)

// giver says what gives a right: "rolebinding shop/cart gives role shop/worker", or where
// both have one name, "rolebinding and role shop/cart".
func giver(by authz.Origin) string {
	switch {
	case by.Binding == nil || by.Role == nil:
		return by.String()
	case by.Binding.Name == by.Role.Name && by.Binding.Namespace == by.Role.Namespace:
		return strings.ToLower(by.Binding.Kind) + " and " + by.Role.String()
	}
	return by.Binding.String() + " gives " + by.Role.String()
}

// through is the giver and the rule, counted from 0 as in a path of the object.
func through(by authz.Origin) string {
	if by.Binding == nil || by.Role == nil {
		return by.String()
	}
	return fmt.Sprintf("%s, rules[%d]", giver(by), by.Rule)
}
