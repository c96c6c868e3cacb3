// Package render turns what makes manifests, Helm charts and kustomizations, into the
// manifests, through the libraries of those tools.
//
// Both run what strangers wrote: templates may loop and grow without end, and there is
// no way to stop them from within. So rendering happens in a process of its own, the
// program started again, with an end to its time, its memory and its output, with no
// environment, no network and no programs to call. It knows nothing of what the
// manifests mean.
package render

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"
)

// The limits of one rendering.
const (
	MaxTime   = 60 * time.Second
	MaxMemory = 768 << 20 // bytes of live objects in the process that renders
	MaxOutput = 64 << 20  // bytes of its answer
)

// A Request says what to render.
type Request struct {
	Chart     *Chart     `json:"chart,omitempty"`
	Kustomize *Kustomize `json:"kustomize,omitempty"`
}

// An Answer is what came of it.
type Answer struct {
	Files []File `json:"files,omitempty"`
	// Objects are what a kustomization builds.
	Objects []Object `json:"objects,omitempty"`
	// Faults are what is wrong with a part; the rest was rendered.
	Faults []Fault `json:"faults,omitempty"`
	// Nothing says why there was nothing to render, where that is no fault.
	Nothing string `json:"nothing,omitempty"`
}

// A Fault is one thing that could not be rendered. It is an error.
type Fault struct {
	File string `json:"file,omitempty"` // "" for the whole
	Line int    `json:"line,omitempty"`
	Why  string `json:"why"`
	// Elsewhere is set where all that is wrong is that something is not on this machine.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

func (f Fault) Error() string { return f.Why }

// A File is a rendered template.
type File struct {
	// Path is the template, which its author can edit.
	Path string `json:"path"`
	Text string `json:"text"`
	// Places are where in the template each line of Text comes from, as line and column.
	Places [][2]int `json:"places"`
}

// A Renderer starts the process that renders.
type Renderer struct {
	// Command is the program and the arguments that make it call Serve.
	Command []string
	// Time is how long one rendering may take; 0 means MaxTime.
	Time time.Duration
}

// Render renders in a process of its own.
func (r Renderer) Render(ctx context.Context, req Request) (*Answer, error) {
	in, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(r.Time, MaxTime)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Command[0], r.Command[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Env = []string{"GOMAXPROCS=2"} // nothing of ours: a chart must not see it
	var out, errs limited
	out.max, errs.max = MaxOutput, 1<<16
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("rendering it takes more than %d s", int(limit.Seconds()))
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case out.full:
		return nil, fmt.Errorf("it renders to more than %d MB", MaxOutput>>20)
	case err != nil:
		return nil, fmt.Errorf("rendering it ended early: %s", lastLine(errs.buf.String(), err))
	}
	a := new(Answer)
	if err := json.Unmarshal(out.buf.Bytes(), a); err != nil {
		return nil, fmt.Errorf("rendering it gave no answer: %w", err)
	}
	return a, nil
}

// lastLine is what the process said of itself; of a crash, its first line.
func lastLine(said string, err error) string {
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return err.Error()
}

// A limited buffer stops the writer when it is full.
type limited struct {
	buf  bytes.Buffer // not embedded: its ReadFrom would know no limit
	max  int
	full bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.buf.Len()+len(p) > l.max {
		l.full = true
		return 0, io.ErrShortWrite
	}
	return l.buf.Write(p)
}

// Serve is the other end: it reads a Request, renders, and writes the Answer. It must
// have the process to itself.
func Serve(in io.Reader, out io.Writer) error {
	log.SetOutput(io.Discard) // the libraries' remarks
	debug.SetMemoryLimit(MaxMemory)
	go watchMemory()
	// kustomize fetches over the default transport, and with git, which an empty PATH hides.
	http.DefaultTransport = refuse{}
	_ = os.Unsetenv("PATH")
	var req Request
	if err := json.NewDecoder(in).Decode(&req); err != nil {
		return err
	}
	var a *Answer
	switch {
	case req.Chart != nil:
		a = req.Chart.render()
	case req.Kustomize != nil:
		a = req.Kustomize.render()
	default:
		return errors.New("there is nothing to render")
	}
	return json.NewEncoder(out).Encode(a)
}

type refuse struct{}

func (refuse) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%s is not fetched", r.URL.Host)
}

// watchMemory ends the process when it grows too large: what a template asks for in
// one piece no soft limit stops.
func watchMemory() {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for range time.Tick(10 * time.Millisecond) {
		metrics.Read(sample)
		if sample[0].Value.Uint64() > MaxMemory {
			fmt.Fprintf(os.Stderr, "it takes more than %d MB of memory\n", MaxMemory>>20)
			os.Exit(1)
		}
	}
}
