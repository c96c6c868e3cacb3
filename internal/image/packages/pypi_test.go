package packages

import (
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

func TestPyPI(t *testing.T) {
	egg := string(archive(t, member0{name: "EGG-INFO/PKG-INFO", content: "Metadata-Version: 1.0\nName: Old.Egg\nVersion: 0.1\n"}, member0{name: "old/__init__.py"}))
	for _, tt := range []struct {
		name, path, content string
		want                []image.Package
	}{
		{
			"a wheel that was installed", "usr/lib/python3.11/site-packages/Zope.Interface-5.0.dist-info/METADATA",
			"Metadata-Version: 2.1\r\nName: Zope.Interface\r\nVersion: 5.0.post1\r\nLicense: ZPL 2.1\r\nClassifier: License :: OSI Approved :: Zope Public License\r\n\r\nName: not a header\r\n",
			[]image.Package{want("zope-interface", "5.0.post1", "ZPL 2.1")},
		},
		{
			"one with the text of a licence in the headers", "x/y-1.dist-info/METADATA",
			"Name: y\nLicense: Copyright (c)\n        Permission is hereby granted: to\n Version: 9\nVersion: 1\nLicense-Expression: MIT AND BSD-3-Clause\n",
			[]image.Package{want("y", "1", "MIT AND BSD-3-Clause")},
		},
		{
			"one whose licence is a classifier", "x/y-1.dist-info/METADATA",
			"Name: y\nVersion: 1\nLicense: UNKNOWN\nClassifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: MIT License\n",
			[]image.Package{want("y", "1", "MIT License")},
		},
		{"one that distutils installed", "usr/lib/python3/dist-packages/PyYAML-5.3.1.egg-info", "Name: PyYAML\nVersion: 5.3.1\n", []image.Package{want("pyyaml", "5.3.1")}},
		{"one that setuptools installed", "usr/lib/python3/dist-packages/idna-3.3.egg-info/PKG-INFO", "Name: idna\nVersion: 3.3", []image.Package{want("idna", "3.3")}},
		{"an egg that is a folder", "opt/x.egg/EGG-INFO/PKG-INFO", "Name: x\nVersion: 1\n", []image.Package{want("x", "1")}},
		{"an egg that is an archive", "opt/old-0.1.egg", egg, []image.Package{want("old-egg", "0.1")}},
		{"one that does not say its version", "x/y.dist-info/METADATA", "Name: y\n", []image.Package{want("y", "")}},
		{"one with a line that does not end", "x/y.dist-info/METADATA", "License: " + strings.Repeat("x", 200<<10) + "\nName: y\nVersion: 1", []image.Package{want("y", "1")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sameAs(t, image.PyPI, tt.path, tt.want, read(t, file(tt.path, tt.content)).Packages)
		})
	}
	if _, err := tryRead(t, file("x/y.dist-info/METADATA", "Version: 1\n")); err == nil {
		t.Error("metadata without a name is read without an error")
	}
	for _, path := range []string{"x/METADATA", "src/PKG-INFO", "usr/share/python-wheels/pip-23.0.1-py3-none-any.whl", "x/y.dist-info/RECORD"} {
		if !nobodys(file(path, "Name: y\nVersion: 1\n")) {
			t.Errorf("%s is wanted", path)
		}
	}
}

// FuzzPyPI: names are normalised, so that normalising them again changes nothing, and
// nothing that is found breaks a line.
func FuzzPyPI(f *testing.F) {
	f.Add([]byte("Name: Zope.Interface\nVersion: 5.0\nLicense: x\n\nbody"))
	f.Add([]byte("name:-\r\nversion:\x00\r\nLicense-Expression: MIT"))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := tryRead(t, file("x/y.dist-info/METADATA", string(b)))
		if err != nil {
			return
		}
		for _, p := range found.Packages {
			if p.Name == "" || image.PyPIName(p.Name) != p.Name || strings.ContainsAny(p.Name+p.Version+strings.Join(p.Licenses, ""), "\r\n") {
				t.Errorf("%+v", p)
			}
		}
	})
}
