package host

import (
	"cmp"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Redacted stands in the place of a value that may be a credential.
const redacted = "(redacted)"

// parseCmdline splits /proc/PID/cmdline. A process that rewrote its title has no
// terminating zero and one argument; that is kept as it is.
func parseCmdline(b []byte) []string {
	s := strings.TrimSuffix(string(b), "\x00")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x00")
}

// secretName finds flags and variables whose value may be a credential.
var secretName = regexp.MustCompile(`(?i)passw|token|secret|credential`)

// fileName finds flags that name a place rather than hold a value.
var fileName = regexp.MustCompile(`-(file|path|dir|config|kubeconfig)$`)

// userInfo finds the user and password of a URL.
var userInfo = regexp.MustCompile(`(://)[^/@\s]+@`)

// redact returns arguments without credentials: the values of flags that sound like
// holding one, and the user part of URLs. What a flag's name says is kept, and so are
// values that cannot be a credential: booleans, durations and paths of files.
func redact(component string, argv []string) []string {
	out := slices.Clone(argv)
	for i := 1; i < len(out); i++ {
		out[i] = userInfo.ReplaceAllString(out[i], "${1}"+redacted+"@")
		if !strings.HasPrefix(out[i], "-") {
			continue
		}
		flag, value, inline := strings.Cut(out[i], "=")
		if !sensitive(component, flag) {
			continue
		}
		switch {
		case inline:
			out[i] = flag + "=" + withhold(component, flag, value)
		case i+1 < len(out) && !strings.HasPrefix(out[i+1], "-"):
			out[i+1] = withhold(component, flag, out[i+1])
			i++
		}
	}
	return out
}

func sensitive(component, flag string) bool {
	if component == "k3s" || component == "rke2" {
		if flag == "-t" {
			return true // short for --token
		}
	}
	name := strings.ReplaceAll(flag, "_", "-")
	return secretName.MatchString(name) && !fileName.MatchString(name)
}

func withhold(component, flag, value string) string {
	switch value {
	case "", "true", "false":
		return value
	}
	if _, err := time.ParseDuration(value); err == nil {
		return value
	}
	// etcd's says which kind of token it issues, and where its keys are.
	if component == "etcd" && strings.TrimLeft(flag, "-") == "auth-token" {
		if kind, _, _ := strings.Cut(value, ","); kind == "simple" || kind == "jwt" {
			return value
		}
	}
	return redacted
}

// etcdArgs are the arguments that an etcd acts on. It takes what flags do not say from
// variables, and where it has a configuration file it takes neither.
func etcdArgs(argv []string, environ, config []byte) ([]string, error) {
	if config != nil {
		flags, err := etcdConfig(config)
		if err != nil {
			return nil, err
		}
		return slices.Concat(argv[:1], flags), nil
	}
	given := map[string]bool{}
	for _, a := range argv[1:] {
		if strings.HasPrefix(a, "-") {
			name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
			given[name] = true
		}
	}
	var out []string
	for v := range strings.SplitSeq(string(environ), "\x00") {
		name, value, ok := strings.Cut(v, "=")
		name, ours := strings.CutPrefix(name, "ETCD_")
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		// A name of its own flags never sounds secret, but for --auth-token, whose
		// value redact judges; ETCD_ROOT_PASSWORD is some image's.
		if !ok || !ours || name == "" || given[name] || (secretName.MatchString(name) && !strings.HasPrefix(name, "auth-token")) {
			continue
		}
		out = append(out, "--"+name+"="+value)
	}
	slices.Sort(out)
	return slices.Concat(argv[:1], out, argv[1:]), nil
}

// etcdConfig translates etcd's configuration file into the flags that say the same.
func etcdConfig(data []byte) ([]string, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	var out []string
	add := func(prefix string, values map[string]any) {
		for _, k := range slices.Sorted(maps.Keys(values)) {
			switch v := values[k].(type) {
			case string, bool, int, float64:
				out = append(out, "--"+prefix+k+"="+scalar(v))
			case []any:
				items := make([]string, 0, len(v))
				for _, item := range v {
					items = append(items, scalar(item))
				}
				out = append(out, "--"+prefix+k+"="+strings.Join(items, ","))
			}
		}
	}
	add("", doc)
	for section, prefix := range map[string]string{"client-transport-security": "", "peer-transport-security": "peer-"} {
		if m, ok := doc[section].(map[string]any); ok {
			add(prefix, m)
		}
	}
	slices.Sort(out)
	return out, nil
}

// configArgs adds to arguments the flags that say the same as a configuration file, for
// the settings that are judged. Of a kube-proxy with a file nothing else counts but the
// file's name; a scheduler goes on to heed what a file cannot say. What a file leaves
// out stands with its default (k8s.io/kubernetes v1.36.3,
// pkg/proxy/apis/config/v1alpha1 and pkg/scheduler/apis/config/v1, defaults.go).
func configArgs(component string, argv []string, config []byte) ([]string, error) {
	var doc struct {
		EnableProfiling    *bool  `yaml:"enableProfiling"`
		MetricsBindAddress string `yaml:"metricsBindAddress"`
		HealthzBindAddress string `yaml:"healthzBindAddress"`
		Mode               string `yaml:"mode"`
		IPTables           struct {
			LocalhostNodePorts *bool `yaml:"localhostNodePorts"`
		} `yaml:"iptables"`
	}
	if err := yaml.Unmarshal(config, &doc); err != nil {
		return nil, err
	}
	set := func(name string, value *bool, otherwise bool) string {
		if value != nil {
			otherwise = *value
		}
		return "--" + name + "=" + strconv.FormatBool(otherwise)
	}
	if component == "kube-scheduler" {
		return append(slices.Clone(argv), set("profiling", doc.EnableProfiling, true)), nil
	}
	return []string{
		argv[0],
		"--config=" + cluster.ParseFlags(argv[1:]).Get("config", ""),
		"--healthz-bind-address=" + cmp.Or(doc.HealthzBindAddress, "0.0.0.0:10256"),
		"--metrics-bind-address=" + cmp.Or(doc.MetricsBindAddress, "127.0.0.1:10249"),
		"--proxy-mode=" + cmp.Or(doc.Mode, "iptables"),
		set("iptables-localhost-nodeports", doc.IPTables.LocalhostNodePorts, true),
		set("profiling", doc.EnableProfiling, false),
	}, nil
}

func scalar(v any) string {
	b, err := yaml.Marshal(v)
	if err != nil {
		return ""
	}
	var n yaml.Node
	if yaml.Unmarshal(b, &n) != nil || len(n.Content) == 0 {
		return ""
	}
	return n.Content[0].Value
}

// componentOf tells which component a process is, by how it was called or by its
// program, or "" if it is none. How it was called goes first: k3s carries containerd
// inside its own program.
func componentOf(argv []string, exe string) string {
	names := []string{path.Base(strings.TrimSuffix(exe, " (deleted)"))}
	if len(argv) > 0 {
		// k3s and rke2 rewrite their title: "/usr/local/bin/k3s server".
		first, _, _ := strings.Cut(argv[0], " ")
		names = []string{path.Base(first), names[0]}
	}
	for _, name := range names {
		switch name {
		case "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd",
			"kubelet", "kube-proxy", "containerd", "crio", "dockerd":
			return name
		case "k3s", "rke2":
			if serves(argv) {
				return name
			}
		}
	}
	return ""
}

// serves tells a k3s that is a node or a server from one that is kubectl.
func serves(argv []string) bool {
	words := strings.Fields(strings.Join(argv, " "))
	for _, word := range words[min(1, len(words)):] {
		if word == "server" || word == "agent" {
			return true
		}
		if !strings.HasPrefix(word, "-") {
			return false
		}
	}
	return false
}
