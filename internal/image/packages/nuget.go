package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// maxDeps is bytes; a large application's file has one million.
const maxDeps = 32 << 20

// NuGet reads the .deps.json that .NET writes beside a program and by which it loads its
// libraries, and that of the shared runtime. The application's own projects are not
// packages. A program that was published as a single file has none beside it.
var nuget = finder{
	name:    "nuget",
	version: 1,
	wants:   func(f *layer.File) bool { return strings.HasSuffix(f.Path, ".deps.json") },
	read: func(_ context.Context, f *layer.File) (*layer.Found, error) {
		b, err := whole(f, maxDeps)
		if err != nil {
			return nil, err
		}
		var deps struct {
			Libraries map[string]struct{ Type string }
		}
		if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\ufeff")), &deps); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		found := &layer.Found{}
		for id, l := range deps.Libraries {
			name, version, _ := strings.Cut(id, "/")
			switch l.Type {
			case "package":
			case "runtimepack": // the runtime, of a program that brings its own
				name = strings.TrimPrefix(name, "runtimepack.")
			default:
				continue
			}
			if name == "" {
				continue
			}
			if len(found.Packages) == maxPackages {
				return nil, fmt.Errorf("%s: more than %d packages", f.Path, maxPackages)
			}
			found.Packages = append(found.Packages, image.Package{Type: image.NuGet, Name: text(name), Version: text(version), Path: f.Path})
		}
		sortPackages(found.Packages)
		return found, nil
	},
}

func sortPackages(all []image.Package) {
	slices.SortFunc(all, func(a, b image.Package) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Version, b.Version)
	})
}
