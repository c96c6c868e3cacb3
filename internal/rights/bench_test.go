package rights

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/auditlog"
)

// BenchmarkUsed reads and collects a log; its bytes a second are the log's.
func BenchmarkUsed(b *testing.B) {
	text := randomLog(rand.New(rand.NewPCG(1, 2)), 20000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		u, err := NewUsed(UsedOptions{MaxNames: 20, Given: Authenticated()})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := auditlog.Read(strings.NewReader(text), u.Take); err != nil {
			b.Fatal(err)
		}
	}
}
