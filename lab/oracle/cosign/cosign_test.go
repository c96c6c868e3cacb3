//go:build cosign

package cosign

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bulwark-k8s/bulwark/internal/signature"
)

// A bench is a registry on this machine, a key pair that cosign made, and cosign.
type bench struct {
	t      *testing.T
	dir    string
	host   string
	cosign string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)))
	t.Cleanup(s.Close)
	b := &bench{t: t, dir: t.TempDir(), host: strings.TrimPrefix(s.URL, "http://"), cosign: os.Getenv("COSIGN")}
	if b.cosign == "" {
		t.Fatal("COSIGN names no program: run `make cosign`")
	}
	for _, prefix := range []string{"cosign", "other"} {
		b.run("generate-key-pair", "--output-key-prefix", prefix)
	}
	for name, text := range map[string]string{
		"signing-config.json": `{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}`,
		"predicate.json":      `{"buildDefinition":{"buildType":"https://build.example/v1","externalParameters":{"repository":"https://git.example/shop"},"internalParameters":{},"resolvedDependencies":[]},"runDetails":{"builder":{"id":"https://build.example"}}}`,
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// try runs cosign, which gets no network but the registry's.
func (b *bench) try(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(b.t.Context(), b.cosign, args...)
	cmd.Dir = b.dir
	cmd.Env = []string{"HOME=" + b.dir, "COSIGN_PASSWORD=", "PATH=/nonexistent", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1"}
	cmd.Stdin = bytes.NewReader(nil)
	return cmd.CombinedOutput()
}

func (b *bench) run(args ...string) {
	b.t.Helper()
	if out, err := b.try(args...); err != nil {
		b.t.Fatalf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (b *bench) push(repo string) (ref string, img v1.Image) {
	b.t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.write(repo, img), img
}

func (b *bench) write(repo string, img v1.Image) string {
	b.t.Helper()
	tag, err := name.NewTag(b.host + "/" + repo + ":1")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		b.t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		b.t.Fatal(err)
	}
	return tag.Context().Digest(d.String()).Name()
}

// The ways in which cosign signs without a log: with bundles, as v3 does, and with
// annotations, as all versions before.
var ways = map[string][]string{
	"bundle":  {"--new-bundle-format=true", "--signing-config=signing-config.json"},
	"classic": {"--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false"},
}

// ours is what our verifier says with a key.
func (b *bench) ours(ref, key string, r signature.Rule) *signature.Verdict {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, key))
	if err != nil {
		b.t.Fatal(err)
	}
	k, err := signature.ParseKey(data)
	if err != nil {
		b.t.Fatal(err)
	}
	signers := []*signature.Signer{{Key: k}}
	r.Signers = signers
	for _, a := range r.Attestations {
		a.Signers = signers
	}
	p, err := signature.PolicyOf(r, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	store, err := signature.NewRegistry(signature.RegistryOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	v, err := signature.New(p, store, signature.Options{Now: time.Now, All: true}).Verify(b.t.Context(), ref)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// theirs is whether cosign verifies it.
func (b *bench) theirs(verb, way, ref, key string, more ...string) bool {
	out, err := b.try(append(append([]string{verb, "--key", key, "--insecure-ignore-tlog=true", ways[way][0]}, more...), ref)...)
	if err != nil {
		b.t.Logf("cosign: %s", bytes.TrimSpace(out))
	}
	return err == nil
}

func TestWhatCosignSignsVerifies(t *testing.T) {
	for way, flags := range ways {
		t.Run(way, func(t *testing.T) {
			b := newBench(t)
			ref, _ := b.push("shop/web")
			one := signature.Rule{Signatures: 1}
			if v := b.ours(ref, "cosign.pub", one); v.Outcome != signature.Refused || b.theirs("verify", way, ref, "cosign.pub") {
				t.Fatalf("unsigned: %+v", v)
			}
			b.run(append(append([]string{"sign", "--yes", "--key", "cosign.key"}, flags...), ref)...)
			if v := b.ours(ref, "cosign.pub", one); v.Outcome != signature.Verified || len(v.Signatures) != 1 || !b.theirs("verify", way, ref, "cosign.pub") {
				t.Errorf("signed: %+v", v)
			}
			if v := b.ours(ref, "other.pub", one); v.Outcome != signature.Refused || b.theirs("verify", way, ref, "other.pub") {
				t.Errorf("with another key: %+v", v)
			}
			attested := signature.Rule{Attestations: []*signature.Requirement{{Type: "slsaprovenance1", Conditions: []string{`predicate.runDetails.builder.id == "https://build.example"`}}}}
			if v := b.ours(ref, "cosign.pub", attested); v.Outcome != signature.Refused || b.theirs("verify-attestation", way, ref, "cosign.pub", "--type", "slsaprovenance1") {
				t.Errorf("not attested: %+v", v)
			}
			b.run(append(append([]string{"attest", "--yes", "--key", "cosign.key", "--predicate", "predicate.json", "--type", "slsaprovenance1"}, flags...), ref)...)
			if v := b.ours(ref, "cosign.pub", attested); v.Outcome != signature.Verified || len(v.Attestations) != 1 || !b.theirs("verify-attestation", way, ref, "cosign.pub", "--type", "slsaprovenance1") {
				t.Errorf("attested: %+v", v)
			}
		})
	}
}

// TestAReplayedSignature: cosign verifies the signature of one repository's image where
// somebody copied both to another repository. Ours does not, unless the policy says so.
func TestAReplayedSignature(t *testing.T) {
	b := newBench(t)
	ref, img := b.push("dev/web")
	b.run(append(append([]string{"sign", "--yes", "--key", "cosign.key"}, ways["classic"]...), ref)...)
	copied := b.write("shop/web", img)
	d := strings.Replace(copied[strings.Index(copied, "@")+1:], ":", "-", 1) + ".sig"
	from, to := b.host+"/dev/web:"+d, b.host+"/shop/web:"+d
	sig, err := remote.Image(must(name.ParseReference(from)))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(must(name.ParseReference(to)), sig); err != nil {
		t.Fatal(err)
	}
	if !b.theirs("verify", "classic", copied, "cosign.pub") {
		t.Error("cosign refuses the copy now: say so in the documentation")
	}
	if v := b.ours(copied, "cosign.pub", signature.Rule{Signatures: 1}); v.Outcome != signature.Refused {
		t.Errorf("the copy: %+v", v)
	}
	if v := b.ours(copied, "cosign.pub", signature.Rule{Signatures: 1, SignedAs: []string{b.host + "/dev/*"}}); v.Outcome != signature.Verified {
		t.Errorf("the copy, which the policy allows: %+v", v)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
