package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	imagesource "github.com/bulwark-k8s/bulwark/internal/image/source"
	"github.com/bulwark-k8s/bulwark/internal/match"
	"github.com/bulwark-k8s/bulwark/internal/match/facts"
	"github.com/bulwark-k8s/bulwark/internal/report"
)

// clusterImages are the images that a scan looks into.
type clusterImages struct {
	ask  bool
	from []string
	read imageOptions
	with matchOptions

	db *vulnerabilities
	// kept are what --images-from holds; read once.
	kept []imagesource.Entry
	// seen is what was read already, by reference and digest: several clusters run the same.
	seen  map[string]*report.ScannedImage
	found *report.Images
}

func (o *clusterImages) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.ask, "images", false, "also look into the images that run: vulnerabilities, secrets, how they are built; asks their registries")
	f.StringArrayVar(&o.from, "images-from", nil, "look for the images in this `path` before their registries, repeatable: archives, a folder of them, OCI layouts, containerd's root")
	f.StringVar(&o.with.db, "db", "", "the `folder` of the vulnerability database (default in the user's cache)")
	f.StringArrayVar(&o.with.vex, "vex", nil, "with --images: a `file` of statements on what matters (OpenVEX, CycloneDX, CSAF), repeatable")
	f.BoolVar(&o.read.insecure, "insecure-registry", false, "with --images: talk to registries without TLS, or without checking it")
}

// open gets ready, before anything is read of a cluster.
func (o *clusterImages) open(ctx context.Context, config string, started time.Time, version string) error {
	if !o.ask {
		if len(o.from) > 0 {
			return misuse("add --images", "--images-from: nothing looks into images")
		}
		return nil
	}
	o.with.config = config
	var err error
	if o.db, err = o.with.open(started); err != nil {
		return err
	}
	for _, path := range o.from {
		list, err := imagesource.List(ctx, path, imagesource.Options{})
		if err != nil {
			return fmt.Errorf("--images-from %s: %w", path, cause(err))
		}
		o.kept = append(o.kept, list...)
	}
	o.seen = map[string]*report.ScannedImage{}
	o.found = &report.Images{Version: version, Started: started}
	return nil
}

// close gives the database back.
func (o *clusterImages) close() {
	if o.db != nil {
		_ = o.db.Close() // it was only read
	}
}

// add looks into the images of a snapshot, each once. What cannot be read is a gap.
func (o *clusterImages) add(ctx context.Context, s *cluster.Snapshot, now time.Time, p *progress) (*cluster.Snapshot, error) {
	uses := s.Uses()
	o.read.platform = platformOf(s)
	var images []*cluster.Image
	var gaps []cluster.Gap
	of := map[*cluster.Image]*report.ScannedImage{}
	for n, u := range uses {
		p.say("looking into image %d of %d: %s", n+1, len(uses), u.Reference)
		i, err := o.one(ctx, u, p)
		if err != nil {
			return nil, err
		}
		if i.Err != nil {
			gaps = append(gaps, cluster.Gap{Need: cluster.Images, Scope: u.Reference, Reason: i.Err.Error()})
			continue
		}
		fact := facts.Of(i.Image, i.Result, now)
		fact.Name = u.Reference
		if slices.ContainsFunc(images, func(have *cluster.Image) bool { return have.Name == fact.Name && have.Digest == fact.Digest }) {
			continue
		}
		images = append(images, fact)
		of[fact] = i
	}
	out := s.WithImages(images, gaps)
	for _, fact := range out.Images() {
		for _, by := range out.RunBy(fact) {
			if name := by.Object.Ref.String(); !slices.Contains(of[fact].RunBy, name) {
				of[fact].RunBy = append(of[fact].RunBy, name)
			}
		}
	}
	return out, nil
}

// one reads an image, or what was read of it before. An error ends the scan.
func (o *clusterImages) one(ctx context.Context, u cluster.ImageUse, p *progress) (*report.ScannedImage, error) {
	ref := o.locate(u)
	key := ref + " " + o.read.platform
	if have := o.seen[key]; have != nil {
		return have, nil
	}
	out := &report.ScannedImage{Name: u.Reference}
	o.seen[key] = out
	o.found.Images = append(o.found.Images, out)
	img, err := o.read.read(ctx, ref, p)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		out.Err = err
		return out, nil //nolint:nilerr // it becomes a gap
	}
	if out.Result, err = o.db.match(img); err != nil {
		return nil, err
	}
	out.Remedies = match.Remedies(out.Result)
	return out, nil
}

// locate is where an image is read from: what --images-from holds, else its registry, by
// the digest that runs.
func (o *clusterImages) locate(u cluster.ImageUse) string {
	name, digest, _ := strings.Cut(u.Reference, "@")
	digest = cmp.Or(u.Digest, digest)
	for i := range o.kept {
		if o.kept[i].Is(name, digest) {
			return o.kept[i].Ref
		}
	}
	if digest == "" {
		return string(imagesource.Registry) + ":" + u.Reference
	}
	if slash := strings.LastIndexByte(name, '/'); strings.Contains(name[slash+1:], ":") {
		name = name[:strings.LastIndexByte(name, ':')]
	}
	return string(imagesource.Registry) + ":" + name + "@" + digest
}

// platformOf is what the nodes run, where they all run the same; empty otherwise, which
// is linux on this machine's architecture.
func platformOf(s *cluster.Snapshot) string {
	platform := ""
	for _, n := range cluster.All[*corev1.Node](s, "Node") {
		p := n.Status.NodeInfo.OperatingSystem + "/" + n.Status.NodeInfo.Architecture
		if platform != "" && p != platform || p == "/" {
			return ""
		}
		platform = p
	}
	return platform
}
