// Package takeover finds workloads whose identity could take the cluster.
package takeover

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed doc.md
var doc string

// Control is workload.takeover.
var Control = &control.Control{
	ID:       "workload.takeover",
	Title:    "Workload could take over the cluster",
	Severity: control.Critical,
	Since:    "0.1.0",
	Over:     cluster.Workloads,
	With:     append([]cluster.Need{cluster.ServiceAccounts}, cluster.RBAC...),
	Check:    check,
	Refs: []control.Ref{
		control.CIS("5.1.1").Further(),
		control.MITRE("T1078.004"),
		control.MITRE("T1098.006"),
	},
	Doc: doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	ways := finder{s: s, of: map[cluster.Subject][]way{}}
	for _, p := range s.Pods() {
		v := r.Pod(p)
		id := cluster.ServiceAccount(p.Namespace(), p.ServiceAccount())
		found := ways.find(id)
		if len(found) == 0 || !podsec.HoldsToken(p, podsec.AccountOf(s, p)) {
			continue
		}
		var what []string
		f := v.Broken(p.Path+".serviceAccountName", id.Name, "an account that cannot take the cluster")
		for _, w := range found {
			what = append(what, w.does)
			for _, b := range w.through {
				for _, ref := range grant.Via(b) {
					if !slices.Contains(f.Via, ref) {
						f.Through(ref)
					}
				}
			}
		}
		f.Because("it may %s, by %s", strings.Join(what, "; "), f.Via[0])
	}
}

// A way is one path to the whole cluster, and the bindings that open it.
type way struct {
	does    string
	through []*cluster.Binding
}

// A requirement is an act that a way needs, or one of several that are as good.
type requirement = []grant.Act

// A path is what has to be allowed together for a takeover.
type path struct {
	does string
	// everywhere says that the acts count only for the whole cluster. The others
	// are as good in kube-system alone, whose accounts rule the cluster.
	everywhere bool
	needs      []requirement
}

const rbacGroup, certGroup = "rbac.authorization.k8s.io", "certificates.k8s.io"

// do is a requirement of one of the verbs on a resource.
func do(group, resource string, verbs ...string) requirement {
	var r requirement
	for _, verb := range verbs {
		r = append(r, grant.Act{Verb: verb, Group: group, Resource: resource})
	}
	return r
}

// create and change are requirements on any of the resources of a group.
func create(group string, resources ...string) requirement {
	var r requirement
	for _, resource := range resources {
		r = append(r, do(group, resource, "create")...)
	}
	return r
}

func change(group string, resources ...string) requirement {
	var r requirement
	for _, resource := range resources {
		r = append(r, do(group, resource, "update", "patch")...)
	}
	return r
}

// paths are in the order of how directly they lead there. The API server refuses to
// let anybody grant what they do not hold, so writing roles or bindings counts only
// with escalate or bind.
var paths = []path{
	{"do everything", true, []requirement{do("*", "*", "*")}},
	{"read the secrets of every namespace", true, []requirement{grant.ReadSecrets}},
	{"impersonate users", true, []requirement{do("", "users", "impersonate")}},
	{"impersonate service accounts of kube-system", false, []requirement{do("", "serviceaccounts", "impersonate")}},
	{"give itself any right by escalate", true, []requirement{do(rbacGroup, "clusterroles", "escalate"), change(rbacGroup, "clusterroles")}},
	{"bind itself to any role by bind", true, []requirement{
		do(rbacGroup, "clusterroles", "bind"), slices.Concat(create(rbacGroup, "clusterrolebindings"), change(rbacGroup, "clusterrolebindings")),
	}},
	{"bind itself to any role in kube-system by bind", false, []requirement{
		do(rbacGroup, "clusterroles", "bind"), slices.Concat(create(rbacGroup, "rolebindings"), change(rbacGroup, "rolebindings")),
	}},
	{"make tokens of kube-system's accounts", false, []requirement{create("", "serviceaccounts/token")}},
	{"make and read token secrets in kube-system", false, []requirement{create("", "secrets"), grant.ReadSecrets}},
	{"run pods in kube-system", false, []requirement{slices.Concat(
		create("", "pods", "replicationcontrollers"),
		create("apps", "deployments", "daemonsets", "statefulsets", "replicasets"),
		create("batch", "jobs", "cronjobs"),
	)}},
	{"change the workloads of kube-system", false, []requirement{slices.Concat(
		change("apps", "deployments", "daemonsets", "statefulsets"), change("", "pods/ephemeralcontainers"),
	)}},
	{"run commands in the pods of kube-system", false, []requirement{create("", "pods/exec", "pods/attach")}},
	{"run commands on every node through nodes/proxy", true, []requirement{do("", "nodes/proxy", "get", "create")}},
	{"rewrite every request by an admission webhook", true, []requirement{slices.Concat(
		create("admissionregistration.k8s.io", "mutatingwebhookconfigurations"), change("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
	)}},
	{"sign itself a client certificate", true, []requirement{
		create(certGroup, "certificatesigningrequests"), change(certGroup, "certificatesigningrequests/approval"), do(certGroup, "signers", "approve"),
	}},
}

// A finder finds the ways of each account once. Most accounts are reached by the same
// bindings as the one before, those of everybody, and have the same ways.
type finder struct {
	s    *cluster.Snapshot
	of   map[cluster.Subject][]way
	all  []*cluster.Binding // that the last ones are open by
	last []way
}

// find returns the paths that are open to an account, by whichever of its bindings.
func (f *finder) find(id cluster.Subject) []way {
	found, ok := f.of[id]
	if ok {
		return found
	}
	var all, everywhere []*cluster.Binding
	for b := range grant.Bindings(f.s, id.Namespace, id.Name) {
		switch b.Namespace {
		case "":
			everywhere, all = append(everywhere, b), append(all, b)
		case "kube-system":
			all = append(all, b)
		}
	}
	if len(f.of) == 0 || !slices.Equal(all, f.all) { // everywhere is a part of all
		f.all, f.last = all, waysOf(all, everywhere)
	}
	f.of[id] = f.last
	return f.last
}

// waysOf returns the paths that the bindings open. Once they allow everything the rest is
// no news.
func waysOf(all, everywhere []*cluster.Binding) []way {
	var out []way
	for _, p := range paths {
		bindings := all
		if p.everywhere {
			bindings = everywhere
		}
		if through := open(p, bindings); through != nil {
			out = append(out, way{p.does, through})
			if len(out) == 1 && p.does == paths[0].does {
				return out
			}
		}
	}
	return out
}

// open returns the bindings that together allow what the path needs, or nil.
func open(p path, bindings []*cluster.Binding) []*cluster.Binding {
	var through []*cluster.Binding
	for _, need := range p.needs {
		i := slices.IndexFunc(bindings, func(b *cluster.Binding) bool {
			_, ok := grant.AllowsAny(grant.Rules(b), need...)
			return ok
		})
		if i < 0 {
			return nil
		}
		through = append(through, bindings[i])
	}
	return through
}
