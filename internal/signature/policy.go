package signature

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// An Action is what a rule does with an image.
type Action string

// The actions.
const (
	// Verify lets it pass if it is signed as the rule says.
	Verify Action = "verify"
	// Allow lets it pass without looking.
	Allow Action = "allow"
	// Deny refuses it without looking.
	Deny Action = "deny"
)

// A Policy says which images are trusted. It is complete once ParsePolicy or PolicyOf
// returns it, and never changes.
type Policy struct {
	// Name is where it was read from.
	Name string
	// Default is for images that no rule is for: Deny unless the policy says Allow.
	Default Action
	rules   []*Rule
}

// A Rule is what is asked of the images of some repositories. Of several rules that are
// for an image, the one with the most specific pattern counts, wherever it stands.
type Rule struct {
	// Images are the patterns of repositories it is for.
	Images []string
	Action Action
	// Digest refuses references by tag.
	Digest bool
	// SignedAs are patterns of names, beside the image's own, under which it may have been
	// signed: those of the registry that it was mirrored from.
	SignedAs []string
	// Signers may have signed the image.
	Signers []*Signer
	// Signatures is how many of the signers must have: 1 unless the policy says otherwise,
	// 0 if attestations alone are asked for.
	Signatures int
	// Attestations must all be there.
	Attestations []*Requirement
	// Base says on which images it may be built; nil: on any.
	Base *BaseRule
	// Log asks for an entry in a transparency log. Where it is not set, it is asked for
	// with a trusted root, and it always is for keyless signers unless turned off, when a
	// signed timestamp must say when the short-lived certificate was used.
	Log *bool
	// Certificates asks that certificates were logged too (SCT); on unless turned off.
	Certificates *bool

	root               root.TrustedMaterial
	patterns, signedAs []pattern
}

// A Signer is one who signs: the holder of a key, or an identity whose certificate the
// trusted root's authority issued.
type Signer struct {
	// Name is for people.
	Name string
	// Key is nil for an identity.
	Key *Key
	// Identity and Issuer are exact; where they are empty, the patterns count, which match
	// the whole text.
	Identity, Issuer               string
	IdentityPattern, IssuerPattern string

	identity, issuer *regexp.Regexp
}

// A Requirement is one attestation that must be there.
type Requirement struct {
	// Type is the predicate's, as a URI or by cosign's short name.
	Type string
	// Signers may have signed it, and Signatures is how many must have.
	Signers    []*Signer
	Signatures int
	// Conditions are CEL expressions, all of which must be true of one attestation.
	Conditions []string

	programs []program
}

// A BaseRule says on which images an image may be built. One of its ways to know must
// hold.
type BaseRule struct {
	// Layers are chains of DiffIDs: an image whose lowest layers are one of the chains is
	// built on that base, whatever anybody says.
	Layers [][]string
	// Digests are manifests of bases, as the image's own annotation or its verified
	// provenance names them.
	Digests []string
	// Images are patterns of the name in the annotation org.opencontainers.image.base.name.
	// They are the builder's word, as good as its signature.
	Images []string

	images []pattern
}

// publicIssuers issue identities to anybody who asks. With them, a pattern for anybody is
// none.
var publicIssuers = []string{
	"https://accounts.google.com",
	"https://github.com/login/oauth",
	"https://token.actions.githubusercontent.com",
	"https://gitlab.com",
	"https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
	"https://oauth2.sigstore.dev/auth",
	"https://agent.buildkite.com",
	"https://oidc.circleci.com",
}

// strangers are identities that no pattern should be for.
var strangers = []string{
	"somebody@elsewhere.example",
	"https://github.com/stranger-4af1/elsewhere/.github/workflows/any.yaml@refs/heads/any",
	"https://gitlab.com/stranger-4af1/elsewhere//.gitlab-ci.yml@refs/heads/any",
}

func (s *Signer) String() string {
	switch {
	case s.Name != "":
		return s.Name
	case s.Key != nil:
		return "key " + Short(s.Key.Fingerprint)
	case s.Identity != "":
		return s.Identity
	default:
		return s.IdentityPattern
	}
}

// validate completes a signer.
func (s *Signer) validate() (err error) {
	keyless := s.Identity != "" || s.IdentityPattern != "" || s.Issuer != "" || s.IssuerPattern != ""
	switch {
	case s.Key != nil && keyless:
		return errors.New("a key and an identity, want one of them")
	case s.Key != nil:
		return nil
	case (s.Identity == "") == (s.IdentityPattern == ""):
		return errors.New("want an identity or an identityPattern, or a key")
	case (s.Issuer == "") == (s.IssuerPattern == ""):
		return errors.New("want an issuer or an issuerPattern: without it, any of the authority's issuers may say who somebody is")
	}
	if s.identity, err = whole(s.Identity, s.IdentityPattern); err != nil {
		return fmt.Errorf("identityPattern: %w", err)
	}
	if s.issuer, err = whole(s.Issuer, s.IssuerPattern); err != nil {
		return fmt.Errorf("issuerPattern: %w", err)
	}
	for _, issuer := range publicIssuers {
		for _, identity := range strangers {
			if s.issuer.MatchString(issuer) && s.identity.MatchString(identity) {
				return fmt.Errorf("the pattern is for anybody: %s vouches for %s too", issuer, identity)
			}
		}
	}
	return nil
}

// whole makes an expression for an exact text, or for a pattern that must match all of
// one. An unanchored pattern would match a stranger's name that contains it.
func whole(exact, text string) (*regexp.Regexp, error) {
	if exact != "" {
		return regexp.Compile(`\A` + regexp.QuoteMeta(exact) + `\z`)
	}
	if len(text) > 1024 {
		return nil, errors.New("more than 1024 bytes")
	}
	// Compiled alone first: what closes the group that follows is no pattern.
	if _, err := regexp.Compile(text); err != nil {
		return nil, errors.New("not a regular expression of Go's syntax")
	}
	return regexp.Compile(`\A(?:` + text + `)\z`)
}

// is reports whether a certificate is the signer's. The certificate has been verified.
func (s *Signer) is(c *certificate.Summary) bool {
	return s.Key == nil && s.identity.MatchString(c.SubjectAlternativeName) && s.issuer.MatchString(c.Issuer)
}

// validate completes a rule.
func (r *Rule) validate() error {
	if len(r.Images) == 0 {
		return errors.New("images: want the repositories that it is for")
	}
	var err error
	if r.patterns, err = parsePatterns("images", r.Images); err != nil {
		return err
	}
	if r.signedAs, err = parsePatterns("signedAs", r.SignedAs); err != nil {
		return err
	}
	switch r.Action {
	case "", Verify:
		r.Action = Verify
	case Allow, Deny:
		if len(r.Signers)+len(r.Attestations)+len(r.SignedAs) > 0 || r.Base != nil || r.root != nil || r.Digest && r.Action == Deny {
			return fmt.Errorf("action is %s, so nothing else is looked at: take the rest out, or the action", r.Action)
		}
		return nil
	default:
		return fmt.Errorf("action is %q, want verify, allow or deny", r.Action)
	}
	if r.Signatures == 0 && len(r.Attestations) == 0 {
		return errors.New("neither signatures nor attestations are asked for: want one of them, or action allow")
	}
	if err := enough("signatures", r.Signatures, r.Signers); err != nil {
		return err
	}
	for _, a := range r.Attestations {
		if len(a.Signers) == 0 {
			a.Signers = r.Signers
		}
		if a.Signatures == 0 {
			a.Signatures = 1
		}
		if err := a.validate(); err != nil {
			return fmt.Errorf("attestation %.80q: %w", a.Type, err)
		}
	}
	for s := range r.everySigner() {
		if err := s.validate(); err != nil {
			return fmt.Errorf("signer %s: %w", s, err)
		}
		if s.Key == nil && r.root == nil {
			return fmt.Errorf("signer %s: want a trustedRoot, which says who issues certificates", s)
		}
	}
	if r.Log != nil && *r.Log && r.root == nil {
		return errors.New("transparencyLog: want a trustedRoot, which has the log's key")
	}
	if b := r.Base; b != nil {
		if b.images, err = parsePatterns("base: images", b.Images); err != nil {
			return err
		}
		if len(b.Layers)+len(b.Digests)+len(b.Images) == 0 {
			return errors.New("base: want layers, digests or images")
		}
		for _, d := range b.Digests {
			if !isDigest(d) {
				return fmt.Errorf("base: digest %.80q, want sha256:… of 64 lower-case hexadecimal digits", d)
			}
		}
		for _, chain := range b.Layers {
			if len(chain) == 0 {
				return errors.New("base: a chain of layers is empty")
			}
			for _, d := range chain {
				if !isDigest(d) {
					return fmt.Errorf("base: DiffID %.80q, want sha256:… of 64 lower-case hexadecimal digits", d)
				}
			}
		}
	}
	return nil
}

func (a *Requirement) validate() (err error) {
	if a.Type == "" {
		return errors.New("want a type")
	}
	if err := enough("signatures", a.Signatures, a.Signers); err != nil {
		return err
	}
	a.programs, err = compile(a.Conditions)
	return err
}

// enough reports whether as many signers as are asked for are there.
func enough(what string, n int, signers []*Signer) error {
	if n > 0 && len(signers) == 0 {
		return errors.New("signers: want who may sign")
	}
	if n < 0 || n > len(signers) {
		return fmt.Errorf("%s: %d are asked for, and there are %d signers", what, n, len(signers))
	}
	return nil
}

func (r *Rule) everySigner() func(func(*Signer) bool) {
	return func(yield func(*Signer) bool) {
		for _, s := range r.Signers {
			if !yield(s) {
				return
			}
		}
		for _, a := range r.Attestations {
			for _, s := range a.Signers {
				if !yield(s) {
					return
				}
			}
		}
	}
}

func parsePatterns(what string, texts []string) ([]pattern, error) {
	var out []pattern
	for _, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("%s: pattern %.200q: %w", what, text, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// logged reports whether a signer's signatures need an entry in the transparency log.
func (r *Rule) logged() bool {
	if r.Log != nil {
		return *r.Log
	}
	return r.root != nil
}

// certified reports whether certificates need to have been logged.
func (r *Rule) certified() bool { return r.Certificates == nil || *r.Certificates }

// names reports whether an image may have been signed under a name: as one of its own
// repository, or of one that it may come from. Of a repository that is not known nothing
// can be compared.
func (r *Rule) names(repository, signed string) bool {
	ref, err := name.ParseReference(signed)
	if err != nil {
		return false
	}
	if repository == "" {
		return true
	}
	from := canonical(ref.Context().Name())
	if from == canonical(repository) {
		return true
	}
	return slices.ContainsFunc(r.signedAs, func(p pattern) bool { return p.match(from) })
}

// validate checks what several rules say together.
func (p *Policy) validate() error {
	switch p.Default {
	case "":
		p.Default = Deny
	case Allow, Deny:
	default:
		return fmt.Errorf("default is %q, want deny or allow", p.Default)
	}
	seen := map[string]bool{}
	for _, r := range p.rules {
		for _, pattern := range r.patterns {
			key := strings.Join(pattern.segments, "/")
			if seen[key] {
				return fmt.Errorf("pattern %q stands twice, so it is not clear which rule counts", pattern.text)
			}
			seen[key] = true
		}
	}
	return nil
}

// rule is the one that counts for a repository, with the pattern by which it does; nil if
// none is for it.
func (p *Policy) rule(repository string) (*Rule, string) {
	var best *Rule
	var by pattern
	for _, r := range p.rules {
		for _, pattern := range r.patterns {
			if pattern.match(repository) && (best == nil || pattern.narrower(by)) {
				best, by = r, pattern
			}
		}
	}
	return best, by.text
}

// PolicyOf is a policy of one rule, for every image whose repository is known or not, as
// flags give it.
func PolicyOf(r Rule, trustedRoot []byte) (*Policy, error) {
	r.Images = []string{"**"}
	if err := r.trust(trustedRoot); err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	p := &Policy{rules: []*Rule{&r}}
	return p, p.validate()
}

// trust reads the trusted root; empty bytes are none.
func (r *Rule) trust(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	t, err := root.NewTrustedRootFromJSON(data)
	if err != nil {
		return fmt.Errorf("trusted root: %w", err)
	}
	r.root = t
	return nil
}

// Short is a digest for people.
func Short(digest string) string {
	algorithm, hexa, ok := strings.Cut(digest, ":")
	if !ok || len(hexa) < 12 {
		return digest
	}
	return algorithm + ":" + hexa[:12]
}
