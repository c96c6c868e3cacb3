package image

import (
	"fmt"
	"strings"

	"github.com/package-url/packageurl-go"
)

// maxPURL is the longest package URL that is read, in bytes.
const maxPURL = 8 << 10

// PURL names the package as a package URL. The release is that of the image, and is
// written only for packages of an operating system, whose versions mean nothing without
// it. What FromPURL reads of it is the same package: type, name, version, architecture,
// source and module.
//
// Letters keep their case: the specification wants Go's and Composer's names in lower
// case, but the Go module "github.com/BurntSushi/toml" is another than the one so
// written, and no tool that writes bills of materials does it.
func (p *Package) PURL(release OS) string {
	u := packageurl.PackageURL{Type: string(p.Type), Name: p.Name, Version: p.Version}
	add := func(key, value string) { // in the order of the alphabet, as canonical ones are
		if value != "" {
			u.Qualifiers = append(u.Qualifiers, packageurl.Qualifier{Key: key, Value: value})
		}
	}
	switch p.Type {
	case Deb, Apk, RPM:
		u.Namespace = vendor(release.ID)
		var epoch string
		if e, rest, ok := strings.Cut(p.Version, ":"); ok && p.Type == RPM {
			epoch, u.Version = e, rest
		}
		add("arch", p.Arch)
		add("distro", distro(release))
		add("epoch", epoch)
		add("rpmmod", p.Module)
		if p.Source != "" || p.SourceVersion != "" {
			up := p.SourceName()
			if p.SourceVersion != "" {
				up += "@" + p.SourceVersion
			}
			add("upstream", up)
		}
	case Go:
		u.Namespace, u.Name = cutLast(p.Name, "/")
		if p.Name != "stdlib" && startsWithDigit(p.Version) {
			u.Version = "v" + p.Version
		}
	case Maven:
		if group, artifact, ok := strings.Cut(p.Name, ":"); ok {
			u.Namespace, u.Name = group, artifact
		}
	default: // "@scope/name", "vendor/name", and names without either
		u.Namespace, u.Name = cutLast(p.Name, "/")
	}
	return u.ToString()
}

// FromPURL reads a package URL, and the release of the distribution that it names. A
// type that is not known is kept as it is, and the package's name then has the namespace
// before a slash. What others write is understood too: Go versions with and without a v,
// the file name of a source RPM as upstream, a release without its distribution's name.
func FromPURL(s string) (Package, OS, error) {
	if len(s) > maxPURL {
		return Package{}, OS{}, fmt.Errorf("package URL: longer than %d bytes", maxPURL)
	}
	scheme, rest, _ := strings.Cut(s, ":")
	typ, rest, ok := strings.Cut(strings.TrimLeft(rest, "/"), "/")
	if !strings.EqualFold(scheme, "pkg") || !ok || !validType(typ) {
		return Package{}, OS{}, fmt.Errorf("package URL %q: want pkg:TYPE/NAME", s)
	}
	// The library writes names of most types in lower case while it reads; those of npm
	// are the only ones in which it changes nothing.
	u, err := packageurl.FromString("pkg:" + packageurl.TypeNPM + "/" + rest)
	if err != nil {
		return Package{}, OS{}, fmt.Errorf("package URL %q: %w", s, err)
	}
	q := u.Qualifiers.Map()
	p := Package{Type: Type(strings.ToLower(typ)), Name: u.Name, Version: u.Version}
	switch p.Type {
	case Deb, Apk, RPM:
		release := readDistro(u.Namespace, q["distro"])
		p.Arch = q["arch"]
		if p.Type == RPM {
			p.Module = q["rpmmod"]
			if e := q["epoch"]; e != "" && !strings.Contains(p.Version, ":") {
				p.Version = e + ":" + p.Version
			}
		}
		readUpstream(&p, q["upstream"])
		return p, release, nil
	case Maven:
		if u.Namespace != "" {
			p.Name = u.Namespace + ":" + u.Name
		}
		return p, OS{}, nil
	case Go:
		if v, ok := strings.CutPrefix(p.Version, "v"); ok && startsWithDigit(v) {
			p.Version = v
		}
	case PyPI:
		p.Name = PyPIName(p.Name)
	default:
	}
	if u.Namespace != "" {
		p.Name = u.Namespace + "/" + u.Name
	}
	return p, OS{}, nil
}

// PyPIName normalises the name of a Python project (PEP 503): lower case, and any run of
// hyphens, underscores and dots is one hyphen.
func PyPIName(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for _, r := range s {
		if r == '-' || r == '_' || r == '.' {
			gap = true
			continue
		}
		if gap {
			b.WriteByte('-')
			gap = false
		}
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	if gap {
		b.WriteByte('-')
	}
	return b.String()
}

// vendors are the distributions whose namespace is another than os-release's ID.
var vendors = map[string]string{"rhel": "redhat"}

func vendor(id string) string {
	if v, ok := vendors[id]; ok {
		return v
	}
	return id
}

func distro(release OS) string {
	version := release.Version
	if version == "" {
		version = release.Codename
	}
	if release.ID == "" || version == "" {
		return release.ID + version
	}
	return release.ID + "-" + version
}

// readDistro understands "debian-12", "12", "bookworm" and "debian-bookworm".
func readDistro(namespace, distro string) OS {
	release := OS{ID: namespace}
	for id, v := range vendors {
		if v == namespace {
			release.ID = id
		}
	}
	version := distro
	for _, id := range []string{release.ID, namespace} {
		if v, ok := strings.CutPrefix(distro, id+"-"); ok && id != "" {
			version = v
			break
		}
		if distro == id {
			version = ""
			break
		}
	}
	if id, v, ok := strings.Cut(version, "-"); ok && version == distro && startsWithDigit(v) {
		if release.ID == "" {
			release.ID = id
		}
		version = v
	}
	if startsWithDigit(version) || version == "" {
		release.Version = version
	} else {
		release.Codename = version
	}
	return release
}

// readUpstream understands "util-linux", "util-linux@2.38.1-5" and
// "util-linux-2.38.1-5.el9.src.rpm".
func readUpstream(p *Package, up string) {
	if nvr, ok := strings.CutSuffix(up, ".src.rpm"); ok && p.Type == RPM {
		rest, rel := cutLast(nvr, "-")
		name, version := cutLast(rest, "-")
		if name != "" {
			version += "-" + rel
			if p.Name != name {
				p.Source = name
			}
			// The file's name has no epoch: that of the package is the likely one.
			if epoch, v, ok := strings.Cut(p.Version, ":"); ok && v != version {
				p.SourceVersion = epoch + ":" + version
			} else if !ok && p.Version != version {
				p.SourceVersion = version
			}
			return
		}
	}
	name, version, _ := strings.Cut(up, "@")
	if name != p.Name {
		p.Source = name
	}
	if version != p.Version {
		p.SourceVersion = version
	}
}

func validType(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if c < 'a' || c > 'z' {
			if i == 0 || (s[i] < '0' || s[i] > '9') && s[i] != '.' && s[i] != '+' && s[i] != '-' {
				return false
			}
		}
	}
	return s != ""
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// cutLast cuts at the last separator; before is empty where there is none.
func cutLast(s, sep string) (before, after string) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):]
	}
	return "", s
}
