package packages

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// maxApk is ten times the database of an Alpine desktop.
const maxApk = 128 << 20

// Apk reads the database of Alpine's package manager and its relatives' (Wolfi,
// Chainguard). It is text in version 3, too (apk-tools, src/database.c): lines of a
// letter, a colon and a value; packages are apart by empty lines.
var apk = finder{
	name:    "apk",
	version: 1,
	wants: func(f *layer.File) bool {
		// The first is everybody's until /lib leads into /usr; the last is for /usr that is
		// read only.
		return f.Path == "lib/apk/db/installed" || f.Path == "usr/lib/apk/db/installed" || f.Path == "var/lib/apk/db/installed"
	},
	read: func(ctx context.Context, f *layer.File) (*layer.Found, error) {
		if f.Size > maxApk {
			return nil, fmt.Errorf("%s: %d bytes, more than the %d that are read", f.Path, f.Size, int64(maxApk))
		}
		found := &layer.Found{}
		var (
			p     image.Package
			files owners
			dir   string
		)
		end := func() error {
			defer func() { p, dir = image.Package{}, "" }()
			if p.Name == "" {
				return nil
			}
			if len(found.Packages) == maxPackages {
				return fmt.Errorf("more than %d packages", maxPackages)
			}
			if p.Source == p.Name {
				p.Source = ""
			}
			p.Type, p.Path = image.Apk, f.Path
			found.Packages = append(found.Packages, p)
			return nil
		}
		err := lines(ctx, io.NewSectionReader(f.Content, 0, f.Size), func(line string) error {
			if line == "" {
				return end()
			}
			key, value, ok := strings.Cut(line, ":")
			if !ok {
				return nil
			}
			// Names of files come after those of the package, and are many: they are not made
			// fit for print, but compared with what layers hold.
			switch key {
			case "P":
				p.Name = text(value)
			case "V":
				p.Version = text(value)
			case "o":
				p.Source = text(value)
			case "A":
				p.Arch = text(value)
			case "L":
				if l := text(value); l != "" {
					p.Licenses = []string{l}
				}
			case "F":
				dir = value
			case "R":
				if p.Name != "" {
					files.add("apk:"+p.Name, dir+"/"+value)
				}
			}
			return nil
		})
		if err == nil {
			err = end()
		}
		if err != nil {
			found.Gaps = append(found.Gaps, image.Gap{Path: f.Path, Type: image.Apk, Reason: err.Error()})
		}
		found.Owned = files.files
		found.Gaps = append(found.Gaps, files.gaps(image.Apk)...)
		return found, nil
	},
}
