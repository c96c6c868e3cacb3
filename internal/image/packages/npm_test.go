package packages

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// A want is a package's name and version, and what else is not empty.
func want(name, version string, licenses ...string) image.Package {
	return image.Package{Name: name, Version: version, Licenses: licenses}
}

// sameAs holds packages against others, but for type and path, which are checked to be
// there.
func sameAs(t *testing.T, typ image.Type, path string, wants, got []image.Package) {
	t.Helper()
	if diff := cmp.Diff(wants, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(image.Package{}, "Type", "Path", "Go")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
	for _, p := range got {
		if p.Type != typ || p.Path == "" {
			t.Errorf("%s: type %q and path %q, want %q and a path", p.Name, p.Type, p.Path, typ)
		}
	}
}

// nobodys reports whether no finder wants a file.
func nobodys(f *layer.File) bool {
	return !slices.ContainsFunc(Finders(), func(finder layer.Finder) bool { return finder.Wants(f) })
}

func TestNPM(t *testing.T) {
	for _, tt := range []struct {
		name, path, content string
		want                []image.Package
	}{
		{"a package", "app/node_modules/express/package.json", `{"name":"express","version":"4.18.2","license":"MIT"}`, []image.Package{want("express", "4.18.2", "MIT")}},
		{"a package of a scope, with an old form of licence", "app/node_modules/@babel/core/package.json", `{"name":"@babel/core","version":"7.0.0-beta.44","license":{"type":"ISC","url":"x"}}`, []image.Package{want("@babel/core", "7.0.0-beta.44", "ISC")}},
		{"a package within another's", "node_modules/a/node_modules/b/package.json", `{"name":"b","version":"1.0.0+x","licenses":[{"type":"MIT"},"Apache-2.0"]}`, []image.Package{want("b", "1.0.0+x", "MIT", "Apache-2.0")}},
		{"a package that pnpm keeps apart", "app/node_modules/.pnpm/b@1.0.0/node_modules/b/package.json", "\ufeff" + `{"name":"b","version":"1.0.0"}`, []image.Package{want("b", "1.0.0")}},
		{"a package under another name", "node_modules/string-width-cjs/package.json", `{"name":"string-width","version":"4.2.3","license":5}`, []image.Package{want("string-width", "4.2.3")}},
		{"a client of an editor's protocol", "node_modules/vscode-languageclient/package.json", `{"name":"vscode-languageclient","version":"9.0.1","engines":{"vscode":"^1.82.0"}}`, []image.Package{want("vscode-languageclient", "9.0.1")}},
		{"a package of Debian", "usr/share/nodejs/yargs/package.json", `{"name":"yargs","version":"16.2.0"}`, []image.Package{want("yargs", "16.2.0")}},
		{"one without a version", "node_modules/b/package.json", `{"name":"b"}`, nil},
		{"one with a range for a version", "node_modules/b/package.json", `{"name":"b","version":"^1.0.0"}`, nil},
		{"one whose name is no text", "node_modules/b/package.json", `{"name":["b"],"version":"1.0.0"}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sameAs(t, image.NPM, tt.path, tt.want, read(t, file(tt.path, tt.content)).Packages)
		})
	}
	for _, path := range []string{
		"app/package.json", "node_modules/next/dist/compiled/babel/package.json", "app/node_modules/package.json",
		"root/.vscode/extensions/dbaeumer.vscode-eslint-2.4.2/package.json", "node_modules/.package-lock.json", "app/package-lock.json",
		"node_modules/resolve/test/module_dir/zmodules/bbb/package.json",
	} {
		if !nobodys(file(path, `{"name":"a","version":"1.0.0"}`)) {
			t.Errorf("%s is wanted", path)
		}
	}
	if _, err := tryRead(t, file("node_modules/b/package.json", `{"name":"b","version":`)); err == nil {
		t.Error("half a file is read without an error")
	}
}

// FuzzNPM: a package that is found has a name, and a version that is one.
func FuzzNPM(f *testing.F) {
	f.Add([]byte(`{"name":"@a/b","version":"1.0.0","license":{"type":"MIT"}}`))
	f.Add([]byte(`{"name":1,"version":null,"licenses":["MIT",{"type":"X"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := tryRead(t, file("node_modules/a/package.json", string(b)))
		if err != nil {
			return
		}
		for _, p := range found.Packages {
			if p.Name == "" || !semver.MatchString(p.Version) || len(p.Licenses) > maxLicenses {
				t.Errorf("%+v", p)
			}
		}
	})
}
