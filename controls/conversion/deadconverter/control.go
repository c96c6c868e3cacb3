// Package deadconverter finds conversion webhooks that cannot be called.
package deadconverter

import (
	_ "embed"
	"encoding/base64"
	"strings"

	"github.com/bulwark-k8s/bulwark/controls/internal/hook"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is conversion.deadconverter.
var Control = &control.Control{
	ID:       "conversion.deadconverter",
	Title:    "Custom resources are converted by a server that cannot be called",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.Definitions},
	With:     []cluster.Need{cluster.Services},
	Check:    check,
	Refs:     []control.Ref{control.MITRE("T1557"), control.MITRE("T1499")},
	Doc:      doc,
}

const path = "spec.conversion.webhook.clientConfig"

func check(s *cluster.Snapshot, r *control.Report) {
	for o, d := range cluster.All[*cluster.Custom](s, "CustomResourceDefinition") {
		if d.Field("spec.conversion.strategy") != "Webhook" {
			continue
		}
		v := r.Object(o)
		if url, _ := d.Field(path + ".url").(string); url != "" {
			if !strings.HasPrefix(url, "https://") {
				v.Broken(path+".url", hook.Host(url)+" without TLS", "an address with https://").Because("the API server calls no other")
			}
			continue // whether an address outside answers cannot be told
		}
		if !s.Live {
			continue // files are a part of a cluster, and injectors fill in the CA later
		}
		const so = "the API server cannot read or write objects in any version but the stored one"
		name, _ := d.Field(path + ".service.name").(string)
		namespace, _ := d.Field(path + ".service.namespace").(string)
		bundle, _ := d.Field(path + ".caBundle").(string)
		pem, err := base64.StdEncoding.DecodeString(bundle)
		service := cluster.Ref{Kind: "Service", Namespace: namespace, Name: name}
		switch {
		case s.Get(service) == nil:
			v.Broken(path+".service", service.String()+", which does not exist", "a Service that exists").
				Because("%s, and who may create it is sent them all", so)
		case bundle == "":
			v.Broken(path+".caBundle", "not set", "the CA of the webhook's certificate").Because("no public CA signs names in a cluster, so %s", so)
		case err != nil || len(cluster.ParseCertificates(pem)) == 0:
			v.Broken(path+".caBundle", "no certificate", "the CA of the webhook's certificate").Because("%s", so)
		}
	}
}
