package signature

import "strings"

// signType is the predicate of what is a signature and attests nothing (cosign v3,
// pkg/types/predicate.go).
const signType = "https://sigstore.dev/cosign/sign/v1"

// The short names of predicates are cosign's (cosign v2, cmd/cosign/cli/options/predicate.go).
var predicates = map[string]string{
	"slsaprovenance":   "https://slsa.dev/provenance/v0.2",
	"slsaprovenance02": "https://slsa.dev/provenance/v0.2",
	"slsaprovenance1":  "https://slsa.dev/provenance/v1",
	"spdx":             "https://spdx.dev/Document",
	"spdxjson":         "https://spdx.dev/Document",
	"cyclonedx":        "https://cyclonedx.org/bom",
	"openvex":          "https://openvex.dev/ns",
	"vuln":             "https://cosign.sigstore.dev/attestation/vuln/v1",
	"link":             "https://in-toto.io/Link/v1",
	"custom":           "https://cosign.sigstore.dev/attestation/v1",
}

// versioned are predicates whose URI may go on with a version: https://spdx.dev/Document/v2.3.
var versioned = []string{"https://spdx.dev/Document", "https://cyclonedx.org/bom", "https://openvex.dev/ns"}

// typeMatches reports whether a predicate is of the type that is asked for, by URI or
// short name.
func typeMatches(want, predicate string) bool {
	if uri, ok := predicates[want]; ok {
		want = uri
	}
	if predicate == want {
		return true
	}
	for _, v := range versioned {
		if version, ok := strings.CutPrefix(predicate, v+"/v"); ok && want == v {
			return version != "" && strings.Trim(version, "0123456789.") == ""
		}
	}
	return false
}

// isProvenance reports whether a predicate says how an image was built.
func isProvenance(predicate string) bool {
	return strings.HasPrefix(predicate, "https://slsa.dev/provenance/")
}

// ShortType is the short name of a predicate, or its URI if it has none.
func ShortType(predicate string) string {
	for _, name := range []string{"slsaprovenance1", "slsaprovenance", "spdx", "cyclonedx", "openvex", "vuln", "link", "custom"} {
		if typeMatches(name, predicate) {
			return name
		}
	}
	return predicate
}
