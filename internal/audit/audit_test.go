package audit

import (
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func TestEvaluate(t *testing.T) {
	core := func(resources ...string) []cluster.AuditResources {
		return []cluster.AuditResources{{Resources: resources}}
	}
	p := &cluster.AuditPolicy{OmitStages: []string{"RequestReceived"}, Rules: []cluster.AuditRule{
		{Level: "None", Users: []string{"system:kube-proxy"}, Verbs: []string{"watch"}},
		{Level: "None", NonResourceURLs: []string{"/healthz*", "/version"}},
		{Level: "None", Resources: core("pods/log"), OmitStages: []string{"ResponseComplete"}},
		{Level: "Metadata", Resources: []cluster.AuditResources{{Resources: []string{"secrets"}, ResourceNames: []string{"db"}}}},
		{Level: "Request", UserGroups: []string{"admins"}, Namespaces: []string{"shop"}, Resources: core("pods/*")},
		{Level: "Metadata", Resources: core("*/exec"), OmitStages: []string{"ResponseComplete"}},
		{Level: "RequestResponse", Resources: []cluster.AuditResources{{Group: "*"}}},
	}}
	for name, tt := range map[string]struct {
		r    Request
		rule int
	}{
		"by user and verb":            {Request{User: "system:kube-proxy", Verb: "watch", Resource: "services"}, 0},
		"another verb":                {Request{User: "system:kube-proxy", Verb: "list", Resource: "services"}, 6},
		"a path below a star":         {Request{Path: "/healthz/etcd"}, 1},
		"a path that nobody names":    {Request{Path: "/metrics"}, -1},
		"a subresource":               {Request{Resource: "pods", Subresource: "log"}, 2},
		"a name":                      {Request{Resource: "secrets", Name: "db"}, 3},
		"another name":                {Request{Resource: "secrets", Name: "mail"}, 6},
		"a group in its namespace":    {Request{Groups: []string{"admins"}, Namespace: "shop", Resource: "pods", Subresource: "exec"}, 4},
		"a group in another":          {Request{Groups: []string{"admins"}, Namespace: "bank", Resource: "pods", Subresource: "exec"}, 5},
		"a resource is of pods/* too": {Request{Groups: []string{"admins"}, Namespace: "shop", Resource: "pods"}, 4},
		"every group":                 {Request{Group: "apps", Resource: "deployments"}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Evaluate(p, tt.r); got.Rule != tt.rule {
				t.Errorf("rule %d decides, want %d", got.Rule, tt.rule)
			}
		})
	}
	exec := Evaluate(p, Request{Resource: "pods", Subresource: "exec"})
	if !exec.Recorded(true) || exec.Recorded(false) {
		t.Errorf("with both other stages left out, only a long-running request is recorded: %+v", exec)
	}
	if Evaluate(&cluster.AuditPolicy{}, Request{}).Recorded(true) {
		t.Error("a policy without rules records something")
	}
}
