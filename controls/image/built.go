package image

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// rootUser goes by the configuration's user: none is root.
func rootUser(i *cluster.Image, v *control.Verdict) bool {
	if i.Unconfigured {
		return false
	}
	user, _, _ := strings.Cut(i.User, ":")
	if uid, err := strconv.Atoi(user); user == "" || user == "root" || err == nil && uid == 0 {
		got := user
		if got == "" {
			got = "not set"
		}
		v.Broken("config.User", got, "the number of a user")
	}
	return true
}

// namedUser leaves root to image.rootimage.
func namedUser(i *cluster.Image, v *control.Verdict) bool {
	user, _, _ := strings.Cut(i.User, ":")
	if _, err := strconv.Atoi(user); user != "" && user != "root" && err != nil {
		v.Broken("config.User", user, "its number").Because("with runAsNonRoot, pods of it do not start unless they set runAsUser")
	}
	return true
}

// A step is a line of the history as its author wrote it.
type step struct {
	at   string // "history[3]"
	run  bool
	text string
	base bool
}

var buildArguments = regexp.MustCompile(`^\|\d+ (?:\S+=(?:"[^"]*"|'[^']*'|\S*) )*`)

// steps are the history's, without what builders put around a line: BuildKit's build
// arguments and mark (moby/buildkit, frontend/dockerfile/dockerfile2llb), the older
// builder's shell around instructions (moby/moby, builder/dockerfile).
func steps(i *cluster.Image) []step {
	var out []step
	for n, h := range i.History {
		s := step{at: fmt.Sprintf("history[%d]", n), base: h.Base}
		text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(h.Command), "# buildkit"))
		if nop, ok := strings.CutPrefix(text, "/bin/sh -c #(nop)"); ok {
			s.text = strings.TrimSpace(nop)
			out = append(out, s)
			continue
		}
		run, ok := strings.CutPrefix(text, "RUN ")
		run = buildArguments.ReplaceAllString(run, "")
		command, shell := strings.CutPrefix(run, "/bin/sh -c ")
		s.run, s.text = ok || shell, command
		out = append(out, s)
	}
	return out
}

// breaks records a step of which a pattern is true, with what it found.
func breaks(v *control.Verdict, s step, got, want string) {
	f := v.Broken(s.at, quote(got), want)
	if s.base {
		f.Because("it is a step of the base image")
	}
}

// quote is a part of a command, in bearable length.
func quote(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:100], "") + "…"
	}
	return strconv.Quote(s)
}

var remote = regexp.MustCompile(`^ADD\s+(?:--\S+\s+)*["\[\s]*((?:https?|ftp)://[^\s"',]+|git@[^\s"',]+)`)

// remoteAdd finds ADD of an address without --checksum. One of a repository at a commit
// is checked by git.
func remoteAdd(i *cluster.Image, v *control.Verdict) bool {
	for _, s := range steps(i) {
		if m := remote.FindStringSubmatch(s.text); m != nil && !s.run && !strings.Contains(s.text, "--checksum=") && !pinned.MatchString(m[1]) {
			breaks(v, s, "ADD "+m[1], "--checksum=sha256:…, or COPY of what was checked")
		}
	}
	return len(i.History) > 0
}

var pinned = regexp.MustCompile(`#[0-9a-f]{40}\b`)

var piped = regexp.MustCompile(`\b(?:curl|wget|fetch)\b[^|;&\n]*\|\s*(?:sudo\s+(?:-\S+\s+)*)?(?:env\s+)?(?:\w+=\S*\s+)*(?:/(?:usr/)?bin/)?(?:ba|da|a|z|k)?(?:sh|python[0-9.]*|perl|ruby|node|php)\b(?:\s|$|-)?` +
	`|\b(?:ba|da|a|z|k)?sh\s+(?:-\w+\s+)*["']?(?:\$\(|<\(|` + "`" + `)\s*(?:curl|wget)\b[^)]*` +
	`|\beval\s+["']?\$\(\s*(?:curl|wget)\b[^)]*`)

func pipedScript(i *cluster.Image, v *control.Verdict) bool {
	for _, s := range steps(i) {
		if m := piped.FindString(s.text); m != "" && s.run {
			breaks(v, s, m, "a file whose checksum is compared before it runs")
		}
	}
	return len(i.History) > 0
}

// A tool's option that turns off its check of who a download comes from.
var unchecked = []*regexp.Regexp{
	regexp.MustCompile(`--allow-unauthenticated\b|--force-yes\b|--allow-insecure-repositories\b|\[[^\]]*trusted=yes[^\]]*\]|AllowInsecureRepositories[="' ]+(?:true|1)`),
	regexp.MustCompile(`\bapk\b[^;&|]*--allow-untrusted\b`),
	regexp.MustCompile(`--nogpgcheck\b|--no-gpg-checks?\b|--nosignature\b|\bgpgcheck\s*=\s*(?:0|no|false)\b`),
	regexp.MustCompile(`--no-check-certificate\b`),
	regexp.MustCompile(`\bcurl\b[^;&|]*\s(?:--insecure\b|-[#046fgGiIJlLnNOsSvZ]*k[#046fgGiIJlLnNOsSvZ]*[oHXdAeu]?(?:\s|$))`),
	regexp.MustCompile(`(?i)\bhttp\.sslVerify[= ]+["']?(?:false|0)\b|\bGIT_SSL_NO_VERIFY=["']?(?:1|true)\b`),
	regexp.MustCompile(`\bstrict-ssl[= ]+["']?false\b|\bNODE_TLS_REJECT_UNAUTHORIZED[= ]["']?0\b`),
	regexp.MustCompile(`--trusted-host\b|\bPYTHONHTTPSVERIFY[= ]["']?0\b`),
	regexp.MustCompile(`\bGONOSUMDB=\*|\bGOFLAGS=["']?-insecure\b|\bGOINSECURE=\*`),
	regexp.MustCompile(`\bStrictHostKeyChecking[= ]+["']?no\b`),
}

func uncheckedDownload(i *cluster.Image, v *control.Verdict) bool {
	for _, s := range steps(i) {
		if !s.run && !strings.HasPrefix(s.text, "ENV ") {
			continue
		}
		for _, u := range unchecked {
			if m := u.FindString(s.text); m != "" {
				breaks(v, s, m, "a check of who it comes from")
				break
			}
		}
	}
	return len(i.History) > 0
}

var opened = regexp.MustCompile(`\bchmod\s+(?:-\S+\s+)*(?:0?777|0?666|(?:a|o|ugo|)[+=]r?wx?X?|a\+w|o\+w)\s+[^;&|\n]*`)

func openFiles(i *cluster.Image, v *control.Verdict) bool {
	for _, s := range steps(i) {
		if m := opened.FindString(s.text); m != "" && s.run {
			breaks(v, s, strings.TrimSpace(m), "write for the owner alone")
		}
	}
	return len(i.History) > 0
}

// floatingBase judges images of which it is known what they were built on.
func floatingBase(i *cluster.Image, v *control.Verdict) bool {
	b := i.Base
	if b == nil || b.Name == "" || b.Name == "scratch" {
		return false
	}
	if b.Digest != "" || strings.Contains(b.Name, "@") {
		return true
	}
	f := v.Broken("base", b.Name, "the same with its digest")
	if _, tag, _ := strings.Cut(b.Name[strings.LastIndexByte(b.Name, '/')+1:], ":"); tag == "" || tag == "latest" {
		f.Rated(control.Medium)
	}
	return true
}

// lowPort finds ports that are a privilege to listen on where the runtime does not say
// otherwise (net.ipv4.ip_unprivileged_port_start).
func lowPort(i *cluster.Image, v *control.Verdict) bool {
	for _, p := range i.Ports {
		number, _, _ := strings.Cut(p, "/")
		number, _, _ = strings.Cut(number, "-")
		if n, err := strconv.Atoi(number); err == nil && n > 0 && n < 1024 {
			v.Broken("config.ExposedPorts["+p+"]", p, "a port from 1024 on")
		}
	}
	return true
}
