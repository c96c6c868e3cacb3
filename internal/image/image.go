// Package image says what a container image is: its layers, what was installed in them,
// how it is run, and what it shows an attacker. It holds facts only: where an image is
// read from is source's business, how a layer is read is layer's, and what is wrong
// with it is match's and the catalogue's.
package image

import (
	"io/fs"
	"time"
)

// An Image is one image of one platform, as its layers leave it.
type Image struct {
	// Name is what was asked for: a reference, or a path.
	Name string
	// Digest is the manifest's, "sha256:…"; empty where there is no manifest (a folder).
	Digest string
	// Index is the digest of the index that the image was chosen from by its platform;
	// empty without one.
	Index string
	// ID is the digest of the configuration, by which Docker knows the image.
	ID       string
	Platform Platform
	// Created is zero where the image does not say (reproducible builds often say 1970).
	Created time.Time
	Config  Config
	// History is how it was built, oldest first, with the steps that left no layer.
	History []Step
	// Layers are ordered from the base up.
	Layers []Layer
	// Base is the image that it was built on; nil where it is not known.
	Base *Base
	// OS is the distribution of the last layer that says so; zero in an image from scratch.
	OS OS
	// Packages are what the image contains when it runs, ordered by type, name, version
	// and path.
	Packages []Package
	// Files are those that matter for who can gain what: set-id bits, capabilities.
	Files []File
	// Shells and Managers are paths of what makes an image more than minimal: shells,
	// and programs that install packages.
	Shells, Managers []string
	// Secrets were found in any layer, deleted later or not, and in the configuration.
	Secrets []Secret
	// Gaps are what could not be read: what they cover is not assessed.
	Gaps []Gap
}

// A Platform is what an image runs on, in Go's words.
type Platform struct {
	OS, Architecture, Variant string
}

func (p Platform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// A Config is how the image asks to be run.
type Config struct {
	User                string
	Entrypoint, Command []string
	WorkingDir          string
	// Ports are as written: "8080/tcp".
	Ports []string
	// Volumes are paths.
	Volumes []string
	// Env are names only, except those of variables that are no secret by any reading
	// (PATH and the like), whose values are not needed and not kept either.
	Env    []string
	Labels map[string]string
}

// A Step is one line of the image's history.
type Step struct {
	// Command is as the builder wrote it, with values that look like secrets struck out.
	Command string
	Comment string
	Created time.Time
	// Layer is the index into Image.Layers, -1 for a step that left none.
	Layer int
}

// A Layer is one set of changes.
type Layer struct {
	// DiffID is the digest of its uncompressed bytes, by which it is cached.
	DiffID string
	// Digest is that of the compressed blob; empty where the layer is not compressed.
	Digest string
	// Size is the number of uncompressed bytes that were read.
	Size int64
	// Command is the step that made it; empty where the history does not say.
	Command string
	// Base is set on the layers that come from the base image.
	Base bool
}

// A Base is the image that another was built on.
type Base struct {
	// Name and Digest are as the image's annotations or the caller's list of bases say;
	// either may be empty.
	Name, Digest string
	// Layers is how many of the lowest layers are the base's.
	Layers int
	// From says how it is known: "annotation", "known base", "history".
	From string
}

// An OS is a distribution's release, as os-release names it.
type OS struct {
	// ID is os-release's: "debian", "alpine", "almalinux", "rhel", "wolfi".
	ID string
	// Like are the IDs that it derives from.
	Like []string
	// Version is VERSION_ID: "12", "3.20.3", "8.10"; empty for rolling releases.
	Version string
	// Point is the point release where a file says it and Version does not: "12.5",
	// "7.9.2009"; "3.23.0_alpha20251016" for Alpine's edge, whose Version is "edge".
	Point    string
	Codename string
	// Name is for people: "Debian GNU/Linux 12 (bookworm)".
	Name string
	// EndOfLife is the day on which free support ended or will end; zero where it is
	// not known.
	EndOfLife time.Time
}

// A Type is a kind of package, named as in a package URL.
type Type string

// The types that are known.
const (
	Deb      Type = "deb"
	Apk      Type = "apk"
	RPM      Type = "rpm"
	Go       Type = "golang"
	NPM      Type = "npm"
	PyPI     Type = "pypi"
	Gem      Type = "gem"
	Maven    Type = "maven"
	NuGet    Type = "nuget"
	Cargo    Type = "cargo"
	Composer Type = "composer"
	// Generic is a program that no package manager knows of, named by its own words: the
	// Node, Python or Java that was copied into the image.
	Generic Type = "generic"
)

// OS reports whether the type is an operating system's.
func (t Type) OS() bool { return t == Deb || t == Apk || t == RPM }

// A Package is something installed in an image.
type Package struct {
	Type Type
	// Name is the ecosystem's: "libc6", "golang.org/x/net", "org.apache:commons-io"
	// (group and artifact with a colon, as OSV has it; the artifact alone where the group
	// is not known, and then it is not matched), "@scope/name". PyPI's are normalised
	// (PEP 503), NuGet's are as the package writes them. Go's own library is "stdlib".
	Name string
	// Version is as installed, with the epoch where the type has one ("1:2.38-5") and
	// without Go's v ("0.17.0", "1.22.3", "24.0.0+incompatible"); empty where it is not
	// known: such a package is never matched and never passed.
	Version string
	// Source is the source package (deb), origin (apk) or source RPM's name, where it is
	// another than Name; SourceVersion its version where it is another than Version. Of a
	// Go module that took another's place, Source is the path that it is imported by.
	Source, SourceVersion string
	Arch                  string
	// Module is the modularity label of an RPM: "nodejs:12:820210…:c27ad7f8:x86_64".
	Module   string
	Licenses []string
	// Path is the file that says so: a database, a manifest, a binary, an archive. Inside
	// an archive, further members follow after "!/".
	Path string
	// Layer is the index into Image.Layers of the layer that brought this version.
	Layer int
	// Owner is the OS package that owns Path: "deb:python3-idna"; empty where no package
	// manager does. Packages of the types of OS have none.
	Owner string
	// Go is set on packages that were read from a Go binary.
	Go *GoBinary
	// Dev is set on what is only used while developing, where the manifest says so.
	Dev bool
}

// SourceName is the name by which a distribution's advisories know the package.
func (p *Package) SourceName() string {
	if p.Source != "" {
		return p.Source
	}
	return p.Name
}

// SourceVer is the version that goes with SourceName.
func (p *Package) SourceVer() string {
	if p.SourceVersion != "" {
		return p.SourceVersion
	}
	return p.Version
}

// A GoBinary is what a Go binary says of itself. All packages of one binary share it.
type GoBinary struct {
	Path         string
	GOOS, GOARCH string
	// Main is the main module's path.
	Main string
	// Packages are the import paths with at least one function in the binary, ordered;
	// nil where the function table could not be read: then nothing is filtered by it.
	Packages []string
	// Functions are the functions of those packages, inlined ones too.
	Functions *Functions
}

// A File is one that gives whoever runs it more than it had.
type File struct {
	Path  string
	Mode  fs.FileMode // with ModeSetuid and ModeSetgid
	UID   int
	GID   int
	Layer int
	// Capabilities are the file's own, "cap_net_raw+ep"; empty without.
	Capabilities string
	// Owner is as on a Package.
	Owner string
}

// A Secret is something that should not be in an image. What it holds is never kept.
type Secret struct {
	// Rule is what recognised it: "aws-access-key", "private-key".
	Rule  string
	About string
	// Path is the file, or "config.Env[NAME]", "history[3]".
	Path string
	// Line is 1 for the first; 0 where there are none.
	Line  int
	Layer int // -1: the configuration
	// Deleted is set where a later layer hides the file: whoever pulls the image can
	// still read it.
	Deleted bool
}

// A Gap is something in the image that could not be read.
type Gap struct {
	Path   string // empty: the whole image, or the layer
	Layer  int    // -1: the image
	Reason string
	// Type is the type of packages that may be missing; empty: any.
	Type Type
}
