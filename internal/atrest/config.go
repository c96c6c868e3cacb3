package atrest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Configuration is the apiserver's EncryptionConfiguration, as it is in the
// file. Of the providers it understands those with local keys; a KMS stays as
// it is.
type Configuration struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Resources  []Group `json:"resources"`
}

// Group is resources that are stored alike. The first provider writes; all are
// tried to read.
type Group struct {
	Resources []string   `json:"resources"`
	Providers []Provider `json:"providers"`
}

// Provider is one way of storing; exactly one field is set.
type Provider struct {
	Secretbox *Keys          `json:"secretbox,omitempty"`
	AESGCM    *Keys          `json:"aesgcm,omitempty"`
	AESCBC    *Keys          `json:"aescbc,omitempty"`
	KMS       map[string]any `json:"kms,omitempty"`
	Identity  *struct{}      `json:"identity,omitempty"`
}

// Keys are a provider's; the first one writes.
type Keys struct {
	Keys []Key `json:"keys"`
}

// Key has 32 bytes, in base64.
type Key struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
}

const (
	apiVersion = "apiserver.config.k8s.io/v1"
	kind       = "EncryptionConfiguration"
	keyBytes   = 32
)

// Providers with local keys that a new configuration can have. AES-CBC, which
// nothing authenticates, is read and rotated but no longer made.
const (
	Secretbox = "secretbox"
	AESGCM    = "aesgcm"
)

// NewKey draws a key.
func NewKey(name string) (Key, error) {
	secret := make([]byte, keyBytes)
	if _, err := rand.Read(secret); err != nil {
		return Key{}, fmt.Errorf("drawing an encryption key: %w", err)
	}
	return Key{Name: name, Secret: base64.StdEncoding.EncodeToString(secret)}, nil
}

// New encrypts the resources under one key, and reads what was written before
// that.
func New(provider string, resources []string, key Key) (*Configuration, error) {
	var writes Provider
	switch provider {
	case Secretbox:
		writes.Secretbox = &Keys{Keys: []Key{key}}
	case AESGCM:
		writes.AESGCM = &Keys{Keys: []Key{key}}
	default:
		return nil, fmt.Errorf("provider %q: want %s or %s", provider, Secretbox, AESGCM)
	}
	c := &Configuration{APIVersion: apiVersion, Kind: kind, Resources: []Group{{
		Resources: resources, Providers: []Provider{writes, {Identity: &struct{}{}}},
	}}}
	return c, c.validate()
}

// Parse reads a configuration. Errors name no secret.
func Parse(data []byte) (*Configuration, error) {
	var c Configuration
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return nil, fmt.Errorf("encryption configuration: %w", withoutValues(err))
	}
	if c.Kind != kind || !strings.HasPrefix(c.APIVersion, "apiserver.config.k8s.io/") {
		return nil, fmt.Errorf("encryption configuration: kind is %s of %s, want %s of %s", c.Kind, c.APIVersion, kind, apiVersion)
	}
	return &c, c.validate()
}

// withoutValues keeps of a parser's error what cannot be a key.
func withoutValues(err error) error {
	text := err.Error()
	if strings.Contains(text, "unknown field") {
		return errors.New(text[strings.Index(text, "unknown field"):])
	}
	return errors.New("not well formed")
}

// Encode is the file's content.
func (c *Configuration) Encode() ([]byte, error) { return yaml.Marshal(c) }

// Hash is how an apiserver's metrics name a file's content.
func Hash(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

var resourceSyntax = regexp.MustCompile(`^([a-z0-9-]+|\*)(\.([a-z0-9.-]+|\*)?)?$`)

func (c *Configuration) validate() error {
	if len(c.Resources) == 0 {
		return errors.New("encryption configuration: no resources")
	}
	for i, g := range c.Resources {
		if len(g.Resources) == 0 || len(g.Providers) == 0 {
			return fmt.Errorf("encryption configuration: resources[%d]: want resources and providers", i)
		}
		for _, r := range g.Resources {
			if !resourceSyntax.MatchString(r) {
				return fmt.Errorf("encryption configuration: resources[%d]: %q is not a resource", i, r)
			}
		}
		for n, p := range g.Providers {
			if err := p.validate(); err != nil {
				return fmt.Errorf("encryption configuration: resources[%d].providers[%d]: %w", i, n, err)
			}
		}
	}
	return nil
}

func (p Provider) validate() error {
	set := 0
	for _, is := range []bool{p.Secretbox != nil, p.AESGCM != nil, p.AESCBC != nil, p.KMS != nil, p.Identity != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("%d kinds of provider in one, want exactly one of secretbox, aesgcm, aescbc, kms, identity", set)
	}
	keys, name := p.local()
	if keys == nil {
		return nil
	}
	if len(keys.Keys) == 0 {
		return fmt.Errorf("%s without a key", name)
	}
	seen := map[string]bool{}
	for _, k := range keys.Keys {
		secret, err := base64.StdEncoding.DecodeString(k.Secret)
		size := len(secret)
		switch {
		case k.Name == "" || strings.Contains(k.Name, ":"):
			return fmt.Errorf("%s: key name %q is empty or has a colon", name, k.Name)
		case seen[k.Name]:
			return fmt.Errorf("%s: key %s is there twice", name, k.Name)
		case err != nil:
			return fmt.Errorf("%s: key %s is not base64", name, k.Name)
		case name == Secretbox && size != keyBytes || size != 16 && size != 24 && size != keyBytes:
			return fmt.Errorf("%s: key %s has %d bytes, want %d", name, k.Name, size, keyBytes)
		}
		seen[k.Name] = true
	}
	return nil
}

// local is the provider's keys and its name, nil if it has no local ones.
func (p Provider) local() (*Keys, string) {
	switch {
	case p.Secretbox != nil:
		return p.Secretbox, Secretbox
	case p.AESGCM != nil:
		return p.AESGCM, AESGCM
	case p.AESCBC != nil:
		return p.AESCBC, "aescbc"
	}
	return nil, ""
}

// Encrypted lists the resources, each once, in order.
func (c *Configuration) Encrypted() []string {
	var all []string
	for _, g := range c.Resources {
		for _, r := range g.Resources {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}

// stages are the three files that take a cluster from its keys to a new one.
// In between every apiserver must have loaded the one before: an apiserver that
// knows only the old key cannot read what another has written with the new.
type stages struct {
	Added   string `json:"added"`   // the new key reads
	First   string `json:"first"`   // the new key writes
	Retired string `json:"retired"` // no other key is left
}

// stagesOf plans the way to a new key, in all groups.
func (c *Configuration) stagesOf(key Key) (stages, error) {
	for i, g := range c.Resources {
		keys, _ := g.Providers[0].local()
		if keys == nil {
			return stages{}, fmt.Errorf("encryption configuration: resources[%d] (%s): written by %s, want a provider with local keys first",
				i, strings.Join(g.Resources, ", "), g.Providers[0].kind())
		}
		for _, r := range g.Resources {
			if strings.Contains(r, "*") {
				return stages{}, fmt.Errorf("encryption configuration: resources[%d]: %q: name the resources one by one to rotate their key", i, r)
			}
		}
		if slices.ContainsFunc(keys.Keys, func(k Key) bool { return k.Name == key.Name }) {
			return stages{}, fmt.Errorf("encryption configuration: resources[%d]: there is a key %s already", i, key.Name)
		}
	}
	var s stages
	for _, stage := range []struct {
		into *string
		keys func([]Key) []Key
		only bool
	}{
		{&s.Added, func(old []Key) []Key { return slices.Insert(slices.Clone(old), 1, key) }, false},
		{&s.First, func(old []Key) []Key { return append([]Key{key}, old...) }, false},
		{&s.Retired, func([]Key) []Key { return []Key{key} }, true},
	} {
		next := c.clone()
		for i := range next.Resources {
			g := &next.Resources[i]
			keys, _ := g.Providers[0].local()
			keys.Keys = stage.keys(keys.Keys)
			if stage.only {
				g.Providers = append(g.Providers[:1], slices.DeleteFunc(slices.Clone(g.Providers[1:]), func(p Provider) bool {
					keys, _ := p.local()
					return keys != nil
				})...)
			}
		}
		data, err := next.Encode()
		if err != nil {
			return stages{}, err
		}
		*stage.into = string(data)
	}
	return s, nil
}

// kind says how a provider without local keys is called.
func (p Provider) kind() string {
	if p.KMS != nil {
		return "kms"
	}
	return "identity"
}

func (c *Configuration) clone() *Configuration {
	next := *c
	next.Resources = slices.Clone(c.Resources)
	for i, g := range next.Resources {
		g.Providers = slices.Clone(g.Providers)
		for n, p := range g.Providers {
			for _, keys := range []**Keys{&p.Secretbox, &p.AESGCM, &p.AESCBC} {
				if *keys != nil {
					*keys = &Keys{Keys: slices.Clone((*keys).Keys)}
				}
			}
			g.Providers[n] = p
		}
		next.Resources[i] = g
	}
	return &next
}
