// Package flag reads command line flags the way components do, and words what was
// found for a finding. It knows no component and no flag by name.
package flag

import (
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// Bool returns a boolean flag's value and how to tell it: "false", or "not set, so
// true". A value that is no boolean would keep the component from starting, so it
// counts as not set.
func Bool(f cluster.Flags, name string, otherwise bool) (value bool, got string) {
	text, given := f.Lookup(name)
	if v, err := strconv.ParseBool(text); given && err == nil {
		return v, strconv.FormatBool(v)
	}
	return otherwise, "not set, so " + strconv.FormatBool(otherwise)
}

// Text returns a string flag's value and how to tell it. A component's own account of
// its flags (/flagz) lists one that was never given as empty, or as an empty list,
// which is the same as absent.
func Text(f cluster.Flags, name, otherwise string) (value, got string) {
	if v := f.Get(name, ""); v != "" && v != "[]" {
		return v, v
	}
	if otherwise == "" {
		return "", "not set"
	}
	return otherwise, "not set, so " + otherwise
}

// Number returns a whole number's flag and how to tell it. A value that is no number
// would keep the component from starting, so it counts as not set.
func Number(f cluster.Flags, name string, otherwise int) (value int, got string) {
	text, given := f.Lookup(name)
	if v, err := strconv.Atoi(text); given && err == nil {
		return v, text
	}
	return otherwise, "not set, so " + strconv.Itoa(otherwise)
}

// Duration returns a flag such as 1h30m and how to tell it, as Number does.
func Duration(f cluster.Flags, name string, otherwise time.Duration) (value time.Duration, got string) {
	text, given := f.Lookup(name)
	if v, err := time.ParseDuration(text); given && err == nil {
		return v, text
	}
	return otherwise, "not set, so " + otherwise.String()
}

// Gates returns the pairs of a flag such as --feature-gates=A=true,B=false. Since
// v1.35 a gate may name its component first, kube:A=true; the name is left out.
func Gates(f cluster.Flags, name string) map[string]string {
	pairs := map[string]string{}
	for _, item := range f.List(name) {
		key, value, _ := strings.Cut(item, "=")
		if _, gate, ok := strings.Cut(key, ":"); ok {
			key = gate
		}
		pairs[key] = value
	}
	return pairs
}

// WeakTLS says on a verdict what a component was told to agree to that is not safe
// any more. Kubernetes' own minimum is TLS 1.2, and Go chooses safe suites where none
// are named (k8s.io/component-base/cli/flag/ciphersuites_flag.go). The suites of TLS
// 1.3 cannot be chosen, so with it as the minimum their list says nothing.
func WeakTLS(v *control.Verdict, minimum, version, suitesPath string, suites []string) {
	switch version {
	case "VersionTLS10", "VersionTLS11", "TLS1.0", "TLS1.1":
		v.Broken(minimum, version, "TLS 1.2 or later")
	case "VersionTLS13", "TLS1.3":
		return
	}
	var weak []string
	for _, s := range suites {
		if insecure[s] {
			weak = append(weak, s)
		}
	}
	if len(weak) > 0 {
		v.Broken(suitesPath, strings.Join(weak, ", "), "only suites with forward secrecy and authenticated encryption")
	}
}

// insecure are the suites that Go itself lists as such.
var insecure = func() map[string]bool {
	names := map[string]bool{}
	for _, s := range tls.InsecureCipherSuites() {
		names[s.Name] = true
	}
	return names
}()

// OpenPaths says on a verdict which paths a component serves to everybody beside those
// of its health (k8s.io/apiserver/pkg/server/options/authorization.go).
func OpenPaths(v *control.Verdict, f cluster.Flags) {
	for _, p := range f.List("authorization-always-allow-paths") {
		switch strings.TrimSuffix(p, "/*") {
		case "/healthz", "/readyz", "/livez":
		default:
			v.Broken("--authorization-always-allow-paths", p, "paths of health only")
		}
	}
}
