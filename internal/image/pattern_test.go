package image

import "testing"

func TestPattern(t *testing.T) {
	release := OS{ID: "debian", Version: "12", Codename: "bookworm"}
	bsdutils := Package{Type: Deb, Name: "bsdutils", Version: "1:2.38.1-5+deb12u3", Source: "util-linux", SourceVersion: "2.38.1-5+deb12u3", Arch: "amd64"}
	net := Package{Type: Go, Name: "golang.org/x/net", Version: "v0.1.0"}
	for _, tt := range []struct {
		of      Package
		pattern string
		want    bool
	}{
		{bsdutils, "pkg:deb/debian/bsdutils", true},
		{bsdutils, "pkg:deb/debian/bsdutils@1%3A2.38.1-5%2Bdeb12u3", true},
		{bsdutils, "pkg:deb/debian/bsdutils@2.38.1-5%2Bdeb12u3", false},
		{bsdutils, "pkg:deb/debian/bsdutils?arch=amd64&distro=debian-12", true},
		{bsdutils, "pkg:deb/debian/bsdutils?distro=bookworm", true},
		{bsdutils, "pkg:deb/debian/bsdutils?distro=debian-11", false},
		{bsdutils, "pkg:deb/debian/bsdutils?arch=arm64", false},
		{bsdutils, "pkg:deb/ubuntu/bsdutils", false},
		{bsdutils, "pkg:deb/debian/util-linux", false},
		{bsdutils, "pkg:deb/debian/util-linux?arch=source", true},
		{bsdutils, "pkg:deb/debian/util-linux@2.38.1-5%2Bdeb12u3?arch=source", true},
		{bsdutils, "pkg:deb/debian/bsdutils?upstream=util-linux", true},
		{bsdutils, "pkg:deb/debian/bsdutils?upstream=other", false},
		{bsdutils, "pkg:deb/debian/bsdutils?repository_url=x", false},
		{bsdutils, "pkg:apk/debian/bsdutils", false},
		{net, "pkg:golang/golang.org/x/net@v0.1.0", true},
		{net, "pkg:golang/golang.org/x/net@0.1.0", true},
		{net, "pkg:golang/golang.org/x/net@0.2.0", false},
		{net, "pkg:golang/golang.org/x/net#html", false},
		{Package{Type: PyPI, Name: "zope-interface", Version: "5"}, "pkg:pypi/Zope.Interface@5", true},
		{Package{Type: Maven, Name: "org.apache:commons-io", Version: "2"}, "pkg:maven/org.apache/commons-io@2?type=jar", true},
		{Package{Type: Maven, Name: "org.apache:commons-io", Version: "2"}, "pkg:maven/org.apache/commons-io@2?classifier=tests", false},
		{Package{Type: NPM, Name: "@scope/a", Version: "1.0.0"}, "pkg:npm/%40scope/a", true},
	} {
		x, err := ParsePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Matches(&tt.of, release); got != tt.want {
			t.Errorf("%s matches %s: %v, want %v", tt.pattern, tt.of.Name, got, tt.want)
		}
	}
}

// FuzzPattern states that a package is meant by its own URL, and by that without
// qualifiers and version, but not under another name.
func FuzzPattern(f *testing.F) {
	f.Add("deb", "bsdutils", "1:2.38.1-5", "util-linux", "amd64")
	f.Add("npm", "@scope/a", "1.0.0", "", "")
	f.Fuzz(func(t *testing.T, of, name, version, source, arch string) {
		release := OS{ID: "debian", Version: "12"}
		p := Package{Type: Type(of), Name: name, Version: version, Source: source, Arch: arch}
		q, _, err := FromPURL(p.PURL(release))
		if err != nil || q.Name != name || q.Type != p.Type || q.Version != version || q.Source != source || q.Arch != arch {
			return // what a URL does not carry
		}
		x, err := ParsePattern(p.PURL(release))
		if err != nil {
			t.Fatal(err)
		}
		if arch == "source" || arch == "src" {
			return
		}
		if !x.Matches(&p, release) {
			t.Errorf("%s is not meant by its own URL", x)
		}
		other := p
		other.Name += "x"
		if x.Matches(&other, release) {
			t.Errorf("%s means %s too", x, other.Name)
		}
	})
}
