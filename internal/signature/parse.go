package signature

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// Limits of a policy file.
const (
	maxPolicy  = 4 << 20
	maxRules   = 2_000
	maxSigners = 64
	maxItems   = 10_000 // of any other list
)

// PolicySchema names the shape of a policy, which docs/schema/image-policy-v1.json describes.
const PolicySchema = "bulwark.image-policy/v1"

// ParsePolicy reads a policy. It is strict: an unknown key, a key without a rule that
// would look at it and a signer without an issuer are errors with file and line, since a
// policy with a typing mistake must not let more pass than was meant. Files that it names
// (keys, trusted roots) are read with the function, which may be nil.
func ParsePolicy(file string, data []byte, read func(path string) ([]byte, error)) (*Policy, error) {
	p := &parser{name: file, read: read}
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", file, len(data), maxPolicy)
	}
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: it is empty, want rules", file)
		}
		return nil, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it holds several documents, want one", file)
	}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("%s: it is empty, want rules", file)
	}
	out := &Policy{Name: file}
	err := p.fields(doc.Content[0], "the policy", map[string]func(*yaml.Node) error{
		"schema": func(n *yaml.Node) error {
			if n.Value != PolicySchema {
				return p.errorf(n, "schema is %.80q, want %s", n.Value, PolicySchema)
			}
			return nil
		},
		"default": func(n *yaml.Node) error { return p.into((*string)(&out.Default), "default")(n) },
		"rules": func(n *yaml.Node) error {
			return p.list(n, "rules", maxRules, func(item *yaml.Node) error {
				r, err := p.rule(item)
				if err == nil {
					out.rules = append(out.rules, r)
				}
				return err
			})
		},
	})
	if err != nil {
		return nil, err
	}
	if err := out.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return out, nil
}

// A parser reads one file's nodes.
type parser struct {
	name string
	read func(string) ([]byte, error)
}

func (p *parser) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: "+format, append([]any{p.name, max(n.Line, 1)}, args...)...)
}

// fields calls the function of each key of a mapping, and refuses every other key.
func (p *parser) fields(n *yaml.Node, what string, of map[string]func(*yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return p.errorf(n, "%s: want fields with values", what)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := of[key.Value]
		switch {
		case !ok:
			return p.errorf(key, "%s: unknown key %.80q, want %s", what, key.Value, strings.Join(slices.Sorted(maps.Keys(of)), ", "))
		case seen[key.Value]:
			return p.errorf(key, "%s: key %q stands twice", what, key.Value)
		}
		seen[key.Value] = true
		if err := read(value); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) list(n *yaml.Node, what string, most int, read func(*yaml.Node) error) error {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > most {
		return p.errorf(n, "%s: want a list of 1 to %d", what, most)
	}
	for _, item := range n.Content {
		if err := read(item); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) text(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || strings.TrimSpace(n.Value) == "" {
		return "", p.errorf(n, "%s: want a text", what)
	}
	return n.Value, nil
}

// into reads a text into a field.
func (p *parser) into(field *string, what string) func(*yaml.Node) error {
	return func(n *yaml.Node) (err error) {
		*field, err = p.text(n, what)
		return err
	}
}

// texts reads a list of texts into a field.
func (p *parser) texts(field *[]string, what string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		return p.list(n, what, maxItems, func(item *yaml.Node) error {
			text, err := p.text(item, what)
			*field = append(*field, text)
			return err
		})
	}
}

// flag reads true or false; YAML's other words for them are none.
func (p *parser) flag(field **bool, what string) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			return p.errorf(n, "%s: want true or false", what)
		}
		yes := n.Value == "true"
		*field = &yes
		return nil
	}
}

// file reads a file that the policy names.
func (p *parser) file(n *yaml.Node, what, path string) ([]byte, error) {
	if p.read == nil {
		return nil, p.errorf(n, "%s: file %.200q cannot be read from here, want it in the policy itself", what, path)
	}
	data, err := p.read(path)
	if err != nil {
		return nil, p.errorf(n, "%s: %w", what, err)
	}
	if len(data) > maxPolicy {
		return nil, p.errorf(n, "%s: %s has %d bytes, want at most %d", what, path, len(data), maxPolicy)
	}
	return data, nil
}

// How many signers must have signed, before it is known how many there are.
const (
	allSigners   = -1
	oneSigner    = -2
	maxThreshold = 1000
)

func (p *parser) rule(n *yaml.Node) (*Rule, error) {
	r := &Rule{Signatures: oneSigner}
	var digest string
	var trusted []byte
	var counted, strict *yaml.Node
	err := p.fields(n, "rule", map[string]func(*yaml.Node) error{
		"images": p.texts(&r.Images, "images"),
		"action": func(n *yaml.Node) error { return p.into((*string)(&r.Action), "action")(n) },
		"digest": func(n *yaml.Node) error {
			if err := p.into(&digest, "digest")(n); err != nil {
				return err
			}
			if digest != "required" && digest != "optional" {
				return p.errorf(n, "digest is %.80q, want required or optional", digest)
			}
			r.Digest = digest == "required"
			return nil
		},
		"signedAs":   p.texts(&r.SignedAs, "signedAs"),
		"signers":    p.signers(&r.Signers),
		"signatures": func(n *yaml.Node) error { counted = n; return p.threshold(n, &r.Signatures) },
		"trustedRoot": func(n *yaml.Node) error {
			text, err := p.text(n, "trustedRoot")
			if err != nil {
				return err
			}
			if trusted = []byte(text); !strings.HasPrefix(strings.TrimSpace(text), "{") {
				if trusted, err = p.file(n, "trustedRoot", text); err != nil {
					return err
				}
			}
			if err := r.trust(trusted); err != nil {
				return p.errorf(n, "%w", err)
			}
			return nil
		},
		"transparencyLog":         func(n *yaml.Node) error { strict = n; return p.flag(&r.Log, "transparencyLog")(n) },
		"certificateTransparency": func(n *yaml.Node) error { strict = n; return p.flag(&r.Certificates, "certificateTransparency")(n) },
		"attestations": func(n *yaml.Node) error {
			return p.list(n, "attestations", maxSigners, func(item *yaml.Node) error {
				a, err := p.requirement(item)
				r.Attestations = append(r.Attestations, a)
				return err
			})
		},
		"base": func(n *yaml.Node) error {
			r.Base = &BaseRule{}
			return p.fields(n, "base", map[string]func(*yaml.Node) error{
				"images":  p.texts(&r.Base.Images, "base: images"),
				"digests": p.texts(&r.Base.Digests, "base: digests"),
				"layers": func(n *yaml.Node) error {
					return p.list(n, "base: layers", maxItems, func(item *yaml.Node) error {
						var chain []string
						err := p.texts(&chain, "base: layers")(item)
						r.Base.Layers = append(r.Base.Layers, chain)
						return err
					})
				},
			})
		},
	})
	if err != nil {
		return nil, err
	}
	if r.Action == Allow || r.Action == Deny {
		if counted != nil || strict != nil {
			return nil, p.errorf(n, "rule: action is %s, so nothing else is looked at: take the rest out, or the action", r.Action)
		}
	} else {
		resolve(&r.Signatures, len(r.Signers))
		if counted == nil && len(r.Signers) == 0 && len(r.Attestations) > 0 {
			r.Signatures = 0 // signers stand with the attestations only
		}
		for _, a := range r.Attestations {
			if len(a.Signers) == 0 {
				a.Signers = r.Signers
			}
			resolve(&a.Signatures, len(a.Signers))
		}
	}
	if err := r.validate(); err != nil {
		return nil, p.errorf(n, "rule: %w", err)
	}
	return r, nil
}

// resolve puts the number of signers in the place of words.
func resolve(n *int, signers int) {
	switch *n {
	case allSigners:
		*n = max(signers, 1)
	case oneSigner:
		*n = 1
	}
}

// threshold reads any, all, none or a number.
func (p *parser) threshold(n *yaml.Node, to *int) error {
	text, err := p.text(n, "signatures")
	if err != nil {
		return err
	}
	switch text {
	case "any":
		*to = oneSigner
	case "all":
		*to = allSigners
	case "none":
		*to = 0
	default:
		if *to, err = strconv.Atoi(text); err != nil || *to < 1 || *to > maxThreshold {
			return p.errorf(n, "signatures is %.80q, want any, all, none or how many", text)
		}
	}
	return nil
}

func (p *parser) signers(to *[]*Signer) func(*yaml.Node) error {
	return func(n *yaml.Node) error {
		return p.list(n, "signers", maxSigners, func(item *yaml.Node) error {
			s := &Signer{}
			err := p.fields(item, "signer", map[string]func(*yaml.Node) error{
				"name": p.into(&s.Name, "name"),
				"key": func(n *yaml.Node) error {
					text, err := p.text(n, "key")
					if err != nil {
						return err
					}
					data := []byte(text)
					if !strings.Contains(text, "-----BEGIN") {
						if data, err = p.file(n, "key", text); err != nil {
							return err
						}
					}
					if s.Key, err = ParseKey(data); err != nil {
						return p.errorf(n, "key: %w", err)
					}
					return nil
				},
				"identity":        p.into(&s.Identity, "identity"),
				"identityPattern": p.into(&s.IdentityPattern, "identityPattern"),
				"issuer":          p.into(&s.Issuer, "issuer"),
				"issuerPattern":   p.into(&s.IssuerPattern, "issuerPattern"),
			})
			if err != nil {
				return err
			}
			if err := s.validate(); err != nil {
				return p.errorf(item, "signer: %w", err)
			}
			*to = append(*to, s)
			return nil
		})
	}
}

func (p *parser) requirement(n *yaml.Node) (*Requirement, error) {
	a := &Requirement{Signatures: oneSigner}
	err := p.fields(n, "attestation", map[string]func(*yaml.Node) error{
		"type":    p.into(&a.Type, "type"),
		"signers": p.signers(&a.Signers),
		"signatures": func(n *yaml.Node) error {
			if err := p.threshold(n, &a.Signatures); err != nil {
				return err
			}
			if a.Signatures == 0 {
				return p.errorf(n, "attestation: signatures is none, want at least one: nobody's word is none")
			}
			return nil
		},
		"conditions": p.texts(&a.Conditions, "conditions"),
	})
	if err != nil {
		return nil, err
	}
	if _, known := predicates[a.Type]; !known && !strings.Contains(a.Type, "://") {
		return nil, p.errorf(n, "attestation: type is %.80q, want a URI or one of %s", a.Type, strings.Join(slices.Sorted(maps.Keys(predicates)), ", "))
	}
	return a, nil
}
