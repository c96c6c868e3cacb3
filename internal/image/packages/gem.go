package packages

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// maxGemspec is bytes; the longest have lists of files of some 100 kB.
const maxGemspec = 4 << 20

// Gem reads the specifications that RubyGems writes when it installs something, and those
// of the gems that come with Ruby ("default"). They are programs of Ruby, but RubyGems
// writes them from data, each field on a line of its own: only such lines are understood,
// and nothing is run. A .gemspec elsewhere is a source from which a gem could be built.
var gem = finder{
	name:    "gem",
	version: 1,
	wants: func(f *layer.File) bool {
		if !strings.HasSuffix(f.Path, ".gemspec") {
			return false
		}
		dir := path.Dir(f.Path)
		if path.Base(dir) == "default" {
			dir = path.Dir(dir)
		}
		return path.Base(dir) == "specifications"
	},
	read: func(_ context.Context, f *layer.File) (*layer.Found, error) {
		b, err := whole(f, maxGemspec)
		if err != nil {
			return nil, err
		}
		p, err := readGemspec(string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		p.Path = f.Path
		return &layer.Found{Packages: []image.Package{*p}}, nil
	},
}

var (
	gemField   = regexp.MustCompile(`^\s*\w+\.(name|version|licenses?)\s*=\s*(.*)$`)
	gemLiteral = regexp.MustCompile(`"([^"\\]*)"|'([^'\\]*)'`)
)

func readGemspec(spec string) (*image.Package, error) {
	p := &image.Package{Type: image.Gem}
	var stub []string
	for line := range strings.Lines(spec) {
		// "# stub: rack 2.2.6.4 ruby lib" stands first, so that RubyGems itself need not run
		// the file.
		if s, ok := strings.CutPrefix(line, "# stub: "); ok && stub == nil {
			stub = strings.Fields(s)
			continue
		}
		m := gemField.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		var values []string
		for _, l := range gemLiteral.FindAllStringSubmatch(m[2], maxLicenses) {
			values = append(values, l[1]+l[2])
		}
		if len(values) == 0 {
			continue
		}
		switch m[1] {
		case "name":
			p.Name = first(p.Name, text(values[0]))
		case "version":
			p.Version = first(p.Version, text(values[0]))
		default:
			for _, l := range values {
				p.Licenses = appendLicense(p.Licenses, l)
			}
		}
	}
	if len(stub) >= 2 {
		p.Name, p.Version = first(p.Name, text(stub[0])), first(p.Version, text(stub[1]))
	}
	if p.Name == "" {
		return nil, fmt.Errorf("gemspec: has no line that names the gem")
	}
	return p, nil
}
