package secret

import (
	"bytes"
	"encoding/base64"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/credential"
)

// ends is true of names with one of the endings, which begin at a folder or a file's name.
func ends(with ...string) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(with, func(e string) bool {
			rest, ok := strings.CutSuffix(name, e)
			return ok && (rest == "" || strings.HasSuffix(rest, "/") || strings.HasPrefix(e, "."))
		})
	}
}

// bases is true of files with one of the names.
func bases(names ...string) func(string) bool {
	return func(name string) bool { return slices.Contains(names, path.Base(name)) }
}

// group iterates over the places of a pattern's first group of which is is true.
func group(pattern *regexp.Regexp, text []byte, is func(m [][]byte) bool) places {
	return func(yield func(int) bool) {
		for _, m := range pattern.FindAllSubmatchIndex(text, maxAsked) {
			parts := make([][]byte, len(m)/2)
			for i := range parts {
				if m[2*i] >= 0 {
					parts[i] = text[m[2*i]:m[2*i+1]]
				}
			}
			if is(parts) && !yield(m[2]) {
				return
			}
		}
	}
}

var loginField = regexp.MustCompile(`"(auth|identitytoken|registrytoken|password)"\s*:\s*"([^"]{6,})"`)

// dockerAuth finds logins in the files of Docker, Podman and Skopeo: name and password
// in base64, or a token.
func dockerAuth(text []byte) places {
	return group(loginField, text, func(m [][]byte) bool {
		value := string(m[2])
		if string(m[1]) != "auth" {
			return guessable(value)
		}
		raw, err := base64.StdEncoding.DecodeString(value)
		_, password, ok := bytes.Cut(raw, []byte(":"))
		password = bytes.Trim(password, "\x00")
		return err == nil && ok && len(password) > 0 && !placeholder(string(password))
	})
}

var netrcEntry = regexp.MustCompile(`(?:^|\s)(password)\s+(\S{3,500})`)

func netrc(text []byte) places {
	return group(netrcEntry, text, func(m [][]byte) bool { return guessable(string(m[2])) })
}

var pgpassEntry = regexp.MustCompile(`(?m)^([^#:\n]+):[^:\n]*:[^:\n]*:[^:\n]+:([^\n]{3,200})$`)

func pgpass(text []byte) places {
	return group(pgpassEntry, text, func(m [][]byte) bool { return guessable(strings.TrimSpace(string(m[2]))) })
}

func hashFiles(name string) bool {
	base := path.Base(name)
	return name == "etc/shadow" || name == "etc/shadow-" || name == "etc/gshadow" || strings.HasSuffix(base, ".htpasswd") || base == "htpasswd"
}

// A hash is one of crypt(5), or as Apache writes it.
var hashEntry = regexp.MustCompile(`(?m)^([^:#\n]{1,64}):(\$(?:1|5|6|7|y|gy|2[abxy]|apr1|argon2[a-z]*)\$[^:\s]{20,200}|\{SHA\}[A-Za-z0-9+/=]{28})`)

func hashes(text []byte) places { return group(hashEntry, text, func([][]byte) bool { return true }) }

var stateField = regexp.MustCompile(`"([A-Za-z0-9_]{3,60})"\s*:\s*"((?:[^"\\\n]|\\.){6,})"`)

// terraformState finds attributes whose names promise a credential.
func terraformState(text []byte) places {
	return group(stateField, text, func(m [][]byte) bool {
		name, value := string(m[1]), string(m[2])
		return credential.Named(name) && !strings.HasPrefix(value, "arn:") && guessable(value)
	})
}

func kubeconfigs(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(name, ".kube/config") || base == "kubeconfig" || strings.HasSuffix(base, ".kubeconfig") || strings.HasPrefix(base, "kubeconfig.") ||
		strings.HasPrefix(name, "etc/kubernetes/") && strings.HasSuffix(base, ".conf")
}

var userField = regexp.MustCompile(`(?m)^\s+(?:- )?["']?(token|password)["']?\s*:\s*["']?([^\s"']{8,})`)

func kubeconfig(text []byte) places {
	return group(userField, text, func(m [][]byte) bool { return guessable(string(m[2])) })
}

// settings are names of files in which applications keep settings, as patterns of path.
var settings = []string{
	".env", ".env.*", "*.env", "*.properties", "application*.y*ml", "bootstrap*.y*ml", "*compose*.y*ml", "database.yml", "secrets.y*ml", "credentials.y*ml",
	"appsettings*.json", "wp-config.php", "config.php", "parameters.yml", "settings.ini", "odbc.ini", "local_settings.py",
}

// envFiles is true of files of settings, and not of their templates.
func envFiles(name string) bool {
	base := path.Base(name)
	switch path.Ext(base) {
	case ".env", ".properties", ".yml", ".yaml", ".json", ".php", ".ini", ".py":
	default:
		if !strings.HasPrefix(base, ".env") {
			return false
		}
	}
	base = strings.ToLower(base)
	if inTrials(name) || slices.ContainsFunc([]string{"example", "sample", "template", "dist", "tmpl", "test", "defaults"}, func(w string) bool { return strings.Contains(base, w) }) {
		return false
	}
	return slices.ContainsFunc(settings, func(p string) bool {
		ok, _ := path.Match(p, base)
		return ok
	})
}

// A line that gives a name a value, as most formats of settings write it.
var assignment = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+|-[ \t]+|define\([ \t]*)?["']?([A-Za-z0-9_.-]{3,100})["']?[ \t]*[=:,][ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^\s"'#][^\n#]*))`)

// assignments finds values of names that promise a credential; with made only those that
// look as if they were made up.
func assignments(made bool) func(text []byte) places {
	return func(text []byte) places {
		return group(assignment, text, func(m [][]byte) bool {
			name := string(m[1])
			if i := strings.LastIndexByte(name, '.'); i >= 0 && i+1 < len(name) {
				name = name[i+1:]
			}
			value := strings.TrimSpace(string(slices.Concat(m[2], m[3], m[4])))
			value = strings.TrimRight(value, ",;)")
			switch {
			case credential.Named(name) && !made:
				return guessable(value)
			case credential.Named(name):
				return strong(value)
			default:
				return credential.InURL(value) && strongPassword(value)
			}
		})
	}
}

var passwordInURL = regexp.MustCompile(`://[^\s/@:]*:([^\s@/]+)@`)

// strongPassword reports whether the password in an address looks made up.
func strongPassword(address string) bool {
	m := passwordInURL.FindStringSubmatch(address)
	return m != nil && strong(m[1])
}
