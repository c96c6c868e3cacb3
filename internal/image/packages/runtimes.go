package packages

import (
	"bytes"
	"context"
	"path"
	"regexp"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// Runtimes names the interpreters and virtual machines that were copied into an image
// without a package manager, as in Docker's official images. No feed knows these names;
// they are named so that they are not assessed in so many words, and not passed over.
var runtimes = finder{
	name:    "runtime",
	version: 1,
	wants:   func(f *layer.File) bool { return runtimeOf(f) != nil && f.Size < maxRuntimeFile },
	read: func(_ context.Context, f *layer.File) (*layer.Found, error) {
		b, err := whole(f, maxRuntimeFile)
		if err != nil {
			return nil, err
		}
		r := runtimeOf(f)
		if r == nil {
			return nil, nil //nolint:nilnil // Wants says so
		}
		var parts []string
		for _, re := range r.version {
			m := re.FindSubmatch(b)
			if m == nil {
				return nil, nil //nolint:nilnil // another file of that name
			}
			parts = append(parts, string(m[1]))
		}
		return &layer.Found{Packages: []image.Package{{
			Type: image.Generic, Name: r.name, Version: text(strings.Join(parts, ".")), Path: f.Path,
		}}}, nil
	},
}

const maxRuntimeFile = 1 << 20

// A runtimeFile is a file by which a runtime says its version.
type runtimeFile struct {
	name    string
	base    string
	dir     *regexp.Regexp   // of the folder
	version []*regexp.Regexp // of the parts, in order
}

var runtimeFiles = []runtimeFile{
	{"node", "node_version.h", regexp.MustCompile(`(^|/)include/node$`), []*regexp.Regexp{
		regexp.MustCompile(`(?m)^#define NODE_MAJOR_VERSION (\d+)`),
		regexp.MustCompile(`(?m)^#define NODE_MINOR_VERSION (\d+)`),
		regexp.MustCompile(`(?m)^#define NODE_PATCH_VERSION (\d+)`),
	}},
	{"python", "patchlevel.h", regexp.MustCompile(`(^|/)include/python\d[\w.]*$`), []*regexp.Regexp{
		regexp.MustCompile(`(?m)^#define PY_VERSION\s+"([^"]+)"`),
	}},
	{"php", "php_version.h", regexp.MustCompile(`(^|/)include/php(/\d+)?/main$`), []*regexp.Regexp{
		regexp.MustCompile(`(?m)^#define PHP_VERSION "([^"]+)"`),
	}},
	{"ruby", "rbconfig.rb", regexp.MustCompile(`(^|/)lib/(ruby/[\d.]+/[^/]+|[^/]+/ruby/[\d.]+)$`), []*regexp.Regexp{
		regexp.MustCompile(`(?m)^\s*CONFIG\["MAJOR"\] = "(\d+)"`),
		regexp.MustCompile(`(?m)^\s*CONFIG\["MINOR"\] = "(\d+)"`),
		regexp.MustCompile(`(?m)^\s*CONFIG\["TEENY"\] = "(\d+)"`),
	}},
	{"java", "release", regexp.MustCompile(``), []*regexp.Regexp{
		regexp.MustCompile(`(?m)^JAVA_VERSION="([^"]+)"`),
	}},
}

func runtimeOf(f *layer.File) *runtimeFile {
	base := path.Base(f.Path)
	for i := range runtimeFiles {
		r := &runtimeFiles[i]
		if base != r.base {
			continue
		}
		if !r.dir.MatchString(path.Dir(f.Path)) || base == "release" && !bytes.Contains(f.Head, []byte("JAVA_VERSION=")) {
			return nil
		}
		return r
	}
	return nil
}
