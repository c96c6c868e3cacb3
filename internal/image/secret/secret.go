// Package secret finds credentials that were left in an image: in files of any layer, in
// the configuration, in the steps that built it. Its rules are few and exact: the forms
// that issuers give their tokens, with the checksum where there is one, private keys that
// decode, and files whose place says what they hold. It says which rule, which file and
// which line; a value is never kept, returned or printed.
package secret

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// The limits of looking into a file.
const (
	// MaxSize is the largest file that is read. Larger ones are known by their names only.
	MaxSize = 5 << 20
	// maxFound is how many secrets of one file are told; the reader has understood by then.
	maxFound = 20
)

// version is raised when the rules find more, less or other things.
const version = 2

// Finder finds credentials in the files of a layer.
type Finder struct{}

var _ layer.Finder = Finder{}

// Name is part of the cache's key.
func (Finder) Name() string { return "secret" }

// Version is part of the cache's key.
func (Finder) Version() int { return version }

// Wants reports whether the file could hold a credential: it has a name that says so, or
// is a text of bearable size where people, and not packages, put files.
func (Finder) Wants(f *layer.File) bool {
	if f.Size == 0 || shipped(f.Path) {
		return false
	}
	if named(f.Path) != nil || storeOf(f.Path) {
		return true
	}
	return f.Size <= MaxSize && f.Size >= minSize && !dull(f.Path) && isText(f.Head)
}

// minSize is the shortest text with a credential that the rules could tell: an
// assignment of a password.
const minSize = 16

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Read looks for credentials in the file.
func (Finder) Read(ctx context.Context, f *layer.File) (*layer.Found, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if storeOf(f.Path) {
		return &layer.Found{Secrets: []image.Secret{{Rule: keystore.id, About: keystore.about, Path: f.Path}}}, nil
	}
	if f.Size > MaxSize {
		return nil, errors.New("it is named as what holds credentials and too large to be read")
	}
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	if _, err := b.ReadFrom(io.NewSectionReader(f.Content, 0, f.Size)); err != nil {
		return nil, err
	}
	found := InFile(f.Path, b.Bytes())
	if len(found) == 0 {
		return nil, nil
	}
	return &layer.Found{Secrets: found}, nil
}

// InFile returns the credentials in a file's text, ordered by line. Path is as in
// layer.File and decides which rules apply.
func InFile(name string, text []byte) []image.Secret {
	var hits []hit
	if r := named(name); r != nil {
		for at := range r.find(text) {
			hits = append(hits, hit{at, at + 1, r})
		}
	}
	trial := inTrials(name)
	for h := range search(text) {
		if !h.rule.generic || !trial {
			hits = append(hits, h)
		}
	}
	return told(name, text, hits)
}

// told makes secrets of hits. Of those that overlap or stand in one line the first rule
// of the table counts.
func told(name string, text []byte, hits []hit) []image.Secret {
	slices.SortStableFunc(hits, func(a, b hit) int { return a.from - b.from })
	var out []image.Secret
	line, counted := 1, 0
	last := map[int]int{} // where the secret of a line is in out
	for _, h := range hits {
		line += bytes.Count(text[counted:h.from], []byte{'\n'})
		counted = h.from
		s := image.Secret{Rule: h.rule.id, About: h.rule.about, Path: name, Line: line}
		if h.rule.id == "private-key" && generatedKey(name) {
			s.About = "a private key that was made while the image was built: all containers of it have the same"
		}
		if i, ok := last[line]; ok {
			if h.rule.order < ruleByID[out[i].Rule].order {
				out[i] = s
			}
			continue
		}
		if len(out) == maxFound {
			break
		}
		last[line] = len(out)
		out = append(out, s)
	}
	return out
}

// isText reports whether the beginning of a file is that of a text.
func isText(head []byte) bool { return bytes.IndexByte(head, 0) < 0 }

// generatedKey reports whether a path is that of a key that a package makes when it is
// installed.
func generatedKey(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, "ssh_host_") && strings.HasSuffix(base, "_key") || base == "ssl-cert-snakeoil.key"
}
