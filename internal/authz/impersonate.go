package authz

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

const authenticationGroup = "authentication.k8s.io"

// Impersonate answers a request that a.User makes as somebody else, and says who they are
// then. The wanted user is what the headers say, without the groups that are added. Since
// v1.36 the constrained modes are tried first, which take two rights, one of them for the
// very act; impersonating as ever comes last. That who they are then may do the act is for
// Authorize to say (k8s.io/apiserver/pkg/endpoints/filters/impersonation).
func (e *Engine) Impersonate(a Attributes, wanted User) (User, Answer) {
	first := Answer{Decision: Deny}
	if wanted.Name == "" {
		first.By = Origin{Detail: "no user is named, which is a bad request"}
		return User{}, first
	}
	type mode struct {
		name    string
		applies bool
	}
	_, node := nodeUser(wanted.Name)
	_, _, isAccount := account(wanted.Name)
	alone := wanted.UID == "" && len(wanted.Groups) == 0 && len(wanted.Extra) == 0
	modes := []mode{
		{"associated-node", alone && node && onNode(&a.User, wanted.Name)},
		{"arbitrary-node", alone && node},
		{"serviceaccount", alone && isAccount},
		{"user-info", !node && !isAccount},
	}
	if !e.release.has(constrained) {
		modes = nil
	}
	for i, m := range append(modes, mode{applies: true}) {
		if !m.applies {
			continue
		}
		is, answer := e.impersonateAs(a, wanted, m.name)
		switch {
		case answer.Decision == Allow:
			return is, answer
		case i == 0 || first.By == (Origin{}) || answer.Decision == Unknown:
			first = answer
		}
	}
	return User{}, first
}

// impersonateAs is one mode; none is impersonating as ever.
func (e *Engine) impersonateAs(a Attributes, wanted User, mode string) (User, Answer) {
	requestor, verb, group := a.User, "impersonate", ""
	var answer Answer
	if mode != "" {
		verb, group = "impersonate:"+mode, authenticationGroup
	}
	if mode == "associated-node" { // which of its nodes plays no part
		keys := []string{}
		for k := range requestor.Extra {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		requestor.Extra = map[string][]string{"authentication.kubernetes.io/associated-node-keys": keys}
	}
	may := func(group, resource, sub, namespace, name string) bool {
		if mode == "associated-node" {
			name = "*"
		}
		b := Attributes{User: requestor, Verb: verb, Group: group, Version: "v1", Resource: resource, Subresource: sub, Namespace: namespace, Name: name, ResourceRequest: true}
		answer = e.Authorize(&b)
		return answer.Decision == Allow
	}
	refuse := func(why string) (User, Answer) {
		return User{}, Answer{Decision: Deny, By: Origin{Detail: why}}
	}
	if mode != "" {
		b := a
		b.User, b.Verb = requestor, "impersonate-on:"+mode+":"+a.Verb
		if answer = e.Authorize(&b); answer.Decision != Allow {
			return User{}, answer
		}
	}
	is := wanted
	is.Groups = slices.Clone(wanted.Groups)
	resource, namespace, name := "users", "", wanted.Name
	if of, ok := nodeUser(wanted.Name); ok && mode != "" {
		resource, name, is.Groups = "nodes", of, []string{nodes}
	}
	if ns, of, ok := account(wanted.Name); ok {
		resource, namespace, name = "serviceaccounts", ns, of
		if len(wanted.Groups) == 0 {
			is.Groups = []string{accounts, accounts + ":" + ns}
		}
	}
	if !may(group, resource, "", namespace, name) {
		return User{}, answer
	}
	if wanted.UID != "" && !may(authenticationGroup, "uids", "", "", wanted.UID) {
		return User{}, answer
	}
	if mode != "" {
		if why := unfit(wanted); why != "" {
			return refuse(why)
		}
	}
	// From four on, one right to all of them does as well.
	const many = 4
	if all := mode != "" && len(wanted.Groups) >= many && may(group, "groups", "", "", "*"); !all {
		for _, g := range wanted.Groups {
			if !may(group, "groups", "", "", g) {
				return User{}, answer
			}
		}
	}
	values := 0
	for _, v := range wanted.Extra {
		values += len(v)
	}
	if all := mode != "" && max(values, len(wanted.Extra)) >= many && may(authenticationGroup, "userextras", "*", "", "*"); !all {
		for key, list := range wanted.Extra {
			for _, v := range list {
				if !may(authenticationGroup, "userextras", key, "", v) {
					return User{}, answer
				}
			}
		}
	}
	switch {
	case is.Name == anonymous:
		is.Groups = with(is.Groups, unauthenticated)
	case !slices.Contains(is.Groups, unauthenticated):
		is.Groups = with(is.Groups, authenticated)
	}
	return is, answer
}

func with(groups []string, group string) []string {
	if slices.Contains(groups, group) {
		return groups
	}
	return append(groups, group)
}

// unfit says what the constrained modes refuse whoever asks.
func unfit(wanted User) string {
	switch {
	case slices.Contains(wanted.Groups, ""):
		return "a group without a name cannot be impersonated"
	case slices.Contains(wanted.Groups, masters):
		return masters + " cannot be impersonated in a constrained mode"
	}
	for key, values := range wanted.Extra {
		bad := utilvalidation.IsDomainPrefixedPath(field.NewPath("extra"), key)
		if key == "" || len(bad) > 0 || key != strings.ToLower(key) || len(values) == 0 || slices.Contains(values, "") {
			return fmt.Sprintf("extra %q cannot be impersonated", key)
		}
	}
	return ""
}

// account takes the user name of a service account apart.
func account(user string) (namespace, name string, ok bool) {
	namespace, name, err := serviceaccount.SplitUsername(user)
	return namespace, name, err == nil
}

// nodeUser takes the user name of a node apart.
func nodeUser(user string) (string, bool) {
	name, ok := strings.CutPrefix(user, nodePrefix)
	return name, ok && len(validation.NameIsDNSSubdomain(name, false)) == 0
}

// onNode reports whether a service account's token is bound to the node.
func onNode(requestor *User, wanted string) bool {
	name, ok := nodeUser(wanted)
	_, _, isAccount := account(requestor.Name)
	at := requestor.Extra[serviceaccount.NodeNameKey]
	return ok && isAccount && len(at) == 1 && at[0] == name
}
