// Package advisory says what is known of vulnerabilities: which versions of which
// packages they are in, by whose word, and how grave they are. It is the language
// between the feeds that are read (feed), the tables they are kept in (table), the
// store that tables live in (store), and the matcher.
package advisory

import (
	"fmt"
	"time"
)

// A State is what a source says of a package and a vulnerability. The zero value is
// Affected: a source that names a package without saying more means that.
type State uint8

// The states, as the distributions' trackers and VEX have them.
const (
	Affected           State = iota // no fix is known, or the ranges say where it is fixed
	Fixed                           // fixed in the version that the ranges name
	WontFix                         // the distributor decided against a fix (ignored, out of support, unimportant)
	Deferred                        // a fix is not urgent for the distributor (postponed, no-dsa, fix deferred)
	NotAffected                     // the distributor says that the package never had it
	UnderInvestigation              // nobody has decided yet
)

var states = [...]string{"affected", "fixed", "wont-fix", "deferred", "not-affected", "under-investigation"}

func (s State) String() string {
	if int(s) < len(states) {
		return states[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range states {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("state %q: want affected, fixed, wont-fix, deferred, not-affected or under-investigation", text)
}

// A Severity is how grave a source says a vulnerability is. Zero: it does not say.
type Severity uint8

// The severities. Negligible is Debian's "unimportant" and Ubuntu's "negligible".
const (
	Unrated Severity = iota
	Negligible
	Low
	Medium
	High
	Critical
)

var severities = [...]string{"unrated", "negligible", "low", "medium", "high", "critical"}

func (s Severity) String() string {
	if int(s) < len(severities) {
		return severities[s]
	}
	return fmt.Sprintf("severity %d", uint8(s))
}

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity's name.
func (s *Severity) UnmarshalText(text []byte) error {
	for i, name := range severities {
		if name == string(text) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("severity %q: want critical, high, medium, low, negligible or unrated", text)
}

// A Record is what one advisory of one source says of one package.
type Record struct {
	// ID is the advisory's own: "GO-2026-5024", "ALSA-2024:1234", "DSA-5678-1", or a CVE
	// where the source files by that.
	ID string
	// IDs are all names of the vulnerabilities that it is about: aliases of one, joined
	// across sources when the table was built, in groups: an advisory that fixes three
	// CVEs (its "upstream" or "related" in some feeds) has three groups. The first of
	// each group is its canonical name, a CVE where there is one.
	IDs [][]string
	// Ranges are the versions that have it; a version in any of them has it. With
	// neither Ranges nor Versions, every version has it.
	Ranges []Range
	// Versions are further versions that have it, exactly as the ecosystem writes them.
	Versions []string
	State    State
	// Severity is the source's own word for this package; Unrated where it has none.
	Severity Severity
	// CVSS are vectors that the source gives: "CVSS:3.1/AV:N/…", "CVSS:4.0/…".
	CVSS []string
	// Only says what else must be true.
	Only Qualifiers
	// Source is the feed's name: "alpine", "debian", "osv-go", "redhat".
	Source string
}

// A Range is one span of versions: from Introduced on ("" and "0": from the first), up
// to but without Fixed, or up to and with LastAffected; both empty: no end.
type Range struct {
	Introduced, Fixed, LastAffected string
}

// Qualifiers narrow a Record. An empty list does not.
type Qualifiers struct {
	// Arch are the architectures, as the package type names them.
	Arch []string
	// Module is a stream of an RPM module, "nodejs:12".
	Module string
	// Imports are the packages of a Go module that have it.
	Imports []Import
	// Source is set where the name and the versions are those of a source package, in a
	// shard whose others are of binary packages: Red Hat names what it has not fixed by
	// source, and what it has by binary. In a shard with BySource it is never set.
	Source bool
}

// An Import is one package of a Go module, as the Go vulnerability database has it.
type Import struct {
	Path         string
	GOOS, GOARCH []string
	// Symbols are the functions and methods; empty: any use of the package.
	Symbols []string
}

// An Enrichment is what is known of a vulnerability whoever ships it.
type Enrichment struct {
	// Exploited is the day on which it was added to the catalogue of known exploited
	// vulnerabilities; zero if it is not there.
	Exploited time.Time
	// Ransomware is the catalogue's word on use by ransomware.
	Ransomware bool
	// EPSS is the probability of exploitation in the next 30 days, 0 to 1, and its
	// percentile; both zero where it is not known.
	EPSS, Percentile float32
	// CVSS are vectors from sources that are no distributor.
	CVSS []string
}

// A Detail is what a person reads of an advisory.
type Detail struct {
	Summary    string
	Published  time.Time
	References []string
}

// A Key names a shard: the table in which the packages of one ecosystem, or of one
// release of one distribution, are found.
//
//	go npm pypi maven rubygems nuget crates packagist
//	deb/debian/12 deb/ubuntu/24.04 apk/alpine/3.20 apk/alpine/edge apk/wolfi apk/chainguard
//	rpm/almalinux/8 rpm/rocky/9 rpm/redhat/9 rpm/sles/15.5 rpm/opensuse-leap/15.5
//	rpm/opensuse-tumbleweed rpm/azurelinux/3 rpm/mariner/2 rpm/openeuler/24.03 rpm/mageia/9
//
// What follows the type is os-release's ID and, as far as the feeds tell releases apart,
// its VERSION_ID, but for Red Hat's, which is "redhat". The fixes that only subscribers
// of Ubuntu Pro get are in deb/ubuntu/24.04/pro, beside those that everybody gets.
type Key string

// A Shard holds the Records of one Key by package name: the name of the source package
// where BySource is true, of the binary package elsewhere.
type Shard interface {
	// Lookup returns the records of a package, ordered by ID; nil where there are none.
	Lookup(name string) ([]Record, error)
	Info() ShardInfo
}

// ShardInfo is what a shard says of itself.
type ShardInfo struct {
	Key Key `json:"key"`
	// BySource is true where names and versions are those of source packages.
	BySource bool `json:"bySource"`
	// Comprehensive is true where the distributor's silence means that it knows of
	// nothing: what it ships and does not list needs no second opinion.
	Comprehensive bool `json:"comprehensive"`
	// Unfixed is true where the source also lists what has no fix.
	Unfixed bool `json:"unfixed"`
	// AsOf is the newest date that its sources give.
	AsOf    time.Time `json:"asOf,omitzero"`
	Records int       `json:"records"`
	Sources []string  `json:"sources"`
}

// A Database answers for all ecosystems.
type Database interface {
	// Shard returns a table; false where there is none: packages of its kind are not
	// assessed.
	Shard(Key) (Shard, bool, error)
	Enrichment(id string) (Enrichment, error)
	Detail(id string) (Detail, error)
}
