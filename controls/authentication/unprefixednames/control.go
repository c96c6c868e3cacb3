// Package unprefixednames finds issuers whose users could be those of Kubernetes itself.
package unprefixednames

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

//go:embed doc.md
var doc string

// Control is authentication.unprefixednames.
var Control = &control.Control{
	ID:       "authentication.unprefixednames",
	Title:    "Identity provider may name Kubernetes' own users",
	Severity: control.Medium,
	Since:    "0.1.0",
	Over:     []cluster.Need{cluster.AuthenticationFile, cluster.APIServerFlags},
	Check:    check,
	Refs:     []control.Ref{control.NSA("Authentication and authorization"), control.MITRE("T1078")},
	Doc:      doc,
}

func check(s *cluster.Snapshot, r *control.Report) {
	for _, c := range s.Configs(cluster.AuthenticationFile) {
		v := r.On(c.Ref, c.Source)
		for i, jwt := range c.Authentication.JWT {
			u := jwt.ClaimMappings.Username
			// An address has an @, which no name of Kubernetes itself has.
			if u.Claim != "" && u.Claim != "email" && (u.Prefix == nil || *u.Prefix == "") && !guarded(jwt) {
				v.Broken(fmt.Sprintf("jwt[%d].claimMappings.username.prefix", i), "empty", "a prefix such as oidc:").
					Because("the claim %s of %s names any user, a node or a service account too", u.Claim, jwt.Issuer.URL)
			}
		}
	}
	for _, c := range s.Components("kube-apiserver") {
		if c.Flags.Get("oidc-issuer-url", "") == "" {
			continue
		}
		v := r.On(c.Ref, c.Source)
		// Without the flag the issuer's address is the prefix; "-" takes it away.
		if c.Flags.Get("oidc-username-prefix", "") == "-" && c.Flags.Get("oidc-username-claim", "sub") != "email" {
			v.Broken("--oidc-username-prefix", "-", "a prefix such as oidc:")
		}
	}
}

// guarded reports whether a rule looks at the prefix that Kubernetes keeps for itself.
func guarded(jwt cluster.JWTAuthenticator) bool {
	return slices.ContainsFunc(slices.Concat(jwt.UserValidationRules, jwt.ClaimValidationRules), func(rule cluster.ClaimRule) bool {
		return strings.Contains(rule.Expression, "system:")
	})
}
