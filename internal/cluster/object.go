package cluster

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Ref names one thing that a finding can be about: a Kubernetes object, or a
// thing beside the API such as a Machine or a component of the control plane.
type Ref struct {
	Kind string `json:"kind"`
	// Namespace is the object's; for a thing on a machine (a File, a Listener) it
	// is the machine's name.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Cluster tells apart the things of several clusters in one result. It is empty in
	// a Snapshot, which is one cluster, and where there is only one.
	Cluster string `json:"cluster,omitempty"`
}

// WholeCluster names one of several clusters as a whole.
func WholeCluster(name string) Ref { return Ref{Kind: clusterKind, Name: name, Cluster: name} }

const clusterKind = "Cluster"

// IsCluster reports whether the thing is one of several clusters as a whole.
func (r Ref) IsCluster() bool { return r.Cluster != "" && r == WholeCluster(r.Cluster) }

// Within is the Ref as the cluster itself knows it.
func (r Ref) Within() Ref {
	r.Cluster = ""
	return r
}

// FileRef names a file on a machine.
func FileRef(machine, path string) Ref { return Ref{Kind: "File", Namespace: machine, Name: path} }

// ListenerRef names a port on a machine.
func ListenerRef(machine string, l Listener) Ref {
	return Ref{Kind: "Listener", Namespace: machine, Name: fmt.Sprintf("%s %s", l.Component, net.JoinHostPort(l.Address, strconv.Itoa(l.Port)))}
}

// OnMachine reports whether the thing is on a machine rather than in a namespace.
func (r Ref) OnMachine() bool { return r.Kind == "File" || r.Kind == "Listener" }

// String is how people see a Ref: "deployment shop/cart", "clusterrole admin",
// "file /etc/kubernetes/admin.conf on cp-1"; where there are several clusters,
// "deployment shop/cart in prod".
func (r Ref) String() string {
	if r.Cluster != "" {
		in := " in " + r.Cluster
		if r.IsCluster() {
			in = ""
		}
		return r.Within().String() + in
	}
	if r.OnMachine() {
		return strings.ToLower(r.Kind) + " " + r.Name + " on " + r.Namespace
	}
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	return strings.ToLower(r.Kind) + " " + name
}

// Compare orders by cluster, namespace, kind, name; things without a namespace come first.
func (r Ref) Compare(o Ref) int {
	// Much is sorted by it, so nothing is compared that does not count.
	if c := cmp.Or(strings.Compare(r.Cluster, o.Cluster), strings.Compare(r.Namespace, o.Namespace)); c != 0 {
		return c
	}
	return cmp.Or(strings.Compare(r.Kind, o.Kind), strings.Compare(r.Name, o.Name))
}

// A Source says how a fact was read, in enough detail to read it again.
type Source struct {
	// Origin is the API path, file path, process or address that was read.
	Origin string `json:"origin"`
	// Line and Column are where the object begins in a file, counted from 1; 0
	// elsewhere. Together they tell the items of a list on one line apart.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// ResourceVersion is the version of a live object.
	ResourceVersion string `json:"resourceVersion,omitempty"`
	// Rendered tells apart what one place of a template was rendered to; only the
	// adapter that read it can make use of it.
	Rendered string `json:"-"`
	// Unplaced is set where the namespace is only assumed: a chart goes where it is
	// installed to.
	Unplaced bool `json:"unplaced,omitempty"`
}

func (s Source) String() string {
	if s.Line > 0 {
		return fmt.Sprintf("%s:%d", s.Origin, s.Line)
	}
	return s.Origin
}

// An Object is one Kubernetes object. Value points at a struct of k8s.io/api (or
// at a SecretFacts), with managedFields, and the text of annotations that may
// repeat a secret, dropped.
type Object struct {
	Ref
	APIVersion string
	Meta       *metav1.ObjectMeta
	Value      any
	Source     Source
}

// SecretFacts is what a Snapshot keeps of a Secret: that it exists, what it is for
// and what its keys are called.
type SecretFacts struct {
	Type string
	// Keys are sorted. KeysKnown is false where the server let us see the type
	// but not the names of the keys.
	Keys      []string
	KeysKnown bool
}

// ConfigMapFacts is what a Snapshot keeps of a ConfigMap: the sorted names of its keys,
// and whether they are known, as for a Secret.
type ConfigMapFacts struct {
	Keys      []string
	KeysKnown bool
}

// repeating are annotations whose text is dropped: tools keep in them the whole object as
// it was applied, with what a Secret holds and literal credentials, and OpenShift a token.
var repeating = []string{
	"kubectl.kubernetes.io/last-applied-configuration", "kapp.k14s.io/original", "objectset.rio.cattle.io/applied",
	"banzaicloud.com/last-applied", "kopf.zalando.org/last-handled-configuration", "openshift.io/token-secret.value",
}
