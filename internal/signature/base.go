package signature

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// errBase says that an image is built on one that is not allowed, in contrast to one of
// which it could not be told.
var errBase = errors.New("base image")

// The annotations in which builders name the base (OCI image specification, annotations.md).
const (
	annotationBaseName   = "org.opencontainers.image.base.name"
	annotationBaseDigest = "org.opencontainers.image.base.digest"
)

// An imageManifest is as much of a manifest or index as is needed here.
type imageManifest struct {
	Annotations map[string]string `json:"annotations"`
	Config      struct {
		Digest string `json:"digest"`
	} `json:"config"`
	Manifests []struct {
		Digest      string            `json:"digest"`
		Annotations map[string]string `json:"annotations"`
		Platform    *struct {
			OS           string `json:"os"`
			Architecture string `json:"architecture"`
		} `json:"platform"`
	} `json:"manifests"`
}

// base says by what the image is known to be built on an allowed base. Every platform of
// an index must be.
func (e *examination) base(ctx context.Context) (string, error) {
	for _, at := range e.verdict.Attestations {
		if !isProvenance(at.Type) {
			continue
		}
		for _, d := range materials(at.predicate) {
			if slices.Contains(e.rule.Base.Digests, d) {
				return "provenance of " + at.Signer + ": " + Short(d), nil
			}
		}
	}
	index, err := parseImage(e.manifest)
	if err != nil {
		return "", err
	}
	if len(index.Manifests) == 0 {
		return e.baseOf(ctx, index)
	}
	if by, ok := e.annotated(index.Annotations); ok {
		return by, nil
	}
	if len(index.Manifests) > maxPlatforms {
		return "", fmt.Errorf("the index has %d platforms: %w", len(index.Manifests), errTooLarge)
	}
	var all []string
	for _, d := range index.Manifests {
		if d.Annotations["vnd.docker.reference.type"] != "" && d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown" {
			continue // BuildKit's attestations, which nothing runs
		}
		m, err := e.repo.Manifest(ctx, d.Digest)
		if err != nil {
			return "", err // also if it is not there: it may be tomorrow
		}
		platform, err := parseImage(m)
		if err != nil {
			return "", err
		}
		by, err := e.baseOf(ctx, platform)
		if err != nil {
			return "", fmt.Errorf("platform %s: %w", Short(d.Digest), err)
		}
		if !slices.Contains(all, by) {
			all = append(all, by)
		}
	}
	if len(all) == 0 {
		return "", fmt.Errorf("%w: the index has no platform", errBase)
	}
	return strings.Join(all, ", "), nil
}

func parseImage(m *Manifest) (*imageManifest, error) {
	out := &imageManifest{}
	if err := json.Unmarshal(m.Bytes, out); err != nil {
		return nil, fmt.Errorf("%w: the manifest is not the JSON that it should be", errBase)
	}
	return out, nil
}

// annotated looks at what the builder wrote into the manifest, which the image's digest
// covers and so whoever signed it stands for.
func (e *examination) annotated(annotations map[string]string) (string, bool) {
	if d := annotations[annotationBaseDigest]; d != "" && slices.Contains(e.rule.Base.Digests, d) {
		return "annotation: " + Short(d), true
	}
	if text := annotations[annotationBaseName]; text != "" {
		if ref, err := name.ParseReference(text); err == nil {
			for _, p := range e.rule.Base.images {
				if p.match(ref.Context().Name()) {
					return "annotation: " + ref.Context().Name(), true
				}
			}
		}
	}
	return "", false
}

// baseOf looks at one platform's image.
func (e *examination) baseOf(ctx context.Context, m *imageManifest) (string, error) {
	if by, ok := e.annotated(m.Annotations); ok {
		return by, nil
	}
	if len(e.rule.Base.Layers) > 0 {
		data, err := e.repo.Blob(ctx, m.Config.Digest, maxManifest)
		if err != nil {
			return "", err
		}
		var config struct {
			RootFS struct {
				DiffIDs []string `json:"diff_ids"`
			} `json:"rootfs"`
		}
		if err := json.Unmarshal(data, &config); err != nil {
			return "", fmt.Errorf("%w: the configuration is not the JSON that it should be", errBase)
		}
		for _, chain := range e.rule.Base.Layers {
			if ids := config.RootFS.DiffIDs; len(ids) >= len(chain) && slices.Equal(ids[:len(chain)], chain) {
				return fmt.Sprintf("layers: %d from %s", len(chain), Short(chain[0])), nil
			}
		}
	}
	return "", fmt.Errorf("%w: it is none that the policy allows", errBase)
}

// materials are the digests of what a build took, as SLSA's provenance names them: v1 in
// buildDefinition.resolvedDependencies, v0.2 in materials.
func materials(predicate map[string]any) []string {
	var out []string
	add := func(list any) {
		items, _ := list.([]any)
		for _, item := range items {
			fields, _ := item.(map[string]any)
			digests, _ := fields["digest"].(map[string]any)
			if d, ok := digests["sha256"].(string); ok {
				out = append(out, "sha256:"+d)
			}
		}
	}
	add(predicate["materials"])
	if definition, ok := predicate["buildDefinition"].(map[string]any); ok {
		add(definition["resolvedDependencies"])
	}
	return out
}
