package policy

import (
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// FuzzExpression: whatever the expression, evaluating it ends within its budget, and what
// is answered without a ConfigMap's values and without the sender is what would be
// answered with them.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		"object.metadata.name == 'x'", "has(object.data)", "object.data.mode == 'fast' || object.metadata.name == 'settings'",
		"!('mode' in object.data)", "object.?data.?mode.orValue('') == ''", "object.data.all(k, object.data[k] == 'fast')",
		"variables.all.data.mode != 'fast'", "variables.mode == 'fast' ? true : object.metadata.name == 'x'",
		"request.userInfo.username == ''", "has(request.userInfo.username)", "request.userInfo.groups.exists(g, g == 'people')",
		"dyn(request) == null", "authorizer.path('/').check('get').allowed()", "request.namespace == 'shop' && request.?userInfo.hasValue()",
		"[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, a + b + c < 99)))",
		"object.metadata.labels.all(l, l.matches('(a+)+$'))", "cel.bind(x, object, x.data.mode.size() > 1)",
		"optional.of(object).optMap(o, o.data).hasValue()", "[object].map(o, o.data.size()).exists(n, n > 0)", "namespaceObject == null",
	} {
		f.Add(seed)
	}
	gvk := schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	meta := map[string]any{"name": "settings", "namespace": "shop", "labels": map[string]any{"a": "aaaaaaaaaaaaaaaaaaaa!"}}
	attributes := func(sender user.Info) admission.Attributes {
		return admission.NewAttributesRecord(nil, nil, gvk, "shop", "settings", gvk.GroupVersion().WithResource("configmaps"), "", admission.Create, nil, false, sender)
	}
	subjectWith := func(content map[string]any, sender user.Info) *subject {
		return &subject{
			object: &cluster.Object{Ref: cluster.Ref{Kind: "ConfigMap", Namespace: "shop", Name: "settings"}, Meta: &metav1.ObjectMeta{}},
			gvk:    gvk, attributes: attributes(sender), content: &unstructured.Unstructured{Object: content},
		}
	}
	hiddenValues := subjectWith(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}, nil)
	hiddenValues.unknown = [][]string{{"data"}}
	full := subjectWith(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": map[string]any{"mode": "fast"}},
		&user.DefaultInfo{Name: "anna", Groups: []string{"people"}})

	f.Fuzz(func(t *testing.T, expression string) {
		if len(expression) > 2000 {
			t.Skip()
		}
		c, err := Stored().compile(&admissionv1.ValidatingAdmissionPolicySpec{
			Variables:   []admissionv1.Variable{{Name: "all", Expression: "object"}, {Name: "mode", Expression: "object.data.mode"}},
			Validations: []admissionv1.Validation{{Expression: expression}},
		})
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		decisions, _, err := c.evaluate(hiddenValues, parameter{})
		if err != nil || len(decisions) != 1 {
			t.Fatalf("%d decisions, error %v", len(decisions), err)
		}
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("evaluating took %s", took)
		}
		ours := decisions[0]
		if ours.unknown != "" || strings.Contains(expression, "namespaceObject") {
			return
		}
		versioned, err := full.versioned()
		if err != nil {
			t.Fatal(err)
		}
		var asked asks
		request := plugincel.CreateAdmissionRequest(full.attributes, metav1.GroupVersionResource(full.attributes.GetResource()), metav1.GroupVersionKind(gvk))
		answers, _, err := c.validations.answers(versioned, request, plugincel.OptionalVariableBindings{Authorizer: &asked}, nil, celconfig.RuntimeCELCostBudget, nil, &asked)
		if err != nil {
			return // out of budget, as values have a size
		}
		passes := func(d decision) bool { return d.refused == "" && d.failed == "" }
		theirs := decision{}
		switch a := answers[0]; {
		case a.unknown != "":
			t.Fatalf("the authorizer was asked only with values")
		case a.err != nil:
			theirs.failed = a.err.Error()
		default:
			if v, _ := a.value.(interface{ Value() any }); v == nil || v.Value() != true {
				theirs.refused = "refused"
			}
		}
		if passes(ours) != passes(theirs) {
			t.Errorf("%q: without values %+v, with them %+v", expression, ours, theirs)
		}
	})
}
