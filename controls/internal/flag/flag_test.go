package flag

import (
	"testing"

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
