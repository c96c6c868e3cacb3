package packages

import (
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

func TestRuntimes(t *testing.T) {
	for _, tt := range []struct {
		name, path, content string
		want                []image.Package
	}{
		{
			"Node", "usr/local/include/node/node_version.h",
			"#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 11\n#define NODE_PATCH_VERSION 1\n\n#define NODE_VERSION_IS_LTS 1\n",
			[]image.Package{want("node", "20.11.1")},
		},
		{"Python", "usr/local/include/python3.12/patchlevel.h", "#define PY_MAJOR_VERSION 3\n/* Version as a string */\n#define PY_VERSION      \t\"3.12.2\"\n", []image.Package{want("python", "3.12.2")}},
		{"PHP", "usr/local/include/php/main/php_version.h", "#define PHP_MAJOR_VERSION 8\n#define PHP_VERSION \"8.2.16\"\n", []image.Package{want("php", "8.2.16")}},
		{"Ruby", "usr/local/lib/ruby/3.3.0/x86_64-linux/rbconfig.rb", "  CONFIG[\"MAJOR\"] = \"3\"\n  CONFIG[\"MINOR\"] = \"3\"\n  CONFIG[\"TEENY\"] = \"0\"\n", []image.Package{want("ruby", "3.3.0")}},
		{"Java", "opt/java/openjdk/release", "IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_VERSION=\"17.0.10\"\n", []image.Package{want("java", "17.0.10")}},
		{"a header that says nothing", "usr/include/node/node_version.h", "#include \"x.h\"\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sameAs(t, image.Generic, tt.path, tt.want, read(t, file(tt.path, tt.content)).Packages)
		})
	}
	for _, path := range []string{"etc/release", "src/deps/node_version.h", "usr/share/rbconfig.rb"} {
		if !nobodys(file(path, "VERSION=1\n")) {
			t.Errorf("%s is wanted", path)
		}
	}
}
