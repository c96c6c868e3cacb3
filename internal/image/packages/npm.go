package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// maxNPM is the bytes of a package.json; the largest in the registry have some 100 kB.
const maxNPM = 4 << 20

// NPM reads what is installed for Node: the package.json of each folder that is directly
// in a node_modules, or in a scope's folder there. Others are not what npm installed: the
// application's own at the top, what bundlers copied into a package's dist (without
// versions, mostly), fixtures of tests, extensions of editors.
//
// Lock files are not read. What they list and what is installed differ by platform, by
// omitted development dependencies, and by what was added since; where node_modules is
// missing because a bundler swallowed it, they list what may be nowhere in the image.
var npm = finder{
	name:    "npm",
	version: 1,
	wants: func(f *layer.File) bool {
		if path.Base(f.Path) != "package.json" {
			return false
		}
		parent := path.Dir(path.Dir(f.Path))
		if strings.HasPrefix(path.Base(parent), "@") {
			parent = path.Dir(parent)
		}
		// The last two are where Debian has packages for every user.
		return path.Base(parent) == "node_modules" || parent == "usr/share/nodejs" || parent == "usr/lib/nodejs"
	},
	read: func(_ context.Context, f *layer.File) (*layer.Found, error) {
		b, err := whole(f, maxNPM)
		if err != nil {
			return nil, err
		}
		// What is no text where one is due is as good as missing, and no reason to stop.
		var manifest struct {
			Name, Version     json.RawMessage
			License, Licenses json.RawMessage
		}
		if err := json.Unmarshal(bytes.TrimPrefix(b, []byte("\ufeff")), &manifest); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		name, version := jsonText(manifest.Name), strings.TrimPrefix(jsonText(manifest.Version), "v")
		if name == "" || !semver.MatchString(version) {
			return nil, nil //nolint:nilnil // a folder that was put there by hand
		}
		p := image.Package{Type: image.NPM, Name: text(name), Version: text(version), Path: f.Path}
		p.Licenses = licenses(manifest.License)
		if p.Licenses == nil {
			p.Licenses = licenses(manifest.Licenses)
		}
		return &layer.Found{Packages: []image.Package{p}}, nil
	},
}

// semver is what npm lets nobody publish without. Loose forms (a leading v or =) were
// made strict by npm when it published them.
var semver = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$`)

func jsonText(b json.RawMessage) string {
	var s string
	if json.Unmarshal(b, &s) != nil {
		return ""
	}
	return s
}

// licenses understands "MIT", {"type": "MIT"}, and lists of both.
func licenses(b json.RawMessage) []string {
	if len(b) == 0 {
		return nil
	}
	if s := jsonText(b); s != "" {
		return appendLicense(nil, s)
	}
	var list []json.RawMessage
	if json.Unmarshal(b, &list) != nil {
		list = []json.RawMessage{b}
	}
	var all []string
	for _, each := range list[:min(len(list), maxLicenses)] {
		var object struct{ Type, Name string }
		if s := jsonText(each); s != "" {
			all = appendLicense(all, s)
		} else if json.Unmarshal(each, &object) == nil {
			all = appendLicense(all, object.Type+object.Name)
		}
	}
	return all
}

// Bounds of what is said of a package's licences: their names, not their texts.
const (
	maxLicenses = 16
	maxLicense  = 128
)

func appendLicense(all []string, s string) []string {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxLicense || strings.ContainsAny(s, "\r\n") || strings.EqualFold(s, "unknown") || len(all) == maxLicenses {
		return all
	}
	return append(all, text(s))
}
