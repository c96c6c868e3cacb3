package secret

import (
	"path"
	"slices"
	"strings"
)

// trees are folders of packages: what lies in them was published, so whatever looks like
// a credential there is an example. They are looked for anywhere in a path; a second
// folder, where there is one, must follow the first.
var trees = map[string]string{
	"node_modules": "", "site-packages": "", "dist-packages": "", "gems": "", ".gem": "", ".cache": "", ".rustup": "",
	"pkg": "mod", ".cargo": "registry", ".m2": "repository", ".nuget": "packages", ".npm": "_cacache", ".kube": "cache", ".pyenv": "versions",
}

// shippedAt are folders at the root that only package managers and distributors fill.
var shippedAt = []string{
	"bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/", "boot/", "dev/", "proc/", "sys/",
	"usr/bin/", "usr/sbin/", "usr/lib/", "usr/lib32/", "usr/lib64/", "usr/libexec/", "usr/include/", "usr/games/",
	"usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/i18n/", "usr/share/zoneinfo/",
	"usr/share/perl", "usr/share/python", "usr/share/ruby", "usr/share/icons/", "usr/share/mime/", "usr/share/terminfo/",
	"usr/share/X11/", "usr/share/fonts/", "usr/share/vim/", "usr/share/emacs/", "usr/share/bash-completion/", "usr/share/zsh/",
	"usr/share/ca-certificates/", "usr/share/licenses/", "usr/share/common-licenses/", "usr/share/java/", "usr/share/maven-repo/",
	"usr/share/gdb/", "usr/share/gcc", "usr/share/nodejs/", "usr/share/npm/", "usr/share/help/", "usr/share/lintian/",
	"usr/share/apport/", "usr/share/misc/", "usr/share/keyrings/", "usr/share/awk/", "usr/share/groff/", "usr/share/rubygems-integration/",
	"usr/local/go/", "usr/local/share/man/", "usr/local/include/", "usr/local/lib/ruby/", "usr/local/lib/perl", "usr/local/lib/php/",
	"usr/local/rustup/", "usr/local/share/doc/", "usr/src/linux", "usr/src/debug/",
	"var/lib/dpkg/", "var/lib/apt/", "var/lib/rpm/", "var/lib/apk/", "var/lib/yum/", "var/lib/dnf/", "var/cache/",
	"var/lib/gems/", "lib/apk/", "etc/ssl/certs/", "etc/pki/ca-trust/", "etc/alternatives/",
}

// shippedBy are shippedAt by their first folder.
var shippedBy = func() map[string][]string {
	out := map[string][]string{}
	for _, at := range shippedAt {
		first, _, _ := strings.Cut(at, "/")
		out[first] = append(out[first], at)
	}
	return out
}()

// shipped reports whether a file lies where only published things do.
func shipped(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	for _, at := range shippedBy[first] {
		if strings.HasPrefix(name, at) {
			return true
		}
	}
	if strings.HasPrefix(name, "usr/local/lib/python") {
		return true // the library that images of Python are built with
	}
	for rest := name; ; {
		folder, after, ok := strings.Cut(rest, "/")
		if !ok {
			return false
		}
		if second, is := trees[folder]; is && (second == "" || strings.HasPrefix(after, second+"/")) {
			return true
		}
		rest = after
	}
}

// dullEnds are endings of texts that hold no settings, in number and size most of what
// is in an image.
var dullEnds = map[string]bool{
	".c": true, ".h": true, ".cc": true, ".cpp": true, ".hpp": true, ".s": true, ".o": true, ".a": true, ".so": true,
	".css": true, ".scss": true, ".less": true, ".svg": true, ".html": true, ".htm": true, ".map": true,
	".md": true, ".rst": true, ".po": true, ".pot": true, ".mo": true, ".tex": true, ".1": true, ".3": true, ".8": true,
	".d": true, ".pyc": true, ".pyi": true, ".pod": true, ".pm": true, ".al": true, ".ph": true, ".dat": true, ".csv": true,
	".lock": true, ".sum": true, ".crt": true, ".pub": true, ".asc": true, ".log": true, ".snap": true,
}

// dull reports whether a text's name says that nobody keeps settings in it.
func dull(name string) bool {
	base := path.Base(name)
	switch base {
	case "package-lock.json", "yarn.lock", "pnpm-lock.yaml", "composer.lock", "go.sum", "Cargo.lock", "ca-bundle.crt", "ca-certificates.crt":
		return true
	}
	if strings.HasSuffix(base, ".min.js") || strings.HasSuffix(base, ".d.ts") {
		return true
	}
	return dullEnds[strings.ToLower(path.Ext(base))]
}

// trials are words in the names of files and folders that are for tests and examples: a
// key there is made for them. What bears an issuer's form counts there too.
var trials = map[string]bool{
	"spec": true, "specs": true, "fixture": true, "fixtures": true, "example": true, "examples": true, "sample": true, "samples": true,
	"mock": true, "mocks": true, "doc": true, "docs": true, "e2e": true,
}

func inTrials(name string) bool {
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return strings.ContainsRune("/-_.", r) }) {
		if trials[word] || strings.HasPrefix(word, "test") {
			return true
		}
	}
	return false
}

// storeEnds are endings of files in which keys or passwords are kept behind a password.
var storeEnds = []string{".jks", ".p12", ".pfx", ".keystore", ".bcfks", ".kdbx"}

// storeOf reports whether a file's name is that of a store of keys. Stores of trusted
// certificates hold none.
func storeOf(name string) bool {
	base := strings.ToLower(path.Base(name))
	if inTrials(name) || strings.Contains(base, "trust") || strings.Contains(base, "cacert") {
		return false
	}
	return slices.ContainsFunc(storeEnds, func(end string) bool { return strings.HasSuffix(base, end) })
}
