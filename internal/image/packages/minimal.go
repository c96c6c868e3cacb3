package packages

import (
	"context"
	"path"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// shells give whoever gets into a container a prompt. Links to one (sh to dash, applets
// to busybox) are none by themselves: the program that they lead to is there, too.
var shells = words(`ash bash busybox csh dash elvish fish ksh ksh93 mksh nu oksh osh posh pwsh rbash sh
	tcsh toybox yash zsh`)

// managers fetch programs and install them: the system's and the languages'.
var managers = words(`apk apt apt-get aptitude dnf dnf-3 dnf5 dpkg emerge microdnf nix-env opkg pacman rpm
	snap tdnf urpmi xbps-install yum zypper
	bundle cargo composer composer.phar conda cpan cpanm gem mamba micromamba npm npm-cli.js
	pear pecl pipenv pnpm pnpm.cjs poetry uv yarn yarn.js`)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

// Minimal recognises programs that an image needs to be built, but not to run: shells
// and package managers. It goes by the names of programs where programs are.
var minimal = finder{
	name:    "minimal",
	version: 1,
	wants: func(f *layer.File) bool {
		return f.Mode&0o111 != 0 && f.Size > 0 && (isShell(f.Path) || isManager(f.Path))
	},
	read: func(_ context.Context, f *layer.File) (*layer.Found, error) {
		return &layer.Found{Shell: isShell(f.Path), Manager: isManager(f.Path)}, nil
	},
}

func isShell(p string) bool {
	return shells[path.Base(p)] && (programs(p) || path.Base(p) == "pwsh")
}

func isManager(p string) bool {
	base := path.Base(p)
	// pip, pip3, pip3.11
	pip, ok := strings.CutPrefix(base, "pip")
	return (managers[base] || ok && strings.Trim(pip, ".0123456789") == "") && programs(p)
}

// programs reports whether a file is in a folder of programs: bin, sbin, or the folder
// that Google's images for debugging have their shell in.
func programs(p string) bool {
	switch path.Base(path.Dir(p)) {
	case "bin", "sbin", "busybox":
		return true
	}
	return false
}
