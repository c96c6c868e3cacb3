package packages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	"github.com/bulwark-k8s/bulwark/internal/image/packages/rpmdb"
)

const (
	// maxRPM is ten times the database of a system with everything installed.
	maxRPM = 1 << 30
	// The list that Azure Linux's images have in place of a database: what rpm -qa
	// prints when asked for ten columns.
	rpmManifest = "var/lib/rpmmanifest/container-manifest-2"
	maxManifest = 64 << 20
	// maxWords is the bytes of names, versions and licences that one database may give;
	// in a header they may be said once and meant often.
	maxWords = 64 << 20
)

// RPM reads the databases of rpm: SQLite, ndb and Berkeley DB, and the list that is left
// of one in images made by Microsoft.
var rpm = finder{
	name:    "rpm",
	version: 1,
	wants: func(f *layer.File) bool {
		switch dir, base := path.Split(f.Path); dir {
		case "var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/":
			switch base {
			case "Packages", "Packages.db", "rpmdb.sqlite":
				return true
			case "rpmdb.sqlite-wal", "rpmdb.sqlite-journal":
				return f.Size > 0
			}
		}
		return f.Path == rpmManifest
	},
	read: func(ctx context.Context, f *layer.File) (*layer.Found, error) {
		switch base := path.Base(f.Path); {
		case f.Path == rpmManifest:
			return rpmList(ctx, f)
		case strings.HasPrefix(base, "rpmdb.sqlite-"):
			// A connection that is closed in good order writes it all to the database and
			// leaves an empty file, or none (sqlite.org/wal.html).
			return &layer.Found{Gaps: []image.Gap{{Path: f.Path, Type: image.RPM, Reason: "changes that are not written to rpm's database yet: run rpm --rebuilddb when the image is built"}}}, nil
		default:
			return rpmDatabase(ctx, f)
		}
	},
}

func rpmDatabase(ctx context.Context, f *layer.File) (*layer.Found, error) {
	if f.Size == 0 {
		return nil, nil // made, and never written to
	}
	if f.Size > maxRPM {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that are read", f.Path, f.Size, int64(maxRPM))
	}
	found := &layer.Found{}
	gap := func(err error) {
		found.Gaps = append(found.Gaps, image.Gap{Path: f.Path, Type: image.RPM, Reason: err.Error()})
	}
	var files owners
	words := 0
	for blob, err := range rpmdb.Headers(f.Content, f.Size) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if len(found.Packages)+len(found.Gaps) == maxPackages {
			gap(fmt.Errorf("more than %d packages", maxPackages))
			break
		}
		var h *rpmdb.Package
		if err == nil {
			h, err = rpmdb.Parse(blob)
		}
		if err == nil && text(h.Name) == "" {
			err = errors.New("header: names no package")
		}
		if err != nil {
			gap(err)
			continue
		}
		if words += len(h.Name) + len(h.Version) + len(h.Release) + len(h.Arch) + len(h.Module) + len(h.License) + len(h.SourceRPM); words > maxWords {
			gap(fmt.Errorf("more than %d bytes of names and licences: the rest is not read", maxWords))
			break
		}
		if h.Name == "gpg-pubkey" { // keys that rpm trusts are kept as if they were packages
			continue
		}
		p := image.Package{
			Type:    image.RPM,
			Name:    text(h.Name),
			Version: text(h.EVR()),
			Arch:    text(h.Arch),
			Module:  text(h.Module),
			Path:    f.Path,
		}
		if h.License != "" && h.License != "(none)" {
			p.Licenses = []string{text(h.License)}
		}
		sourceOf(&p, h)
		found.Packages = append(found.Packages, p)
		owner := "rpm:" + p.Name
		err = h.Files(func(dir, base string) {
			if len(dir)+len(base) <= maxPath && !files.full() {
				files.add(owner, dir+base)
			}
		})
		if err != nil {
			gap(fmt.Errorf("files of %s: %w", p.Name, err))
		}
	}
	found.Owned = files.files
	found.Gaps = append(found.Gaps, files.gaps(image.RPM)...)
	return found, nil
}

// sourceOf says of which source a package is. The source's epoch is not known: it is the
// package's own where the version is the same, as it is in all but a few packages.
func sourceOf(p *image.Package, h *rpmdb.Package) {
	name, version, ok := h.Source()
	if !ok {
		return
	}
	if name = text(name); name != p.Name {
		p.Source = name
	}
	if version != h.Version+"-"+h.Release {
		p.SourceVersion = text(version)
	}
}

// rpmList reads lines of ten columns, apart by tabs: name, version and release, times of
// installing and building, vendor, epoch or "(none)", size, architecture, epoch as a
// number, source RPM.
func rpmList(ctx context.Context, f *layer.File) (*layer.Found, error) {
	if f.Size > maxManifest {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that are read", f.Path, f.Size, int64(maxManifest))
	}
	found := &layer.Found{}
	gap := func(err error) {
		found.Gaps = append(found.Gaps, image.Gap{Path: f.Path, Type: image.RPM, Reason: err.Error()})
	}
	n := 0
	err := lines(ctx, io.NewSectionReader(f.Content, 0, f.Size), func(line string) error {
		if n++; line == "" {
			return nil
		}
		if n > maxPackages {
			return fmt.Errorf("more than %d lines", maxPackages)
		}
		col := strings.Split(line, "\t")
		if len(col) != 10 || text(col[0]) == "" {
			gap(fmt.Errorf("line %d: %d columns, want 10", n, len(col)))
			return nil
		}
		if col[0] == "gpg-pubkey" {
			return nil
		}
		h := &rpmdb.Package{SourceRPM: col[9]}
		h.Version, h.Release, _ = strings.Cut(col[1], "-")
		p := image.Package{Type: image.RPM, Name: text(col[0]), Version: text(col[1]), Arch: text(col[7]), Path: f.Path}
		if epoch := text(col[8]); epoch != "" && epoch != "0" && epoch != "(none)" {
			p.Version = epoch + ":" + p.Version
		}
		sourceOf(&p, h)
		found.Packages = append(found.Packages, p)
		return nil
	})
	if err != nil {
		gap(err)
	}
	return found, nil
}
