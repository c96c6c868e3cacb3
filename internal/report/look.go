package report

import (
	"fmt"
	"net"
	"strings"
	"unicode"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// A lookup is how a person sees with their own eyes what a finding says.
type lookup struct {
	// On is the machine to run Command on; empty means wherever kubectl or the files are.
	On      string
	Command string
}

// look returns the command that shows a finding's evidence again. Every command only
// reads. Names come from strangers, so each is quoted for a POSIX shell and none can
// become an option. It returns an empty Command where there is nothing to run.
func look(f *control.Finding) lookup {
	ref, src := f.Object, f.Source
	kind := strings.ToLower(ref.Kind)
	switch need := cluster.Need(ref.Kind); {
	case ref.IsCluster():
		return lookup{"", kubectl(ref) + "version"}
	case ref.Kind == "File":
		return lookup{ref.Namespace, "stat " + operand(ref.Name)}
	case ref.Kind == "Listener":
		return lookup{ref.Namespace, lookAtPort(ref.Name)}
	case ref.Kind == "Kubelet" && strings.HasPrefix(src.Origin, "/api/"):
		return lookup{"", kubectl(ref) + "get --raw " + quote(src.Origin)}
	case ref.Kind == "Kubelet" && src.Line == 0 && strings.HasPrefix(src.Origin, "/"):
		return lookup{ref.Name, "cat " + quote(src.Origin)}
	case components[kind] && (ref.Kind != "Kubelet" || src.Line == 0):
		return lookAtComponent(kind, ref, src)
	case archived(src.Origin) > 0 && src.Line > 0:
		at := archived(src.Origin)
		return lookup{"", fmt.Sprintf("tar -xzOf %s %s | sed -n '%d,/^---/p'", operand(src.Origin[:at]), operand(src.Origin[at+1:]), src.Line)}
	case fileOf(src, "") != "":
		return lookup{"", fmt.Sprintf("sed -n '%d,/^---/p' %s", src.Line, operand(src.Origin))}
	case f.Outcome == control.Unknown && ref.Kind == kind && need.IsObject():
		// A gap: its "object" is the resource that could not be listed.
		where := "--all-namespaces"
		if ref.Name != "(all)" {
			where = "-n " + quote(ref.Name)
		}
		return lookup{"", kubectl(ref) + "auth can-i list " + operand(ref.Kind) + " " + where}
	case ref.Kind == kind || ref.Name == "":
		return lookup{} // no kind of the API is in lower case
	}
	in := ""
	if ref.Namespace != "" {
		in = "-n " + quote(ref.Namespace) + " "
	}
	return lookup{"", kubectl(ref) + in + "get " + quote(kind) + named(ref.Name) + " -o yaml"}
}

// kubectl begins a command for a thing. Where there are several clusters, their names are
// those of contexts.
func kubectl(ref cluster.Ref) string {
	if ref.Cluster == "" {
		return "kubectl "
	}
	return "kubectl --context " + quote(ref.Cluster) + " "
}

func lookAtPort(name string) string {
	address := name[strings.LastIndexByte(name, ' ')+1:]
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "ss -ltnp"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost" // it listens on every address, this one too
	}
	return "openssl s_client -connect " + quote(net.JoinHostPort(host, port)) + " </dev/null"
}

func lookAtComponent(kind string, ref cluster.Ref, src cluster.Source) lookup {
	name := ref.Name
	ns, pod, static := strings.Cut(name, "/")
	switch {
	case static:
		return lookup{"", kubectl(ref) + "-n " + quote(ns) + " get pod" + named(pod) + " -o yaml"}
	case src.Origin == "/flagz" || strings.HasPrefix(name, "("):
		return lookup{"", kubectl(ref) + "get --raw /flagz"}
	}
	return lookup{name, "pgrep -af " + quote(kind)}
}

// named is an object's name as an argument after its kind. One that begins with a
// dash would be an option; kind/name cannot be.
func named(name string) string {
	if strings.HasPrefix(name, "-") {
		return "/" + quote(name)
	}
	return " " + quote(name)
}

// operand is a quoted argument that no program takes for an option.
func operand(s string) string {
	if strings.HasPrefix(s, "-") {
		return "-- " + quote(s)
	}
	return quote(s)
}

// quote makes one word of s for a POSIX shell. Where s holds characters that do not
// print, it uses $'…' (bash, zsh, POSIX 2024), so that pasting it cannot run anything.
func quote(s string) string {
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	if !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) || c == unicode.ReplacementChar }) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, c := range []byte(s) {
		if c >= ' ' && c < 0x7f && c != '\'' && c != '\\' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// special reports whether a character may mean something to a shell.
func special(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return false
	}
	return !strings.ContainsRune("_-./:@%+=,", c)
}

// patch returns the kubectl command that makes a finding's changes in a running
// cluster, or "" where there is no such command: changes that a patch cannot say,
// things that are not in the API, and pods, whose spec is fixed while they live.
func patch(f *control.Finding) string {
	kind := strings.ToLower(f.Object.Kind)
	if len(f.Changes) == 0 || f.Object.OnMachine() || components[kind] || kind == f.Object.Kind || f.Object.Name == "" {
		return ""
	}
	if kind == "pod" {
		for _, c := range f.Changes {
			if !strings.HasPrefix(c.Path, "metadata.") {
				return ""
			}
		}
	}
	body, ok := control.MergePatch(f.Changes)
	if !ok {
		return ""
	}
	cmd := kubectl(f.Object)
	if f.Object.Namespace != "" {
		cmd += "-n " + quote(f.Object.Namespace) + " "
	}
	return cmd + "patch " + quote(kind) + named(f.Object.Name) + " -p " + quote(body)
}
