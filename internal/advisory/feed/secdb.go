package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// SecDB reads the security databases of Alpine, Wolfi and Chainguard: a file, a folder of
// them, or archives; JSON, or the YAML that Alpine had before. They list what was fixed in
// which version, and nothing of what was not; version "0" means that the package never
// was affected.
func SecDB(ctx context.Context, location string, sink Sink) error {
	return each(ctx, &documents{location: location, suffixes: []string{".json", ".yaml", ".yml"}}, secdbDocument, sink)
}

type secdbFile struct {
	Release  string `json:"distroversion" yaml:"distroversion"`
	Repo     string `json:"reponame" yaml:"reponame"`
	Prefix   string `json:"urlprefix" yaml:"urlprefix"`
	Packages []struct {
		Pkg struct {
			Name     string              `json:"name" yaml:"name"`
			SecFixes map[string][]string `json:"secfixes" yaml:"secfixes"`
		} `json:"pkg" yaml:"pkg"`
	} `json:"packages" yaml:"packages"`
}

// maxYAML is the largest YAML file. Alpine's last had 100 kB; it is JSON since.
const maxYAML = 4 << 20

func secdbDocument(name string, data []byte) *Part {
	p := &Part{}
	var f secdbFile
	var err error
	switch {
	case bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")):
		err = json.Unmarshal(data, &f)
	case len(data) > maxYAML:
		p.skip(name, "YAML of more than %d MB", maxYAML>>20)
		return p
	default:
		err = yaml.Unmarshal(data, &f)
	}
	if err != nil {
		p.skip(name, "no security database: %v", err)
		return p
	}
	key, source := f.distribution()
	if key == "" {
		p.skip(name, "a security database of an unknown distribution")
		return p
	}
	for _, x := range f.Packages {
		if x.Pkg.Name == "" {
			p.skip(name, "a package without a name")
			continue
		}
		for version, fixes := range x.Pkg.SecFixes {
			record := advisory.Record{Source: source, State: advisory.NotAffected}
			if version == "" {
				p.skip(x.Pkg.Name, "a fix without a version")
				continue
			}
			if version != "0" {
				record.State, record.Ranges = advisory.Fixed, []advisory.Range{{Fixed: version}}
			}
			for _, fix := range fixes {
				for _, id := range secdbNames(fix) {
					record.ID, record.IDs = id, [][]string{{id}}
					p.Entries = append(p.Entries, Entry{key, x.Pkg.Name, record})
				}
			}
		}
	}
	return p
}

// distribution tells whose database it is.
func (f *secdbFile) distribution() (key advisory.Key, source string) {
	switch {
	case strings.Contains(f.Prefix, "packages.wolfi.dev"):
		return "apk/wolfi", "wolfi"
	case strings.Contains(f.Prefix, "cgr.dev/chainguard"):
		return "apk/chainguard", "chainguard"
	}
	switch release := strings.TrimPrefix(f.Release, "v"); {
	case isRelease(release):
		return advisory.Key("apk/alpine/" + release), "alpine"
	case strings.HasPrefix(f.Release, "edge"):
		return "apk/alpine/edge", "alpine"
	}
	return "", ""
}

// secdbNames reads one fix: "CVE-2019-9512 CVE-2019-9514 (+)". All CVEs count; of a line
// without one, the first name does.
func secdbNames(fix string) []string {
	words := strings.FieldsFunc(fix, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	cves := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.HasPrefix(w, "CVE-") })
	if len(cves) > 0 {
		return once(cves)
	}
	if len(words) == 0 || !strings.Contains(words[0], "-") {
		return nil
	}
	return words[:1]
}
