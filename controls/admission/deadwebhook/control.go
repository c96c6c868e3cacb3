// Package deadwebhook finds webhooks that cannot be called.
package deadwebhook

import (
	_ "embed"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is admission.deadwebhook.
var Control = &control.Control{
	ID:       "admission.deadwebhook",
	Title:    "Webhook cannot be called",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.ValidatingWebhooks, cluster.MutatingWebhooks},
	With:     []cluster.Need{cluster.Services},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1562.001")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	if !s.Live {
		return // files are a part of a cluster, and injectors fill in the CA later
	}
	for o, c := range cluster.All[*admissionv1.ValidatingWebhookConfiguration](s, "ValidatingWebhookConfiguration") {
		v := r.Object(o)
		for i := range c.Webhooks {
			judge(s, v, c.Webhooks[i].Name, &c.Webhooks[i].ClientConfig, c.Webhooks[i].FailurePolicy)
		}
	}
	for o, c := range cluster.All[*admissionv1.MutatingWebhookConfiguration](s, "MutatingWebhookConfiguration") {
		v := r.Object(o)
		for i := range c.Webhooks {
			judge(s, v, c.Webhooks[i].Name, &c.Webhooks[i].ClientConfig, c.Webhooks[i].FailurePolicy)
		}
	}
}

func judge(s *cluster.Snapshot, v *control.Verdict, name string, config *admissionv1.WebhookClientConfig, failure *admissionv1.FailurePolicyType) {
	if config.Service == nil {
		return // whether an address outside answers cannot be told
	}
	so := "every request it judges is refused"
	if failure != nil && *failure == admissionv1.Ignore {
		so = "every request it judges passes"
	}
	path := fmt.Sprintf("webhooks[%s].clientConfig", name)
	service := cluster.Ref{Kind: "Service", Namespace: config.Service.Namespace, Name: config.Service.Name}
	switch {
	case s.Get(service) == nil:
		v.Broken(path+".service", service.String()+", which does not exist", "a Service that exists").Because("%s", so)
	case len(config.CABundle) == 0:
		v.Broken(path+".caBundle", "not set", "the CA of the webhook's certificate").Because("no public CA signs names in a cluster, so %s", so)
	}
}
