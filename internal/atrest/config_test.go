package atrest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const secret32 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func TestParse(t *testing.T) {
	config := func(providers string) string {
		return "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n" + providers
	}
	for _, tt := range []struct{ name, text, want string }{
		{"secretbox and identity", config("  - secretbox: {keys: [{name: a, secret: " + secret32 + "}]}\n  - identity: {}\n"), ""},
		{"a KMS", config("  - kms: {apiVersion: v2, name: vault, endpoint: unix:///x}\n"), ""},
		{"AES with 16 bytes", config("  - aesgcm: {keys: [{name: a, secret: AAECAwQFBgcICQoLDA0ODw==}]}\n"), ""},
		{"not YAML", "secret: " + secret32 + "\n\t", "not well formed"},
		{"another kind", "apiVersion: v1\nkind: Secret\n", "kind is Secret of v1"},
		{"an unknown field", config("  - rot13: {}\n"), `unknown field "rot13"`},
		{"two kinds in one", config("  - secretbox: {keys: [{name: a, secret: " + secret32 + "}]}\n    identity: {}\n"), "2 kinds of provider"},
		{"no key", config("  - secretbox: {keys: []}\n"), "secretbox without a key"},
		{"a key twice", config("  - secretbox: {keys: [{name: a, secret: " + secret32 + "}, {name: a, secret: " + secret32 + "}]}\n"), "key a is there twice"},
		{"a short key", config("  - secretbox: {keys: [{name: a, secret: AAECAw==}]}\n"), "key a has 4 bytes, want 32"},
		{"a key that is not base64", config("  - aesgcm: {keys: [{name: a, secret: '!'}]}\n"), "key a is not base64"},
		{"a colon in the name", config("  - aesgcm: {keys: [{name: 'a:b', secret: " + secret32 + "}]}\n"), "has a colon"},
		{"no resources", "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n", "no resources"},
		{"no providers", "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets]}]\n", "want resources and providers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.text))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if strings.Contains(got, secret32) {
				t.Errorf("the error names a key: %s", got)
			}
		})
	}
}

// keysOf lists the names of the keys of every provider, in order.
func keysOf(t *testing.T, text string) []string {
	t.Helper()
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range c.Resources {
		for _, p := range g.Providers {
			keys, kind := p.local()
			if keys == nil {
				names = append(names, p.kind())
				continue
			}
			for _, k := range keys.Keys {
				names = append(names, kind+" "+k.Name)
			}
		}
	}
	return names
}

func TestStages(t *testing.T) {
	key := Key{Name: "new", Secret: secret32}
	old := func(names ...string) *Keys {
		k := &Keys{}
		for _, n := range names {
			k.Keys = append(k.Keys, Key{Name: n, Secret: secret32})
		}
		return k
	}
	plain := Provider{Identity: &struct{}{}}
	c := &Configuration{APIVersion: apiVersion, Kind: kind, Resources: []Group{
		{Resources: []string{"secrets"}, Providers: []Provider{{Secretbox: old("a", "b")}, {AESCBC: old("c")}, plain}},
		{Resources: []string{"configmaps"}, Providers: []Provider{{AESGCM: old("a")}, {KMS: map[string]any{"name": "v"}}}},
	}}
	before, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.stagesOf(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		stage, text string
		want        []string
	}{
		{"added", s.Added, []string{"secretbox a", "secretbox new", "secretbox b", "aescbc c", "identity", "aesgcm a", "aesgcm new", "kms"}},
		{"first", s.First, []string{"secretbox new", "secretbox a", "secretbox b", "aescbc c", "identity", "aesgcm new", "aesgcm a", "kms"}},
		{"retired", s.Retired, []string{"secretbox new", "identity", "aesgcm new", "kms"}},
	} {
		if diff := cmp.Diff(tt.want, keysOf(t, tt.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.stage, diff)
		}
	}
	if after, err := c.Encode(); err != nil || !slices.Equal(before, after) {
		t.Error("planning has changed the configuration")
	}
	for _, tt := range []struct {
		name, want string
		group      Group
	}{
		{"plain", "written by identity", Group{[]string{"secrets"}, []Provider{plain}}},
		{"a KMS", "written by kms", Group{[]string{"secrets"}, []Provider{{KMS: map[string]any{}}}}},
		{"everything", `"*.*": name the resources`, Group{[]string{"*.*"}, []Provider{{Secretbox: old("a")}}}},
		{"the same name", "there is a key new already", Group{[]string{"secrets"}, []Provider{{Secretbox: old("new")}}}},
	} {
		c := &Configuration{APIVersion: apiVersion, Kind: kind, Resources: []Group{tt.group}}
		if _, err := c.stagesOf(key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestUnderOf(t *testing.T) {
	for value, want := range map[string]Under{
		"k8s:enc:secretbox:v1:key1:\x00\x01": {"secretbox", "key1"},
		"k8s:enc:aesgcm:v1:a-b.c:x":          {"aesgcm", "a-b.c"},
		"k8s:enc:kms:v2:vault:x":             {"kms", "vault"},
		"k8s\x00\n\x0c\n\x02v1":              {Plain, ""},
		`{"kind":"Secret"}`:                  {Plain, ""},
		"k8s:enc:secretbox":                  {Plain, ""},
		"":                                   {Plain, ""},
	} {
		if got := UnderOf([]byte(value)); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestFolder(t *testing.T) {
	for resource, want := range map[string]string{
		"secrets":                    "/registry/secrets/",
		"deployments.apps":           "/registry/deployments/",
		"leases.coordination.k8s.io": "/registry/leases/",
		"nodes":                      "/registry/minions/",
		"widgets.example.com":        "/registry/example.com/widgets/",
	} {
		if got := folder(DefaultRegistry, resource); got != want {
			t.Errorf("%s: %s, want %s", resource, got, want)
		}
	}
}
