package cli

import (
	"errors"
	"io/fs"
	"testing"
)

func TestTheCollectorWaitsUntilTheRoomIsFull(t *testing.T) {
	const mb = 1 << 20
	for _, tt := range []struct {
		name        string
		room, alive uint64
		percent     int
		want        int
	}{
		{"nothing is alive yet", 200 * mb, 0, usual, 4900},
		{"half of the room", 200 * mb, 100 * mb, tight, 100},
		{"little is left of the room", 200 * mb, 180 * mb, tight, tight},
		{"beyond it", 200 * mb, 900 * mb, usual, usual},
		{"no room", 0, 10 * mb, tight, tight},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := 0
			c := &collector{room: tt.room, percent: usual, alive: func() uint64 { return tt.alive }, set: func(percent int) { got = percent }}
			if c.tighten(tt.percent); got != tt.want {
				t.Errorf("with %d MB of %d alive the collector lets %d %% of garbage lie, want %d", tt.alive/mb, tt.room/mb, got, tt.want)
			}
		})
	}
}

func TestContainerLimit(t *testing.T) {
	const v2, v1 = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	for name, tt := range map[string]struct {
		files map[string]string
		want  uint64
		ok    bool
	}{
		"no container":   {nil, 0, false},
		"a limit":        {map[string]string{v2: "268435456\n"}, 256 << 20, true},
		"no limit":       {map[string]string{v2: "max\n"}, 0, false},
		"the first kind": {map[string]string{v1: "134217728\n"}, 128 << 20, true},
		"something else": {map[string]string{v2: "much"}, 0, false},
		"another file":   {map[string]string{"/sys/fs/cgroup/cpu.max": "1"}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := containerLimit(func(file string) ([]byte, error) {
				text, there := tt.files[file]
				if !there {
					return nil, &fs.PathError{Op: "open", Path: file, Err: errors.ErrUnsupported}
				}
				return []byte(text), nil
			})
			if got != tt.want || ok != tt.ok {
				t.Errorf("containerLimit is %d, %v, want %d, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}
