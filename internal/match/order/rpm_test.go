//go:build system

package order

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// TestRPM holds our order to RPM's own, of parts (rpm.vercmp) and of whole versions
// (rpm.ver): `make image-oracle` installs rpm.
func TestRPM(t *testing.T) {
	g := newGenerator(1)
	var pairs [][2]string
	var script strings.Builder
	for range 5000 {
		a := g.rpm()
		b := g.near(a, g.rpm)
		if strings.Count(a, "-") != 1 || strings.Count(b, "-") != 1 {
			continue // RPM refuses these
		}
		pairs = append(pairs, [2]string{a, b})
		// Without an epoch, rpm.ver is before any epoch; in a package it is epoch 0.
		fmt.Fprintf(&script, "do local a, b = rpm.ver(%q), rpm.ver(%q) print((a < b and -1 or (a == b and 0 or 1)) .. string.char(10)) end\n", withEpoch(a), withEpoch(b))
	}
	file := filepath.Join(t.TempDir(), "pairs.lua")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "rpm", "--eval", "%{lua: dofile('"+file+"')}").Output()
	if err != nil {
		t.Fatal(err)
	}
	compareWith(t, image.RPM, pairs, out)

	script.Reset()
	var parts [][2]string
	for _, p := range pairs {
		_, a, _ := SplitRPM(p[0])
		_, b, _ := SplitRPM(p[1])
		parts = append(parts, [2]string{a, b})
		fmt.Fprintf(&script, "print(rpm.vercmp(%q, %q) .. string.char(10))\n", a, b)
	}
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err = exec.CommandContext(t.Context(), "rpm", "--eval", "%{lua: dofile('"+file+"')}").Output(); err != nil {
		t.Fatal(err)
	}
	compareWith(t, image.RPM, parts, out)
}

func withEpoch(v string) string {
	if e, _, ok := strings.Cut(v, ":"); ok && strings.Trim(e, "0123456789") == "" {
		return v
	}
	return "0:" + v
}
