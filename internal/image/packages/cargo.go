package packages

import (
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// maxCrates is the bytes of the list of crates, packed and not; that of a program with a
// thousand crates has 100 kB.
const maxCrates = 16 << 20

// cargo adds the crates that cargo-auditable says a program was built from: a section of
// JSON, packed with zlib (cargo-auditable, PARSING.md). Crates that only built it, macros
// and build scripts, are marked as such; the program itself is one of the list.
func cargo(x *exe, path string, found *layer.Found) error {
	s, ok := x.section(".dep-v0", ".rust-deps-v0", "rdep-v0", "rust-deps-v0")
	if !ok {
		return nil
	}
	if s.size > maxCrates {
		return fmt.Errorf("list of crates: %d bytes, more than the %d that are read", s.size, maxCrates)
	}
	z, err := zlib.NewReader(x.file(s))
	if err != nil {
		return fmt.Errorf("list of crates: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(z, maxCrates+1))
	if err != nil {
		return fmt.Errorf("list of crates: %w", err)
	}
	if len(b) > maxCrates {
		return fmt.Errorf("list of crates: unpacks to more than the %d bytes that are read", maxCrates)
	}
	var list struct {
		Packages []struct {
			Name, Version, Source, Kind string
			Root                        bool
		}
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("list of crates: %w", err)
	}
	if len(list.Packages) > maxPackages {
		return fmt.Errorf("list of crates: more than %d", maxPackages)
	}
	for _, c := range list.Packages {
		if c.Name == "" {
			continue
		}
		found.Packages = append(found.Packages, image.Package{
			Type: image.Cargo, Name: text(c.Name), Version: text(c.Version), Path: path, Dev: c.Kind == "build",
		})
	}
	return nil
}
