package image_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

func TestPURL(t *testing.T) {
	debian := image.OS{ID: "debian", Version: "12"}
	for _, tt := range []struct {
		name    string
		pkg     image.Package
		release image.OS
		want    string
	}{
		{
			"a Debian package with a source of another version",
			image.Package{Type: image.Deb, Name: "bsdutils", Version: "1:2.38.1-5+deb12u3", Source: "util-linux", SourceVersion: "2.38.1-5+deb12u3", Arch: "amd64"},
			debian,
			"pkg:deb/debian/bsdutils@1:2.38.1-5%2Bdeb12u3?arch=amd64&distro=debian-12&upstream=util-linux%402.38.1-5%2Bdeb12u3",
		},
		{
			"a Debian package that only the source's version tells from its source",
			image.Package{Type: image.Deb, Name: "gcc", Version: "4:12.2.0-3", SourceVersion: "1.203"},
			debian,
			"pkg:deb/debian/gcc@4:12.2.0-3?distro=debian-12&upstream=gcc%401.203",
		},
		{
			"an RPM with epoch and module",
			image.Package{Type: image.RPM, Name: "npm", Version: "1:6.14.16-1.12.22.12", Arch: "x86_64", Source: "nodejs", Module: "nodejs:12:8060020220523160029:ad008a3a"},
			image.OS{ID: "rhel", Version: "8.10"},
			"pkg:rpm/redhat/npm@6.14.16-1.12.22.12?arch=x86_64&distro=rhel-8.10&epoch=1&rpmmod=nodejs:12:8060020220523160029:ad008a3a&upstream=nodejs",
		},
		{
			"a rolling distribution",
			image.Package{Type: image.Apk, Name: "busybox", Version: "1.37.0-r10"},
			image.OS{ID: "wolfi"},
			"pkg:apk/wolfi/busybox@1.37.0-r10?distro=wolfi",
		},
		{
			"a distribution with a hyphen, and a release with a codename only",
			image.Package{Type: image.Deb, Name: "x", Version: "1"},
			image.OS{ID: "my-distro", Codename: "sid"},
			"pkg:deb/my-distro/x@1?distro=my-distro-sid",
		},
		{
			"an image without os-release",
			image.Package{Type: image.Deb, Name: "x", Version: "1"},
			image.OS{},
			"pkg:deb/x@1",
		},
		{
			"a Go module keeps its capitals",
			image.Package{Type: image.Go, Name: "github.com/BurntSushi/toml", Version: "1.3.2"},
			debian, "pkg:golang/github.com/BurntSushi/toml@v1.3.2",
		},
		{"Go's own library", image.Package{Type: image.Go, Name: "stdlib", Version: "1.22.3"}, debian, "pkg:golang/stdlib@1.22.3"},
		{"a Go module of unknown version", image.Package{Type: image.Go, Name: "example.org/x"}, debian, "pkg:golang/example.org/x"},
		{"an npm package of a scope", image.Package{Type: image.NPM, Name: "@babel/core", Version: "7.0.0"}, debian, "pkg:npm/%40babel/core@7.0.0"},
		{"an npm package with a capital", image.Package{Type: image.NPM, Name: "JSONStream", Version: "1.3.5"}, debian, "pkg:npm/JSONStream@1.3.5"},
		{"a Maven artifact", image.Package{Type: image.Maven, Name: "org.apache:commons-io", Version: "2.4"}, debian, "pkg:maven/org.apache/commons-io@2.4"},
		{"a jar of unknown group", image.Package{Type: image.Maven, Name: "commons-io", Version: "2.4"}, debian, "pkg:maven/commons-io@2.4"},
		{"a Composer package", image.Package{Type: image.Composer, Name: "symfony/http-kernel", Version: "5.4.0"}, debian, "pkg:composer/symfony/http-kernel@5.4.0"},
		{"a Python project", image.Package{Type: image.PyPI, Name: "zope-interface", Version: "5.0"}, debian, "pkg:pypi/zope-interface@5.0"},
		{"a program of no package manager", image.Package{Type: image.Generic, Name: "node", Version: "20.1.0"}, debian, "pkg:generic/node@20.1.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.pkg.PURL(tt.release)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			back, release, err := image.FromPURL(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.pkg, back); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
			if !tt.pkg.Type.OS() {
				tt.release = image.OS{}
			}
			if diff := cmp.Diff(tt.release, release); diff != "" {
				t.Errorf("release read back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFromPURLUnderstandsOthers(t *testing.T) {
	for _, tt := range []struct {
		purl    string
		want    image.Package
		release image.OS
	}{
		{"pkg:golang/github.com/foo/bar@1.2.3#sub", image.Package{Type: image.Go, Name: "github.com/foo/bar", Version: "1.2.3"}, image.OS{}},
		{"pkg:golang/stdlib@v1.22.3", image.Package{Type: image.Go, Name: "stdlib", Version: "1.22.3"}, image.OS{}},
		{"pkg:PyPI/Zope.Interface@5.0", image.Package{Type: image.PyPI, Name: "zope-interface", Version: "5.0"}, image.OS{}},
		{"pkg:npm/@babel/core@7.0.0", image.Package{Type: image.NPM, Name: "@babel/core", Version: "7.0.0"}, image.OS{}},
		{"pkg:apk/alpine/busybox@1.36.1-r2?arch=x86_64&distro=3.18.4", image.Package{Type: image.Apk, Name: "busybox", Version: "1.36.1-r2", Arch: "x86_64"}, image.OS{ID: "alpine", Version: "3.18.4"}},
		{"pkg:deb/debian/dpkg@1.19?distro=stretch", image.Package{Type: image.Deb, Name: "dpkg", Version: "1.19"}, image.OS{ID: "debian", Codename: "stretch"}},
		{
			"pkg:rpm/redhat/bash-doc@5.1.8-6.el9?arch=x86_64&distro=redhat-9.2&epoch=2&upstream=bash-5.1.8-6.el9.src.rpm",
			image.Package{Type: image.RPM, Name: "bash-doc", Version: "2:5.1.8-6.el9", Source: "bash", Arch: "x86_64"},
			image.OS{ID: "rhel", Version: "9.2"},
		},
		{"pkg:hackage/aeson@1.0", image.Package{Type: "hackage", Name: "aeson", Version: "1.0"}, image.OS{}},
	} {
		got, release, err := image.FromPURL(tt.purl)
		if err != nil {
			t.Errorf("%s: %v", tt.purl, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.purl, diff)
		}
		if diff := cmp.Diff(tt.release, release); diff != "" {
			t.Errorf("%s: release (-want +got):\n%s", tt.purl, diff)
		}
	}
	for _, bad := range []string{"", "pkg:", "pkg:npm", "pkg:npm/", "npm/x@1", "pkg:1/x", "pkg:npm/%zz", "pkg:npm/@babel"} {
		if p, _, err := image.FromPURL(bad); err == nil {
			t.Errorf("%q is read as %+v, want an error", bad, p)
		}
	}
}

// FuzzFromPURL: what is written of what was read is read as the same package of the same
// release.
func FuzzFromPURL(f *testing.F) {
	f.Add("pkg:deb/debian/bsdutils@1:2.38.1-5?arch=amd64&distro=debian-12&upstream=util-linux%402.38.1-5")
	f.Add("pkg:rpm/redhat/npm@6.14?epoch=1&distro=rhel-8.10&upstream=a-1-2.src.rpm")
	f.Add("pkg:npm/%40a/b@1.0.0")
	f.Add("pkg:golang/example.org/a/b@v1.0.0+incompatible")
	f.Add("pkg:maven/g/a@1")
	f.Fuzz(func(t *testing.T, s string) {
		p, release, err := image.FromPURL(s)
		if err != nil {
			return
		}
		written := p.PURL(release)
		again, releaseAgain, err := image.FromPURL(written)
		if err != nil {
			if len(written) > 8<<10 {
				return
			}
			t.Fatalf("%q became %q: %v", s, written, err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Errorf("%q became %q:\n%s", s, written, diff)
		}
		if diff := cmp.Diff(release, releaseAgain); diff != "" {
			t.Errorf("%q became %q:\n%s", s, written, diff)
		}
	})
}
