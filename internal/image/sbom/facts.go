package sbom

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// prefix begins the names of what is ours in a bill.
const prefix = "bulwark:"

// facts are what stands beside the fields that others know, by name without the prefix.
type facts map[string]string

func (f facts) names() []string { return slices.Sorted(maps.Keys(f)) }

// whole is what is said of the image in one fact: everything but its name, its digest
// and its packages. Fields have the names that they have in package image.
type whole struct {
	ID               string
	Platform         image.Platform
	Created          time.Time
	Config           image.Config
	History          []image.Step
	Layers           []image.Layer
	Base             *image.Base
	OS               image.OS
	Files            []image.File
	Shells, Managers []string
	Secrets          []image.Secret
	Gaps             []image.Gap
	Binaries         []binary
}

// A binary is an image.GoBinary. Packages refer to it by its place.
type binary struct {
	Path         string
	GOOS, GOARCH string
	Main         string
	// Known is whether Packages are; none and not known are two things.
	Known     bool
	Packages  []string
	Functions *image.Functions
}

const (
	wholeFact  = "image"
	formatFact = "format"
	format     = "1" // of the facts; another one is not read as ours
)

// factsOf are those of an image, and the place of each Go binary.
func factsOf(img *image.Image) (facts, map[*image.GoBinary]int, error) {
	w := whole{
		ID: img.ID, Platform: img.Platform, Created: img.Created.UTC(), Config: img.Config, History: img.History, Layers: img.Layers,
		Base: img.Base, OS: img.OS, Files: img.Files, Shells: img.Shells, Managers: img.Managers, Secrets: img.Secrets, Gaps: img.Gaps,
	}
	places := map[*image.GoBinary]int{}
	for i := range img.Packages {
		g := img.Packages[i].Go
		if g == nil {
			continue
		}
		if _, ok := places[g]; !ok {
			places[g] = len(w.Binaries)
			w.Binaries = append(w.Binaries, binary{g.Path, g.GOOS, g.GOARCH, g.Main, g.Packages != nil, g.Packages, g.Functions})
		}
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, nil, err
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, nil, err
	}
	if text, err = json.Marshal(pruned(tree)); err != nil {
		return nil, nil, err
	}
	return facts{formatFact: format, wholeFact: string(text)}, places, nil
}

const noTime = "0001-01-01T00:00:00Z"

// pruned is a tree of JSON without the members of objects that say nothing.
func pruned(tree any) any {
	switch t := tree.(type) {
	case map[string]any:
		for k, v := range t {
			if k == "Labels" && v != nil {
				continue // an empty label is one
			}
			switch v := pruned(v).(type) {
			case nil:
				delete(t, k)
			case string:
				if v == "" || v == noTime {
					delete(t, k)
				}
			case bool:
				if !v {
					delete(t, k)
				}
			case float64:
				if v == 0 {
					delete(t, k)
				}
			case map[string]any:
				if len(v) == 0 {
					delete(t, k)
				}
			case []any:
				if len(v) == 0 {
					delete(t, k)
				}
			}
		}
	case []any:
		for i, v := range t {
			t[i] = pruned(v)
		}
	}
	return tree
}

// into gives the image what its facts say, and returns the Go binaries; false where the
// facts are not ours.
func (f facts) into(img *image.Image) ([]*image.GoBinary, bool, error) {
	if f[formatFact] == "" {
		return nil, false, nil
	}
	if f[formatFact] != format {
		return nil, false, fmt.Errorf("written by another version of bulwark: its facts have format %.20q, want %s", f[formatFact], format)
	}
	var w whole
	if err := json.Unmarshal([]byte(f[wholeFact]), &w); err != nil {
		return nil, false, fmt.Errorf("%s%s: %w", prefix, wholeFact, err)
	}
	img.ID, img.Platform, img.Created, img.Config, img.History, img.Layers = w.ID, w.Platform, w.Created, w.Config, w.History, w.Layers
	img.Base, img.OS, img.Files, img.Shells, img.Managers, img.Secrets, img.Gaps = w.Base, w.OS, w.Files, w.Shells, w.Managers, w.Secrets, w.Gaps
	binaries := make([]*image.GoBinary, len(w.Binaries))
	for i, b := range w.Binaries {
		g := &image.GoBinary{Path: b.Path, GOOS: b.GOOS, GOARCH: b.GOARCH, Main: b.Main, Functions: b.Functions, Packages: b.Packages}
		if b.Known && g.Packages == nil {
			g.Packages = []string{}
		}
		if !b.Known {
			g.Packages = nil
		}
		binaries[i] = g
	}
	return binaries, true, nil
}

// packageFacts are those of one package, which its name and version stand beside.
func packageFacts(p *image.Package, places map[*image.GoBinary]int) facts {
	f := facts{"type": string(p.Type)}
	for name, value := range map[string]string{
		"arch": p.Arch, "source": p.Source, "sourceVersion": p.SourceVersion, "module": p.Module, "path": p.Path, "owner": p.Owner,
	} {
		if value != "" {
			f[name] = value
		}
	}
	if p.Layer != 0 {
		f["layer"] = strconv.Itoa(p.Layer)
	}
	if p.Dev {
		f["dev"] = "true"
	}
	if p.Go != nil {
		f["binary"] = strconv.Itoa(places[p.Go])
	}
	return f
}

var errBinary = errors.New("a package of a Go binary that is not in the bill")

// ours makes a package of its facts; false where they are not ours.
func (f facts) ours(binaries []*image.GoBinary) (image.Package, bool, error) {
	if f["type"] == "" {
		return image.Package{}, false, nil
	}
	p := image.Package{
		Type: image.Type(f["type"]), Arch: f["arch"], Source: f["source"], SourceVersion: f["sourceVersion"], Module: f["module"],
		Path: f["path"], Owner: f["owner"], Dev: f["dev"] == "true",
	}
	if l := f["layer"]; l != "" {
		n, err := strconv.Atoi(l)
		if err != nil {
			return p, false, fmt.Errorf("%slayer %.20q: want a number", prefix, l)
		}
		p.Layer = n
	}
	if b := f["binary"]; b != "" {
		n, err := strconv.Atoi(b)
		if err != nil || n < 0 || n >= len(binaries) {
			return p, false, errBinary
		}
		p.Go = binaries[n]
	}
	return p, true, nil
}
