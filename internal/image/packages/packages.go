// Package packages says what is installed in an image, by the files that package
// managers, builders and linkers leave in it: databases, manifests, archives, binaries.
// Each kind of file has a finder. A finder sees one file of one layer and nothing else:
// what a later layer hides is not its business, nor is what is wrong with a package.
//
// Everything read here is a stranger's: finders bound what they keep by what a real
// image can hold, and say in a gap what they left out.
package packages

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// Finders are those for every kind of package and for what is said of the system itself.
func Finders() []layer.Finder {
	return slices.Concat(OS(), languages)
}

// OS are the finders of what a distribution installed, of what it says of itself, and of
// what an image does not need to run.
func OS() []layer.Finder { return []layer.Finder{osRelease, dpkg, chisel, apk, rpm, minimal} }

// languages are the finders of what is installed by others than the distribution.
var languages = []layer.Finder{
	binaries, npm, pypi, gem, maven, nuget, composer, runtimes,
}

// A finder is a layer.Finder whose parts are functions.
type finder struct {
	name    string
	version int
	wants   func(*layer.File) bool
	read    func(context.Context, *layer.File) (*layer.Found, error)
}

func (f finder) Name() string                { return f.name }
func (f finder) Version() int                { return f.version }
func (f finder) Wants(file *layer.File) bool { return f.wants(file) }

func (f finder) Read(ctx context.Context, file *layer.File) (*layer.Found, error) {
	return f.read(ctx, file)
}

// whole reads a file that is kept in memory, if it is no longer than limit.
func whole(f *layer.File, limit int64) ([]byte, error) {
	if f.Size > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that are read", f.Path, f.Size, limit)
	}
	b := make([]byte, f.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f.Content, 0, f.Size), b); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return b, nil
}

// text makes foreign bytes fit to be written as JSON, XML and on a terminal: what is not
// UTF-8 and what is not printed is replaced.
func text(s string) string {
	s = strings.TrimSpace(s)
	if strings.IndexFunc(s, unprinted) < 0 {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.Map(func(r rune) rune {
		if unprinted(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func unprinted(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }

// Bounds of what one database may say.
const (
	// maxPackages is ten times what the largest desktops have installed.
	maxPackages = 100_000
	// maxOwned is the memory of paths that are kept; a system with half a million files
	// takes some 45 MB.
	maxOwned = 64 << 20
	// pathCost is what a path takes besides its bytes.
	pathCost = 32
	// maxPath is Linux's PATH_MAX.
	maxPath = 4096
)

// Owners collects whose files are whose, within bounds.
type owners struct {
	files map[string][]string
	bytes int
}

// add notes that an owner has a file, named from the root with or without the slash. A
// path is kept as the database has it: where /lib leads into /usr, "/lib/…" is what a
// layer holds as "usr/lib/…", and Merge follows it there.
func (o *owners) add(owner, path string) {
	path = strings.Trim(strings.TrimPrefix(path, "./"), "/")
	if path == "" || path == "." || len(path) > maxPath || o.full() {
		return
	}
	if o.files == nil {
		o.files = map[string][]string{}
	}
	o.bytes += len(path) + pathCost
	o.files[owner] = append(o.files[owner], path)
}

// full is set where no more is kept.
func (o *owners) full() bool { return o.bytes > maxOwned }

// gaps says what was left out.
func (o *owners) gaps(t image.Type) []image.Gap {
	if !o.full() {
		return nil
	}
	return []image.Gap{{Type: t, Reason: fmt.Sprintf("more files than fit in %d MB: not every file's owner is known", maxOwned>>20)}}
}
