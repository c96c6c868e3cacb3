package authz

import (
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// server adds an API server with flags, and the files that they name.
func (s store) server(machine string, flags string, files ...*cluster.Config) store {
	s.b.AddMachine(&cluster.Machine{Name: machine, Processes: []cluster.Process{{Component: "kube-apiserver", Args: append([]string{"kube-apiserver"}, strings.Fields(flags)...)}}})
	for _, f := range files {
		f.Machine = machine
		s.b.AddConfig(f)
	}
	return s
}

func webhook(name, failure string, conditions ...string) cluster.Authorizer {
	hook := &cluster.AuthorizationWebhook{FailurePolicy: failure}
	for _, c := range conditions {
		hook.MatchConditions = append(hook.MatchConditions, struct {
			Expression string `json:"expression"`
		}{c})
	}
	return cluster.Authorizer{Type: "Webhook", Name: name, Webhook: hook}
}

func TestChain(t *testing.T) {
	config := func(authorizers ...cluster.Authorizer) *cluster.Config {
		return &cluster.Config{File: "/etc/authz.yaml", Authorization: &cluster.AuthorizationConfiguration{Authorizers: authorizers}}
	}
	const useConfig = "--authorization-config=/etc/authz.yaml"
	rbac, node := cluster.Authorizer{Type: "RBAC"}, cluster.Authorizer{Type: "Node"}
	allowed := Request("get", "", "pods", "shop", "p").By(NewUser("ann"))
	refused := Request("delete", "", "pods", "shop", "p").By(NewUser("ann"))
	for name, tt := range map[string]struct {
		server    func(store) store
		a         Attributes
		want      Decision
		otherwise Decision
	}{
		"no flags at all, so Node,RBAC": {func(s store) store { return s }, allowed, Allow, Unknown},
		"RBAC":                          {func(s store) store { return s.server("m", "--authorization-mode=Node,RBAC") }, refused, Deny, Unknown},
		"no mode is AlwaysAllow":        {func(s store) store { return s.server("m", "--profiling=false") }, refused, Allow, Unknown},
		"AlwaysDeny stops nobody":       {func(s store) store { return s.server("m", "--authorization-mode=AlwaysDeny,RBAC") }, allowed, Allow, Unknown},
		"AlwaysDeny alone":              {func(s store) store { return s.server("m", "--authorization-mode=AlwaysDeny") }, allowed, Deny, Unknown},
		"ABAC whose file was not read": {func(s store) store {
			return s.server("m", "--authorization-mode=RBAC,ABAC --authorization-policy-file=/abac")
		}, refused, Unknown, Deny},
		"RBAC says yes before it": {func(s store) store {
			return s.server("m", "--authorization-mode=RBAC,ABAC --authorization-policy-file=/abac")
		}, allowed, Allow, Unknown},
		"it can only allow": {func(s store) store {
			return s.server("m", "--authorization-mode=ABAC,RBAC --authorization-policy-file=/abac")
		}, allowed, Allow, Unknown},
		"a webhook after a yes":      {func(s store) store { return s.server("m", "--authorization-mode=RBAC,Webhook") }, allowed, Allow, Unknown},
		"a webhook after no opinion": {func(s store) store { return s.server("m", "--authorization-mode=RBAC,Webhook") }, refused, Unknown, Deny},
		"a webhook may deny first":   {func(s store) store { return s.server("m", "--authorization-mode=Webhook,RBAC") }, allowed, Unknown, Allow},
		"masters are asked before":   {func(s store) store { return s.server("m", "--authorization-mode=Webhook") }, allowed.By(NewUser("root", masters)), Allow, Unknown},
		"a condition that does not match": {func(s store) store {
			return s.server("m", useConfig, config(webhook("w", "Deny", "request.user == 'joe'"), rbac))
		}, allowed, Allow, Unknown},
		"a condition that matches": {func(s store) store {
			return s.server("m", useConfig, config(webhook("w", "Deny", "request.user == 'ann'"), rbac))
		}, allowed, Unknown, Allow},
		"one that fails, and Deny": {func(s store) store {
			return s.server("m", useConfig, config(webhook("w", "Deny", "request.nonResourceAttributes.path == '/x'"), rbac))
		}, allowed, Deny, Unknown},
		"one that fails, and NoOpinion": {func(s store) store {
			return s.server("m", useConfig, config(webhook("w", "NoOpinion", "request.nonResourceAttributes.path == '/x'"), rbac))
		}, allowed, Allow, Unknown},
		"a no before a failure": {func(s store) store {
			return s.server("m", useConfig, config(webhook("w", "Deny", "request.nonResourceAttributes.path == '/x'", "false"), rbac))
		}, allowed, Allow, Unknown},
		"a configuration that was not read": {func(s store) store { return s.server("m", useConfig) }, allowed, Unknown, Allow},
		"a type that there is not": {func(s store) store {
			return s.server("m", useConfig, config(cluster.Authorizer{Type: "Oracle"}, node, rbac))
		}, allowed, Allow, Unknown},
		"two servers that agree": {func(s store) store {
			return s.server("m", "--authorization-mode=Node,RBAC").server("n", "--authorization-mode=RBAC,Node")
		}, allowed, Allow, Unknown},
		"two servers that differ": {func(s store) store {
			return s.server("m", "--authorization-mode=RBAC").server("n", "--authorization-mode=AlwaysAllow")
		}, refused, Unknown, Unknown},
		"roles that were not read": {func(s store) store {
			s.b.Gap(cluster.Gap{Need: cluster.ClusterRoleBindings, Reason: "forbidden"})
			return s
		}, refused, Unknown, Deny},
		"roles that were read all the same": {func(s store) store {
			s.b.Gap(cluster.Gap{Need: cluster.ClusterRoleBindings, Reason: "forbidden"})
			return s
		}, allowed, Allow, Unknown},
		"pods that were not read":             {func(s store) store { return s }, Request("get", "", "secrets", "shop", "db").By(Node("n1")), Unknown, Deny},
		"what a node may without any of them": {func(s store) store { return s }, Request("get", "", "nodes", "", "n1").By(Node("n1")), Allow, Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.server(newStore().role("", "view", "get core pods").bind("", "view", "ClusterRole", "view", "User ann"))
			got := s.engine().Authorize(&tt.a)
			if got.Decision != tt.want || got.Else != tt.otherwise {
				t.Errorf("%s (%s), otherwise %s; want %s, otherwise %s", got.Decision, got.Reason(), got.Else, tt.want, tt.otherwise)
			}
		})
	}
}

func TestGates(t *testing.T) {
	for _, tt := range []struct {
		version, flags string
		gate           gate
		want           bool
	}{
		{"v1.31.0", "", nodeSelectors, false},
		{"v1.32.1", "", nodeSelectors, true},
		{"v1.33.0+k3s1", "--feature-gates=AuthorizeNodeWithSelectors=false", nodeSelectors, false},
		{"v1.34.0", "--feature-gates=AuthorizeNodeWithSelectors=false", nodeSelectors, true}, // locked
		{"v1.30.0", "--feature-gates=AuthorizeNodeWithSelectors=true", nodeSelectors, false}, // not there
		{"v1.35.0", "--feature-gates=A=true,ConstrainedImpersonation=true", constrained, true},
		{"", "", constrained, true},
		{"nonsense", "", constrained, true},
		{"v1.34-gke.5", "", execByCreate, false},
	} {
		s := newStore().server("m", "--authorization-mode=RBAC "+tt.flags)
		if got := New(s.b.Snapshot(), Options{Version: tt.version}).release.has(tt.gate); got != tt.want {
			t.Errorf("%s %s: %s is %v, want %v", tt.version, tt.flags, tt.gate.name, got, tt.want)
		}
	}
}
