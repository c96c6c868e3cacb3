package store

import (
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
)

// A Feed is where something is published.
type Feed struct {
	Name string
	Kind feed.Kind
	// URL is the official address.
	URL string
	// Path is where a mirror has it, below the mirror's own address.
	Path string
	// Maybe is set where nothing may be there: it is no failure then.
	Maybe bool
	// Pointer is set where the file at URL, and at Path, is a line with the name of the
	// file that is meant, beside it.
	Pointer bool
}

// alpineReleases are those with a security database of their own.
var alpineReleases = []string{
	"v3.10", "v3.11", "v3.12", "v3.13", "v3.14", "v3.15", "v3.16", "v3.17", "v3.18", "v3.19", "v3.20", "v3.21", "v3.22", "edge",
}

// alpineToCome are releases that may be there by now.
var alpineToCome = []string{"v3.23", "v3.24", "v3.25", "v3.26"}

// Feeds are the official addresses of all feeds, by name.
func Feeds() []Feed {
	all := []Feed{
		{Name: "chainguard", Kind: feed.KindSecDB, URL: "https://packages.cgr.dev/chainguard/security.json", Path: "chainguard/security.json"},
		{Name: "debian", Kind: feed.KindDebian, URL: "https://security-tracker.debian.org/tracker/data/json", Path: "debian/tracker.json"},
		{Name: "epss", Kind: feed.KindEPSS, URL: "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz", Path: "epss/epss_scores-current.csv.gz"},
		{Name: "kev", Kind: feed.KindKEV, URL: "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json", Path: "kev/known_exploited_vulnerabilities.json"},
		{Name: "redhat", Kind: feed.KindCSAF, URL: "https://security.access.redhat.com/data/csaf/v2/vex/archive_latest.txt", Path: "redhat/archive_latest.txt", Pointer: true},
		{Name: "wolfi", Kind: feed.KindSecDB, URL: "https://packages.wolfi.dev/os/security.json", Path: "wolfi/security.json"},
	}
	for _, release := range slices.Concat(alpineReleases, alpineToCome) {
		for _, repo := range []string{"main", "community"} {
			path := release + "/" + repo + ".json"
			all = append(all, Feed{
				Name: "alpine " + release + " " + repo, Kind: feed.KindSecDB, URL: "https://secdb.alpinelinux.org/" + path, Path: "secdb/" + path,
				Maybe: slices.Contains(alpineToCome, release),
			})
		}
	}
	// Debian's, Alpine's, Wolfi's and Red Hat's own word is above; the bucket's is made of it.
	for _, ecosystem := range []string{
		"AlmaLinux", "Azure Linux", "Go", "Mageia", "Maven", "NuGet", "Packagist", "PyPI", "Rocky Linux",
		"RubyGems", "SUSE", "Ubuntu", "crates.io", "npm", "openEuler", "openSUSE",
	} {
		path := ecosystem + "/all.zip"
		all = append(all, Feed{Name: "osv " + ecosystem, Kind: feed.KindOSV, URL: "https://storage.googleapis.com/osv-vulnerabilities/" + strings.ReplaceAll(path, " ", "%20"), Path: "osv/" + path})
	}
	slices.SortFunc(all, func(a, b Feed) int { return strings.Compare(a.Name, b.Name) })
	return all
}
