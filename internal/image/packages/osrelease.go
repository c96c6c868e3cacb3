package packages

import (
	"bufio"
	"bytes"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// maxRelease is a hundred times a long os-release.
const maxRelease = 64 << 10

// releases are the files that say what a system is, the weightiest first. os-release(5)
// puts the one in /etc first; the others are older, or say the point release.
var releases = []string{
	"etc/os-release",
	"usr/lib/os-release",
	"etc/alpine-release",
	"etc/debian_version",
	"etc/centos-release",
	"etc/oracle-release",
	"etc/rocky-release",
	"etc/almalinux-release",
	"etc/fedora-release",
	"etc/redhat-release",
	"etc/system-release",
}

// OSRelease reads what a system says of itself: os-release(5), and where there is none
// the files that were there before it.
var osRelease = finder{
	name:    "os-release",
	version: 1,
	wants:   func(f *layer.File) bool { return slices.Contains(releases, f.Path) },
	read: func(_ context.Context, f *layer.File) (*layer.Found, error) {
		b, err := whole(f, maxRelease)
		if err != nil {
			return nil, err
		}
		var os image.OS
		switch f.Path {
		case "etc/os-release", "usr/lib/os-release":
			os = parseOSRelease(b)
		case "etc/alpine-release":
			os = alpineRelease(b)
		case "etc/debian_version":
			os = debianVersion(b)
		default:
			os = vendorRelease(b)
		}
		if os.ID == "" {
			return nil, nil
		}
		return &layer.Found{OS: &os}, nil
	},
}

// System joins what the files of one image, as its last layer leaves them, say of the
// system, by path: the weightiest says what it is, the others may know the point release.
// It also says until when the system is supported. The zero OS: nothing says.
func System(found map[string]image.OS) image.OS {
	var os image.OS
	paths := slices.AppendSeq(slices.Clone(releases), maps.Keys(found))
	for _, path := range paths {
		other, ok := found[path]
		switch {
		case !ok:
		case os.ID == "":
			os = other
		case os.ID == other.ID && os.Point == "" && os.Version != "" && strings.HasPrefix(other.Point, os.Version+"."):
			os.Point = other.Point
		}
	}
	os.EndOfLife, _ = EndOfLife(os)
	return os
}

// parseOSRelease reads assignments as os-release(5) has them: as a shell does, without
// expansion. What is not an assignment is passed over, as systemd does.
func parseOSRelease(b []byte) image.OS {
	values := map[string]string{}
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			values[key] = text(unquote(value)) // the last counts, as in a shell
		}
	}
	os := image.OS{
		ID:       strings.ToLower(values["ID"]),
		Like:     append([]string(nil), strings.Fields(values["ID_LIKE"])...), // nil where there are none
		Version:  values["VERSION_ID"],
		Codename: values["VERSION_CODENAME"],
		Name:     values["PRETTY_NAME"],
	}
	if os.ID == "" {
		return image.OS{} // the manual's default is "linux": no distribution is meant
	}
	if os.Name == "" {
		os.Name = strings.TrimSpace(values["NAME"] + " " + values["VERSION"])
	}
	if os.Codename == "" && os.ID == "debian" {
		// Older ones say VERSION="8 (jessie)" alone.
		if _, after, ok := strings.Cut(values["VERSION"], "("); ok {
			os.Codename = strings.TrimSuffix(after, ")")
		}
	}
	return rolling(os)
}

// rolling says so of releases that are still being made: Alpine's edge has the number
// of the release to come with "_alpha" and a date, and packages of no release.
func rolling(os image.OS) image.OS {
	if os.ID == "alpine" && strings.Contains(os.Version, "_alpha") {
		os.Point, os.Version = os.Version, "edge"
	}
	return os
}

// unquote takes a shell's quotes off: in single quotes all is itself; in double quotes
// and without any a backslash makes the next character so.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	double := len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"'
	if double {
		s = s[1 : len(s)-1]
	}
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (!double || strings.IndexByte("$\"\\`", s[i+1]) >= 0) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// alpineRelease reads "3.20.3".
func alpineRelease(b []byte) image.OS {
	v := text(string(b))
	if v == "" || v[0] < '0' || v[0] > '9' {
		return image.OS{}
	}
	return rolling(image.OS{ID: "alpine", Version: v, Name: "Alpine Linux v" + v})
}

// debianVersion reads "12.5". Derivatives leave "bookworm/sid" there: that does not say
// which distribution it is.
func debianVersion(b []byte) image.OS {
	v := text(string(b))
	if v == "" || v[0] < '0' || v[0] > '9' {
		return image.OS{}
	}
	major, _, _ := strings.Cut(v, ".")
	return image.OS{ID: "debian", Version: major, Point: v, Name: "Debian GNU/Linux " + v}
}

var (
	vendorLine = regexp.MustCompile(`^(.*?) release (\d[\w.]*)(?:.*\((.*)\))?`)
	// vendors are those who wrote such lines, the longest names first.
	vendors = []struct{ name, id, like string }{
		{"Red Hat Enterprise Linux", "rhel", "fedora"},
		{"Oracle Linux", "ol", "fedora"},
		{"Amazon Linux", "amzn", "centos rhel fedora"},
		{"AlmaLinux", "almalinux", "rhel centos fedora"},
		{"Rocky Linux", "rocky", "rhel centos fedora"},
		{"CentOS", "centos", "rhel fedora"},
		{"Fedora", "fedora", ""},
	}
)

// vendorRelease reads "CentOS Linux release 7.9.2009 (Core)", as Red Hat and those who
// derive from it have it. Their VERSION_ID is the major number, and the minor one too
// where they have it in os-release.
func vendorRelease(b []byte) image.OS {
	line := text(string(b))
	m := vendorLine.FindStringSubmatch(line)
	if m == nil {
		return image.OS{}
	}
	for _, v := range vendors {
		if !strings.HasPrefix(m[1], v.name) {
			continue
		}
		os := image.OS{ID: v.id, Like: append([]string(nil), strings.Fields(v.like)...), Version: m[2], Codename: m[3], Name: line}
		if v.id == "centos" {
			os.Version, _, _ = strings.Cut(m[2], ".")
		}
		if m[2] != os.Version {
			os.Point = m[2]
		}
		return os
	}
	return image.OS{}
}
