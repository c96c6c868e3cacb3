package controls

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
	"github.com/bulwark-k8s/bulwark/internal/snapshot"
)

// carried holds a snapshot's file to its promise: scanned, it gives what the snapshot
// itself gave, and written again it is the same bytes.
func carried(t *testing.T, s *cluster.Snapshot, c *control.Control, want *scan.Result) {
	t.Helper()
	file := packed(t, s)
	got, _, err := snapshot.Read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("reading the snapshot's file: %v", err)
	}
	if !bytes.Equal(file, packed(t, got)) {
		t.Error("the snapshot's file differs when it is written again")
	}
	if diff := cmp.Diff(told(t, want), told(t, scan.Run(got, []*control.Control{c}))); diff != "" {
		t.Errorf("scanned from a file the snapshot gives something else (-want +got):\n%s", diff)
	}
}

func packed(t *testing.T, s *cluster.Snapshot) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := snapshot.Write(&b, s, snapshot.Options{Bulwark: "test", Taken: time.Unix(0, 0), Pod: RedactPod, Args: RedactArgs, Settings: RedactSettings}); err != nil {
		t.Fatalf("writing the snapshot's file: %v", err)
	}
	return b.Bytes()
}

// told is all that a report would say of a result.
func told(t *testing.T, r *scan.Result) string {
	t.Helper()
	res := *r.Controls[0]
	res.Control = nil
	out, err := json.MarshalIndent([]any{r.Target, r.ClusterVersion, r.Live, r.Objects, r.Gaps, res}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
