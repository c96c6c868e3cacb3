// Package flag reads command line flags the way components do, and words what was
// found for a finding. It knows no component and no flag by name.
package flag

import (
	"strconv"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
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
