package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// FuzzBatchLine: the quick way reads what encoding/json reads, and as it does.
func FuzzBatchLine(f *testing.F) {
	for _, line := range []string{
		`{"user":"ann","verb":"get","resource":"pods"}`, `{"user":"ann","groups":["a","b"],"verb":"get","url":"/x"}`,
		`{ "user" : "ann" , "groups" : [ "a" , "b" ] }`, `{"groups":[]}`, `{"groups":["a",]}`, `{"user":"a","user":"b"}`,
		`{"user":"\u0061"}`, `{}`, `{"user":"ann"}x`, `{"user":null}`, `{"groups":["a" "b"]}`, "{\"user\":\"\x00\"}", `{"groups":[,]}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var quick, slow batchLine
		if !quick.quick(line) {
			t.Skip()
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&slow); err != nil {
			t.Fatalf("%q was read, and is no question: %v", line, err)
		}
		if len(slow.Groups) == 0 {
			slow.Groups = nil
		}
		if diff := cmp.Diff(slow, quick); diff != "" {
			t.Error(diff)
		}
	})
}

// TestChunks: every line comes once, in order, with its number, however the stream is cut;
// of one that is too long the beginning.
func TestChunks(t *testing.T) {
	var text strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&text, "%d %s\n", i+1, strings.Repeat("x", i%97))
	}
	long := strings.Repeat("y", 3*maxQuestion)
	for name, tt := range map[string]struct {
		in    io.Reader
		lines int
	}{
		"as it comes":             {strings.NewReader(text.String()), 20000},
		"in pieces":               {iotest.HalfReader(strings.NewReader(text.String())), 20000},
		"without an end":          {strings.NewReader(text.String() + "20001 end"), 20001},
		"one too long":            {strings.NewReader("1 a\n" + long + "\n" + "3 b\n"), 3},
		"one too long at the end": {strings.NewReader("1 a\n" + long), 2},
		"nothing":                 {strings.NewReader(""), 0},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			err := chunks(tt.in, func(c *chunk) bool {
				if c.first != n+1 {
					t.Fatalf("a chunk begins with line %d, want %d", c.first, n+1)
				}
				for line := range bytes.Lines(c.lines) {
					n++
					if !bytes.HasPrefix(line, fmt.Appendf(nil, "%d ", n)) && (line[0] != 'y' || len(line) <= maxQuestion) {
						t.Fatalf("line %d is %.20q", n, line)
					}
				}
				return true
			})
			if err != nil || n != tt.lines {
				t.Errorf("%d lines, %v; want %d", n, err, tt.lines)
			}
		})
	}
}
