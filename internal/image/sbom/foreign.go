package sbom

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
)

// A bill is one that is being read.
type bill struct {
	img      *image.Image
	own      bool // it is ours
	binaries []*image.GoBinary
	counted  int
	// releases counts what packages say of the distribution.
	releases map[string]int
	byName   map[string]image.OS
	// nameless are components without a package URL; unread are those whose URL is none.
	nameless, unread []string
	missing          map[image.Type]int // OS packages that say nothing of a release
	// from is the distribution that a package says it is of, by its place.
	from map[int]string
}

func newBill() *bill {
	return &bill{img: &image.Image{}, releases: map[string]int{}, byName: map[string]image.OS{}, missing: map[image.Type]int{}, from: map[int]string{}}
}

var errMany = errors.New("it has more components than any image")

func (b *bill) count() error {
	if b.counted++; b.counted > MaxPackages {
		return errMany
	}
	return nil
}

func (b *bill) gap(format string, args ...any) {
	b.img.Gaps = append(b.img.Gaps, image.Gap{Layer: -1, Reason: fmt.Sprintf(format, args...)})
}

func (b *bill) ownFacts(f facts) (err error) {
	b.binaries, b.own, err = f.into(b.img)
	return err
}

// said is what another tool says of a component, in whatever format.
type said struct {
	name, version, purl, path string
	licenses                  []string
	// props are CycloneDX's properties, or what an SPDX package's annotations say in the
	// form "Key: value".
	props map[string]string
	// builtFrom is SPDX's sourceInfo.
	builtFrom string
	// loose is set where a component need not be a package.
	loose bool
}

// first is the first property of some names that is there.
func (s *said) first(names ...string) string {
	for _, n := range names {
		if v := s.props[n]; v != "" {
			return v
		}
	}
	return ""
}

// ignored are types of package URLs that are no packages in an image.
var ignored = map[image.Type]bool{"oci": true, "docker": true, "github": true, "gitlab": true, "bitbucket": true, "swid": true}

// foreign takes a package as another tool says it.
func (b *bill) foreign(s said) {
	if s.purl == "" {
		if !s.loose && s.name != "" {
			b.nameless = append(b.nameless, s.name)
		}
		return
	}
	p, release, err := image.FromPURL(s.purl)
	if err != nil {
		b.unread = append(b.unread, cmp.Or(s.name, s.purl))
		return
	}
	if ignored[p.Type] {
		return
	}
	p.Version = cmp.Or(p.Version, s.version)
	p.Licenses = s.licenses
	p.Path = strings.TrimPrefix(cmp.Or(s.first("aquasecurity:trivy:FilePath", "FilePath", "syft:location:0:path", "SrcFile"), s.path), "/")
	qualifiers := qualifiersOf(s.purl)
	if p.Type.OS() {
		s.distributed(&p, &release, qualifiers)
		b.from[len(b.img.Packages)] = release.ID
		if release.ID != "" && release.Version+release.Codename != "" {
			name := release.ID + " " + release.Version + " " + release.Codename
			b.releases[name]++
			b.byName[name] = release
		} else {
			b.missing[p.Type]++
		}
	}
	if id := s.first("aquasecurity:trivy:LayerDiffID", "LayerDiffID", "syft:location:0:layerID"); id != "" {
		p.Layer = b.layer(id)
	}
	b.img.Packages = append(b.img.Packages, p)
}

// distributed completes an OS package with what stands beside its package URL, in the
// words of Trivy, Syft and Docker Scout.
func (s *said) distributed(p *image.Package, release *image.OS, qualifiers url.Values) {
	// A version with an epoch is the whole one.
	if e := qualifiers.Get("epoch"); e != "" && e != "0" && !strings.Contains(p.Version, ":") {
		p.Version = e + ":" + p.Version
	}
	if _, rest, ok := strings.Cut(s.version, ":"); ok && rest == p.Version {
		p.Version = s.version
	}
	p.Module = cmp.Or(p.Module, qualifiers.Get("modularitylabel"), s.first("aquasecurity:trivy:Modularitylabel", "Modularitylabel", "syft:metadata:modularityLabel"))
	p.Arch = cmp.Or(p.Arch, s.first("syft:metadata:architecture"))
	if release.ID == "" || release.Version == "" {
		release.ID = cmp.Or(qualifiers.Get("os_name"), release.ID)
		release.Version = cmp.Or(release.Version, qualifiers.Get("os_version"))
		release.Codename = cmp.Or(release.Codename, qualifiers.Get("os_distro"), qualifiers.Get("distro_name"))
	}
	source, version := s.source()
	if source != "" && source != p.Name {
		p.Source = source
	}
	if version != "" && version != p.Version {
		p.SourceVersion = version
	}
	if p.SourceVersion == "" && p.Source != "" && p.Type == image.Deb {
		// Only the binary's version is known: a rebuild's suffix is not the source's.
		if i := strings.LastIndex(p.Version, "+b"); i > 0 && strings.Trim(p.Version[i+2:], "0123456789") == "" {
			p.SourceVersion = p.Version[:i]
		}
	}
}

// source is what properties say of the source package.
func (s *said) source() (name, version string) {
	if name = s.first("aquasecurity:trivy:SrcName"); name != "" {
		if version = s.first("aquasecurity:trivy:SrcVersion"); version != "" {
			if e := s.first("aquasecurity:trivy:SrcEpoch"); e != "" && e != "0" {
				version = e + ":" + version
			}
			if r := s.first("aquasecurity:trivy:SrcRelease"); r != "" {
				version += "-" + r
			}
		}
		return name, version
	}
	if name = s.first("syft:metadata:source", "syft:metadata:originPackage"); name != "" {
		return name, s.first("syft:metadata:sourceVersion")
	}
	if from, ok := strings.CutPrefix(s.builtFrom, "built package from: "); ok {
		name, version, _ = strings.Cut(strings.TrimSpace(from), " ")
		return name, version
	}
	return "", ""
}

// qualifiersOf are those of a package URL.
func qualifiersOf(purl string) url.Values {
	_, query, _ := strings.Cut(purl, "?")
	query, _, _ = strings.Cut(query, "#")
	v, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B"))
	if err != nil {
		return url.Values{}
	}
	return v
}

// layer is the place of a layer by its DiffID. A bill that says nothing of layers' order
// has them in that of their first package.
func (b *bill) layer(diffID string) int {
	i := slices.IndexFunc(b.img.Layers, func(l image.Layer) bool { return l.DiffID == diffID })
	if i < 0 {
		b.img.Layers = append(b.img.Layers, image.Layer{DiffID: diffID})
		i = len(b.img.Layers) - 1
	}
	return i
}

// system takes what a component of the type operating-system says.
func (b *bill) system(s said) {
	if b.img.OS.ID != "" {
		return
	}
	b.img.OS = release(
		cmp.Or(s.first("syft:distro:id", "aquasecurity:trivy:Type"), s.name),
		cmp.Or(s.first("syft:distro:versionID"), s.version),
	)
	b.img.OS.Name = s.first("syft:distro:prettyName")
	b.img.OS.Codename = s.first("syft:distro:versionCodename")
}

// families are what tools call distributions, with os-release's own ID.
var families = map[string]string{
	"redhat": "rhel", "alma": "almalinux", "amazon": "amzn", "oracle": "ol", "oraclelinux": "ol", "opensuse.leap": "opensuse-leap",
	"opensuse.tumbleweed": "opensuse-tumbleweed", "suse linux enterprise server": "sles", "cbl-mariner": "mariner", "rockylinux": "rocky",
}

// points are distributions whose VERSION_ID is the major version alone, while tools
// write the point release.
var points = map[string]bool{"debian": true, "amzn": true}

// release is an OS of what tools call it and its version.
func release(id, version string) image.OS {
	os := image.OS{ID: strings.ToLower(strings.TrimSpace(id))}
	os.ID = cmp.Or(families[os.ID], os.ID)
	os.Version, _, _ = strings.Cut(strings.TrimSpace(version), " ")
	if major, _, ok := strings.Cut(os.Version, "."); ok && points[os.ID] {
		os.Version, os.Point = major, os.Version
	}
	return os
}

// image concludes what was read.
func (b *bill) image() (*image.Image, error) {
	img := b.img
	if b.own {
		return img, nil
	}
	names := slices.SortedFunc(maps.Keys(b.releases), func(x, y string) int {
		return cmp.Or(cmp.Compare(b.releases[y], b.releases[x]), cmp.Compare(x, y))
	})
	if len(names) > 0 {
		most := b.byName[names[0]]
		told := release(most.ID, most.Version)
		told.Codename = most.Codename
		switch {
		case img.OS.ID == "":
			img.OS = told
		case img.OS.ID == told.ID && img.OS.Version == "":
			img.OS.Version, img.OS.Point = told.Version, told.Point
		}
	}
	b.strangers()
	if img.OS.ID == "" || img.OS.Version == "" && img.OS.Codename == "" {
		for _, t := range slices.Sorted(maps.Keys(b.missing)) {
			img.Gaps = append(img.Gaps, image.Gap{
				Layer: -1, Type: t, Reason: fmt.Sprintf("the bill does not name the release of the distribution with %s", counted(b.missing[t], "package")),
			})
		}
	}
	if end, ok := packages.EndOfLife(img.OS); ok {
		img.OS.EndOfLife = end
	}
	if len(b.nameless) > 0 {
		b.gap("%s without a package URL: %s", counted(len(b.nameless), "component"), some(b.nameless))
	}
	if len(b.unread) > 0 {
		b.gap("%s with a package URL that is none: %s", counted(len(b.unread), "component"), some(b.unread))
	}
	if len(img.Packages) == 0 {
		b.gap("the bill names no package")
	}
	return img, nil
}

// strangers takes out the packages of other distributions than the image's: its
// advisories say nothing of them.
func (b *bill) strangers() {
	img, kept := b.img, b.img.Packages[:0]
	away := map[string]int{}
	for i, p := range img.Packages {
		if id := kin(release(b.from[i], "").ID); id != "" && kin(img.OS.ID) != "" && id != kin(img.OS.ID) {
			away[id]++
			continue
		}
		kept = append(kept, p)
	}
	img.Packages = kept
	for _, id := range slices.Sorted(maps.Keys(away)) {
		b.gap("%s of %s in an image of %s", counted(away[id], "package"), id, img.OS.ID)
	}
}

// kin is what distributions that share packages have in common.
func kin(id string) string {
	switch id {
	case "chainguard":
		return "wolfi"
	case "sles", "sled", "opensuse", "opensuse-leap", "opensuse-tumbleweed":
		return "suse"
	}
	return id
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// some are at most five of the names, in order.
func some(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	more := ""
	if len(names) > 5 {
		names, more = names[:5], ", …"
	}
	for i, n := range names {
		names[i] = fmt.Sprintf("%.60s", n)
	}
	return strings.Join(names, ", ") + more
}
