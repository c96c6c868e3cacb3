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
	// Pointer is set where the file at URL, and at Path, is a line with the name of the
	// file that is meant, beside it.
	Pointer bool
}

// alpineReleases are those with a security database of their own.
var alpineReleases = []string{
	"v3.10", "v3.11", "v3.12", "v3.13", "v3.14", "v3.15", "v3.16", "v3.17", "v3.18", "v3.19", "v3.20", "v3.21", "v3.22", "edge",
}

// Feeds are the official addresses of all feeds, by name.
func Feeds() []Feed {
	all := []Feed{
		{"chainguard", feed.KindSecDB, "https://packages.cgr.dev/chainguard/security.json", "chainguard/security.json", false},
		{"debian", feed.KindDebian, "https://security-tracker.debian.org/tracker/data/json", "debian/tracker.json", false},
		{"epss", feed.KindEPSS, "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz", "epss/epss_scores-current.csv.gz", false},
		{"kev", feed.KindKEV, "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json", "kev/known_exploited_vulnerabilities.json", false},
		{"redhat", feed.KindCSAF, "https://security.access.redhat.com/data/csaf/v2/vex/archive_latest.txt", "redhat/archive_latest.txt", true},
		{"wolfi", feed.KindSecDB, "https://packages.wolfi.dev/os/security.json", "wolfi/security.json", false},
	}
	for _, release := range alpineReleases {
		for _, repo := range []string{"main", "community"} {
			path := release + "/" + repo + ".json"
			all = append(all, Feed{"alpine " + release + " " + repo, feed.KindSecDB, "https://secdb.alpinelinux.org/" + path, "secdb/" + path, false})
		}
	}
	// Debian's, Alpine's, Wolfi's and Red Hat's own word is above; the bucket's is made of it.
	for _, ecosystem := range []string{
		"AlmaLinux", "Azure Linux", "Go", "Mageia", "Maven", "NuGet", "Packagist", "PyPI", "Rocky Linux",
		"RubyGems", "SUSE", "Ubuntu", "crates.io", "npm", "openEuler", "openSUSE",
	} {
		path := ecosystem + "/all.zip"
		all = append(all, Feed{"osv " + ecosystem, feed.KindOSV, "https://storage.googleapis.com/osv-vulnerabilities/" + strings.ReplaceAll(path, " ", "%20"), "osv/" + path, false})
	}
	slices.SortFunc(all, func(a, b Feed) int { return strings.Compare(a.Name, b.Name) })
	return all
}
