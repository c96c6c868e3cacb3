package signature

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// An Outcome is what a policy says of an image.
type Outcome int

// The outcomes. Whoever admits images lets only Allowed and Verified pass.
const (
	// Unknown: it could not be told, since a registry did not answer or held more than is
	// read.
	Unknown Outcome = iota
	// Refused: it is not what the policy asks for.
	Refused
	// Allowed: the policy lets it pass without looking.
	Allowed
	// Verified: it is signed and attested as the policy asks.
	Verified
)

func (o Outcome) String() string {
	return [...]string{"unknown", "refused", "allowed", "verified"}[o]
}

// MarshalText writes the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// OK reports whether the image may pass.
func (o Outcome) OK() bool { return o == Allowed || o == Verified }

// A Verdict is what is known of one image, and what the policy says to it.
type Verdict struct {
	// Ref is what was asked for, Repository its repository; empty where it is not known.
	Ref        string `json:"ref"`
	Repository string `json:"repository,omitempty"`
	// Digest is what the reference named when it was looked at, and what everything else is
	// about: whoever runs the image must run this digest. Empty if it was not looked at.
	Digest  string  `json:"digest,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Rule is the pattern that counted; empty for the default.
	Rule string `json:"rule,omitempty"`
	// Reasons say why not, or why it could not be told.
	Reasons []string `json:"reasons,omitempty"`
	// Signatures and Attestations are those that verified for one of the rule's signers.
	Signatures   []Signature   `json:"signatures,omitempty"`
	Attestations []Attestation `json:"attestations,omitempty"`
	// Base is how the base image was found to be an allowed one; empty if it was not asked.
	Base string `json:"base,omitempty"`
	// Rejected are things attached that did not verify, with the reason. That there are some
	// is no fault: anybody with access to the registry may attach something.
	Rejected []Rejected `json:"rejected,omitempty"`
}

// A Signature is one that verified.
type Signature struct {
	// Signer is the policy's.
	Signer string `json:"signer"`
	// Key is the fingerprint of the key; or Identity and Issuer are the certificate's.
	Key      string `json:"key,omitempty"`
	Identity string `json:"identity,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
	// Name is the repository that was signed for; bundles of cosign v3 bind the digest only.
	Name string `json:"name,omitempty"`
	// Time is when it was logged or timestamped; zero if nobody vouches for a time.
	Time time.Time `json:"time,omitzero"`
	// At is where it was found.
	At string `json:"at"`

	signer *Signer
}

// An Attestation is one that verified.
type Attestation struct {
	Type string `json:"type"`
	Signature

	predicate map[string]any
}

// A Rejected is something attached that did not verify.
type Rejected struct {
	At  string `json:"at"`
	Why string `json:"why"`
}

// Options say how to verify.
type Options struct {
	// Now is what conditions compare with.
	Now func() time.Time
	// All also verifies attestations that the rule does not ask for, to list them.
	All bool
}

// A Verifier holds images against a policy. It may be used by many at once.
type Verifier struct {
	policy  *Policy
	store   Store
	options Options
}

// New makes a verifier. It asks nobody but the store.
func New(p *Policy, s Store, o Options) *Verifier { return &Verifier{p, s, o} }

// Verify says whether an image may pass. A tag is resolved once, and everything else is
// about that digest. The error says that the reference is none; whatever else goes wrong
// is in the verdict, which is then Unknown.
func (v *Verifier) Verify(ctx context.Context, ref string) (*Verdict, error) {
	repo, identifier, err := v.store.Open(ref)
	if err != nil {
		return nil, err
	}
	out := &Verdict{Ref: ref, Repository: repo.Name()}
	if isDigest(identifier) {
		out.Digest = identifier
	}
	rule, by := v.policy.rule(repo.Name())
	out.Rule = by
	switch {
	case rule == nil && v.policy.Default == Allow:
		out.Outcome = Allowed
		return out, nil
	case rule == nil:
		return out.because(Refused, "no rule is for it, and the default is deny"), nil
	case rule.Action == Deny:
		return out.because(Refused, "the rule is to deny it"), nil
	case rule.Digest && out.Digest == "":
		return out.because(Refused, "it is named by a tag, want a digest"), nil
	case rule.Action == Allow:
		out.Outcome = Allowed
		return out, nil
	}
	limited := &budget{repo, maxTotal}
	m, err := limited.Manifest(ctx, identifier)
	switch {
	case errors.Is(err, ErrNotFound):
		return out.because(Refused, "there is no such image"), nil
	case err != nil:
		return out.because(Unknown, "the image could not be read: "+plain(err)), nil
	}
	out.Digest = m.Digest
	e := &examination{verdict: out, rule: rule, repo: limited, manifest: m, options: v.options, tag: tagOf(identifier)}
	e.run(ctx)
	return out, nil
}

func tagOf(identifier string) string {
	if isDigest(identifier) {
		return ""
	}
	return identifier
}

func (v *Verdict) because(o Outcome, reason string) *Verdict {
	v.Outcome, v.Reasons = o, append(v.Reasons, reason)
	return v
}

// An examination is one image held against one rule.
type examination struct {
	verdict  *Verdict
	rule     *Rule
	repo     Repository
	manifest *Manifest
	options  Options
	tag      string
}

func (e *examination) run(ctx context.Context) {
	c := collect(ctx, e.repo, e.manifest.Digest)
	for i, cand := range c.candidates {
		if ctx.Err() != nil {
			c.unknown = append(c.unknown, finding{cand.at, ctx.Err()})
			break
		}
		if !e.wanted(cand.predicate) {
			continue
		}
		a, err := cand.read(ctx)
		var no *unusable
		switch {
		case errors.As(err, &no) || errors.Is(err, ErrNotFound):
			c.wrong = append(c.wrong, finding{cand.at, err})
			continue
		case err != nil:
			c.unknown = append(c.unknown, finding{cand.at, err})
			continue
		}
		if err := e.examine(a); err != nil {
			c.wrong = append(c.wrong, finding{cand.at, err})
		}
		c.candidates[i].read = nil // what it holds on to is not needed again
	}
	for _, w := range c.wrong {
		e.verdict.Rejected = append(e.verdict.Rejected, Rejected{w.at, plain(w.err)})
	}
	if c.more > 0 {
		c.unknown = append(c.unknown, finding{"what is attached", fmt.Errorf("%d more than the %d that are looked at: %w", c.more, maxCandidates, errTooLarge)})
	}
	missing := e.missing(ctx)
	if e.rule.Base != nil {
		switch by, err := e.base(ctx); {
		case err != nil && !errors.Is(err, errBase):
			c.unknown = append(c.unknown, finding{"base image", err})
			missing = append(missing, "on which image it is built could not be told")
		case err != nil:
			missing = append(missing, err.Error())
		default:
			e.verdict.Base = by
		}
	}
	switch {
	case len(missing) == 0:
		e.verdict.Outcome = Verified
	case len(c.unknown) > 0:
		e.verdict.Outcome, e.verdict.Reasons = Unknown, missing
		for _, u := range c.unknown {
			e.verdict.Reasons = append(e.verdict.Reasons, fmt.Sprintf("%s could not be read: %s", u.at, plain(u.err)))
		}
	default:
		e.verdict.Outcome, e.verdict.Reasons = Refused, missing
	}
}

// wanted reports whether an attestation is worth reading. Whoever says it is of another
// type than it is only hides it.
func (e *examination) wanted(predicate string) bool {
	if predicate == "" || predicate == signType || e.options.All || e.rule.Base != nil && isProvenance(predicate) {
		return true
	}
	return slices.ContainsFunc(e.rule.Attestations, func(a *Requirement) bool { return typeMatches(a.Type, predicate) })
}

// examine verifies one thing attached for each signer, and notes whose it is.
func (e *examination) examine(a *attached) error {
	var last error
	found := false
	tried := map[*Signer]bool{}
	for s := range e.rule.everySigner() {
		if tried[s] {
			continue
		}
		tried[s] = true
		b := a.certificate
		if s.Key != nil {
			b = a.key
		}
		if b == nil {
			if last == nil {
				last = errors.New("signed by none of the policy's signers")
			}
			continue
		}
		result, err := e.verify(b, a.payload, s)
		if err != nil {
			last = err
			continue
		}
		if err := e.note(a, s, result); err != nil {
			last = err
			continue
		}
		found = true
	}
	if found {
		return nil
	}
	return last
}

// verify holds a bundle against one signer: the signature, the certificate and its chain,
// the log, the times, and that it is about this image.
func (e *examination) verify(b *bundle.Bundle, payload []byte, s *Signer) (*verify.VerificationResult, error) {
	var artifact verify.ArtifactPolicyOption
	content, err := b.SignatureContent()
	if err != nil {
		return nil, err
	}
	switch {
	case payload != nil:
		artifact = verify.WithArtifact(bytes.NewReader(payload))
	case content.EnvelopeContent() != nil:
		sum, err := hex.DecodeString(strings.TrimPrefix(e.manifest.Digest, "sha256:"))
		if err != nil {
			return nil, err
		}
		artifact = verify.WithArtifactDigest("sha256", sum)
	default:
		// A bundle over the manifest's own bytes.
		artifact = verify.WithArtifact(bytes.NewReader(e.manifest.Bytes))
	}
	var options []verify.VerifierOption
	var policy []verify.PolicyOption
	material := e.rule.root
	if material == nil {
		material = &root.BaseTrustedMaterial{}
	}
	if s.Key != nil {
		policy = append(policy, verify.WithKey())
		options = append(options, verify.WithNoObserverTimestamps())
		if e.rule.logged() {
			options = append(options, verify.WithTransparencyLog(1))
		}
	} else {
		policy = append(policy, verify.WithoutIdentitiesUnsafe()) // compared below, with our own anchored patterns
		options = append(options, verify.WithObserverTimestamps(1))
		if e.rule.logged() {
			options = append(options, verify.WithTransparencyLog(1))
		}
		if e.rule.certified() {
			options = append(options, verify.WithSignedCertificateTimestamps(1))
		}
	}
	verifier, err := verify.NewVerifier(trust{material, s.Key}, options...)
	if err != nil {
		return nil, err
	}
	result, err := verifier.Verify(b, verify.NewPolicy(artifact, policy...))
	if err != nil {
		return nil, err
	}
	if s.Key == nil {
		c := result.Signature.Certificate
		if c == nil || !s.is(c) {
			return nil, fmt.Errorf("signed by %s", nameOf(result))
		}
	}
	return result, nil
}

func nameOf(r *verify.VerificationResult) string {
	if c := r.Signature.Certificate; c != nil {
		return fmt.Sprintf("%.200s (%.200s)", c.SubjectAlternativeName, c.Issuer)
	}
	return "a key"
}

// note keeps what verified, after a look at what it says.
func (e *examination) note(a *attached, s *Signer, r *verify.VerificationResult) error {
	sig := Signature{Signer: s.String(), At: a.at, signer: s}
	if s.Key != nil {
		sig.Key = s.Key.Fingerprint
	} else {
		sig.Identity, sig.Issuer = r.Signature.Certificate.SubjectAlternativeName, r.Signature.Certificate.Issuer
	}
	for _, t := range r.VerifiedTimestamps {
		if sig.Time.IsZero() || t.Timestamp.Before(sig.Time) {
			sig.Time = t.Timestamp
		}
	}
	switch {
	case a.payload != nil:
		p, err := parsePayload(a.payload)
		if err != nil {
			return err
		}
		if p.Critical.Image.Digest != e.manifest.Digest {
			return fmt.Errorf("it is the signature of another image, %s", Short(p.Critical.Image.Digest))
		}
		sig.Name = p.Critical.Identity.Reference
		if !e.rule.names(e.verdict.Repository, sig.Name) {
			return fmt.Errorf("it was signed as %.200q: say so with signedAs if it was mirrored from there", sig.Name)
		}
		e.verdict.Signatures = append(e.verdict.Signatures, sig)
	case r.Statement != nil:
		if t := r.Statement.GetType(); !strings.HasPrefix(t, "https://in-toto.io/Statement/") {
			return fmt.Errorf("it is a %.80q, want an in-toto statement", t)
		}
		for _, subject := range r.Statement.GetSubject() {
			if "sha256:"+subject.GetDigest()["sha256"] != e.manifest.Digest || !isRepository(subject.GetName()) {
				continue
			}
			sig.Name = subject.GetName()
			if e.rule.names(e.verdict.Repository, sig.Name) {
				break
			}
		}
		if sig.Name != "" && !e.rule.names(e.verdict.Repository, sig.Name) {
			return fmt.Errorf("it attests %.200q: say so with signedAs if it was mirrored from there", sig.Name)
		}
		if r.Statement.GetPredicateType() == signType {
			e.verdict.Signatures = append(e.verdict.Signatures, sig)
			return nil
		}
		e.verdict.Attestations = append(e.verdict.Attestations, Attestation{Type: r.Statement.GetPredicateType(), Signature: sig, predicate: r.Statement.GetPredicate().AsMap()})
	default:
		e.verdict.Signatures = append(e.verdict.Signatures, sig)
	}
	return nil
}

// isRepository reports whether a subject's name is one of a repository with its registry.
// Others are file names, package URLs, or whatever the builder liked.
func isRepository(name string) bool {
	host, rest, ok := strings.Cut(name, "/")
	return ok && rest != "" && (strings.ContainsAny(host, ".:") || host == "localhost") && !strings.HasPrefix(name, "pkg:") && !strings.Contains(name, "://")
}

// missing says what the rule asks for and is not there.
func (e *examination) missing(ctx context.Context) []string {
	var out []string
	if n := e.rule.Signatures; n > 0 {
		if have := count(e.rule.Signers, e.verdict.Signatures); have < n {
			out = append(out, lacking("signature", n, have, e.rule.Signers))
		}
	}
	for _, a := range e.rule.Attestations {
		out = append(out, e.lacks(ctx, a)...)
	}
	return out
}

// lacks says what of a required attestation is not there.
func (e *examination) lacks(ctx context.Context, a *Requirement) []string {
	var why []string
	var good []Signature
	for i := range e.verdict.Attestations {
		at := &e.verdict.Attestations[i]
		if !typeMatches(a.Type, at.Type) || !slices.Contains(a.Signers, at.signer) {
			continue
		}
		if err := e.fulfils(ctx, a, at); err != nil {
			why = append(why, fmt.Sprintf("attestation %s by %s: %s", a.Type, at.Signer, plain(err)))
			continue
		}
		good = append(good, at.Signature)
	}
	have := count(a.Signers, good)
	switch {
	case have >= a.Signatures:
		return nil
	case len(why) > 0:
		return why
	}
	return []string{lacking("attestation "+a.Type, a.Signatures, have, a.Signers)}
}

func (e *examination) fulfils(ctx context.Context, a *Requirement, at *Attestation) error {
	if len(a.programs) == 0 {
		return nil
	}
	facts := map[string]any{
		"predicate": at.predicate,
		"image":     map[string]string{"repository": e.verdict.Repository, "digest": e.verdict.Digest, "tag": e.tag},
		"signer":    map[string]string{"name": at.Signer, "key": at.Key, "identity": at.Identity, "issuer": at.Issuer},
		"now":       e.options.Now(),
	}
	for _, p := range a.programs {
		if err := p.holds(ctx, facts); err != nil {
			return err
		}
	}
	return nil
}

// count is how many of the signers signed, where nobody counts for two of them: with
// patterns, one identity may be several signers. It is the largest matching between both,
// found by augmenting paths.
func count(signers []*Signer, signatures []Signature) int {
	who := map[*Signer]map[string]bool{}
	for _, s := range signatures {
		if who[s.signer] == nil {
			who[s.signer] = map[string]bool{}
		}
		who[s.signer][s.Key+"\x00"+s.Identity+"\x00"+s.Issuer] = true
	}
	taken := map[string]*Signer{}
	var place func(s *Signer, seen map[string]bool) bool
	place = func(s *Signer, seen map[string]bool) bool {
		for p := range who[s] {
			if seen[p] {
				continue
			}
			seen[p] = true
			if have := taken[p]; have == nil || place(have, seen) {
				taken[p] = s
				return true
			}
		}
		return false
	}
	n := 0
	for _, s := range signers {
		if place(s, map[string]bool{}) {
			n++
		}
	}
	return n
}

func lacking(what string, want, have int, signers []*Signer) string {
	var names []string
	for _, s := range signers {
		names = append(names, s.String())
	}
	if want == 1 {
		return fmt.Sprintf("no %s by %s", what, strings.Join(names, " or "))
	}
	return fmt.Sprintf("%s by %d of %d signers (%s), want %d", what, have, len(signers), strings.Join(names, ", "), want)
}

// plain is an error in one line of bounded length: parts of it are strangers' words.
func plain(err error) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
	if len(text) > 400 {
		text = strings.ToValidUTF8(text[:400], "") + "…"
	}
	return text
}
