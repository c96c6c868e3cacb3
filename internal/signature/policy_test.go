package signature_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

// parse reads a policy with KEY in it, and files that only have that key.
func parse(t testing.TB, who *signer, text string) (*signature.Policy, error) {
	t.Helper()
	return signature.ParsePolicy("images.yaml", []byte(text), func(path string) ([]byte, error) {
		if path == "cosign.pub" {
			return who.pem, nil
		}
		return nil, errors.New(path + ": no such file")
	})
}

const ruleHead = "rules:\n- images: [registry.example/shop/*]\n  signers: [{key: cosign.pub}]\n"

func TestPoliciesThatAreRefused(t *testing.T) {
	who := ecdsaSigner(t)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                       {"", "it is empty"},
		"two documents":                 {ruleHead + "---\n" + ruleHead, "several documents"},
		"an unknown key":                {ruleHead + "  signer: x\n", `images.yaml:4: rule: unknown key "signer"`},
		"a key twice":                   {ruleHead + "  images: [a.example/x]\n", "stands twice"},
		"another default":               {"default: audit\n" + ruleHead, `default is "audit"`},
		"another schema":                {"schema: bulwark.scan/v1\n" + ruleHead, "want bulwark.image-policy/v1"},
		"no images":                     {"rules: [{signers: [{key: cosign.pub}]}]", "images: want the repositories"},
		"no signer":                     {"rules: [{images: [a.example/x]}]", "signers: want who may sign"},
		"nothing asked for":             {ruleHead + "  signatures: none\n", "want one of them, or action allow"},
		"more signatures than signers":  {ruleHead + "  signatures: 2\n", "2 are asked for, and there are 1 signers"},
		"a pattern without registry":    {"rules: [{images: [nginx], action: allow}]", "want the registry first: docker.io/nginx"},
		"a pattern of a registry":       {"rules: [{images: [registry.example], action: allow}]", "want registry.example/**"},
		"a registry that goes on":       {"rules: [{images: ['registry.example*/shop'], action: allow}]", "* stands for the first label only"},
		"a pattern with a tag":          {"rules: [{images: ['registry.example/shop:1'], action: allow}]", "want no tag"},
		"a pattern with a digest":       {"rules: [{images: ['registry.example/shop@sha256'], action: allow}]", "without tag or digest"},
		"stars among letters":           {"rules: [{images: ['registry.example/a**'], action: allow}]", "** stands alone"},
		"the same pattern twice":        {"rules: [{images: [docker.io/nginx], action: allow}, {images: [index.docker.io/library/nginx], action: deny}]", "stands twice"},
		"allow and a signer":            {ruleHead + "  action: allow\n", "nothing else is looked at"},
		"deny and a base":               {"rules: [{images: [a.example/x], action: deny, base: {images: [a.example/y]}}]", "nothing else is looked at"},
		"another action":                {ruleHead + "  action: warn\n", `action is "warn"`},
		"an identity without an issuer": {"rules: [{images: [a.example/x], signers: [{identity: a@b.example}]}]", "want an issuer"},
		"an issuer without an identity": {"rules: [{images: [a.example/x], signers: [{issuer: https://i.example}]}]", "want an identity"},
		"a key and an identity":         {"rules: [{images: [a.example/x], signers: [{key: cosign.pub, identity: a, issuer: b}]}]", "want one of them"},
		"keyless without a root":        {"rules: [{images: [a.example/x], signers: [{identity: a@b.example, issuer: https://i.example}]}]", "want a trustedRoot"},
		"a log without a root":          {ruleHead + "  transparencyLog: true\n", "want a trustedRoot"},
		"a pattern for anybody":         {"rules: [{images: [a.example/x], signers: [{identityPattern: '.*', issuer: https://token.actions.githubusercontent.com}]}]", "the pattern is for anybody"},
		"all of an issuer's workflows":  {"rules: [{images: [a.example/x], signers: [{identityPattern: 'https://github.com/.*', issuerPattern: '.*'}]}]", "the pattern is for anybody"},
		"no expression":                 {"rules: [{images: [a.example/x], signers: [{identityPattern: 'a)|(b', issuer: https://i.example}]}]", "not a regular expression"},
		"a file that is not there":      {"rules: [{images: [a.example/x], signers: [{key: other.pub}]}]", "other.pub: no such file"},
		"a private key":                 {"rules: [{images: [a.example/x], signers: [{key: \"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\\nAA==\\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\"}]}]", "it is a private key"},
		"a trusted root that is none":   {ruleHead + "  trustedRoot: '{\"a\": 1}'\n", "trusted root"},
		"a type that nobody knows":      {ruleHead + "  attestations: [{type: slsa}]\n", `type is "slsa"`},
		"an attestation by nobody":      {ruleHead + "  attestations: [{type: spdx, signatures: none}]\n", "want at least one"},
		"a condition that is no CEL":    {ruleHead + "  attestations: [{type: spdx, conditions: ['predicate.']}]\n", "condition"},
		"a condition that is a number":  {ruleHead + "  attestations: [{type: spdx, conditions: ['1 + 1']}]\n", "want true or false"},
		"a condition about nothing":     {ruleHead + "  attestations: [{type: spdx, conditions: ['predicat.x']}]\n", "undeclared reference"},
		"a base that says nothing":      {ruleHead + "  base: {}\n", "want layers, digests or images"},
		"a base's short digest":         {ruleHead + "  base: {digests: ['sha256:abc']}\n", "want sha256:"},
		"another word for true":         {ruleHead + "  transparencyLog: yes\n", "want true or false"},
		"an alias":                      {"rules:\n- &a {images: [a.example/x], action: allow}\n- *a\n", "want fields with values"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, who, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "images.yaml:") {
				t.Errorf("%v: want the file first", err)
			}
		})
	}
}

// TestTheRuleThatCounts: the most specific pattern, wherever it stands, and never a
// repository that merely looks like it.
func TestTheRuleThatCounts(t *testing.T) {
	p, err := parse(t, ecdsaSigner(t), `
rules:
- {images: ["**"], action: deny}
- {images: ["registry.example/**", "docker.io/*"], action: allow}
- {images: ["registry.example/shop/*"], action: deny}
- {images: ["registry.example/shop/web*"], action: allow}
- {images: ["registry.example/shop/web-old"], action: deny}
- {images: ["registry.example/**/base"], action: deny}
- {images: ["*.mirror.example/x"], action: allow}
- {images: ["localhost:5000/a/**/z"], action: allow}
`)
	if err != nil {
		t.Fatal(err)
	}
	const d = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for ref, want := range map[string]string{
		"registry.example/shop/cart":           "registry.example/shop/*",
		"registry.example/shop/web":            "registry.example/shop/web*",
		"registry.example/shop/web-2":          "registry.example/shop/web*",
		"registry.example/shop/web-old":        "registry.example/shop/web-old",
		"registry.example/shop/a/b":            "registry.example/**",
		"registry.example/shop":                "registry.example/**",
		"registry.example/a/b/base":            "registry.example/**/base",
		"registry.example:443/shop/cart":       "registry.example/shop/*",
		"registry.example.evil/shop/cart":      "**",
		"evil.registry.example/shop/cart":      "**",
		"registry.example:5000/shop/cart":      "**",
		"evil.example/registry.example/shop/a": "**",
		"nginx":                                "docker.io/*",
		"docker.io/library/nginx":              "docker.io/*",
		"index.docker.io/nginx":                "docker.io/*",
		"docker.io/somebody/nginx":             "**",
		"a.mirror.example/x":                   "*.mirror.example/x",
		"amirror.example/x":                    "**",
		"mirror.example/x":                     "**",
		"localhost:5000/a/z":                   "localhost:5000/a/**/z",
		"localhost:5000/a/b/c/z":               "localhost:5000/a/**/z",
		"localhost:5000/a/b/c":                 "**",
	} {
		if v := hold(t, ref+d, p); v.Rule != want {
			t.Errorf("%s: rule %s, want %s", ref, v.Rule, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	who := ecdsaSigner(t)
	const ref = "elsewhere.example/a@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for text, want := range map[string]signature.Outcome{
		ruleHead:                      signature.Refused,
		"default: deny\n" + ruleHead:  signature.Refused,
		"default: allow\n" + ruleHead: signature.Allowed,
	} {
		p, err := parse(t, who, text)
		if err != nil {
			t.Fatal(err)
		}
		if v := hold(t, ref, p); v.Outcome != want {
			t.Errorf("%q: %s, want %s", text, v.Outcome, want)
		}
	}
}

// TestThresholds: nobody counts for two signers, however often they sign.
func TestThresholds(t *testing.T) {
	s, one, two := open(t, nil), ecdsaSigner(t), ecdsaSigner(t)
	rule := func(n int, keys ...*signer) signature.Rule {
		r := signature.Rule{Signatures: n}
		for i, k := range keys {
			r.Signers = append(r.Signers, &signature.Signer{Name: fmt.Sprint(i), Key: k.public()})
		}
		return r
	}
	img := s.push("shop/web:1")
	p := payloadOf(img.repo(), img.digest)
	img.attach(".sig", one.classic(p), one.classic(p))
	for name, c := range map[string]struct {
		rule signature.Rule
		want signature.Outcome
	}{
		"any of two":         {rule(1, one, two), signature.Verified},
		"both of two":        {rule(2, one, two), signature.Refused},
		"the same key twice": {rule(2, one, one), signature.Refused},
	} {
		if v := verify(t, img.ref(), c.rule, nil); v.Outcome != c.want {
			t.Errorf("%s: %+v", name, v)
		}
	}
	img.attach(".sig", one.classic(p), two.classic(p))
	if v := verify(t, img.ref(), rule(2, one, two), nil); v.Outcome != signature.Verified {
		t.Errorf("both: %+v", v)
	}
}

func TestConditions(t *testing.T) {
	s, who := open(t, nil), ecdsaSigner(t)
	img := s.push("shop/web:1")
	img.attach(".att", who.envelope(statement(img.repo(), img.digest, "https://slsa.dev/provenance/v1", `{
		"buildDefinition":{"buildType":"https://build.example/v1","externalParameters":{"repository":"https://git.example/shop"}},
		"runDetails":{"builder":{"id":"https://build.example"},"metadata":{"finishedOn":"2027-02-20T10:00:00Z"}}}`)))
	for condition, want := range map[string]signature.Outcome{
		`predicate.runDetails.builder.id == "https://build.example"`:                   signature.Verified,
		`predicate.runDetails.builder.id == "https://evil.example"`:                    signature.Refused,
		`predicate.missing == "x"`:                                                     signature.Refused,
		`predicate.?missing.x.orValue("none") == "none"`:                               signature.Verified,
		`timestamp(predicate.runDetails.metadata.finishedOn) > now - duration("720h")`: signature.Verified,
		`timestamp(predicate.runDetails.metadata.finishedOn) > now - duration("24h")`:  signature.Refused,
		`image.repository.endsWith("/shop/web") && image.digest.startsWith("sha256:")`: signature.Verified,
		`signer.name == "release" && signer.key != ""`:                                 signature.Verified,
		`predicate.buildDefinition.externalParameters.repository`:                      signature.Refused, // a text is not true
		`[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a+b+c+d+e+f > 0))))))`: signature.Refused, // too dear
	} {
		r := by(who)
		r.Signatures = 0
		r.Attestations = []*signature.Requirement{{Type: "slsaprovenance1", Conditions: []string{condition}}}
		if v := verify(t, img.ref(), r, nil); v.Outcome != want {
			t.Errorf("%s: %+v", condition, v)
		}
	}
}
