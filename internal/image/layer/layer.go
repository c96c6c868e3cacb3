// Package layer reads one layer of an image in one pass and says what is in it, so that
// each layer is decompressed once, wherever and in however many images it is found. It
// asks finders what a file means and knows no kind of package itself. Results are cached
// by the layer's DiffID; Merge lays them on top of each other.
package layer

import (
	"context"
	"io"
	"io/fs"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// A Finder recognises what one kind of file says. A Finder is used by many layers at
// once.
type Finder interface {
	// Name and Version are part of the cache's key: a Finder that finds more, or other
	// things, than before has a new Version.
	Name() string
	Version() int
	// Wants reports whether Read is to be called: by the file's path, mode, size and
	// first bytes. It is called for every regular file of every layer, so it is quick.
	Wants(*File) bool
	// Read says what the file means. An error makes a gap of the file, and the layer is
	// read on.
	Read(context.Context, *File) (*Found, error)
}

// A File is one regular file of a layer.
type File struct {
	// Path is from the image's root, clean, with slashes and without a leading one.
	Path     string
	Mode     fs.FileMode
	UID, GID int
	Size     int64
	// Head are the first bytes, at most 512.
	Head []byte
	// Content is the whole file, Size bytes. It is not to be used after Read returns.
	Content io.ReaderAt
}

// Found is what a file says. Path, Layer and Owner of what is in it are filled in by the
// caller where they are empty.
type Found struct {
	Packages []image.Package
	// OS is set by an os-release file.
	OS *image.OS
	// Owned are the files that OS packages say are theirs, by owner: "deb:python3-idna".
	// Paths are as in File.
	Owned   map[string][]string
	Secrets []image.Secret
	// Shell and Manager are set where the file is one.
	Shell, Manager bool
	// Gaps are parts of the file that could not be read.
	Gaps []image.Gap
}
