package cluster

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Config is one configuration file of the API server, as far as controls judge it.
// Exactly one of the pointers is set. No key, token or password is ever part of it: the
// structs have no field that could take one.
type Config struct {
	Ref
	// Machine is where the file was read; empty for a file that was given by itself.
	Machine string
	// File is the path by which the API server knows it.
	File   string
	Source Source

	Audit          *AuditPolicy
	Encryption     *EncryptionConfiguration
	Authentication *AuthenticationConfiguration
	Authorization  *AuthorizationConfiguration
	Admission      *AdmissionConfiguration
	ABAC           *ABACPolicyFile
}

// Need is the kind of fact that the configuration is.
func (c *Config) Need() Need {
	switch {
	case c.Audit != nil:
		return AuditFile
	case c.Encryption != nil:
		return EncryptionFile
	case c.Authentication != nil:
		return AuthenticationFile
	case c.Authorization != nil:
		return AuthorizationFile
	case c.ABAC != nil:
		return ABACFile
	}
	return AdmissionFile
}

// ConfigFlags are the API server's flags that name its configuration files.
var ConfigFlags = map[Need]string{
	AuditFile:          "audit-policy-file",
	EncryptionFile:     "encryption-provider-config",
	AuthenticationFile: "authentication-config",
	AuthorizationFile:  "authorization-config",
	AdmissionFile:      "admission-control-config-file",
	ABACFile:           "authorization-policy-file",
}

// AuditPolicy is what is recorded of requests (k8s.io/apiserver/pkg/apis/audit/v1).
type AuditPolicy struct {
	Rules      []AuditRule `json:"rules"`
	OmitStages []string    `json:"omitStages,omitempty"`
}

// An AuditRule gives requests a level; the first rule that matches counts.
type AuditRule struct {
	Level           string           `json:"level"`
	Users           []string         `json:"users,omitempty"`
	UserGroups      []string         `json:"userGroups,omitempty"`
	Verbs           []string         `json:"verbs,omitempty"`
	Resources       []AuditResources `json:"resources,omitempty"`
	Namespaces      []string         `json:"namespaces,omitempty"`
	NonResourceURLs []string         `json:"nonResourceURLs,omitempty"`
	OmitStages      []string         `json:"omitStages,omitempty"`
}

// AuditResources are the resources of one group that an AuditRule is for.
type AuditResources struct {
	Group         string   `json:"group,omitempty"`
	Resources     []string `json:"resources,omitempty"`
	ResourceNames []string `json:"resourceNames,omitempty"`
}

// EncryptionConfiguration says what is encrypted in etcd and by which kind of provider,
// without keys (k8s.io/apiserver/pkg/apis/apiserver/v1).
type EncryptionConfiguration struct {
	Resources []EncryptionGroup `json:"resources"`
}

// An EncryptionGroup is a set of resources that are stored alike. The first provider
// writes; all are tried to read.
type EncryptionGroup struct {
	Resources []string             `json:"resources"`
	Providers []EncryptionProvider `json:"providers"`
}

// An EncryptionProvider is one way of storing. Which one is set is all that is kept of
// those with local keys.
type EncryptionProvider struct {
	AESGCM    *LocalKeys `json:"aesgcm,omitempty"`
	AESCBC    *LocalKeys `json:"aescbc,omitempty"`
	Secretbox *LocalKeys `json:"secretbox,omitempty"`
	Identity  *struct{}  `json:"identity,omitempty"`
	KMS       *KMS       `json:"kms,omitempty"`
}

// LocalKeys are the names of a provider's keys.
type LocalKeys struct {
	Keys []struct {
		Name string `json:"name"`
	} `json:"keys"`
}

// KMS is a provider whose keys are with somebody else.
type KMS struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Name       string `json:"name"`
}

// Kind is the provider's name in the file.
func (p EncryptionProvider) Kind() string {
	switch {
	case p.AESGCM != nil:
		return "aesgcm"
	case p.AESCBC != nil:
		return "aescbc"
	case p.Secretbox != nil:
		return "secretbox"
	case p.KMS != nil:
		return "kms"
	}
	return "identity"
}

// Group returns the index of the group that decides over a resource ("secrets",
// "deployments.apps"), or -1 where none does and it is stored in plain. A resource's own
// name goes before its group's star, and that before the star over all groups
// (transformerFromOverrides in k8s.io/apiserver/pkg/server/options/encryptionconfig).
func (e *EncryptionConfiguration) Group(resource string) int {
	name, group, _ := strings.Cut(resource, ".")
	for _, want := range [][2]string{{name, group}, {"*", group}, {"*", "*"}} {
		for i, g := range e.Resources {
			for _, r := range g.Resources {
				rn, rg, _ := strings.Cut(r, ".")
				if [2]string{rn, rg} == want {
					return i
				}
			}
		}
	}
	return -1
}

// AuthenticationConfiguration says who the API server believes besides certificates and
// its own tokens.
type AuthenticationConfiguration struct {
	JWT       []JWTAuthenticator `json:"jwt,omitempty"`
	Anonymous *Anonymous         `json:"anonymous,omitempty"`
}

// Anonymous says which anonymous requests are let in: all without conditions.
type Anonymous struct {
	Enabled    bool `json:"enabled"`
	Conditions []struct {
		Path string `json:"path"`
	} `json:"conditions,omitempty"`
}

// A JWTAuthenticator believes the tokens of one issuer.
type JWTAuthenticator struct {
	Issuer struct {
		URL       string   `json:"url"`
		Audiences []string `json:"audiences"`
	} `json:"issuer"`
	ClaimValidationRules []ClaimRule `json:"claimValidationRules,omitempty"`
	ClaimMappings        struct {
		Username ClaimMapping `json:"username"`
		Groups   ClaimMapping `json:"groups"`
	} `json:"claimMappings"`
	UserValidationRules []ClaimRule `json:"userValidationRules,omitempty"`
}

// A ClaimRule is a condition on a token or on the user that it makes.
type ClaimRule struct {
	Claim         string `json:"claim,omitempty"`
	RequiredValue string `json:"requiredValue,omitempty"`
	Expression    string `json:"expression,omitempty"`
}

// A ClaimMapping makes a name of a token: a claim with a prefix, or a CEL expression.
type ClaimMapping struct {
	Claim      string  `json:"claim,omitempty"`
	Prefix     *string `json:"prefix,omitempty"`
	Expression string  `json:"expression,omitempty"`
}

// AuthorizationConfiguration is the order in which authorizers are asked.
type AuthorizationConfiguration struct {
	Authorizers []Authorizer `json:"authorizers"`
}

// An Authorizer allows, denies or has no opinion, and then the next one is asked.
type Authorizer struct {
	Type    string                `json:"type"`
	Name    string                `json:"name"`
	Webhook *AuthorizationWebhook `json:"webhook,omitempty"`
}

// AuthorizationWebhook is what an authorizer asks outside of the API server.
type AuthorizationWebhook struct {
	AuthorizedTTL           metav1.Duration `json:"authorizedTTL"`
	CacheAuthorizedRequests *bool           `json:"cacheAuthorizedRequests,omitempty"`
	FailurePolicy           string          `json:"failurePolicy"`
	MatchConditions         []struct {
		Expression string `json:"expression"`
	} `json:"matchConditions,omitempty"`
}

// ABACPolicyFile are the rights that ABAC gives (k8s.io/kubernetes/pkg/apis/abac).
type ABACPolicyFile struct {
	Policies []ABACPolicy `json:"policies"`
}

// An ABACPolicy gives rights to the user, who has to be in the group where both are set.
// A star for either is the group of all who are known.
type ABACPolicy struct {
	Line            int    `json:"line,omitempty"`
	User            string `json:"user,omitempty"`
	Group           string `json:"group,omitempty"`
	Readonly        bool   `json:"readonly,omitempty"`
	APIGroup        string `json:"apiGroup,omitempty"`
	Resource        string `json:"resource,omitempty"`
	Namespace       string `json:"namespace,omitempty"`
	NonResourcePath string `json:"nonResourcePath,omitempty"`
}

// AdmissionConfiguration is the configuration of admission plugins.
type AdmissionConfiguration struct {
	Plugins []AdmissionPlugin `json:"plugins"`
}

// An AdmissionPlugin is the configuration of one plugin. PodSecurity and ImagePolicy are
// set where they are that plugin's and were read.
type AdmissionPlugin struct {
	Name string `json:"name"`
	// Path is the file with its configuration where that stands apart.
	Path        string              `json:"path,omitempty"`
	PodSecurity *PodSecurity        `json:"-"`
	ImagePolicy *ImagePolicyWebhook `json:"-"`
}

// PodSecurity is what Pod Security does without labels, and for whom it does nothing.
type PodSecurity struct {
	Defaults struct {
		Enforce        string `json:"enforce,omitempty"`
		EnforceVersion string `json:"enforce-version,omitempty"`
	} `json:"defaults"`
	Exemptions struct {
		Usernames      []string `json:"usernames,omitempty"`
		Namespaces     []string `json:"namespaces,omitempty"`
		RuntimeClasses []string `json:"runtimeClasses,omitempty"`
	} `json:"exemptions"`
}

// ImagePolicyWebhook is the plugin that asks somebody whether an image may run.
type ImagePolicyWebhook struct {
	DefaultAllow bool `json:"defaultAllow"`
}

// AddConfig takes one configuration file of the API server.
func (b *Builder) AddConfig(c *Config) {
	b.s.configs = append(b.s.configs, c)
	b.Looked(c.Need())
}

// Configs returns the API server's configuration files of one kind.
func (s *Snapshot) Configs(need Need) []*Config {
	var out []*Config
	for _, c := range s.configs {
		if c.Need() == need {
			out = append(out, c)
		}
	}
	return out
}

// ConfigOf returns the configuration of one kind that an API server was started with,
// and whether it was told to use one at all. Nil and true means that it was not read.
func (s *Snapshot) ConfigOf(c *Component, need Need) (*Config, bool) {
	file, ok := c.Flags.Lookup(ConfigFlags[need])
	if !ok || file == "" {
		return nil, false
	}
	var found *Config
	for _, config := range s.configs {
		switch {
		case config.Need() != need || config.File != file:
		case config.Machine == c.Machine:
			return config, true
		case c.Machine == "" && found == nil:
			// /flagz does not say which machine answered; the path is the same on all.
			found = config
		}
	}
	return found, true
}

// Encrypted are the resources that are written encrypted: those that the configuration
// names, and Secrets and ConfigMaps where they are covered.
func (e *EncryptionConfiguration) Encrypted() []string {
	names := []string{"secrets", "configmaps"}
	for _, g := range e.Resources {
		for _, r := range g.Resources {
			if !strings.Contains(r, "*") && !slices.Contains(names, r) {
				names = append(names, r)
			}
		}
	}
	return slices.DeleteFunc(names, func(r string) bool {
		i := e.Group(r)
		return i < 0 || len(e.Resources[i].Providers) == 0 || e.Resources[i].Providers[0].Kind() == "identity"
	})
}

// missingStored records as a gap what etcd holds where an API server is told to encrypt
// it and nobody asked etcd.
func (s *Snapshot) missingStored(how string) {
	s.looked[StoredObjects] = true
	if slices.ContainsFunc(s.machines, func(m *Machine) bool { return len(m.Stored) > 0 }) {
		s.gaps = slices.DeleteFunc(s.gaps, func(g Gap) bool { return g.Need == StoredObjects })
		return
	}
	told := slices.ContainsFunc(s.Components("kube-apiserver"), func(c *Component) bool {
		return c.Flags.Get(ConfigFlags[EncryptionFile], "") != ""
	})
	if told && len(s.Gaps(StoredObjects)) == 0 {
		s.gaps = append(s.gaps, Gap{Need: StoredObjects, Reason: "etcd was not asked; " + how})
	}
}

// missingConfigs records as gaps the configuration files that a running API server was
// told to use and nobody read.
func (s *Snapshot) missingConfigs(how string) {
	servers := s.Components("kube-apiserver")
	for need, flag := range ConfigFlags {
		if len(servers) == 0 {
			if len(s.Gaps(need)) == 0 && len(s.Configs(need)) == 0 {
				s.gaps = append(s.gaps, Gap{Need: need, Reason: "whether --" + flag + " is set could not be read; " + how})
			}
			continue
		}
		s.looked[need] = true
		for _, c := range servers {
			config, told := s.ConfigOf(c, need)
			scope := c.Machine
			if scope == "" {
				scope = c.Name
			}
			if told && config == nil && !s.gapIn(need, scope) {
				s.gaps = append(s.gaps, Gap{Need: need, Scope: scope, Reason: c.Flags.Get(flag, "") + " was not read; " + how})
			}
		}
	}
}

func (s *Snapshot) gapIn(need Need, scope string) bool {
	for _, g := range s.Gaps(need) {
		if g.Scope == "" || g.Scope == scope {
			return true
		}
	}
	return false
}
