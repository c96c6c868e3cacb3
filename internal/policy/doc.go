// Package policy evaluates ValidatingAdmissionPolicies on what a Snapshot holds: which
// objects that exist would the API server refuse today? It compiles and evaluates with
// the API server's own code (k8s.io/apiserver/pkg/admission/plugin/cel): the same
// libraries, the same limits of cost. Only what a server adds to a request, its sender
// above all, is not known here; a verdict that rests on it is unknown.
//
// It knows nothing of files and clusters, and never sees a Secret's value.
package policy
