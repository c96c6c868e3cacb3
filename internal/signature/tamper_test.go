package signature_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

// leaves calls the function with the path of every value in a document, and a function
// that changes it and gives back the document.
func leaves(doc any, visit func(path string, change func() any)) {
	var walk func(at string, v any, put func(any))
	walk = func(at string, v any, put func(any)) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(at+"."+k, v[k], func(to any) { v[k] = to })
			}
		case []any:
			for i := range v {
				walk(fmt.Sprintf("%s[%d]", at, i), v[i], func(to any) { v[i] = to })
			}
		default:
			visit(at, func() any {
				put(other(v))
				out := must(json.Marshal(doc))
				put(v)
				var again any
				if err := json.Unmarshal(out, &again); err != nil {
					panic(err)
				}
				return again
			})
		}
	}
	walk("", doc, func(any) {})
}

// other is a value much like another.
func other(v any) any {
	switch v := v.(type) {
	case string:
		if b, err := base64.StdEncoding.DecodeString(v); err == nil && len(b) > 8 {
			b[len(b)/2] ^= 1
			return base64.StdEncoding.EncodeToString(b)
		}
		if v == "" {
			return "x"
		}
		b := []byte(v)
		b[len(b)/2] = '0' + (b[len(b)/2]+1)%10
		return string(b)
	case float64:
		return v + 1
	case bool:
		return !v
	default:
		return "x"
	}
}

func TestEveryFieldOfABundleCounts(t *testing.T) {
	s, a := open(t, nil), newAuthority(t)
	c := a.issue(workflow, issuer, time.Now().Add(-2*time.Minute), true)
	img := s.push("shop/web:1")
	var doc any
	if err := json.Unmarshal(bundled(c.proto(statement(img.repo(), img.digest, signType, "{}"))).data, &doc); err != nil {
		t.Fatal(err)
	}
	tampered := 0
	leaves(doc, func(path string, change func() any) {
		tampered++
		// In a repository of its own, since what refers to a digest adds up.
		target := s.write(fmt.Sprintf("shop/web%d:1", tampered), must(remote.Image(img.tag)))
		target.referBundle(layer{must(json.Marshal(change())), bundleType, nil}, signType)
		r := identity()
		r.SignedAs = []string{img.repo()}
		if v := verify(t, target.ref(), r, a.trusted); v.Outcome != signature.Refused {
			t.Errorf("%s changed: %+v", path, v)
		}
	})
	if tampered < 15 {
		t.Errorf("%d fields, want all of a bundle", tampered)
	}
	img.referBundle(layer{must(json.Marshal(doc)), bundleType, nil}, signType)
	if v := verify(t, img.ref(), identity(), a.trusted); v.Outcome != signature.Verified {
		t.Errorf("as it was: %+v", v)
	}
}

func TestEveryFieldOfAnAnnotationCounts(t *testing.T) {
	s, a := open(t, nil), newAuthority(t)
	c := a.issue(workflow, issuer, time.Now().Add(-2*time.Minute), true)
	img := s.push("shop/web:1")
	good := c.keyless(payloadOf(img.repo(), img.digest))
	try := func(what string, l layer) {
		img.attach(".sig", l)
		if v := verify(t, img.ref(), identity(), a.trusted); v.Outcome != signature.Refused {
			t.Errorf("%s changed: %+v", what, v)
		}
	}
	with := func(name, value string) layer {
		annotations := maps.Clone(good.annotations)
		annotations[name] = value
		return layer{good.data, good.mediaType, annotations}
	}
	try("payload", layer{append(slices.Clone(good.data), ' '), good.mediaType, good.annotations})
	for name, value := range good.annotations {
		var doc any
		switch {
		case json.Unmarshal([]byte(value), &doc) == nil:
			leaves(doc, func(path string, change func() any) { try(name+path, with(name, string(must(json.Marshal(change()))))) })
		case strings.HasPrefix(value, "-----"):
			b := []byte(value)
			b[len(b)/2] = 'A' + (b[len(b)/2]+1)%26
			try(name, with(name, string(b)))
		default:
			try(name, with(name, other(value).(string)))
		}
		try(name+" left out", with(name, ""))
	}
	img.attach(".sig", good)
	if v := verify(t, img.ref(), identity(), a.trusted); v.Outcome != signature.Verified {
		t.Errorf("as it was: %+v", v)
	}
}

// TestWhatIsSignedForSomethingElse: a good signature that is not of this image, not for
// this repository or not of this kind.
func TestWhatIsSignedForSomethingElse(t *testing.T) {
	s, who := open(t, nil), ecdsaSigner(t)
	elsewhere := s.push("shop/web:elsewhere")
	provenance := by(who)
	provenance.Signatures = 0
	provenance.Attestations = []*signature.Requirement{{Type: "slsaprovenance1"}}
	const slsa = "https://slsa.dev/provenance/v1"
	for name, c := range map[string]struct {
		attach func(*pushed)
		rule   signature.Rule
	}{
		"the signature of another image":      {func(p *pushed) { p.attach(".sig", who.classic(payloadOf(p.repo(), elsewhere.digest))) }, by(who)},
		"the signature of another repository": {func(p *pushed) { p.attach(".sig", who.classic(payloadOf(s.host+"/dev/web", p.digest))) }, by(who)},
		"one that only begins like it":        {func(p *pushed) { p.attach(".sig", who.classic(payloadOf(p.repo()+"-dev", p.digest))) }, by(who)},
		"a signature for no repository":       {func(p *pushed) { p.attach(".sig", who.classic(payloadOf("", p.digest))) }, by(who)},
		"a payload of another type": {func(p *pushed) {
			p.attach(".sig", who.classic([]byte(strings.Replace(string(payloadOf(p.repo(), p.digest)), "cosign container", "atomic container", 1))))
		}, by(who)},
		"a bundle about another image":          {func(p *pushed) { p.referBundle(who.bundle(statement("", elsewhere.digest, signType, "{}")), signType) }, by(who)},
		"an attestation instead of a signature": {func(p *pushed) { p.attach(".att", who.envelope(statement(p.repo(), p.digest, slsa, "{}"))) }, by(who)},
		"one that says it is a signature":       {func(p *pushed) { p.referBundle(who.bundle(statement("", p.digest, slsa, "{}")), signType) }, by(who)},
		"a signature instead of an attestation": {func(p *pushed) { p.attach(".sig", who.classic(payloadOf(p.repo(), p.digest))) }, provenance},
		"an attestation of another type": {func(p *pushed) {
			p.attach(".att", who.envelope(statement(p.repo(), p.digest, "https://slsa.dev/provenance/v0.2", "{}")))
		}, provenance},
		"one that begins like it":                 {func(p *pushed) { p.attach(".att", who.envelope(statement(p.repo(), p.digest, slsa+".evil", "{}"))) }, provenance},
		"an attestation about another image":      {func(p *pushed) { p.attach(".att", who.envelope(statement(p.repo(), elsewhere.digest, slsa, "{}"))) }, provenance},
		"an attestation about another repository": {func(p *pushed) { p.attach(".att", who.envelope(statement(s.host+"/dev/web", p.digest, slsa, "{}"))) }, provenance},
		"an envelope that is signed as a payload": {func(p *pushed) {
			l := who.envelope(statement("", p.digest, signType, "{}"))
			l.mediaType = simpleType
			p.attach(".sig", l)
		}, by(who)},
		"a signature over the digest alone": {func(p *pushed) { p.attach(".sig", who.classic([]byte(p.digest))) }, by(who)},
		"a referrer whose subject is another": {func(p *pushed) {
			q := *p
			q.digest = elsewhere.digest
			q.referBundle(who.bundle(statement("", p.digest, signType, "{}")), signType)
		}, by(who)},
		"the signature of its platform's manifest": {func(p *pushed) { p.attach(".sig", who.classic(payloadOf(p.repo(), digestOf(p.raw[:len(p.raw)-1])))) }, by(who)},
	} {
		t.Run(name, func(t *testing.T) {
			img := s.push("shop/web:1")
			c.attach(img)
			if v := verify(t, img.ref(), c.rule, nil); v.Outcome != signature.Refused {
				t.Errorf("%+v", v)
			}
		})
	}
}

// TestAMirror: an image that was mirrored counts if the policy says where it is from.
func TestAMirror(t *testing.T) {
	s, who := open(t, nil), ecdsaSigner(t)
	img := s.push("mirror/web:1")
	img.attach(".sig", who.classic(payloadOf("upstream.example/shop/web", img.digest)))
	r := by(who)
	r.SignedAs = []string{"upstream.example/shop/*"}
	if v := verify(t, img.ref(), r, nil); v.Outcome != signature.Verified || v.Signatures[0].Name != "upstream.example/shop/web" {
		t.Errorf("%+v", v)
	}
	r.SignedAs = []string{"upstream.example/shop"}
	if v := verify(t, img.ref(), r, nil); v.Outcome != signature.Refused {
		t.Errorf("signed as something else: %+v", v)
	}
}

// TestAnIndex: the signature of an index is that of the index alone; its digest covers the
// platforms' manifests, but not the other way round.
func TestAnIndex(t *testing.T) {
	s, who := open(t, nil), ecdsaSigner(t)
	amd64, arm64 := must(random.Image(64, 1)), must(random.Image(64, 1))
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: amd64}, mutate.IndexAddendum{Add: arm64})
	tag := s.tag("shop/web:1")
	if err := remote.WriteIndex(tag, index); err != nil {
		t.Fatal(err)
	}
	img := &pushed{s, tag, must(index.Digest()).String(), must(index.RawManifest())}
	img.attach(".sig", who.classic(payloadOf(img.repo(), img.digest)))
	if v := verify(t, tag.String(), by(who), nil); v.Outcome != signature.Verified || v.Digest != img.digest {
		t.Errorf("the index: %+v", v)
	}
	if v := verify(t, img.repo()+"@"+must(amd64.Digest()).String(), by(who), nil); v.Outcome != signature.Refused {
		t.Errorf("a platform's manifest, which nobody signed: %+v", v)
	}
}
