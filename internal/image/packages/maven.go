package packages

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// Bounds of what is read of one archive of Java and of those in it.
const (
	// maxJarDepth is of archives in archives; three are in use (ear, war, jar).
	maxJarDepth = 6
	// maxJarHeld is the bytes of archives that are unpacked to look into them, at a time:
	// Spring and others store theirs without packing, which costs nothing.
	maxJarHeld = 128 << 20
	// maxJarUnpacked is the same in all.
	maxJarUnpacked = 1 << 30
	maxPom         = 1 << 20
	maxProperties  = 64 << 10
	maxJarManifest = 256 << 10
)

// Maven reads archives of Java, and those in them. What an archive was built from, and
// what was copied into it, Maven writes into pom.properties or pom.xml, one folder for
// each artifact. An archive without them is named by its file, as "ARTIFACT-VERSION.jar".
// That leaves out the group, without which advisories cannot be looked up: it is taken
// from elsewhere only if that is certain, since a group that was guessed wrongly finds
// nothing and so looks clean (see knownJars and named). A package whose group is not known
// has the artifact alone as its name.
var maven = finder{
	name:    "maven",
	version: 1,
	wants:   func(f *layer.File) bool { return isJar(f.Path) && isZip(f.Head) },
	read: func(ctx context.Context, f *layer.File) (*layer.Found, error) {
		j := jars{ctx: ctx, found: &layer.Found{}, hold: maxJarHeld, unpack: maxJarUnpacked}
		if err := j.read(f.Path, f.Content, f.Size, 1); err != nil {
			return nil, err
		}
		return j.found, nil
	},
}

var jarSuffixes = [...]string{".jar", ".war", ".ear", ".par", ".sar", ".rar", ".hpi", ".jpi", ".nar", ".kar", ".lpkg"}

func isJar(name string) bool {
	_, ok := jarStem(name)
	return ok
}

// jarStem is the file's name without its suffix.
func jarStem(name string) (string, bool) {
	base := path.Base(name)
	for _, s := range jarSuffixes {
		if n := len(base) - len(s); n > 0 && strings.EqualFold(base[n:], s) {
			return base[:n], true
		}
	}
	return "", false
}

// jars reads one file of a layer.
type jars struct {
	ctx   context.Context // of the one call that it is made for
	found *layer.Found
	// hold and unpack are the bytes that may still be.
	hold, unpack int64
}

// A gav is what Maven calls an artifact: group, artifact, version.
type gav struct{ group, artifact, version string }

func (g gav) name() string {
	if g.group == "" {
		return g.artifact
	}
	return g.group + ":" + g.artifact
}

func (j *jars) gap(where, reason string) {
	const most = 100
	if len(j.found.Gaps) < most {
		j.found.Gaps = append(j.found.Gaps, image.Gap{Path: where, Type: image.Maven, Reason: reason})
	}
}

func (j *jars) read(where string, r io.ReaderAt, size int64, depth int) error {
	var (
		all       []gav
		poms      = map[string]gav{} // by folder, those that have no properties
		known     = map[string]bool{}
		manifest  map[string]string
		classes   bool
		inner     error
		stem, _   = jarStem(where)
		fileNamed = fileGAV(stem)
		expected  = knownJars[fileNamed.artifact]
		evidence  bool
	)
	err := eachMember(j.ctx, r, size, func(m *member) error {
		name := m.name
		switch { // by suffix first: most members are classes, and are many
		case bytes.HasSuffix(name, []byte(".class")):
			classes = true
			evidence = evidence || expected.folder != "" && bytes.HasPrefix(name, []byte(expected.folder))
		case bytes.HasSuffix(name, []byte("pom.properties")) && path.Base(string(name)) == "pom.properties":
			if g, ok := readProperties(j.small(where, m, maxProperties)); ok {
				known[path.Dir(string(name))] = true
				all = append(all, g)
			}
		case bytes.HasSuffix(name, []byte("/pom.xml")) && bytes.Contains(name, []byte("META-INF/maven/")):
			dir := path.Dir(string(name))
			if known[dir] {
				return nil
			}
			if g, ok := readPom(j.small(where, m, maxPom)); ok && len(poms) < maxPackages {
				poms[dir] = g
			}
		case string(name) == "META-INF/MANIFEST.MF":
			manifest = readManifest(j.small(where, m, maxJarManifest))
		case isJar(string(name)):
			inner = j.nested(where+"!/"+strings.TrimLeft(text(string(name)), "/"), m, depth)
			return inner
		}
		if len(j.found.Packages)+len(all) > maxPackages {
			inner = fmt.Errorf("more than %d packages", maxPackages)
			return inner
		}
		return nil
	})
	if inner != nil || j.ctx.Err() != nil {
		return err
	}
	if err != nil {
		if depth == 1 {
			return err
		}
		j.gap(where, err.Error())
	}
	for dir, g := range poms {
		if !known[dir] {
			all = append(all, g)
		}
	}
	switch {
	case len(all) > 0:
	case classes && !strings.HasSuffix(stem, "-sources") && !strings.HasSuffix(stem, "-javadoc"):
		g := named(fileNamed, manifest)
		if g.group == "" && evidence && strings.Contains(g.version, ".") { // "bcprov-jdk18on-171" is 1.71
			g.group = expected.group
		}
		all = []gav{g}
	}
	seen := map[gav]bool{}
	at := len(j.found.Packages)
	for _, g := range all {
		if g.version == "" && g.artifact == fileNamed.artifact {
			g.version = fileNamed.version
		}
		if g.artifact == "" || seen[g] {
			continue
		}
		seen[g] = true
		p := image.Package{Type: image.Maven, Name: text(g.name()), Version: text(g.version), Path: where}
		if len(all) == 1 {
			p.Licenses = appendLicense(nil, manifest["Bundle-License"])
		}
		j.found.Packages = append(j.found.Packages, p)
	}
	sortPackages(j.found.Packages[at:])
	return nil
}

// small unpacks a member that should be small; what cannot be is a gap, and empty.
func (j *jars) small(where string, m *member, limit int64) []byte {
	b, err := m.read(limit)
	if err != nil {
		j.gap(where, text(string(m.name))+": "+err.Error())
		return nil
	}
	return b
}

// nested looks into an archive in an archive. Only what stops everything is an error.
func (j *jars) nested(where string, m *member, depth int) error {
	if depth == maxJarDepth {
		j.gap(where, fmt.Sprintf("archives in archives, more than %d deep", maxJarDepth))
		return nil
	}
	r, stored, err := m.open()
	if err != nil {
		j.gap(where, err.Error())
		return nil
	}
	if stored {
		return j.read(where, r, r.Size(), depth+1)
	}
	limit := min(j.hold, j.unpack)
	b, err := m.read(limit)
	if errors.Is(err, errMemberTooLarge) {
		j.unpack -= limit
		j.gap(where, fmt.Sprintf("unpacks to more than the %d bytes that are left for what is in this archive", limit))
		return nil
	}
	if err != nil {
		j.gap(where, err.Error())
		return nil
	}
	n := int64(len(b))
	j.unpack -= n
	j.hold -= n
	defer func() { j.hold += n }()
	return j.read(where, bytes.NewReader(b), int64(len(b)), depth+1)
}

// The forms that Maven allows (org.apache.maven.model.validation): anything else was not
// replaced when the archive was built, "${project.version}".
var (
	mavenID      = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	mavenVersion = regexp.MustCompile(`^[A-Za-z0-9_.+~-]*[0-9][A-Za-z0-9_.+~-]*$`)
)

func (g gav) valid() (gav, bool) {
	if !mavenVersion.MatchString(g.version) {
		g.version = ""
	}
	return g, mavenID.MatchString(g.group) && mavenID.MatchString(g.artifact)
}

// readProperties reads pom.properties: lines of a key, an equals sign and a value.
func readProperties(b []byte) (gav, bool) {
	var g gav
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "groupId":
			g.group = value
		case "artifactId":
			g.artifact = value
		case "version":
			g.version = value
		}
	}
	return g.valid()
}

// readPom reads pom.xml; group and version may be the parent's.
func readPom(b []byte) (gav, bool) {
	var pom struct {
		XMLName  xml.Name `xml:"project"`
		Group    string   `xml:"groupId"`
		Artifact string   `xml:"artifactId"`
		Version  string   `xml:"version"`
		Parent   struct {
			Group   string `xml:"groupId"`
			Version string `xml:"version"`
		} `xml:"parent"`
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	// What is looked for is ASCII in every character set that poms are in.
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	d.Strict = false
	if d.Decode(&pom) != nil {
		return gav{}, false
	}
	return gav{
		strings.TrimSpace(first(pom.Group, pom.Parent.Group)), strings.TrimSpace(pom.Artifact),
		strings.TrimSpace(first(pom.Version, pom.Parent.Version)),
	}.valid()
}

// readManifest reads the main section of a manifest: it ends at the first empty line, and
// lines that begin with a space go on with the one before.
func readManifest(b []byte) map[string]string {
	m := map[string]string{}
	var key string
	in := bufio.NewScanner(bytes.NewReader(b))
	in.Buffer(nil, maxJarManifest+1)
	for in.Scan() {
		line := in.Text()
		if line == "" {
			break
		}
		if rest, ok := strings.CutPrefix(line, " "); ok {
			if key != "" && len(m[key]) < maxProperties {
				m[key] += rest
			}
			continue
		}
		var value string
		if key, value, _ = strings.Cut(line, ":"); key != "" {
			m[key] = strings.TrimSpace(value)
		}
	}
	return m
}

var (
	jarVersion   = regexp.MustCompile(`-[0-9]`)
	jarQualifier = regexp.MustCompile(`^(?i:alpha|android|b|beta|build|cr|final|ga|incubating|jdk|jre|m|milestone|pre|preview|rc|redhat|release|snapshot|sp)?[0-9.]*$`)
)

// fileGAV takes apart a file's name. The version begins at the first hyphen before a digit
// after which every word is a number or one that versions have: "log4j-1.2-api-2.17.1" is
// 2.17.1 of log4j-1.2-api, and "x-1.0-beta-2" is 1.0-beta-2 of x.
func fileGAV(stem string) gav {
	if !mavenID.MatchString(stem) {
		return gav{}
	}
	at := jarVersion.FindAllStringIndex(stem, 16)
	for _, i := range at {
		if words := strings.Split(stem[i[0]+1:], "-"); i[0] > 0 && !slices.ContainsFunc(words[1:], func(w string) bool {
			return (w == "" || w[0] < '0' || w[0] > '9') && !jarQualifier.MatchString(w)
		}) {
			return gav{artifact: stem[:i[0]], version: stem[i[0]+1:]}
		}
	}
	if len(at) > 0 && at[0][0] > 0 { // with a classifier behind: "x-1.0-linux-x86_64"
		return gav{artifact: stem[:at[0][0]], version: stem[at[0][0]+1:]}
	}
	return gav{artifact: stem}
}

// named completes what a file's name says by the manifest. The group is certain where two
// fields agree that different tools write: Implementation-Vendor-Id, which Maven fills
// with the group but others with anything, and Bundle-SymbolicName, which is group and
// artifact together, or by bnd's rule the group alone where it ends with the artifact.
func named(g gav, manifest map[string]string) gav {
	if v := manifest["Implementation-Version"]; g.version == "" && mavenVersion.MatchString(v) {
		g.version = v
	}
	group := manifest["Implementation-Vendor-Id"]
	symbolic, _, _ := strings.Cut(manifest["Bundle-SymbolicName"], ";")
	if mavenID.MatchString(group) && g.artifact != "" &&
		(symbolic == group+"."+g.artifact || symbolic == group && strings.HasSuffix(group, "."+g.artifact)) {
		g.group = group
		return g
	}
	return g
}
