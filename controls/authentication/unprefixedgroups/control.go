// Package unprefixedgroups finds issuers whose groups could be those of Kubernetes itself.
package unprefixedgroups

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

// Control is authentication.unprefixedgroups.
var Control = &control.Control{
	ID:       "authentication.unprefixedgroups",
	Title:    "Identity provider may name Kubernetes' own groups",
	Severity: control.High,
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
			g := jwt.ClaimMappings.Groups
			if g.Claim != "" && (g.Prefix == nil || *g.Prefix == "") && !guarded(jwt) {
				v.Broken(fmt.Sprintf("jwt[%d].claimMappings.groups.prefix", i), "empty", "a prefix such as oidc:").
					Because("the claim %s of %s names any group, system:masters too", g.Claim, jwt.Issuer.URL)
			}
		}
	}
	for _, c := range s.Components("kube-apiserver") {
		claim := c.Flags.Get("oidc-groups-claim", "")
		if claim == "" {
			continue
		}
		v := r.On(c.Ref, c.Source)
		if c.Flags.Get("oidc-groups-prefix", "") == "" {
			v.Broken("--oidc-groups-prefix", "not set", "a prefix such as oidc:").Because("the claim %s names any group, system:masters too", claim)
		}
	}
}

// guarded reports whether a rule looks at the prefix that Kubernetes keeps for itself.
func guarded(jwt cluster.JWTAuthenticator) bool {
	return slices.ContainsFunc(slices.Concat(jwt.UserValidationRules, jwt.ClaimValidationRules), func(rule cluster.ClaimRule) bool {
		return strings.Contains(rule.Expression, "system:") && strings.Contains(rule.Expression, "groups")
	})
}
