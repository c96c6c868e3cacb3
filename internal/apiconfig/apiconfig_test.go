package apiconfig

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

const secret = "c2VjcmV0LWtleS1tYXRlcmlhbC0zMi1ieXRlcyEhISE="

var encryption = `
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets, configmaps]
  providers:
  - secretbox: {keys: [{name: k1, secret: ` + secret + `}]}
  - identity: {}
- resources: ["*.apps"]
  providers: [{kms: {apiVersion: v2, name: vault, endpoint: "unix:///k.sock"}}]
- resources: ["*.*"]
  providers: [{identity: {}}]
`

func TestEncryptionWithoutKeys(t *testing.T) {
	c, err := Parse([]byte(encryption), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(all), secret) {
		t.Errorf("the key is part of the facts: %s", all)
	}
	for resource, want := range map[string]int{"secrets": 0, "deployments.apps": 1, "pods": 2, "jobs.batch": 2} {
		if got := c.Encryption.Group(resource); got != want {
			t.Errorf("%s is decided by group %d, want %d", resource, got, want)
		}
	}
	var kinds []string
	for _, g := range c.Encryption.Resources {
		for _, p := range g.Providers {
			kinds = append(kinds, p.Kind())
		}
	}
	if got := strings.Join(kinds, " "); got != "secretbox identity kms identity" {
		t.Errorf("providers are %s", got)
	}
}

func TestAdmission(t *testing.T) {
	const inline = `{"apiVersion":"apiserver.config.k8s.io/v1","kind":"AdmissionConfiguration","plugins":[
{"name":"PodSecurity","configuration":{"defaults":{"enforce":"baseline"},"exemptions":{"namespaces":["kube-system"]}}},
{"name":"ImagePolicyWebhook","path":"policy.yaml"},{"name":"EventRateLimit","path":"gone.yaml"}]}`
	c, err := Parse([]byte(inline), func(path string) ([]byte, error) {
		if path == "policy.yaml" {
			return []byte("imagePolicy: {defaultAllow: true}"), nil
		}
		return nil, errors.New("not there")
	})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Admission.Plugins
	if len(p) != 3 || p[0].PodSecurity.Defaults.Enforce != "baseline" || !p[1].ImagePolicy.DefaultAllow || p[2].PodSecurity != nil {
		t.Errorf("plugins are %+v", p)
	}
	unread, err := Parse([]byte(inline), nil)
	if err != nil || unread.Admission.Plugins[1].ImagePolicy != nil {
		t.Errorf("a file that was not read gives %+v, error %v", unread.Admission.Plugins[1], err)
	}
}

func TestRefused(t *testing.T) {
	for name, text := range map[string]string{
		"another kind":   "apiVersion: v1\nkind: Policy\n",
		"no YAML":        "kind: [" + secret,
		"another shape":  "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: " + secret,
		"bad encryption": "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: " + secret,
	} {
		_, err := Parse([]byte(text), nil)
		if err == nil {
			t.Errorf("%s: want an error", name)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error repeats the file: %v", name, err)
		}
	}
}

// FuzzParse states that a document is either refused or makes facts of exactly one kind,
// and that a key in an EncryptionConfiguration is in neither.
func FuzzParse(f *testing.F) {
	f.Add([]byte(encryption))
	f.Add([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n"))
	f.Add([]byte("apiVersion: apiserver.config.k8s.io/v1beta1\nkind: AuthenticationConfiguration\nanonymous: {enabled: true}\n"))
	f.Add([]byte("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{type: RBAC, name: r}]\n"))
	f.Add([]byte("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{name: PodSecurity, configuration: {}}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, func(string) ([]byte, error) { return data, nil })
		if err != nil {
			return
		}
		set := 0
		for _, is := range []bool{c.Audit != nil, c.Encryption != nil, c.Authentication != nil, c.Authorization != nil, c.Admission != nil} {
			if is {
				set++
			}
		}
		if set != 1 {
			t.Errorf("facts of %d kinds", set)
		}
		if c.Encryption != nil {
			if out, _ := json.Marshal(c.Encryption); strings.Contains(string(out), secret) {
				t.Error("a key is part of the facts")
			}
			c.Encryption.Group("secrets")
		}
		if c.Need() == cluster.Need("") {
			t.Error("facts without a need")
		}
	})
}
