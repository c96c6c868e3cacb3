package packages

import (
	"bytes"
	"context"
	"errors"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// Binaries reads what compilers leave in executables: the build information of Go, and
// the list of crates that cargo-auditable adds to programs of Rust. The file is opened
// once for both.
var binaries = finder{
	name:    "binary",
	version: 2,
	wants:   func(f *layer.File) bool { return isExe(f.Head) },
	read: func(ctx context.Context, f *layer.File) (*layer.Found, error) {
		found := &layer.Found{}
		if packed(f.Head) {
			found.Gaps = append(found.Gaps, image.Gap{Path: f.Path, Reason: "packed with UPX: what it was built from cannot be read"})
			return found, nil
		}
		x, err := openExe(f.Content, f.Size)
		if errors.Is(err, errNotExe) {
			return nil, nil //nolint:nilnil // most files that begin with MZ are of DOS
		}
		if err != nil {
			return nil, err
		}
		if err := golang(ctx, x, f.Path, found); err != nil {
			return nil, err
		}
		if err := cargo(x, f.Path, found); err != nil {
			return nil, err
		}
		return found, nil
	},
}

// packed reports whether UPX made the file smaller: it leaves its name within the first
// bytes, after the headers of ELF and as names of sections in PE.
func packed(head []byte) bool {
	return bytes.Contains(head, []byte("UPX!")) || bytes.HasPrefix(head, []byte("MZ")) && bytes.Contains(head, []byte("UPX0"))
}
