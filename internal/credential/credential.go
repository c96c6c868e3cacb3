// Package credential tells names that promise a credential (DB_PASSWORD, apiToken)
// from names that only speak of one (PASSWORD_FILE, TOKEN_TTL), and values that are one by
// their form. It keeps and returns no value.
package credential

import (
	"iter"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Named reports whether something of this name would hold a credential.
func Named(name string) bool {
	if low := strings.ToLower(name); !slices.ContainsFunc(stems, func(stem string) bool { return strings.Contains(low, stem) }) {
		return false // as nearly all are
	}
	words := split(name)
	if len(words) == 0 || aside[words[len(words)-1]] {
		return false
	}
	joined := strings.Join(words, " ")
	return slices.ContainsFunc(words, promises) ||
		slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(" "+joined+" ", " "+p+" ") })
}

// promises reports whether a word promises a credential by itself or by its end, as
// pgpassword and authtoken do.
func promises(word string) bool {
	return plain[word] || slices.ContainsFunc(ends, func(end string) bool { return strings.HasSuffix(word, end) })
}

// ends are those of words that do.
var ends = []string{"password", "passwd", "secret", "token", "apikey"}

// stems are such that every word and phrase that promises a credential has one of them.
var stems = []string{"pass", "secret", "token", "key", "credential", "pwd", "rsa", "ed25519", "ecdsa", "string"}

// plain are words that promise a credential by themselves.
var plain = map[string]bool{
	"pass": true, "passphrase": true, "passcode": true, "secrets": true, "secretkey": true, "accesskey": true,
	"privatekey": true, "credential": true, "credentials": true,
}

// phrases are words that do so together.
var phrases = []string{
	"api key", "access key", "secret key", "private key", "signing key", "encryption key", "master key",
	"account key", "shared key", "db pwd", "user pwd", "root pwd", "admin pwd", "pg pwd", "mysql pwd",
	"id rsa", "id ed25519", "id ecdsa", "connection string",
}

// aside are last words that turn a name into one about a credential: where it is, how
// long it lasts, what it must look like.
var aside = map[string]bool{
	"file": true, "path": true, "dir": true, "directory": true, "name": true, "names": true, "namespace": true,
	"url": true, "uri": true, "endpoint": true, "host": true, "port": true, "server": true, "service": true,
	"ttl": true, "expiry": true, "expiration": true, "expires": true, "lifetime": true, "duration": true, "timeout": true,
	"interval": true, "age": true, "length": true, "size": true, "count": true, "limit": true, "min": true, "max": true,
	"enabled": true, "enable": true, "disabled": true, "required": true, "allowed": true, "validation": true,
	"id": true, "type": true, "kind": true, "mode": true, "algorithm": true, "audience": true, "issuer": true,
	"header": true, "prefix": true, "suffix": true, "format": true, "policy": true, "provider": true, "backend": true,
	"store": true, "engine": true, "class": true, "ref": true, "user": true, "username": true,
	"version": true, "refresh": true, "rotation": true, "mount": true, "field": true, "parameter": true, "regex": true,
	// Files that are named after what they are about.
	"html": true, "css": true, "js": true, "ts": true, "tmpl": true, "tpl": true, "sh": true, "py": true, "sql": true,
	"lua": true, "xml": true, "md": true, "pub": true, "crt": true, "rules": true,
}

// extensions are file endings that say nothing of what is inside.
var extensions = []string{".json", ".yaml", ".yml", ".txt", ".env", ".conf", ".cfg", ".ini", ".properties", ".toml"}

// split takes a name apart at separators and humps: "dbPassword.txt" is db, password.
func split(name string) []string {
	for _, ext := range extensions {
		name = strings.TrimSuffix(name, ext)
	}
	var b strings.Builder
	var before rune
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			b.WriteByte(' ')
		case unicode.IsUpper(r) && unicode.IsLower(before):
			b.WriteByte(' ')
			fallthrough
		default:
			b.WriteRune(unicode.ToLower(r))
		}
		before = r
	}
	return strings.Fields(b.String())
}

var reference = regexp.MustCompile(`\$\([A-Za-z_][A-Za-z0-9_.-]*\)`)

// Literal reports whether a value could be a credential itself: it is not empty, not a
// switch, not the path of a file, and not only references to other variables.
func Literal(value string) bool {
	value = strings.TrimSpace(value)
	if Path(value) {
		return false
	}
	switch strings.ToLower(value) {
	case "", "true", "false", "yes", "no", "on", "off", "none", "null":
		return false
	}
	return strings.ContainsFunc(reference.ReplaceAllString(value, ""), func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r)
	})
}

// Path reports whether a value is the path of a file in a folder, as
// GOOGLE_APPLICATION_CREDENTIALS has it.
func Path(value string) bool { return filePath.MatchString(value) }

var filePath = regexp.MustCompile(`^(/[\w.-]+){2,}$`)

// Shaped reports whether a value has the form that an issuer gives its credentials,
// whatever the name says: of AWS, GitHub, GitLab, Google, Slack, Stripe, a signed token,
// or a private key.
func Shaped(value string) bool { return len(value) >= shortest && shaped.MatchString(value) }

// shortest is the length of the shortest of them: AWS's.
const shortest = 20

var shaped = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----` +
	`|\b(AKIA|ASIA)[A-Z2-7]{16}\b` +
	`|\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})` +
	`|\bglpat-[\w-]{20,}` +
	`|\bAIza[\w-]{35}` +
	`|\bxox[abprs]-[A-Za-z0-9-]{20,}` +
	`|\b[rs]k_live_[A-Za-z0-9]{20,}` +
	`|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}`)

// InURL reports whether a value is an address with a literal password in it:
// postgres://shop:…@db/shop.
func InURL(value string) bool {
	if !strings.Contains(value, "@") {
		return false
	}
	// References may stand where a URL allows no parentheses.
	u, err := url.Parse(reference.ReplaceAllString(strings.TrimSpace(value), ""))
	if err != nil || u.User == nil || u.Host == "" && u.Path == "" {
		return false
	}
	password, ok := u.User.Password()
	return ok && password != ""
}

// A Place is where a literal credential stands among arguments: from a byte of one of
// them to its end. Name is the flag or variable that promises it, as it is written, and
// empty where the place is an address with a password in it.
type Place struct {
	Index, From int
	Name        string
}

// InArgs finds the credentials that stand among a command's arguments: --password=…,
// -token=…, PASSWORD=…, --token …, and addresses with a password. A flag in two words
// counts only with two dashes, since -p means something else each time. Scripts are not
// searched.
func InArgs(args []string) iter.Seq[Place] {
	return func(yield func(Place) bool) {
		for i, arg := range args {
			name, value, joined := strings.Cut(arg, "=")
			at := Place{i, 0, ""}
			if joined {
				at.From = len(name) + 1
			}
			switch {
			case InURL(arg):
				at.From = 0
			case joined && InURL(value):
			case strings.ContainsAny(name, " \n") || !Named(strings.TrimPrefix(name, "-D")):
				continue // it is no flag, a script, or about something else
			case joined && held(value):
				at.Name = name
			case !joined && strings.HasPrefix(name, "--") && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") && held(args[i+1]):
				at = Place{i + 1, 0, name}
			default:
				continue
			}
			if !yield(at) {
				return
			}
		}
	}
}

// held reports whether an argument could be a credential itself, and is no path or
// reference to one, nor an address without a password.
func held(value string) bool {
	return Literal(value) && !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "$") && !strings.Contains(value, "://")
}

// What promises a credential in the text of a script, a query or a header.
var (
	assigned = regexp.MustCompile(`([A-Za-z0-9_.-]+)(["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s;|&"']+)`)
	flagged  = regexp.MustCompile(`(--[A-Za-z0-9_.-]+)(\s+)("[^"]*"|'[^']*'|[^\s;|&"'-][^\s;|&"']*)`)
	scheme   = regexp.MustCompile(`(?i)\b(bearer|basic)(\s+)([A-Za-z0-9._~+/=-]+)`)
	userinfo = regexp.MustCompile(`(://)([^\s/@:]*:)([^\s/@]+)@`)
)

// Mask replaces in a text what may be a credential: what is assigned to a name that
// promises one, what follows Bearer and Basic, and passwords in addresses.
func Mask(text, mask string) string {
	for _, form := range []*regexp.Regexp{assigned, flagged} {
		text = form.ReplaceAllStringFunc(text, func(m string) string {
			part := form.FindStringSubmatch(m)
			if value := strings.Trim(part[3], `"'`); !Named(part[1]) || !held(value) || scheme.MatchString(value) {
				return m
			}
			return part[1] + part[2] + mask
		})
	}
	text = scheme.ReplaceAllString(text, "${1}${2}"+mask)
	return userinfo.ReplaceAllString(text, "${1}"+mask+":"+mask+"@")
}
