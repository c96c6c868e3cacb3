package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/inspect"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
	"github.com/bulwark-k8s/bulwark/internal/image/sbom"
	"github.com/bulwark-k8s/bulwark/internal/image/secret"
	imagesource "github.com/bulwark-k8s/bulwark/internal/image/source"
)

// imageOptions are the flags of whatever reads images.
type imageOptions struct {
	platform string
	insecure bool
	cache    string
	noCache  bool

	streams genericiooptions.IOStreams
}

const imageRefs = `An image is a reference (registry.example/shop/front:1.4, with a digest or without), an
archive as docker save or skopeo write it, packed or not, an OCI layout, a folder, or a
bill of materials (CycloneDX, SPDX); - is an archive or a bill on standard input. Where a
name could be several things, a prefix says which: registry:, docker:, podman:,
containerd:, docker-archive:, oci-archive:, oci:, dir:, sbom:.`

func (o *imageOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.platform, "platform", "", "the `platform` to take of an image of several, such as linux/arm64 (default linux and this machine's architecture)")
	f.BoolVar(&o.insecure, "insecure-registry", false, "talk to registries without TLS, or without checking it")
	f.StringVar(&o.cache, "cache-dir", "", "the `folder` that keeps what was read of layers (default in the user's cache)")
	f.BoolVar(&o.noCache, "no-cache", false, "read every layer anew and keep nothing")
}

// someImages are the arguments of a command that reads images, at most so many; 0: any number.
func someImages(most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := "see `" + cmd.CommandPath() + " --help`"
		switch {
		case len(args) == 0:
			return misuse(hint, "want an image: a reference, an archive, a folder or a bill of materials")
		case most > 0 && len(args) > most:
			return misuse(hint, "want one image, and there are %d", len(args))
		}
		return nil
	}
}

// maxLayerCache is how many bytes the results of layers may take on disk.
const maxLayerCache = 1 << 30

// layers is the cache of layers; nil where there is none.
func (o *imageOptions) layers() *layer.Cache {
	if o.noCache {
		return nil
	}
	dir := o.cache
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil { // a user without a home keeps nothing
			return nil
		}
		dir = filepath.Join(base, "bulwark", "layers")
	}
	return layer.NewCache(dir, maxLayerCache)
}

// imageFinders are what every layer is asked for.
func imageFinders() []layer.Finder { return append(packages.Finders(), secret.Finder{}) }

// read says what an image is.
func (o *imageOptions) read(ctx context.Context, ref string, p *progress) (*image.Image, error) {
	p.say("reading %s", ref)
	src, err := imagesource.Open(ctx, ref, imagesource.Options{Platform: o.platform, Insecure: o.insecure, Stdin: o.streams.In})
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }() // it was only read
	if src.SBOM != nil {
		img, err := sbom.Read(src.SBOM)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		if img.Name == "" {
			img.Name = src.Name
		}
		return img, nil
	}
	img, err := inspect.Image(ctx, src, imageFinders(), inspect.Options{Cache: o.layers(), Config: secretsOf})
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	return img, nil
}

// secretsOf finds the secrets of a configuration. Their values go no further.
func secretsOf(c *v1.ConfigFile) []image.Secret {
	history := make([]string, len(c.History))
	for i, h := range c.History {
		history[i] = h.CreatedBy
	}
	return secret.InConfig(c.Config.Env, history, c.Config.Labels)
}

// untold says on stderr what of an image could not be read, for what has no place for it.
func untold(w io.Writer, img *image.Image) {
	for _, g := range img.Gaps {
		where := img.Name
		if g.Path != "" {
			where = g.Path
		}
		fmt.Fprintf(w, "bulwark: not read: %s: %s\n", printable(where), printable(g.Reason))
	}
}
