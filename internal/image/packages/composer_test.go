package packages

import (
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

const installed = `{"packages": [
  {"name": "symfony/http-kernel", "version": "v5.4.0", "version_normalized": "5.4.0.0", "license": ["MIT"]},
  {"name": "PHPUnit/phpunit", "version": "9.5.1", "license": ["BSD-3-Clause"]},
  {"name": "shop/own", "version": "dev-main"},
  {"name": "shop/next", "version": "2.x-dev"}
], "dev": true, "dev-package-names": ["PHPUnit/phpunit"]}`

func TestComposer(t *testing.T) {
	phpunit := want("phpunit/phpunit", "9.5.1", "BSD-3-Clause")
	phpunit.Dev = true
	sameAs(t, image.Composer, "version 2", []image.Package{
		want("symfony/http-kernel", "5.4.0", "MIT"), phpunit, want("shop/own", ""), want("shop/next", ""),
	}, read(t, file("app/vendor/composer/installed.json", installed)).Packages)
	sameAs(t, image.Composer, "version 1", []image.Package{want("monolog/monolog", "1.0.0")},
		read(t, file("vendor/composer/installed.json", ` [{"name":"monolog/monolog","version":"1.0.0"}]`)).Packages)
	if !nobodys(file("app/composer.lock", installed)) {
		t.Error("a lock file is wanted")
	}
	if _, err := tryRead(t, file("vendor/composer/installed.json", "x")); err == nil {
		t.Error("a letter is read without an error")
	}
}

// FuzzComposer: what is found has a name, and no version that is a branch.
func FuzzComposer(f *testing.F) {
	f.Add([]byte(installed))
	f.Add([]byte(`[{"name":"a/b","version":"dev-x","license":"MIT"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := tryRead(t, file("vendor/composer/installed.json", string(b)))
		if err != nil {
			return
		}
		for _, p := range found.Packages {
			if p.Name == "" || len(p.Version) > 4 && p.Version[:4] == "dev-" {
				t.Errorf("%+v", p)
			}
		}
	})
}
