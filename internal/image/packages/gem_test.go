package packages

import (
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

const rack = `# -*- encoding: utf-8 -*-
# stub: rack 2.2.6.4 ruby lib

Gem::Specification.new do |s|
  s.name = "rack".freeze
  s.version = "2.2.6.4"

  s.required_rubygems_version = Gem::Requirement.new(">= 0".freeze) if s.respond_to? :required_rubygems_version=
  s.metadata = { "bug_tracker_uri" => "https://example.org" } if s.respond_to? :metadata=
  s.licenses = ["MIT".freeze, "Ruby".freeze]
  s.description = "name = \"evil\"".freeze
  s.add_development_dependency(%q<minitest>.freeze, ["~> 5.0"])
end
`

func TestGem(t *testing.T) {
	for _, tt := range []struct {
		name, path, content string
		want                []image.Package
	}{
		{"an installed gem", "usr/local/bundle/specifications/rack-2.2.6.4.gemspec", rack, []image.Package{want("rack", "2.2.6.4", "MIT", "Ruby")}},
		{"a gem that comes with Ruby", "usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.1.gemspec", "Gem::Specification.new do |s|\n  s.name = 'json'\n  s.version = Gem::Version.new('2.6.1')\nend\n", []image.Package{want("json", "2.6.1")}},
		{"a gem of which the first line alone says all", "specifications/x-1.gemspec", "# stub: x 1.0 x86_64-linux lib\nspec = eval(File.read('x'))\n", []image.Package{want("x", "1.0")}},
		{"a gem whose version is computed", "specifications/x-1.gemspec", "Gem::Specification.new do |s|\n  s.name = 'x'\n  s.version = X::VERSION\nend\n", []image.Package{want("x", "")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sameAs(t, image.Gem, tt.path, tt.want, read(t, file(tt.path, tt.content)).Packages)
		})
	}
	if !nobodys(file("usr/local/bundle/gems/rack-2.2.6.4/rack.gemspec", rack)) {
		t.Error("a gem's source is wanted")
	}
	if _, err := tryRead(t, file("specifications/x.gemspec", "puts 1")); err == nil {
		t.Error("a program that names nothing is read without an error")
	}
}

// FuzzGem: a gem that is found has a name, of one line.
func FuzzGem(f *testing.F) {
	f.Add([]byte(rack))
	f.Add([]byte("# stub: x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := tryRead(t, file("specifications/x.gemspec", string(b)))
		if err != nil {
			return
		}
		for _, p := range found.Packages {
			if p.Name == "" || strings.ContainsAny(p.Name+p.Version, "\r\n") {
				t.Errorf("%+v", p)
			}
		}
	})
}
