package match

import (
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
)

// A distribution is the release whose advisories are for an image's OS packages.
type distribution struct {
	key  advisory.Key // empty: nobody's
	of   image.Type   // what its packages are
	name string       // for people: "debian 12"
	why  string       // why there is no key
}

// A family is how a distribution's releases are named in keys.
type family struct {
	of      image.Type
	key     string
	release func(image.OS) string // nil: it has none
}

// families are by os-release's ID. A derivative that is not here is not taken for what
// it derives from: Kali rebuilds Debian's packages under versions of its own, and an
// advisory says nothing of those.
var families = map[string]family{
	"debian":              {image.Deb, "deb/debian/", debianRelease},
	"ubuntu":              {image.Deb, "deb/ubuntu/", whole},
	"alpine":              {image.Apk, "apk/alpine/", alpineRelease},
	"wolfi":               {image.Apk, "apk/wolfi", nil},
	"chainguard":          {image.Apk, "apk/chainguard", nil},
	"almalinux":           {image.RPM, "rpm/almalinux/", major},
	"rocky":               {image.RPM, "rpm/rocky/", major},
	"rhel":                {image.RPM, "rpm/redhat/", major},
	"centos":              {image.RPM, "rpm/redhat/", major},
	"ol":                  {image.RPM, "rpm/oracle/", major},
	"amzn":                {image.RPM, "rpm/amazon/", whole},
	"fedora":              {image.RPM, "rpm/fedora/", whole},
	"sles":                {image.RPM, "rpm/sles/", whole},
	"opensuse-leap":       {image.RPM, "rpm/opensuse-leap/", whole},
	"opensuse-tumbleweed": {image.RPM, "rpm/opensuse-tumbleweed", nil},
	"openEuler":           {image.RPM, "rpm/openeuler/", whole},
	"mageia":              {image.RPM, "rpm/mageia/", whole},
	"azurelinux":          {image.RPM, "rpm/azurelinux/", major},
	"mariner":             {image.RPM, "rpm/mariner/", major},
	"photon":              {image.RPM, "rpm/photon/", whole},
}

func whole(os image.OS) string { return os.Version }

func major(os image.OS) string {
	m, _, _ := strings.Cut(os.Version, ".")
	return m
}

// codenames are those of Debian's releases to come, which have no version yet.
var codenames = map[string]string{"trixie": "13", "forky": "14", "duke": "15", "sid": "sid"}

// debianRelease is the major version; testing and unstable have only a codename.
func debianRelease(os image.OS) string {
	if os.Version == "" {
		return codenames[os.Codename]
	}
	return major(os)
}

// alpineRelease is "3.20" of 3.20.3; edge calls itself by the release to come, as in
// "3.21_alpha20240807".
func alpineRelease(os image.OS) string {
	if strings.Contains(os.Version, "_") {
		return "edge"
	}
	parts := strings.SplitN(os.Version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func distributionOf(os image.OS) distribution {
	d := distribution{name: strings.TrimSpace(os.ID + " " + os.Version)}
	f, known := families[os.ID]
	switch {
	case os.ID == "":
		d.why = "the image does not say which distribution it is"
		return d
	case !known && len(os.Like) > 0:
		d.why = os.ID + " has advisories of its own, which are not known; it is not judged as " + strings.Join(os.Like, " or ")
		return d
	case !known:
		d.why = "no advisories are known for " + os.ID
		return d
	case os.ID == "centos" && strings.Contains(os.Name, "Stream"):
		d.why = "there are no advisories for CentOS Stream, whose packages precede Red Hat's"
		return d
	}
	d.of = f.of
	if f.release == nil {
		d.key = advisory.Key(f.key)
		return d
	}
	release := f.release(os)
	if release == "" {
		d.why = "the image does not say which release of " + os.ID + " it is"
		return d
	}
	d.key = advisory.Key(f.key + release)
	return d
}

// languages are the keys of ecosystems.
var languages = map[image.Type]advisory.Key{
	image.Go: "go", image.NPM: "npm", image.PyPI: "pypi", image.Gem: "rubygems", image.Maven: "maven",
	image.NuGet: "nuget", image.Cargo: "crates", image.Composer: "packagist",
}
