package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// maxComposer is bytes; a large application's list has two million.
const maxComposer = 32 << 20

// Composer reads vendor/composer/installed.json, the list of what is installed for PHP: a
// list alone in Composer 1, within an object since. A composer.lock is what could be.
var composer = finder{
	name:    "composer",
	version: 1,
	wants:   func(f *layer.File) bool { return strings.HasSuffix("/"+f.Path, "/composer/installed.json") },
	read: func(_ context.Context, f *layer.File) (*layer.Found, error) {
		b, err := whole(f, maxComposer)
		if err != nil {
			return nil, err
		}
		type installed struct {
			Name, Version string
			License       json.RawMessage
		}
		var list struct {
			Packages []installed
			Dev      []string `json:"dev-package-names"`
		}
		if b = bytes.TrimSpace(b); bytes.HasPrefix(b, []byte("[")) {
			err = json.Unmarshal(b, &list.Packages)
		} else {
			err = json.Unmarshal(b, &list)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if len(list.Packages) > maxPackages {
			return nil, fmt.Errorf("%s: more than %d packages", f.Path, maxPackages)
		}
		dev := map[string]bool{}
		for _, name := range list.Dev {
			dev[name] = true
		}
		found := &layer.Found{}
		for _, p := range list.Packages {
			if p.Name == "" {
				continue
			}
			version := strings.TrimPrefix(p.Version, "v")
			if strings.HasPrefix(version, "dev-") || strings.HasSuffix(version, "-dev") {
				version = "" // a branch: no version to compare
			}
			found.Packages = append(found.Packages, image.Package{
				Type: image.Composer, Name: text(strings.ToLower(p.Name)), Version: text(version),
				Licenses: licenses(p.License), Path: f.Path, Dev: dev[p.Name],
			})
		}
		return found, nil
	},
}
