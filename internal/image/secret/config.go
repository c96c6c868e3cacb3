package secret

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/credential"
	"github.com/bulwark-k8s/bulwark/internal/image"
)

// Rules of the configuration: there a name that promises a credential is enough, since
// everybody who pulls the image reads its value.
const (
	inEnv      = "env-credential"
	inHistory  = "history-credential"
	inLabel    = "label-credential"
	aboutEnv   = "a variable whose name promises a credential has a value"
	aboutBuild = "a step of the build has a credential in it"
	aboutLabel = "a label whose name promises a credential has a value"
)

// InConfig returns the credentials in an image's configuration: env as it has it,
// "NAME=value", the commands of its history, oldest first, and its labels. Paths are
// "config.Env[NAME]", "history[3]", "config.Labels[name]". Order: these three, each in
// its own.
func InConfig(env, history []string, labels map[string]string) []image.Secret {
	var out []image.Secret
	add := func(rule, about, path string) {
		out = append(out, image.Secret{Rule: rule, About: about, Path: path, Layer: -1})
	}
	told := map[string]bool{}
	for _, e := range env {
		name, value, ok := strings.Cut(e, "=")
		if !ok || len(value) > MaxSize {
			continue
		}
		path := "config.Env[" + name + "]"
		switch r := shaped(value); {
		case r != nil:
			add(r.id, r.about, path)
		case promised(name, value):
			add(inEnv, aboutEnv, path)
		default:
			continue
		}
		told[name] = true
	}
	for i, command := range history {
		if len(command) > MaxSize {
			continue
		}
		path := fmt.Sprintf("history[%d]", i)
		rest := withoutEnv(command, told)
		if r := shaped(rest); r != nil {
			add(r.id, r.about, path)
		} else if spoken(rest) {
			add(inHistory, aboutBuild, path)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		path := "config.Labels[" + name + "]"
		if r := shaped(labels[name]); r != nil {
			add(r.id, r.about, path)
		} else if promised(name, labels[name]) {
			add(inLabel, aboutLabel, path)
		}
	}
	return out
}

// shaped returns the first rule whose credential stands in a text, or nil.
func shaped(text string) *rule {
	var found *rule
	for h := range search([]byte(text)) {
		if found == nil || h.rule.order < found.order {
			found = h.rule
		}
	}
	return found
}

// promised reports whether a name promises a credential that its value could be, or the
// value is an address with a password.
func promised(name, value string) bool {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:] // of a label
	}
	if credential.Named(name) && !digits.MatchString(value) && len(value) >= 4 && guessable(value) {
		return true
	}
	return credential.InURL(value) && !placeholder(passwordOf(value))
}

// digits are short numbers: sizes and switches.
var digits = regexp.MustCompile(`^[0-9]{1,5}$`)

func passwordOf(address string) string {
	if m := passwordInURL.FindStringSubmatch(address); m != nil {
		return m[1]
	}
	return ""
}

var (
	envStep = regexp.MustCompile(`(?:^|\s)ENV\s+(?:([A-Za-z_][A-Za-z0-9_]*)[= ])`)
	// What a step gives a build argument: "|2 TOKEN=… USER=… /bin/sh -c …".
	given = regexp.MustCompile(`(?:^|[\s;&|"'])([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|[^\s;&|"']+)`)
	// A password that is handed to chpasswd.
	chpasswd = regexp.MustCompile(`\becho\s+(?:-e\s+)?["']?[a-z_][a-z0-9_-]*:([^"'\s|]{3,100})["']?\s*\|\s*(?:sudo\s+)?chpasswd`)
	header   = regexp.MustCompile(`(?i)\bauthorization:\s*(?:bearer|basic|token)\s+([A-Za-z0-9._~+/=-]{8,})`)
	option   = regexp.MustCompile(`(?:^|\s)(--[A-Za-z][A-Za-z0-9-]*)(?:=|\s+)("[^"]*"|'[^']*'|[^\s;&|"'-][^\s;&|"']*)`)
	userinfo = regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s/@:"'<>]*:([^\s@/"'<>]{3,})@`)
)

// withoutEnv is a step's command; "" for the ENV that sets a variable which was told.
func withoutEnv(command string, told map[string]bool) string {
	if m := envStep.FindStringSubmatch(command); m != nil && told[m[1]] {
		return ""
	}
	return command
}

// spoken reports whether a command has a credential in it by the name that it is given.
func spoken(command string) bool {
	for _, form := range []*regexp.Regexp{given, option} {
		for _, m := range form.FindAllStringSubmatch(command, maxAsked) {
			value := strings.Trim(m[2], `"'`)
			if promised(m[1], value) && !strings.HasPrefix(value, "/") {
				return true
			}
		}
	}
	for _, form := range []*regexp.Regexp{chpasswd, header, userinfo} {
		for _, m := range form.FindAllStringSubmatch(command, maxAsked) {
			if guessable(m[1]) {
				return true
			}
		}
	}
	return false
}

// Mask strikes out of a command what may be a credential, by its form or by the name that
// promises it: more than InConfig tells rather than less.
func Mask(command string) string {
	const mask = "***"
	text := []byte(command)
	var b bytes.Buffer
	done := 0
	for h := range search(text) {
		if h.from >= done {
			b.Write(text[done:h.from])
			b.WriteString(mask)
			done = h.to
		} else if h.to > done {
			done = h.to
		}
	}
	b.Write(text[done:])
	masked := chpasswd.ReplaceAllStringFunc(b.String(), func(m string) string {
		at := chpasswd.FindStringSubmatchIndex(m)
		return m[:at[2]] + mask + m[at[3]:]
	})
	return credential.Mask(masked, mask)
}
