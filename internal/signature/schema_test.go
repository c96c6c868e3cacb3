package signature_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

// schema reads one of docs/schema.
func schema(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(must(os.ReadFile("../../docs/schema/" + file))))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(file, doc); err != nil {
		t.Fatal(err)
	}
	return must(c.Compile(file))
}

// full is a policy with every key.
const full = `
schema: bulwark.image-policy/v1
default: allow
rules:
- images: [registry.example/shop/*, docker.io/nginx]
  action: verify
  digest: required
  signedAs: [upstream.example/**]
  signers:
  - {name: release, key: cosign.pub}
  - {identityPattern: 'https://github\.com/acme/.*', issuer: https://token.actions.githubusercontent.com}
  - {identity: a@acme.example, issuerPattern: 'https://accounts\.example/.*'}
  signatures: 2
  trustedRoot: root.json
  transparencyLog: true
  certificateTransparency: false
  attestations:
  - type: slsaprovenance1
    signers: [{key: cosign.pub}]
    signatures: all
    conditions: [predicate.runDetails.builder.id == 'x']
  base:
    images: [registry.example/base/*]
    digests: ['sha256:0000000000000000000000000000000000000000000000000000000000000000']
    layers: [['sha256:0000000000000000000000000000000000000000000000000000000000000000']]
- {images: ["**"], action: deny}
`

// TestTheSchemaOfPolicies: what is read fits the schema, and a key that one of them does
// not know the other does not know either.
func TestTheSchemaOfPolicies(t *testing.T) {
	s, who, a := schema(t, "image-policy-v1.json"), ecdsaSigner(t), newAuthority(t)
	both := func(text string) (read, fits error) {
		_, read = signature.ParsePolicy("images.yaml", []byte(text), func(path string) ([]byte, error) {
			if path == "root.json" {
				return a.trusted, nil
			}
			return who.pem, nil
		})
		var doc any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		return read, s.Validate(doc)
	}
	if read, fits := both(full); read != nil || fits != nil {
		t.Errorf("read: %v; schema: %v", read, fits)
	}
	for _, key := range []string{"default", "images", "action", "digest", "signedAs", "signers", "signatures", "trustedRoot", "transparencyLog", "certificateTransparency", "attestations", "base", "conditions", "layers", "digests", "identity", "issuerPattern"} {
		if read, fits := both(strings.Replace(full, key+":", key+"x:", 1)); read == nil || fits == nil {
			t.Errorf("%sx: read: %v; schema: %v", key, read, fits)
		}
	}
}

func TestTheSchemaOfVerdicts(t *testing.T) {
	s, who := open(t, nil), ecdsaSigner(t)
	img := s.push("shop/web:1")
	img.attach(".sig", who.classic(payloadOf(img.repo(), img.digest)), ecdsaSigner(t).classic(payloadOf(img.repo(), img.digest)))
	img.attach(".att", who.envelope(statement("", img.digest, "https://spdx.dev/Document", "{}")))
	images := []any{verify(t, img.ref(), by(who), nil), verify(t, s.push("shop/web:2").ref(), by(who), nil)}
	data := must(json.Marshal(map[string]any{"schema": "bulwark.image-verify/v1", "images": images}))
	if err := schema(t, "image-verify-v1.json").Validate(must(jsonschema.UnmarshalJSON(bytes.NewReader(data)))); err != nil {
		t.Errorf("%v\n%s", err, data)
	}
}
