package cli

import (
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync"
)

// A collector says when Go's garbage collector runs: not before the heap has filled its
// room, and from then on whenever garbage is some part of what is alive. By itself the
// collector looks through everything each time that it has doubled, which gives little
// back of what is read and stays. docs/performance.md says what that takes and gives.
type collector struct {
	mu sync.Mutex
	// room is a size of the heap in bytes, and percent how much garbage there may be
	// beyond it, as in GOGC.
	room    uint64
	percent int
	// alive is how much was so after the last collection.
	alive func() uint64
	set   func(percent int)
}

// usual is Go's own.
const usual = 100

// smallest is the least heap that Go's collector minds at 100 % (runtime/mgcpacer.go).
const smallest = 4 << 20

// roomy starts a collector that leaves the heap that many bytes, or half of a container's
// memory. Who sets GOGC decides instead.
func roomy(room uint64) *collector {
	c := &collector{room: room, percent: usual, alive: alive, set: func(percent int) { debug.SetGCPercent(percent) }}
	if limit, ok := containerLimit(os.ReadFile); ok {
		c.room = min(c.room, limit/2)
	}
	if os.Getenv("GOGC") != "" {
		c.set = func(int) {}
	}
	c.adjust()
	c.watch()
	return c
}

// tighten sets how much garbage there may be beyond the room.
func (c *collector) tighten(percent int) {
	c.mu.Lock()
	c.percent = percent
	c.mu.Unlock()
	c.adjust()
}

// watch adjusts after every collection: each finds something that nobody holds.
func (c *collector) watch() {
	runtime.AddCleanup(new([16]byte), func(c *collector) {
		c.adjust()
		c.watch()
	}, c)
}

// adjust sets the next collection to when the room is full.
func (c *collector) adjust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	alive := max(c.alive(), smallest)
	percent := c.percent
	if alive < c.room {
		percent = max(percent, int((c.room-alive)*100/alive))
	}
	c.set(percent)
}

func alive() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// containerLimit is how much memory the container has that this runs in, if it is one
// with a limit: that of the second version of control groups, or of the first.
func containerLimit(read func(string) ([]byte, error)) (uint64, bool) {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := read(file)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
		return limit, err == nil // "max" is none
	}
	return 0, false
}

// room is the heap that a scan may fill before garbage is looked for, in bytes. A cluster
// is read while its API server works, so what the collector does not take there is time
// saved; files are read as fast as they are parsed, with the memory that this takes.
func (o *scanOptions) room(paths []string) uint64 {
	if len(paths) > 0 {
		return 0
	}
	return 180 << 20
}

// tight is how much garbage there may be from when controls run: most is alive then, and
// becomes garbage itself while the report is written.
const tight = 40
