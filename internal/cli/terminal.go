package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// terminal returns the width of the terminal behind w, if it is one.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 40 {
		width = 80
	}
	return width, true
}

// A progress is one line on stderr that says what is being done. It appears after a
// second, only on a terminal, and leaves nothing behind.
type progress struct {
	out   io.Writer
	width int

	mu    sync.Mutex
	text  string
	shown bool
	quiet bool
	stop  chan struct{}
	done  sync.WaitGroup
}

// startProgress returns a progress that shows nothing where out is no terminal.
func startProgress(out io.Writer) *progress {
	p := &progress{out: out, stop: make(chan struct{})}
	width, ok := terminal(out)
	if !ok {
		return p
	}
	p.width = width
	began := time.Now()
	p.done.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
		for n := 0; ; n++ {
			select {
			case <-p.stop:
				return
			case <-tick.C:
			}
			if n < 10 {
				continue
			}
			p.mu.Lock()
			if p.quiet {
				p.mu.Unlock()
				continue
			}
			line := fmt.Sprintf("%c %s %.0fs", frames[n%len(frames)], p.text, time.Since(began).Seconds())
			if r := []rune(line); len(r) > p.width-1 {
				line = string(r[:p.width-1])
			}
			fmt.Fprintf(p.out, "\r\x1b[K%s", line)
			p.shown = true
			p.mu.Unlock()
		}
	})
	return p
}

// say replaces the text.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = strings.ToValidUTF8(fmt.Sprintf(format, args...), "?")
}

// print writes what is to stay, above the line.
func (p *progress) print(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, format, args...)
}

// pause takes the line away while somebody is asked something.
func (p *progress) pause() (resume func()) {
	set := func(quiet bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.quiet = quiet; quiet && p.shown {
			fmt.Fprint(p.out, "\r\x1b[K")
		}
	}
	set(true)
	return func() { set(false) }
}

// end takes the line away. It may be called more than once.
func (p *progress) end() {
	select {
	case <-p.stop:
		return
	default:
	}
	close(p.stop)
	p.done.Wait()
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
