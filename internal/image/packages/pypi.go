package packages

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// maxMetadata is how many bytes of a project's metadata are read. Headers come first, and
// only they matter; some have the whole text of a licence in one.
const maxMetadata = 1 << 20

// PyPI reads what installers of Python leave beside a project: METADATA of a .dist-info,
// PKG-INFO of an .egg-info or EGG-INFO, an .egg-info that is a file, and an .egg that is
// an archive. A wheel is none of these: it is what something could be installed from.
var pypi = finder{
	name:    "pypi",
	version: 1,
	wants: func(f *layer.File) bool {
		dir := path.Dir(f.Path)
		switch path.Base(f.Path) {
		case "METADATA":
			return strings.HasSuffix(dir, ".dist-info")
		case "PKG-INFO":
			return strings.HasSuffix(dir, ".egg-info") || path.Base(dir) == "EGG-INFO"
		}
		return strings.HasSuffix(f.Path, ".egg-info") || strings.HasSuffix(f.Path, ".egg") && isZip(f.Head)
	},
	read: func(ctx context.Context, f *layer.File) (*layer.Found, error) {
		if !strings.HasSuffix(f.Path, ".egg") {
			p, err := readPyPI(io.NewSectionReader(f.Content, 0, f.Size))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Path, err)
			}
			p.Path = f.Path
			return &layer.Found{Packages: []image.Package{*p}}, nil
		}
		found := &layer.Found{}
		err := eachMember(ctx, f.Content, f.Size, func(m *member) error {
			if string(m.name) != "EGG-INFO/PKG-INFO" || len(found.Packages) > 0 {
				return nil
			}
			b, err := m.read(maxMetadata)
			if err != nil {
				return err
			}
			p, err := readPyPI(strings.NewReader(string(b)))
			if err != nil {
				return err
			}
			p.Path = f.Path
			found.Packages = append(found.Packages, *p)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		return found, nil
	},
}

var errNoName = errors.New("metadata: names no project")

// readPyPI reads the headers of a project's metadata (PEP 566, PEP 639).
func readPyPI(r io.Reader) (*image.Package, error) {
	p := &image.Package{Type: image.PyPI}
	var license, expression string
	var classifiers []string
	// Long lines are texts of licences, and folded ones go on with a space: neither is a
	// header that matters.
	in := bufio.NewReaderSize(io.LimitReader(r, maxMetadata), 64<<10)
	for {
		raw, more, err := in.ReadLine()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("metadata: %w", err)
		}
		line := strings.TrimPrefix(string(raw), "\ufeff")
		for more && err == nil {
			_, more, err = in.ReadLine()
		}
		if err != nil || strings.TrimRight(line, "\r") == "" {
			break
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(key) {
		case "name":
			p.Name = first(p.Name, image.PyPIName(text(value)))
		case "version":
			p.Version = first(p.Version, text(value))
		case "license":
			license = first(license, value)
		case "license-expression":
			expression = first(expression, value)
		case "classifier":
			if l, ok := strings.CutPrefix(value, "License :: "); ok && len(classifiers) < maxLicenses {
				parts := strings.Split(l, " :: ")
				if last := parts[len(parts)-1]; last != "OSI Approved" {
					classifiers = append(classifiers, last)
				}
			}
		}
	}
	if strings.Trim(p.Name, "-") == "" {
		return nil, errNoName
	}
	if p.Licenses = appendLicense(nil, first(expression, license)); p.Licenses == nil {
		for _, c := range classifiers {
			p.Licenses = appendLicense(p.Licenses, c)
		}
	}
	return p, nil
}

// first returns a, unless it is empty.
func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
