// Package inspect joins what a source gives and what its layers hold to one image. It
// judges nothing.
package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
	"github.com/bulwark-k8s/bulwark/internal/image/source"
)

// Options are for Image; the zero value works.
type Options struct {
	// Cache keeps what layers hold; nil: each is read.
	Cache *layer.Cache
	// Limits are those of each layer.
	Limits layer.Limits
	// MaxBytes is the largest number of uncompressed bytes of all layers together;
	// 0: 128 GiB.
	MaxBytes int64
	// Workers is how many layers are read at once; 0: one for each processor.
	Workers int
	// TempDir is as in layer.Options.
	TempDir string
	// Config finds the secrets in a configuration, whose values go nowhere else; nil: none.
	Config func(*v1.ConfigFile) []image.Secret
	// Bases are images that this one may have been built on.
	Bases []Base
}

// A Base is an image that others are built on.
type Base struct {
	Name, Digest string
	// DiffIDs are its layers.
	DiffIDs []string
}

// Image reads an image. A layer that cannot be read to its end is a gap, and so is what
// a finder could not make out; an error means that there is nothing to be told: the
// context has ended, or content is not what its digest says (source.ErrDigest).
//
// The result is the same whatever the number of workers, and with and without a cache.
func Image(ctx context.Context, s *source.Source, finders []layer.Finder, o Options) (*image.Image, error) {
	if s.Kind == source.SBOM {
		return nil, fmt.Errorf("%s: is a bill of materials, not an image", s.Name)
	}
	img := describe(s)
	results, err := read(ctx, s, finders, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	for i, r := range results {
		if i < len(img.Layers) {
			img.Layers[i].Size = r.Size
		} else { // a folder
			img.Layers = append(img.Layers, image.Layer{Size: r.Size})
		}
	}
	m := layer.Merge(results)
	img.OS = packages.System(m.Systems)
	img.Packages, img.Files, img.Shells, img.Managers, img.Secrets, img.Gaps = m.Packages, m.Files, m.Shells, m.Managers, m.Secrets, m.Gaps
	if o.Config != nil {
		img.Secrets = append(o.Config(s.Config), img.Secrets...)
	}
	img.Base = base(img, s.Annotations, o.Bases)
	if img.Base != nil {
		for i := range img.Layers[:img.Base.Layers] {
			img.Layers[i].Base = true
		}
	}
	return img, nil
}

// read gives each layer's result, from the cache or by reading it, the largest first so
// that the last to end are small.
func read(ctx context.Context, s *source.Source, finders []layer.Finder, o Options) ([]*layer.Result, error) {
	options := layer.Options{Limits: o.Limits, Budget: layer.NewBudget(o.MaxBytes), TempDir: o.TempDir}
	if s.Root != nil {
		r, err := layer.ReadFolder(ctx, s.Root, finders, options)
		if err := settle(ctx, r, err); err != nil {
			return nil, err
		}
		return []*layer.Result{r}, nil
	}
	order := make([]int, len(s.Layers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.Layers[b].Size, s.Layers[a].Size) })

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]*layer.Result, len(s.Layers))
	errs := make([]error, len(s.Layers))
	var next atomic.Int64
	var kept atomic.Bool
	var group sync.WaitGroup
	for range min(cmp.Or(o.Workers, runtime.GOMAXPROCS(0)), len(order)) {
		group.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(order); n = int(next.Add(1)) - 1 {
				i := order[n]
				l := &s.Layers[i]
				key := layer.Key(l.Verified(), finders, o.Limits)
				if results[i] = o.Cache.Get(key); results[i] != nil && options.Budget.Admit(results[i]) {
					continue
				}
				r, err := layer.Read(ctx, func() (io.ReadCloser, error) { return l.Open(ctx) }, finders, options)
				results[i] = r
				if err == nil && o.Cache.Put(key, r) == nil {
					kept.Store(true)
				}
				if errs[i] = settle(ctx, r, err); errs[i] != nil {
					cancel()
				}
			}
		})
	}
	group.Wait()
	if kept.Load() {
		_ = o.Cache.Trim() // a cache that is too large, or may not be written, is no reason to stop
	}
	// The first that ended the others, not the ones that were ended.
	slices.SortStableFunc(errs, func(a, b error) int {
		return cmp.Compare(rank(a), rank(b))
	})
	if len(errs) > 0 && errs[0] != nil {
		return nil, errs[0]
	}
	return results, nil
}

func rank(err error) int {
	switch {
	case err == nil:
		return 2
	case errors.Is(err, context.Canceled):
		return 1
	}
	return 0
}

// settle makes a gap of an error that leaves the rest of the image good.
func settle(ctx context.Context, r *layer.Result, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || errors.Is(err, source.ErrDigest) {
		return err
	}
	r.Gaps = append(r.Gaps, image.Gap{Reason: "the rest of the layer could not be read: " + err.Error()})
	return nil
}
