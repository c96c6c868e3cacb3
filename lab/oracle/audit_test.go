package oracle

import (
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"testing"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/bulwark-k8s/bulwark/internal/audit"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// TestAuditPolicy: for random policies and requests our evaluation gives the level and the
// stages that the API server's own gives.
func TestAuditPolicy(t *testing.T) {
	rng := mathrand.New(mathrand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	some := func(from ...string) []string {
		var out []string
		for _, x := range from {
			if rng.IntN(4) == 0 {
				out = append(out, x)
			}
		}
		return out
	}
	for range 20000 {
		ours := cluster.AuditPolicy{OmitStages: some("RequestReceived", "ResponseComplete")}
		for range rng.IntN(5) {
			rule := cluster.AuditRule{
				Level: pick("None", "Metadata", "Request", "RequestResponse"),
				Users: some("jane", "joe"), UserGroups: some("admins", "devs"), Verbs: some("get", "create"),
				Namespaces: some("", "shop"), NonResourceURLs: some("*", "/healthz*", "/version"),
				OmitStages: some("RequestReceived", "ResponseStarted", "ResponseComplete"),
			}
			for range rng.IntN(3) {
				rule.Resources = append(rule.Resources, cluster.AuditResources{
					Group: pick("", "apps", "*"), Resources: some("pods", "pods/*", "*/exec", "*", "pods/exec", "secrets"),
					ResourceNames: some("db"),
				})
			}
			ours.Rules = append(ours.Rules, rule)
		}
		r := audit.Request{
			User: pick("jane", "joe", "eve"), Groups: some("admins", "devs"), Verb: pick("get", "create", "list"),
		}
		if rng.IntN(4) == 0 {
			r.Path = pick("/healthz/etcd", "/version", "/metrics")
		} else {
			r.Group, r.Resource, r.Subresource = pick("", "apps"), pick("pods", "secrets"), pick("", "exec", "log")
			r.Namespace, r.Name = pick("", "shop", "bank"), pick("db", "mail", "")
		}

		theirs := auditinternal.Policy{}
		raw, err := json.Marshal(ours)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &theirs); err != nil {
			t.Fatal(err)
		}
		want := policy.NewPolicyRuleEvaluator(&theirs).EvaluatePolicyRule(&authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: r.User, Groups: r.Groups}, Verb: r.Verb, Namespace: r.Namespace, Name: r.Name,
			APIGroup: r.Group, Resource: r.Resource, Subresource: r.Subresource, Path: r.Path, ResourceRequest: r.Path == "",
		})
		got := audit.Evaluate(&ours, r)
		if got.Level != string(want.Level) || stages(got.OmitStages) != stages(want.OmitStages) {
			t.Fatalf("policy %s\nrequest %+v\n got %s without %s\nwant %s without %s", raw, r, got.Level, stages(got.OmitStages), want.Level, stages(want.OmitStages))
		}
	}
}

func stages[S ~string](list []S) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return fmt.Sprint(slices.Compact(list))
}
