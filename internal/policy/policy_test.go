package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/policy"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

const (
	shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tier: front}}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop}
spec: {hostNetwork: true, containers: [{name: cart, image: "cart:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pay, namespace: elsewhere}
spec: {containers: [{name: pay, image: "pay:1"}]}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: shop}
stringData: {token: x}
`
	head = `
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: p}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]
`
	bound = `
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: b}
spec: {policyName: p, validationActions: [Deny]}
`
)

func read(t *testing.T, live bool, text string) *cluster.Snapshot {
	t.Helper()
	b := cluster.NewBuilder("test", live)
	r := manifest.NewReader(b, "")
	r.Read("in.yaml", strings.NewReader(text))
	if out := r.Outcome(); len(out.Problems)+len(out.Skipped) > 0 {
		t.Fatal(out.Problems, out.Skipped)
	}
	return b.Snapshot()
}

// judged are the findings of the policies of an input, and how many objects held.
func judged(s *cluster.Snapshot) string {
	var b strings.Builder
	for _, res := range scan.Run(s, policy.Controls(s)).Controls {
		for _, f := range res.Findings {
			if f.Outcome == control.Unknown {
				b.WriteString("? ")
			}
			fmt.Fprintln(&b, f)
		}
		fmt.Fprintf(&b, "%d held", res.Held)
		if res.Reason != "" {
			fmt.Fprintf(&b, " (%s)", res.Reason)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestControls: what a real API server says of the same policies is compared in
// lab/e2e/policies_test.go; here is what only a scan has to say.
func TestControls(t *testing.T) {
	for name, tt := range map[string]struct {
		live bool
		in   string
		want string
	}{
		"no policy": {in: shop, want: "0 held (there is nothing of the kind it judges)\n"},
		"no binding": {
			in: shop + head + "  validations: [{expression: 'false'}]\n", want: "0 held (there is nothing of the kind it judges)\n",
		},
		"refused": {
			in:   shop + head + "  validations: [{expression: '!has(object.spec.hostNetwork)', message: no host network}]\n" + bound,
			want: "pod shop/cart: binding b would deny it: no host network\n1 held\n",
		},
		"the sender is not known, and not always asked for": {
			in:   shop + head + "  validations: [{expression: \"!has(object.spec.hostNetwork) || request.userInfo.username == 'root'\"}]\n" + bound,
			want: "? pod shop/cart: it rests on request.userInfo, which is not known here\n1 held\n",
		},
		"a condition about the sender does not matter to what would be let in anyway": {
			in: shop + head + "  matchConditions: [{name: people, expression: \"!('system:nodes' in request.userInfo.groups)\"}]\n" +
				"  validations: [{expression: '!has(object.spec.hostNetwork)'}]\n" + bound,
			want: "? pod shop/cart: match condition people: it rests on request.userInfo, which is not known here\n1 held\n",
		},
		"a condition that asks whether the sender has something is not met for want of a sender": {
			in: shop + head + "  matchConditions: [{name: people, expression: \"has(request.userInfo.groups) && !('system:nodes' in request.userInfo.groups)\"}]\n" +
				"  validations: [{expression: '!has(object.spec.hostNetwork)'}]\n" + bound,
			want: "? pod shop/cart: match condition people: it rests on request.userInfo, which is not known here\n1 held\n",
		},
		"one that is not met whoever sends": {
			in: shop + head + "  matchConditions: [{name: people, expression: \"has(request.userInfo.groups)\"}, {name: never, expression: 'false'}]\n" +
				"  validations: [{expression: 'false'}]\n" + bound,
			want: "2 held\n",
		},
		"an annotation has no authorizer": {
			in: shop + head + "  auditAnnotations: [{key: a, valueExpression: \"authorizer.group('').resource('nodes').check('get').reason()\"}]\n" + bound,
			want: "pod elsewhere/pay: binding b would deny it, as the policy cannot be evaluated: expression 'authorizer.group('').resource('nodes').check('get').reason()' resulted in error: no such attribute(s): authorizer\n" +
				"pod shop/cart: binding b would deny it, as the policy cannot be evaluated: expression 'authorizer.group('').resource('nodes').check('get').reason()' resulted in error: no such attribute(s): authorizer\n0 held\n",
		},
		"a selector that is none is no matter of what the rules are not for": {
			in: shop + strings.Replace(head, "resourceRules", "objectSelector: {matchExpressions: [{key: a, operator: Odd}]}\n    resourceRules", 1) +
				"  validations: [{expression: 'false'}]\n" + bound,
			want: "pod elsewhere/pay: would deny it, as the policy cannot be evaluated: objectSelector: \"Odd\" is not a valid label selector operator\n" +
				"pod shop/cart: would deny it, as the policy cannot be evaluated: objectSelector: \"Odd\" is not a valid label selector operator\n0 held\n",
		},
		"what the sender may do": {
			in:   shop + head + "  validations: [{expression: \"!has(object.spec.hostNetwork) || authorizer.group('').resource('nodes').check('get').allowed()\"}]\n" + bound,
			want: "? pod shop/cart: it rests on what the sender of the request may do, which is not known here\n1 held\n",
		},
		"a namespace that is not in the input": {
			in:   shop + head + "  validations: [{expression: \"namespaceObject.metadata.labels['tier'] != 'front'\", message: front}]\n" + bound,
			want: "pod shop/cart: binding b would deny it: front\n? pod elsewhere/pay: it rests on namespaceObject, which is not known here\n0 held\n",
		},
		"labels of a namespace that is not in the input": {
			in: shop + strings.Replace(head, "resourceRules", "namespaceSelector: {matchLabels: {tier: front}}\n    resourceRules", 1) +
				"  validations: [{expression: 'false', message: front}]\n" + bound,
			want: "pod shop/cart: binding b would deny it: front\n? pod elsewhere/pay: namespace elsewhere is not in the input, and the policy asks for its labels\n0 held\n",
		},
		"its name is known all the same": {
			in: shop + strings.Replace(head, "resourceRules", "namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [elsewhere]}]}\n    resourceRules", 1) +
				"  validations: [{expression: 'false', message: front}]\n" + bound,
			want: "pod shop/cart: binding b would deny it: front\n0 held\n",
		},
		"a secret's values": {
			in:   shop + strings.Replace(head, "pods", "secrets", 1) + "  validations: [{expression: '!has(object.data) || object.data.size() == 0'}]\n" + bound,
			want: "? secret shop/token: it rests on object.data, which is not known here\n0 held\n",
		},
		"a secret's type": {
			in:   shop + strings.Replace(head, "pods", "secrets", 1) + "  validations: [{expression: \"object.type == 'x'\", message: type}]\n" + bound,
			want: "secret shop/token: binding b would deny it: type\n0 held\n",
		},
		"a default that only a server fills in": {
			in: shop + head + "  validations: [{expression: \"object.spec.dnsPolicy == 'ClusterFirst'\"}]\n" + bound,
			want: "? pod elsewhere/pay: the API server may fill in a default: expression 'object.spec.dnsPolicy == 'ClusterFirst'' resulted in error: no such key: dnsPolicy\n" +
				"? pod shop/cart: the API server may fill in a default: expression 'object.spec.dnsPolicy == 'ClusterFirst'' resulted in error: no such key: dnsPolicy\n0 held\n",
		},
		"an error of its own": {
			in: shop + head + "  validations: [{expression: 'object.metadata.name > 1'}]\n" + bound,
			want: "pod elsewhere/pay: binding b would deny it, as the policy cannot be evaluated: expression 'object.metadata.name > 1' resulted in error: no such overload\n" +
				"pod shop/cart: binding b would deny it, as the policy cannot be evaluated: expression 'object.metadata.name > 1' resulted in error: no such overload\n0 held\n",
		},
		"an error that is ignored": {
			in: shop + head + "  failurePolicy: Ignore\n  validations: [{expression: 'object.metadata.name > 1'}]\n" + bound, want: "2 held\n",
		},
		"a policy that does not compile refuses everything": {
			in: shop + head + "  validations: [{expression: 'objct.x'}]\n" + bound,
			want: "pod elsewhere/pay: binding b would deny it, as the policy cannot be evaluated: compilation error: compilation failed: ERROR: <input>:1:1: undeclared reference to 'objct' (in container '')\n" +
				"pod shop/cart: binding b would deny it, as the policy cannot be evaluated: compilation error: compilation failed: ERROR: <input>:1:1: undeclared reference to 'objct' (in container '')\n0 held\n",
		},
		"another version of the same resource": {
			in:   shop + strings.Replace(head, "apiVersions: [v1]", "apiVersions: [v2]", 1) + "  validations: [{expression: 'false'}]\n" + bound,
			want: "? pod elsewhere/pay: it was read as v1, and the policy judges it as version v2\n? pod shop/cart: it was read as v1, and the policy judges it as version v2\n0 held\n",
		},
		"a parameter of a kind that is not read": {
			in: shop + head + "  paramKind: {apiVersion: example.com/v1, kind: Limit}\n  validations: [{expression: 'params.x'}]\n" +
				strings.Replace(bound, "[Deny]", "[Deny], paramRef: {name: l, parameterNotFoundAction: Deny}", 1),
			want: "? pod elsewhere/pay: its parameters are of kind Limit of example.com/v1, which is not read\n? pod shop/cart: its parameters are of kind Limit of example.com/v1, which is not read\n0 held\n",
		},
		"a parameter that is not in the input": {
			in: shop + head + "  paramKind: {apiVersion: v1, kind: ConfigMap}\n  validations: [{expression: 'params.x'}]\n" +
				strings.Replace(bound, "[Deny]", "[Deny], paramRef: {name: l, parameterNotFoundAction: Deny}", 1),
			want: "? pod elsewhere/pay: its parameter, configmap elsewhere/l, is not in the input\n? pod shop/cart: its parameter, configmap shop/l, is not in the input\n0 held\n",
		},
		"no policy is asked about policies": {
			in:   shop + strings.NewReplacer(`[""]`, `["*"]`, "[pods]", `["*"]`).Replace(head) + "  validations: [{expression: \"object.kind in ['Pod', 'Secret', 'Namespace']\"}]\n" + bound,
			want: "4 held\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, judged(read(t, tt.live, tt.in))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnreadPolicies: policies that could not be listed are unknown, not absent.
func TestUnreadPolicies(t *testing.T) {
	b := cluster.NewBuilder("test", true)
	b.Gap(cluster.Gap{Need: cluster.ValidatingPolicies, Reason: "the credential may not list it (403)"})
	b.Looked(cluster.ValidatingPolicyBindings, cluster.Pods)
	s := b.Snapshot()
	res := scan.Run(s, policy.Controls(s)).Controls[0]
	if res.Outcome != control.Unknown || !strings.Contains(res.Reason, "403") {
		t.Errorf("%s: %s, want unknown with the reason", res.Outcome, res.Reason)
	}
}
