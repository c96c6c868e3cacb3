package feed

import (
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// An ecosystem is what an OSV record's package belongs to.
type ecosystem struct {
	key    advisory.Key
	source string // the name of the feed, for people
	order  string // whose version order applies, as scalibr's semantic package names it
	distro bool
}

var languages = map[string]ecosystem{
	"Go":        {key: "go", source: "osv-go", order: "Go"},
	"npm":       {key: "npm", source: "osv-npm", order: "npm"},
	"PyPI":      {key: "pypi", source: "osv-pypi", order: "PyPI"},
	"Maven":     {key: "maven", source: "osv-maven", order: "Maven"},
	"RubyGems":  {key: "rubygems", source: "osv-rubygems", order: "RubyGems"},
	"NuGet":     {key: "nuget", source: "osv-nuget", order: "NuGet"},
	"crates.io": {key: "crates", source: "osv-crates", order: "crates.io"},
	"Packagist": {key: "packagist", source: "osv-packagist", order: "Packagist"},
}

// ecosystemOf reads the name of an ecosystem as the OSV schema defines it; false for
// those whose packages no image is searched for, and for releases that nobody runs.
func ecosystemOf(name string) (ecosystem, bool) {
	if e, ok := languages[name]; ok {
		return e, true
	}
	base, suffix, _ := strings.Cut(name, ":")
	release := func(key, source, release string) (ecosystem, bool) {
		if release == "" || strings.ContainsAny(release, "/: ") {
			return ecosystem{}, false
		}
		return ecosystem{advisory.Key(key + "/" + release), source, base, true}, true
	}
	switch base {
	case "Maven": // "Maven:https://repository…": the same coordinates, another repository
		return languages["Maven"], true
	case "Debian":
		return release("deb/debian", "debian", suffix)
	case "Ubuntu":
		return ubuntu(suffix)
	case "Alpine":
		return release("apk/alpine", "alpine", strings.TrimPrefix(suffix, "v"))
	case "Wolfi":
		return ecosystem{"apk/wolfi", "wolfi", base, true}, true
	case "Chainguard":
		return ecosystem{"apk/chainguard", "chainguard", base, true}, true
	case "AlmaLinux":
		return release("rpm/almalinux", "almalinux", suffix)
	case "Rocky Linux":
		return release("rpm/rocky", "rocky", suffix)
	case "Red Hat":
		// "Red Hat:enterprise_linux:9::appstream". Other products, and the extended
		// support of a minor release, have packages that no plain system gets.
		product, rest, _ := strings.Cut(suffix, ":")
		version, _, _ := strings.Cut(rest, ":")
		if product != "enterprise_linux" {
			return ecosystem{}, false
		}
		major, _, _ := strings.Cut(version, ".")
		return release("rpm/redhat", "redhat", major)
	case "openSUSE":
		if suffix == "Tumbleweed" {
			return ecosystem{"rpm/opensuse-tumbleweed", "suse", base, true}, true
		}
		leap, ok := strings.CutPrefix(suffix, "Leap ")
		if !ok {
			return ecosystem{}, false
		}
		return release("rpm/opensuse-leap", "suse", leap)
	case "SUSE":
		return suse(suffix)
	case "Azure Linux":
		if suffix == "1" || suffix == "2" {
			return ecosystem{advisory.Key("rpm/mariner/" + suffix), "azurelinux", "Red Hat", true}, true
		}
		e, ok := release("rpm/azurelinux", "azurelinux", suffix)
		e.order = "Red Hat"
		return e, ok
	case "openEuler":
		version, _, _ := strings.Cut(suffix, "-")
		return release("rpm/openeuler", "openeuler", version)
	case "Mageia":
		return release("rpm/mageia", "mageia", suffix)
	}
	return ecosystem{}, false
}

// ubuntu reads "22.04:LTS" and "Pro:22.04:LTS". Other streams of Pro (FIPS, Realtime) are
// kernels and libraries of their own, and are not taken.
func ubuntu(suffix string) (ecosystem, bool) {
	parts := strings.Split(suffix, ":")
	e := ecosystem{source: "ubuntu", order: "Ubuntu", distro: true}
	tail := ""
	if parts[0] == "Pro" {
		parts, tail, e.source = parts[1:], "/pro", "ubuntu-pro"
	}
	if len(parts) == 0 || len(parts) > 2 || len(parts) == 2 && parts[1] != "LTS" || !isRelease(parts[0]) {
		return ecosystem{}, false
	}
	e.key = advisory.Key("deb/ubuntu/" + parts[0] + tail)
	return e, true
}

// isRelease reports whether a text is digits and dots, as "22.04".
func isRelease(s string) bool {
	return s != "" && s[0] != '.' && strings.Trim(s, "0123456789.") == ""
}

// suse reads "Linux Enterprise Server 15 SP5" and "Linux Enterprise Module for
// Basesystem 15 SP5": packages of modules are on servers of their release.
func suse(suffix string) (ecosystem, bool) {
	words := strings.Fields(suffix)
	if len(words) < 3 || words[0] != "Linux" || words[1] != "Enterprise" || strings.Contains(suffix, "Live Patching") || strings.Contains(suffix, "LTSS") {
		return ecosystem{}, false
	}
	last := words[len(words)-1]
	if pack, ok := strings.CutPrefix(last, "SP"); ok && isRelease(words[len(words)-2]) && isRelease(pack) {
		return ecosystem{advisory.Key("rpm/sles/" + words[len(words)-2] + "." + pack), "suse", "SUSE", true}, true
	}
	if isRelease(last) {
		return ecosystem{advisory.Key("rpm/sles/" + last), "suse", "SUSE", true}, true
	}
	return ecosystem{}, false
}
