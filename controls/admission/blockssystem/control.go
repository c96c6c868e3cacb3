// Package blockssystem finds webhooks whose failure keeps the cluster from starting.
package blockssystem

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.blockssystem.
var Control = &control.Control{
	ID:       "admission.blockssystem",
	Title:    "Webhook that fails stops kube-system too",
	Severity: control.Low,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingWebhooks, cluster.MutatingWebhooks},
	With:     []cluster.Need{cluster.Namespaces},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1499")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for o, c := range cluster.All[*admissionv1.ValidatingWebhookConfiguration](s, "ValidatingWebhookConfiguration") {
		v := r.Object(o)
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			judge(s, v, hook{w.Name, w.FailurePolicy, w.ClientConfig.Service != nil, w.Rules, w.NamespaceSelector, w.ObjectSelector, len(w.MatchConditions) > 0})
		}
	}
	for o, c := range cluster.All[*admissionv1.MutatingWebhookConfiguration](s, "MutatingWebhookConfiguration") {
		v := r.Object(o)
		for i := range c.Webhooks {
			w := &c.Webhooks[i]
			judge(s, v, hook{w.Name, w.FailurePolicy, w.ClientConfig.Service != nil, w.Rules, w.NamespaceSelector, w.ObjectSelector, len(w.MatchConditions) > 0})
		}
	}
}

// A hook is what both kinds of webhook have in common.
type hook struct {
	name          string
	failure       *admissionv1.FailurePolicyType
	inside        bool // in the cluster, so that it stops with it
	rules         []admissionv1.RuleWithOperations
	spaces        *metav1.LabelSelector
	objects       *metav1.LabelSelector
	hasConditions bool
}

func judge(s *cluster.Snapshot, v *control.Verdict, h hook) {
	switch {
	case h.failure != nil && *h.failure == admissionv1.Ignore, !h.inside, h.hasConditions, !judgesPods(h.rules):
		return // conditions may exempt anything
	case h.objects != nil && len(h.objects.MatchLabels)+len(h.objects.MatchExpressions) > 0:
		return // only what is labelled for it
	}
	system := labels.Set{"kubernetes.io/metadata.name": "kube-system"}
	if ns := s.Get(cluster.Ref{Kind: "Namespace", Name: "kube-system"}); ns != nil {
		maps.Copy(system, ns.Meta.Labels)
	}
	if h.spaces != nil {
		if sel, err := metav1.LabelSelectorAsSelector(h.spaces); err != nil || !sel.Matches(system) {
			return
		}
	}
	v.Broken(fmt.Sprintf("webhooks[%s].namespaceSelector", h.name), "one that takes kube-system in", "one that leaves kube-system out").
		Because("failurePolicy is Fail, and it runs in the cluster that it stops")
}

func judgesPods(rules []admissionv1.RuleWithOperations) bool {
	return slices.ContainsFunc(rules, func(rule admissionv1.RuleWithOperations) bool {
		creates := slices.Contains(rule.Operations, admissionv1.Create) || slices.Contains(rule.Operations, admissionv1.OperationAll)
		core := slices.Contains(rule.APIGroups, "") || slices.Contains(rule.APIGroups, "*")
		return creates && core && slices.ContainsFunc(rule.Resources, func(res string) bool { return res == "pods" || res == "*" || res == "*/*" })
	})
}
