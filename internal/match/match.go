// Package match says which known vulnerabilities an image has: exactly by each
// ecosystem's own rules, with the distributor's word before anybody else's, and with
// every finding that was set aside beside the reason. What there is no data for is not
// assessed, never clean.
package match

import (
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
)

// Options say what counts.
type Options struct {
	// Now tells whose support is over.
	Now time.Time
	// FixedOnly sets aside what has no fix.
	FixedOnly bool
	// Judges may set findings aside. The first that does gives the reason.
	Judges []Judge
}

// A Judge has something to say on findings: VEX documents, an ignore file.
type Judge interface {
	// Judge says why a finding of an image does not count; nil where it does, or where
	// the Judge does not know it.
	Judge(*image.Image, *Finding) *Aside
}

// A Result is what is known of one image.
type Result struct {
	Image *image.Image
	// Findings are what counts, worst first.
	Findings []Finding
	// SetAside are findings that do not count, each with its reason.
	SetAside []Finding
	// NotAssessed are packages that nobody's data covers, by reason.
	NotAssessed []NotAssessed
	// Database says how old what was asked is, by shard.
	Database []advisory.ShardInfo
}

// A Finding is one vulnerability in one package: aliases are one, and so are copies of
// one package at several paths.
type Finding struct {
	// ID is the canonical name, IDs every name, the canonical one first.
	ID  string
	IDs []string
	// Advisories are the records' own names, where they are others.
	Advisories []string
	// Package is the first that has it, Paths all places.
	Package *image.Package
	Paths   []string
	State   advisory.State
	// FixedIn are the lowest versions that do not have it and are later than the one
	// installed, one for each branch that was fixed; empty: no fix is known.
	FixedIn []string
	// Severity is the first that anybody gives: vendor, CVSS v4, v3.1, v3.0, v2.
	Severity     advisory.Severity
	SeverityFrom string // "debian", "CVSS:3.1 of osv-go"
	// Score is the CVSS base score that belongs to Vector; 0 without one.
	Score  float64
	Vector string
	// Exploited, Ransomware and EPSS are as in advisory.Enrichment.
	Exploited  time.Time
	Ransomware bool
	EPSS       float32
	// Reachable says whether the code is in the binary.
	Reachable Reachable
	// Why is the evidence: "installed 2.38.1-5 of source util-linux, fixed in 2.38.1-6".
	Why string
	// Sources are the feeds that say so.
	Sources []string
	Summary string
	// References are links, at most a handful.
	References []string
	// Aside is the reason for which it does not count; nil on findings that do.
	Aside *Aside
}

// Reachable says whether vulnerable code is in a binary.
type Reachable uint8

// The zero value is NotTold: most ecosystems have no way to say.
const (
	NotTold      Reachable = iota
	PackageThere           // the vulnerable package is linked in; which functions is not known
	SymbolThere            // a vulnerable function is linked in
)

// An Aside is why a finding does not count.
type Aside struct {
	By     By
	Reason string // for people: the VEX statement's words, the waiver's reason
	// Owner and Expires are the ignore file's.
	Owner   string
	Expires time.Time
	From    string // the file or document
}

// By is what set a finding aside.
type By string

// The ways.
const (
	ByVEX         By = "vex"
	ByIgnore      By = "ignore"
	ByDistributor By = "distributor" // owns the file, and says it is fixed or never was affected
	ByPlatform    By = "platform"    // another GOOS, GOARCH or architecture
	ByPackage     By = "package"     // the vulnerable Go package is not linked in
	BySymbol      By = "symbol"      // the vulnerable functions are not linked in
	ByUnfixed     By = "unfixed"     // --fixed-only
)

// NotAssessed is a group of packages that could not be judged.
type NotAssessed struct {
	Type     image.Type
	Packages int
	// Names are some of them, at most ten.
	Names []string
	// Reason says why: "no data for alpine 3.23 in the database", "debian 8 has had no
	// support since 2020-06-30", "their version is not known".
	Reason string
}
