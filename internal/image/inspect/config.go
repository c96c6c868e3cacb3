package inspect

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/secret"
	"github.com/bulwark-k8s/bulwark/internal/image/source"
)

// describe says what the configuration and the manifest say.
func describe(s *source.Source) *image.Image {
	c := s.Config
	img := &image.Image{
		Name: s.Name, Digest: s.Digest, Index: s.Index, ID: s.ID,
		Platform: image.Platform{OS: c.OS, Architecture: c.Architecture, Variant: c.Variant},
		Created:  c.Created.Time,
		Config: image.Config{
			User: c.Config.User, Entrypoint: c.Config.Entrypoint, Command: c.Config.Cmd, WorkingDir: c.Config.WorkingDir,
			Ports:   slices.Sorted(maps.Keys(c.Config.ExposedPorts)),
			Volumes: slices.Sorted(maps.Keys(c.Config.Volumes)),
			Labels:  c.Config.Labels,
		},
	}
	for _, e := range c.Config.Env {
		name, _, _ := strings.Cut(e, "=")
		img.Config.Env = append(img.Config.Env, name)
	}
	for _, l := range s.Layers {
		img.Layers = append(img.Layers, image.Layer{DiffID: l.DiffID, Digest: l.Digest})
	}
	img.History = steps(c.History, img.Layers)
	return img
}

// steps aligns the history with the layers. A history that does not fit them, as tools
// that squash or append leave it, says nothing of which step made which.
func steps(history []v1.History, layers []image.Layer) []image.Step {
	with := 0
	for _, h := range history {
		if !h.EmptyLayer {
			with++
		}
	}
	fits := with == len(layers)
	at := 0
	var all []image.Step
	for _, h := range history {
		step := image.Step{Command: mask(h.CreatedBy), Comment: mask(h.Comment), Created: h.Created.Time, Layer: -1}
		if fits && !h.EmptyLayer {
			step.Layer = at
			layers[at].Command = step.Command
			at++
		}
		all = append(all, step)
	}
	return all
}

// declaration is the form ENV NAME value, which old builders leave as it is.
var declaration = regexp.MustCompile(`^((?:/bin/sh -c #\(nop\)\s+)?(?:ENV|ARG)\s+([A-Za-z_][A-Za-z0-9_]*)\s+)([^\s=]+)(\s[^=]*)?$`)

// mask strikes out of a build step what may be a secret; names stay.
func mask(command string) string {
	if m := declaration.FindStringSubmatch(command); m != nil {
		if assigned := m[2] + "=" + m[3]; secret.Mask(assigned) != assigned {
			return m[1] + "***"
		}
	}
	return secret.Mask(command)
}

// base says what the image was built on: its own annotations, joined with the longest
// known base whose layers are its lowest. Which layers came from the base is only known
// of a known one; the history's guesses are not made.
func base(img *image.Image, annotations map[string]string, known []Base) *image.Base {
	var best *Base
	for i := range known {
		k := &known[i]
		if len(k.DiffIDs) == 0 || len(k.DiffIDs) > len(img.Layers) || best != nil && len(best.DiffIDs) >= len(k.DiffIDs) {
			continue
		}
		if k.Digest != "" && k.Digest == img.Digest {
			continue // the base itself
		}
		if slices.EqualFunc(k.DiffIDs, img.Layers[:len(k.DiffIDs)], func(id string, l image.Layer) bool { return id == l.DiffID }) {
			best = k
		}
	}
	name, digest := annotations["org.opencontainers.image.base.name"], annotations["org.opencontainers.image.base.digest"]
	if name == "" && digest == "" {
		name, digest = img.Config.Labels["org.opencontainers.image.base.name"], img.Config.Labels["org.opencontainers.image.base.digest"]
	}
	switch {
	case best != nil:
		b := &image.Base{Name: best.Name, Digest: best.Digest, Layers: len(best.DiffIDs), From: "known base"}
		if b.Name == "" {
			b.Name = name
		}
		if b.Digest == "" {
			b.Digest = digest
		}
		return b
	case name != "" || digest != "":
		return &image.Base{Name: name, Digest: digest, From: "annotation"}
	}
	return nil
}
