package flag

import (
	"maps"
	"testing"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func TestBool(t *testing.T) {
	for name, tt := range map[string]struct {
		args  []string
		value bool
		got   string
	}{
		"absent":     {nil, true, "not set, so true"},
		"bare":       {[]string{"--profiling"}, true, "true"},
		"a word":     {[]string{"--profiling=false"}, false, "false"},
		"a number":   {[]string{"--profiling=0"}, false, "false"},
		"the last":   {[]string{"--profiling=true", "--profiling=false"}, false, "false"},
		"no boolean": {[]string{"--profiling=maybe"}, true, "not set, so true"},
	} {
		t.Run(name, func(t *testing.T) {
			if value, got := Bool(cluster.ParseFlags(tt.args), "profiling", true); value != tt.value || got != tt.got {
				t.Errorf("Bool is %v, %q, want %v, %q", value, got, tt.value, tt.got)
			}
		})
	}
}

func TestText(t *testing.T) {
	flags := cluster.CompleteFlags(map[string]string{"empty": "", "list": "[]", "file": "/a"})
	for _, tt := range []struct{ name, otherwise, value, got string }{
		{"empty", "", "", "not set"},
		{"list", "", "", "not set"},
		{"absent", "x", "x", "not set, so x"},
		{"file", "x", "/a", "/a"},
	} {
		if value, got := Text(flags, tt.name, tt.otherwise); value != tt.value || got != tt.got {
			t.Errorf("Text of %s is %q, %q, want %q, %q", tt.name, value, got, tt.value, tt.got)
		}
	}
}

func TestNumber(t *testing.T) {
	for name, tt := range map[string]struct {
		args  []string
		value int
		got   string
	}{
		"absent":    {nil, 7, "not set, so 7"},
		"a number":  {[]string{"--n=3"}, 3, "3"},
		"by itself": {[]string{"--n", "-1"}, -1, "-1"},
		"the last":  {[]string{"--n=3", "--n=4"}, 4, "4"},
		"no number": {[]string{"--n=many"}, 7, "not set, so 7"},
	} {
		t.Run(name, func(t *testing.T) {
			if value, got := Number(cluster.ParseFlags(tt.args), "n", 7); value != tt.value || got != tt.got {
				t.Errorf("Number is %d, %q, want %d, %q", value, got, tt.value, tt.got)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	for name, tt := range map[string]struct {
		args  []string
		value time.Duration
		got   string
	}{
		"absent":        {nil, time.Minute, "not set, so 1m0s"},
		"a duration":    {[]string{"--d", "1h30m"}, 90 * time.Minute, "1h30m"},
		"nothing":       {[]string{"--d=0"}, 0, "0"},
		"not a length":  {[]string{"--d=soon"}, time.Minute, "not set, so 1m0s"},
		"the last wins": {[]string{"--d=1h", "--d=2h"}, 2 * time.Hour, "2h"},
	} {
		t.Run(name, func(t *testing.T) {
			if value, got := Duration(cluster.ParseFlags(tt.args), "d", time.Minute); value != tt.value || got != tt.got {
				t.Errorf("Duration is %s, %q, want %s, %q", value, got, tt.value, tt.got)
			}
		})
	}
}

func TestGates(t *testing.T) {
	got := Gates(cluster.ParseFlags([]string{"--feature-gates=A=true,kube:B=false", "--feature-gates", "C=true"}), "feature-gates")
	if want := map[string]string{"A": "true", "B": "false", "C": "true"}; !maps.Equal(got, want) {
		t.Errorf("Gates are %v, want %v", got, want)
	}
}
