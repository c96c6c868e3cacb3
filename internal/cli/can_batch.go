package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/authz"
)

// maxQuestion bounds a line of --batch, in bytes. A user may be in some thousand groups.
const maxQuestion = 1 << 20

// A batchLine is one question of --batch.
type batchLine struct {
	User        string   `json:"user"`
	Groups      []string `json:"groups"`
	Verb        string   `json:"verb"`
	Group       string   `json:"group"`
	Resource    string   `json:"resource"`
	Subresource string   `json:"subresource"`
	Name        string   `json:"name"`
	Namespace   string   `json:"namespace"`
	URL         string   `json:"url"`
}

// attributes are the request, or why it is none.
func (q *batchLine) attributes() (authz.Attributes, error) {
	var a authz.Attributes
	resource, sub, slashed := strings.Cut(q.Resource, "/")
	switch {
	case q.Verb == "":
		return a, errors.New("verb is empty")
	case q.URL == "" && resource == "":
		return a, errors.New("resource and url are empty")
	case q.URL != "" && (q.Group != "" || q.Resource != "" || q.Subresource != "" || q.Name != "" || q.Namespace != ""):
		return a, errors.New("a url has no group, resource, subresource, name or namespace")
	case slashed && (q.Subresource != "" || sub == ""):
		return a, fmt.Errorf("resource %.100q and subresource %.100q: which one?", q.Resource, q.Subresource)
	}
	if q.URL != "" {
		a = authz.URL(q.Verb, q.URL)
	} else {
		a = authz.Request(q.Verb, q.Group, resource, q.Namespace, q.Name)
		a.Namespace = q.Namespace // as it is given, also of a Namespace itself
		if a.Subresource = sub; q.Subresource != "" {
			a.Subresource = q.Subresource
		}
	}
	a.User = identity(q.User, q.Groups)
	return a, nil
}

// A chunk is some lines of questions on their way to answers.
type chunk struct {
	lines   []byte
	first   int // the number of the first line
	answers []byte
	bad     []error
	unknown int
	done    chan struct{}
}

// runBatch reads, answers and writes at once, in the order of the lines.
func (o *canOptions) runBatch(ctx context.Context) error {
	in := o.streams.In
	if o.batch != "-" {
		f, err := os.Open(o.batch)
		if err != nil {
			return fmt.Errorf("--batch %s: %w", o.batch, cause(err))
		}
		defer f.Close()
		in = f
	}
	s, err := o.read(ctx, o.files)
	if err != nil {
		return err
	}
	engine, err := o.engine(s)
	if err != nil {
		return err
	}
	for _, note := range engine.Notes() {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: %s\n", clean(note))
	}
	workers := runtime.GOMAXPROCS(0)
	todo, order := make(chan *chunk), make(chan *chunk, 2*workers)
	stop := make(chan struct{})
	defer close(stop)
	for range workers {
		go func() {
			reasons := reasons{}
			for c := range todo {
				c.answer(engine, reasons)
				close(c.done)
			}
		}()
	}
	var readErr error
	go func() {
		defer close(order)
		defer close(todo)
		readErr = chunks(in, func(c *chunk) bool {
			select {
			case order <- c:
			case <-stop:
				return false
			case <-ctx.Done():
				return false
			}
			todo <- c
			return true
		})
	}()
	w := bufio.NewWriterSize(o.streams.Out, 1<<16)
	unknown, bad := 0, 0
	for c := range order {
		<-c.done
		if _, err := w.Write(c.answers); err != nil {
			return fmt.Errorf("writing to standard output: %w", cause(err))
		}
		unknown += c.unknown
		for _, err := range c.bad {
			if bad++; bad <= 10 {
				fmt.Fprintf(o.streams.ErrOut, "bulwark: error: %s\n", clean(err.Error()))
			}
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing to standard output: %w", cause(err))
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case readErr != nil:
		return fmt.Errorf("--batch %s: %w", o.batch, cause(readErr))
	}
	if bad > 10 {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: error: and %d more lines\n", bad-10)
	}
	if unknown > 0 {
		return &exitError{code: exitIncomplete}
	}
	return nil
}

// chunks cuts a stream into lines, many at a time, until f has enough.
func chunks(in io.Reader, f func(*chunk) bool) error {
	const size = 1 << 18
	line := 1
	var rest []byte
	for {
		buf := make([]byte, len(rest)+size)
		copy(buf, rest)
		n, err := io.ReadFull(in, buf[len(rest):])
		buf = buf[:len(rest)+n]
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		cut := len(buf)
		if !end {
			cut = bytes.LastIndexByte(buf, '\n') + 1
			if cut == 0 && len(buf) <= maxQuestion {
				rest = buf
				continue
			}
			if cut == 0 { // what is too long is answered as such, once
				cut = len(buf)
			}
		}
		c := &chunk{lines: buf[:cut], first: line, done: make(chan struct{})}
		rest = buf[cut:]
		line += bytes.Count(c.lines, []byte{'\n'})
		if len(c.lines) > 0 && !f(c) || end {
			return nil
		}
		if len(c.lines) > 0 && c.lines[len(c.lines)-1] != '\n' {
			if rest, err = skipLine(in); err != nil {
				return err
			}
			line++
		}
	}
}

// skipLine reads to the end of a line that is too long and returns what came after it.
func skipLine(in io.Reader) ([]byte, error) {
	buf := make([]byte, 1<<16)
	for {
		n, err := in.Read(buf)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return buf[i+1 : n], nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
}

// reasons are answers that were written before. There are as many as grants, mostly.
type reasons map[authz.Answer][]byte

const maxReasons = 1 << 16

func (r reasons) of(a authz.Answer) []byte {
	text, ok := r[a]
	if !ok {
		text = answerLine(a.Decision, a.Reason())
		if len(r) < maxReasons {
			r[a] = text
		}
	}
	return text
}

func answerLine(d authz.Decision, reason string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	// Two strings can be encoded.
	_ = e.Encode(struct {
		Decision string `json:"decision"`
		Reason   string `json:"reason"`
	}{d.String(), reason})
	return b.Bytes()
}

func (c *chunk) answer(engine *authz.Engine, known reasons) {
	c.answers = make([]byte, 0, len(c.lines))
	n := c.first
	for line := range bytes.Lines(c.lines) {
		var q batchLine
		err := q.parse(line)
		var a authz.Attributes
		if err == nil {
			a, err = q.attributes()
		}
		if err != nil {
			err = fmt.Errorf("line %d: %w", n, err)
			c.bad = append(c.bad, err)
			c.unknown++
			c.answers = append(c.answers, answerLine(authz.Unknown, err.Error())...)
		} else {
			result := engine.Authorize(&a)
			if result.Decision == authz.Unknown {
				c.unknown++
			}
			c.answers = append(c.answers, known.of(result)...)
		}
		n++
	}
}

// parse reads a line: the usual form by itself, any other as JSON. A key that no question
// has is refused, since an answer without it would be another one's.
func (q *batchLine) parse(line []byte) error {
	line = bytes.TrimSpace(line)
	switch {
	case len(line) > maxQuestion:
		return fmt.Errorf("it has more than %d MB", maxQuestion>>20)
	case len(line) == 0:
		return errors.New("it is empty")
	}
	if q.quick(line) {
		return nil
	}
	*q = batchLine{}
	d := json.NewDecoder(bytes.NewReader(line))
	// Fields that are not ours are left alone: a line may carry its own number.
	if err := d.Decode(q); err != nil {
		return fmt.Errorf("it is no question: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("it is no question: there is more behind it")
	}
	return nil
}

// quick reads an object of plain strings and one list of them, without escapes, each key
// once. It reports false for anything else.
func (q *batchLine) quick(line []byte) bool {
	s := string(line) // the fields are parts of it
	seen := 0
	word := func() (string, bool) {
		if s == "" || s[0] != '"' {
			return "", false
		}
		end := strings.IndexByte(s[1:], '"') + 1
		if end < 1 {
			return "", false
		}
		w := s[1:end]
		s = s[end+1:]
		for i := range len(w) {
			if w[i] < ' ' || w[i] == '\\' || w[i] >= 0x7f {
				return "", false
			}
		}
		return w, true
	}
	eat := func(c byte) bool {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] != c {
			return false
		}
		s = strings.TrimLeft(s[1:], " \t")
		return true
	}
	if !eat('{') {
		return false
	}
	for {
		key, ok := word()
		if !ok || !eat(':') {
			return false
		}
		field, bit := q.field(key)
		if seen&bit != 0 {
			return false
		}
		seen |= bit
		switch {
		case field != nil:
			if *field, ok = word(); !ok {
				return false
			}
		case key == "groups":
			if !eat('[') {
				return false
			}
			for more := !eat(']'); more; more = !eat(']') {
				g, ok := word()
				if !ok {
					return false
				}
				if q.Groups = append(q.Groups, g); !eat(',') {
					if !eat(']') {
						return false
					}
					break
				} else if s != "" && s[0] == ']' {
					return false
				}
			}
		default:
			return false
		}
		if eat('}') {
			return s == ""
		}
		if !eat(',') {
			return false
		}
	}
}

// field is where a key's value goes, and a bit for it; nil for groups and what is no key.
func (q *batchLine) field(key string) (*string, int) {
	switch key {
	case "user":
		return &q.User, 1
	case "verb":
		return &q.Verb, 2
	case "group":
		return &q.Group, 4
	case "resource":
		return &q.Resource, 8
	case "subresource":
		return &q.Subresource, 16
	case "name":
		return &q.Name, 32
	case "namespace":
		return &q.Namespace, 64
	case "url":
		return &q.URL, 128
	case "groups":
		return nil, 256
	}
	return nil, 0
}
