package packages

import (
	"strings"
	"testing"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

func TestEndOfLife(t *testing.T) {
	for _, c := range []struct{ id, version, name, want string }{
		{"debian", "12", "", "2028-06-30"},
		{"debian", "1", "", ""},
		{"debian", "", "", ""},
		{"alpine", "3.20.3", "", "2026-04-01"},
		{"alpine", "3.2.3", "", "2017-05-01"},
		{"alpine", "3.22.0_rc1", "", "2027-05-01"},
		{"alpine", "edge", "", ""},
		{"ubuntu", "22.04", "", "2027-06-01"},
		{"rhel", "8.10", "", "2029-05-31"},
		{"centos", "8", "CentOS Linux 8", "2021-12-31"},
		{"centos", "8", "CentOS Stream 8", "2024-05-31"},
		{"sles", "15.5", "", "2024-12-31"},
		{"sles", "15.99", "", ""},
		{"sles", "15", "", "2019-12-31"},
		{"amzn", "2018.03", "", "2023-12-31"},
		{"amzn", "2", "", "2026-06-30"},
		{"amzn", "2023", "", "2029-06-30"},
		{"wolfi", "20230201", "", ""},
		{"chainguard", "20230214", "", ""},
		{"arch", "", "", ""},
	} {
		day, ok := EndOfLife(image.OS{ID: c.id, Version: c.version, Name: c.name})
		got := ""
		if ok {
			got = day.Format(time.DateOnly)
		}
		if got != c.want {
			t.Errorf("%s %s %s: got %q, want %q", c.id, c.version, c.name, got, c.want)
		}
	}
}

// TestLivesAreDays: the table is whole pairs, each release once, each day a day.
func TestLivesAreDays(t *testing.T) {
	for id, table := range lives {
		words := strings.Fields(table)
		if len(words)%2 != 0 {
			t.Errorf("%s: %d words, want pairs", id, len(words))
			continue
		}
		seen := map[string]bool{}
		for i := 0; i < len(words); i += 2 {
			if _, err := time.Parse(time.DateOnly, words[i+1]); err != nil || seen[words[i]] {
				t.Errorf("%s %s: %q, want a day, and once", id, words[i], words[i+1])
			}
			seen[words[i]] = true
		}
	}
}
