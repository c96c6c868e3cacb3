// Package facts turns what was read of an image, and what is known to be wrong with it,
// into a fact of a cluster's Snapshot, which the catalogue judges.
package facts

import (
	"io/fs"
	"slices"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// Of an image as it was read at a moment. With a result, what is known to be wrong with
// it is told too; without, nobody looked.
func Of(img *image.Image, r *match.Result, seen time.Time) *cluster.Image {
	out := &cluster.Image{
		Name: img.Name, Digest: img.Digest, User: img.Config.User, Ports: img.Config.Ports,
		Env: img.Config.Env, Labels: img.Config.Labels, Shells: img.Shells, Managers: img.Managers, Seen: seen,
		OS: cluster.ImageOS{Name: img.OS.Name, ID: img.OS.ID, Version: img.OS.Version, EndOfLife: img.OS.EndOfLife},
	}
	out.Unconfigured = img.ID == ""
	if img.Platform != (image.Platform{}) {
		out.Platform = img.Platform.String()
	}
	for _, d := range []string{img.ID, img.Index} {
		if d != "" && d != img.Digest {
			out.Digests = append(out.Digests, d)
		}
	}
	if b := img.Base; b != nil {
		out.Base = &cluster.ImageBase{Name: b.Name, Digest: b.Digest}
	}
	base := func(layer int) bool { return layer >= 0 && layer < len(img.Layers) && img.Layers[layer].Base }
	for _, s := range img.History {
		out.History = append(out.History, cluster.ImageStep{Command: s.Command, Base: base(s.Layer)})
	}
	for _, s := range img.Secrets {
		out.Secrets = append(out.Secrets, cluster.ImageSecret{Rule: s.Rule, About: s.About, Path: s.Path, Line: s.Line, Deleted: s.Deleted, Base: base(s.Layer)})
	}
	for _, f := range img.Files {
		out.Files = append(out.Files, cluster.ImageFile{
			Path: f.Path, Mode: mode(f.Mode), UID: f.UID, GID: f.GID, Capabilities: f.Capabilities, Owner: f.Owner, Base: base(f.Layer),
		})
	}
	for i := range img.Packages {
		if p := &img.Packages[i]; p.Type.OS() {
			out.Packages = append(out.Packages, p.Name)
		}
	}
	slices.Sort(out.Packages)
	out.Packages = slices.Compact(out.Packages)
	if r != nil {
		matched(out, r, base)
	}
	return out
}

func matched(out *cluster.Image, r *match.Result, base func(layer int) bool) {
	out.Matched = true
	for i := range r.Findings {
		f := &r.Findings[i]
		v := cluster.Vulnerability{
			ID: f.ID, IDs: f.IDs, Package: string(f.Package.Type) + ":" + f.Package.Name, Installed: f.Package.Version,
			FixedIn: f.FixedIn, Severity: f.Severity.String(), State: f.State.String(),
			Exploited: !f.Exploited.IsZero(), EPSS: f.EPSS, Path: f.Package.Path, Base: base(f.Package.Layer),
		}
		switch f.Reachable {
		case match.PackageThere:
			v.Reachable = "package"
		case match.SymbolThere:
			v.Reachable = "symbol"
		case match.NotTold:
		}
		if v.State == advisory.Affected.String() && len(v.FixedIn) > 0 {
			v.State = advisory.Fixed.String()
		}
		out.Vulnerabilities = append(out.Vulnerabilities, v)
	}
	for _, n := range r.NotAssessed {
		out.NotAssessed = append(out.NotAssessed, cluster.NotAssessed{Type: string(n.Type), Packages: n.Packages, Reason: n.Reason})
	}
}

// mode is a file's mode as stat(2) has it.
func mode(m fs.FileMode) uint32 {
	out := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		out |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		out |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		out |= 0o1000
	}
	return out
}
