package inspect

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulwark-k8s/bulwark/internal/image"
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
		step := image.Step{Command: Redact(h.CreatedBy), Comment: h.Comment, Created: h.Created.Time, Layer: -1}
		if fits && !h.EmptyLayer {
			step.Layer = at
			layers[at].Command = step.Command
			at++
		}
		all = append(all, step)
	}
	return all
}

var (
	// assignment is NAME=value as ENV, ARG and shells have it; the value may be in
	// quotes. BuildKit lists a step's build arguments so too: |1 TOKEN=x /bin/sh -c …
	assignment = regexp.MustCompile(`\b([A-Za-z_][A-Za-z0-9_]*)=("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"';&|]+)`)
	// declaration is the old form ENV NAME value.
	declaration = regexp.MustCompile(`^((?:/bin/sh -c #\(nop\)\s+)?ENV\s+([A-Za-z_][A-Za-z0-9_]*)\s+)(\S.*)$`)
	// option is --password x, -p=x and their like.
	option = regexp.MustCompile(`(?i)(--?[a-z0-9-]*(?:password|passwd|secret|token|api-?key|access-?key|private-?key|credential|auth)[a-z0-9-]*[ =])("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"';&|]+)`)
	// userinfo is what stands before the host in a URL.
	userinfo = regexp.MustCompile(`(://[^/\s:@"']*:)([^/\s@"']+)(@)`)
	// header is an HTTP header that carries a credential.
	header = regexp.MustCompile(`(?i)(authorization:\s*(?:basic|bearer|token)?\s*|private-token:\s*|x-[a-z-]*(?:token|key):\s*)([^\s"']+)`)
	// secretName is a variable's name that promises a secret.
	secretName = regexp.MustCompile(`(?i)pass|pwd|secret|token|api_?key|access_?key|private|credential|auth|(^|_)key$|_key_|dsn|(^|_)(pat|sas)($|_)|connection_?string`)
	// opaqueValue is a long word of letters and digits without which nothing reads.
	opaqueValue = regexp.MustCompile(`^(?:[A-Za-z0-9+/_-]{32,}={0,2}|gh[pousr]_\w+|AKIA[0-9A-Z]{16}|xox[a-z]-\S+|eyJ[\w-]+\.\S+)$`)
	hexDigest   = regexp.MustCompile(`^(?:sha\d+:)?(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9A-F]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$`)
)

const struck = "***"

// harmless are names whose values look like secrets and are public: fingerprints of
// signing keys and checksums of downloads.
var harmless = regexp.MustCompile(`(?i)gpg_?keys?$|fingerprint|sha(1|256|512)|checksum|digest|md5|public_?key|commit|revision|_url$|_version$|path$`)

// Redact strikes out the values in a build step that look like secrets; names stay.
func Redact(command string) string {
	command = userinfo.ReplaceAllString(command, "${1}"+struck+"${3}")
	command = header.ReplaceAllString(command, "${1}"+struck)
	if m := declaration.FindStringSubmatch(command); m != nil && !strings.HasPrefix(m[3], "=") && isSecret(m[2], m[3]) {
		command = m[1] + struck
	}
	command = option.ReplaceAllStringFunc(command, func(s string) string {
		m := option.FindStringSubmatch(s)
		if strings.HasPrefix(m[2], "$") {
			return s
		}
		return m[1] + struck
	})
	return assignment.ReplaceAllStringFunc(command, func(s string) string {
		m := assignment.FindStringSubmatch(s)
		if isSecret(m[1], strings.Trim(m[2], `"'`)) {
			return m[1] + "=" + struck
		}
		return s
	})
}

func isSecret(name, value string) bool {
	if value == "" || strings.HasPrefix(value, "$") || value == struck {
		return false
	}
	if harmless.MatchString(name) && !strings.Contains(strings.ToLower(name), "pass") {
		return false
	}
	return secretName.MatchString(name) || opaqueValue.MatchString(value) && !hexDigest.MatchString(value)
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
