package vex

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// A Name is one identity of a product or component: any of what a document gives it.
type Name struct {
	packages []image.Pattern
	images   []oci
	// plain is what is no package URL: an image's reference.
	plain []string
	// digests are of files or manifests: "sha256:…".
	digests []string
	// release is a distribution, as a CPE has it: "rhel" and its major version.
	release image.OS
}

// An oci is a package URL of type oci: an image.
type oci struct {
	name, digest, repository, tag, arch string
}

// add reads one identifier.
func (n *Name) add(id string) {
	switch id = strings.TrimSpace(id); {
	case id == "":
	case strings.HasPrefix(id, "cpe:"):
		n.cpe(id)
	case !strings.HasPrefix(id, "pkg:"):
		n.plain = append(n.plain, id)
	case strings.HasPrefix(id, "pkg:oci/"):
		if o, ok := readOCI(id); ok {
			n.images = append(n.images, o)
		}
	default:
		if x, err := image.ParsePattern(id); err == nil {
			n.packages = append(n.packages, x)
		}
	}
}

// nameOf is the name that identifiers give.
func nameOf(ids ...string) Name {
	var n Name
	for _, id := range ids {
		n.add(id)
	}
	return n
}

// hash adds a digest, by the names that formats give its algorithm.
func (n *Name) hash(algorithm, value string) {
	if strings.EqualFold(strings.ReplaceAll(algorithm, "-", ""), "sha256") && value != "" {
		n.digests = append(n.digests, "sha256:"+strings.ToLower(strings.TrimPrefix(value, "sha256:")))
	}
}

// cpe reads the CPE of an enterprise Linux, of which CSAF documents of Red Hat say what
// a package is a component of. No other CPE names an image, or a package exactly.
func (n *Name) cpe(id string) {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(id, "cpe:2.3:"), "cpe:/"), ":")
	if len(parts) < 4 || parts[1] != "redhat" || parts[2] != "enterprise_linux" {
		return
	}
	if version, _, _ := strings.Cut(parts[3], "."); version != "" && strings.Trim(version, "0123456789") == "" {
		n.release = image.OS{ID: "rhel", Version: version}
	}
}

func readOCI(id string) (oci, bool) {
	rest, _, sub := strings.Cut(strings.TrimPrefix(id, "pkg:oci/"), "#")
	rest, query, _ := strings.Cut(rest, "?")
	q, err := url.ParseQuery(query)
	if err != nil || sub {
		return oci{}, false
	}
	name, digest, _ := strings.Cut(rest, "@")
	if name, err = url.PathUnescape(name); err != nil {
		return oci{}, false
	}
	if digest, err = url.PathUnescape(digest); err != nil {
		return oci{}, false
	}
	for k := range q {
		if !slices.Contains([]string{"repository_url", "tag", "arch", "os"}, k) {
			return oci{}, false
		}
	}
	return oci{strings.ToLower(name), digest, repository(q.Get("repository_url")), q.Get("tag"), q.Get("arch")}, name != ""
}

// repository is a repository as registries know it: without a scheme, and Docker Hub's
// under its one name.
func repository(s string) string {
	_, after, ok := strings.Cut(s, "://")
	if ok {
		s = after
	}
	s = strings.TrimSuffix(s, "/")
	host, rest, ok := strings.Cut(s, "/")
	switch {
	case s == "":
		return ""
	case !ok:
		return "docker.io/library/" + s
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return "docker.io/" + s
	case host == "index.docker.io" || host == "docker.io":
		if !strings.Contains(rest, "/") {
			rest = "library/" + rest
		}
		return "docker.io/" + rest
	}
	return s
}

// reference splits the name that an image was asked for by.
func reference(s string) (repo, tag string) {
	s, _, _ = strings.Cut(s, "@")
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
		s, tag = s[:i], s[i+1:]
	}
	return repository(s), tag
}

// empty reports whether nothing is named.
func (n *Name) empty() bool {
	return len(n.packages)+len(n.images)+len(n.plain)+len(n.digests) == 0 && n.release.ID == ""
}

// image reports whether the name is an image's.
func (n *Name) image(img *image.Image) bool {
	if img.Digest != "" && slices.Contains(n.digests, img.Digest) {
		return true
	}
	repo, tag := reference(img.Name)
	for _, s := range n.plain {
		r, t := reference(s)
		if img.Name != "" && (s == img.Name || s == path.Base(repo) || strings.Contains(s, "/") && r == repo && (t == "" || t == tag)) {
			return true
		}
	}
	for _, o := range n.images {
		if o.arch != "" && o.arch != img.Platform.Architecture {
			continue
		}
		if o.digest != "" {
			if o.digest == img.Digest {
				return true // which is the image, wherever it was read from
			}
			continue
		}
		if o.name == strings.ToLower(path.Base(repo)) && (o.repository == "" || o.repository == repo) && (o.tag == "" || o.tag == tag) {
			return true
		}
	}
	return false
}

// of reports whether the name is that of an image's distribution.
func (n *Name) of(img *image.Image) bool {
	major, _, _ := strings.Cut(img.OS.Version, ".")
	return n.release.ID != "" && n.release.ID == img.OS.ID && n.release.Version == major
}

// is reports whether the name is a package's.
func (n *Name) is(p *image.Package, img *image.Image) bool {
	return slices.ContainsFunc(n.packages, func(x image.Pattern) bool { return x.Matches(p, img.OS) })
}

// covers reports whether a product is a finding's: the image or the package itself, or
// what holds it, of which the package is named as a component.
func (p Product) covers(img *image.Image, f *match.Finding) bool {
	component := slices.ContainsFunc(p.Components, func(n Name) bool { return n.is(f.Package, img) })
	switch {
	case len(p.Components) > 0 && !component:
		return false
	case p.Name.image(img), p.Name.is(f.Package, img):
		return true
	case !component:
		return false // a whole distribution, or whatever a package is part of, is not meant by one word
	case p.Name.of(img):
		return f.Package.Type.OS()
	}
	// Every place at which the package is has to be within the product.
	return len(f.Paths) > 0 && !slices.ContainsFunc(f.Paths, func(at string) bool { return !p.Name.holds(img, f.Package, at) })
}

// holds reports whether a package that the name is of holds what is at a place: it is
// the main module of that binary, owns the file, is the archive around it, or lies in a
// folder above.
func (n *Name) holds(img *image.Image, part *image.Package, at string) bool {
	for i := range img.Packages {
		q := &img.Packages[i]
		if !n.is(q, img) {
			continue
		}
		switch {
		case q.Type == image.Go:
			if q.Go != nil && q.Name == q.Go.Main && q.Path == at {
				return true
			}
		case q.Type.OS():
			if part.Owner == string(q.Type)+":"+q.Name {
				return true
			}
		case strings.HasPrefix(at, q.Path+"!/"):
			return true
		case q.Type == image.NPM && at != q.Path && path.Dir(q.Path) != "." && strings.HasPrefix(at, path.Dir(q.Path)+"/"):
			return true
		}
	}
	return false
}
