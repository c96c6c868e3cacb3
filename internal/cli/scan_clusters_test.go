package cli

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// TestReadersTidyUp: nobody who reads is left behind, neither when the work is interrupted
// nor when the first error ends it, and everybody's turn comes.
func TestReadersTidyUp(t *testing.T) {
	for _, enough := range []int{1, 10} {
		ctx, cancel := context.WithCancel(t.Context())
		var begun, ended atomic.Int32
		var subjects []subject
		for range 10 {
			subjects = append(subjects, subject{"c", func(ctx context.Context, _ *progress) (*cluster.Snapshot, error) {
				begun.Add(1)
				<-ctx.Done()
				time.Sleep(20 * time.Millisecond) // tidying up
				ended.Add(1)
				return nil, ctx.Err()
			}})
		}
		time.AfterFunc(20*time.Millisecond, cancel)
		seen := 0
		for _, read := range readAhead(ctx, subjects, nil) {
			if seen++; read.err == nil {
				t.Error("what was interrupted has no error")
			}
			if seen == enough {
				break
			}
		}
		if seen != enough || begun.Load() != ended.Load() || begun.Load() == 0 {
			t.Errorf("%d handed over, want %d; %d readers began and %d ended", seen, enough, begun.Load(), ended.Load())
		}
	}
}
