// Package apiconfig reads the API server's configuration files into facts. It keeps
// nothing of their keys and tokens, repeats nothing of them in its errors, and refuses
// to know where the files come from.
package apiconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// MaxSize is the largest file that is read, in bytes. The API server itself takes an
// object of at most 3 MB; no configuration comes near.
const MaxSize = 4 << 20

// A header says what a document is.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// groups are the API group of each kind that is read.
var groups = map[string][]string{
	"Policy":                      {"audit.k8s.io"},
	"EncryptionConfiguration":     {"apiserver.config.k8s.io"},
	"AuthenticationConfiguration": {"apiserver.config.k8s.io"},
	"AuthorizationConfiguration":  {"apiserver.config.k8s.io"},
	"AdmissionConfiguration":      {"apiserver.config.k8s.io"},
	"PodSecurityConfiguration":    {"pod-security.admission.config.k8s.io"},
}

// Known reports whether a document of this kind is one that Parse reads.
func Known(apiVersion, kind string) bool {
	group, _, _ := strings.Cut(apiVersion, "/")
	return slices.Contains(groups[kind], group)
}

// errContent stands for whatever a parser has to say: its words may quote the file.
var errContent = errors.New("not the YAML that it should be")

// Parse reads one document in YAML or JSON. A path that an AdmissionConfiguration names
// is read with the function, which may be nil; what it cannot read leaves the plugin
// without its configuration.
func Parse(data []byte, read func(path string) ([]byte, error)) (*cluster.Config, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it has %d MB, want at most %d", len(data)>>20, MaxSize>>20)
	}
	var h header
	if err := yaml.Unmarshal(data, &h); err != nil {
		return nil, errContent
	}
	if !Known(h.APIVersion, h.Kind) {
		return nil, fmt.Errorf("%.64q of %.64q is no configuration of the API server", h.Kind, h.APIVersion)
	}
	c := &cluster.Config{Ref: cluster.Ref{Kind: h.Kind}}
	var into any
	switch h.Kind {
	case "Policy":
		c.Audit = new(cluster.AuditPolicy)
		into = c.Audit
	case "EncryptionConfiguration":
		c.Encryption = new(cluster.EncryptionConfiguration)
		into = c.Encryption
	case "AuthenticationConfiguration":
		c.Authentication = new(cluster.AuthenticationConfiguration)
		into = c.Authentication
	case "AuthorizationConfiguration":
		c.Authorization = new(cluster.AuthorizationConfiguration)
		into = c.Authorization
	case "PodSecurityConfiguration":
		ps := new(cluster.PodSecurity)
		c.Admission = &cluster.AdmissionConfiguration{Plugins: []cluster.AdmissionPlugin{{Name: "PodSecurity", PodSecurity: ps}}}
		into = ps
	case "AdmissionConfiguration":
		return c, admission(c, data, read)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		return nil, errContent
	}
	return c, nil
}

// admission reads an AdmissionConfiguration, with the plugins' own files.
func admission(c *cluster.Config, data []byte, read func(string) ([]byte, error)) error {
	var doc struct {
		Plugins []struct {
			Name          string          `json:"name"`
			Path          string          `json:"path"`
			Configuration json.RawMessage `json:"configuration"`
		} `json:"plugins"`
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return errContent
	}
	c.Admission = &cluster.AdmissionConfiguration{}
	for _, p := range doc.Plugins {
		plugin := cluster.AdmissionPlugin{Name: p.Name, Path: p.Path}
		raw := []byte(p.Configuration)
		// The file goes before what stands inline (k8s.io/apiserver/pkg/admission/config.go).
		if p.Path != "" {
			raw = nil
			if read != nil {
				if b, err := read(p.Path); err == nil && len(b) <= MaxSize {
					raw = b
				}
			}
		}
		if len(raw) > 0 {
			var err error
			switch p.Name {
			case "PodSecurity":
				plugin.PodSecurity = new(cluster.PodSecurity)
				err = yaml.Unmarshal(raw, plugin.PodSecurity)
			case "ImagePolicyWebhook":
				var webhook struct {
					ImagePolicy cluster.ImagePolicyWebhook `json:"imagePolicy"`
				}
				err = yaml.Unmarshal(raw, &webhook)
				plugin.ImagePolicy = &webhook.ImagePolicy
			}
			if err != nil {
				return errContent
			}
		}
		c.Admission.Plugins = append(c.Admission.Plugins, plugin)
	}
	return nil
}
