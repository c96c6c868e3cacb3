// Package etcd reads an etcd's settings from where they can stand: its flags and the
// environment of its static pod. It says so when they stand where nobody looked.
package etcd

import (
	"net"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Setting returns a setting by its flag's name and whether it was given. A flag goes
// before its variable, --client-cert-auth before ETCD_CLIENT_CERT_AUTH.
func Setting(c *cluster.Component, name string) (string, bool) {
	if v, ok := c.Flags.Lookup(name); ok {
		return v, true
	}
	variable := "ETCD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	for _, e := range environment(c) {
		if e.Name == variable && e.ValueFrom == nil {
			return e.Value, true
		}
	}
	return "", false
}

// True reports whether a boolean setting is on. All of etcd's are off until set.
func True(c *cluster.Component, name string) bool {
	v, _ := Setting(c, name)
	return v == "true" || v == "1" || v == "t" || v == "T" || v == "TRUE" || v == "True"
}

// Unread says why the settings cannot be told, or "". With a configuration file etcd
// ignores its flags; a machine's facts give the file's settings in their place, and only
// the file's name where it could not be read. A process that got no address by flag gets its settings from its
// environment, which is not read: people use one way or the other, not both.
func Unread(c *cluster.Component) string {
	if file, ok := Setting(c, "config-file"); ok && file != "" && (c.Object != nil || len(c.Flags.Names()) == 1) {
		return "its settings stand in " + file + ", which was not read"
	}
	if _, ok := Setting(c, "listen-client-urls"); !ok && c.Object == nil {
		return "its settings are not among its flags, and its environment was not read"
	}
	return ""
}

// URLs returns the addresses of a setting such as listen-client-urls, or the one that
// etcd assumes without it. What is no URL is left out.
func URLs(c *cluster.Component, name, otherwise string) []*url.URL {
	text, ok := Setting(c, name)
	if !ok || text == "" {
		text = otherwise
	}
	var out []*url.URL
	for item := range strings.SplitSeq(text, ",") {
		if u, err := url.Parse(strings.TrimSpace(item)); err == nil && u.Scheme != "" {
			out = append(out, u)
		}
	}
	return out
}

// Loopback reports whether only the machine itself reaches the address.
func Loopback(u *url.URL) bool {
	if strings.HasPrefix(u.Scheme, "unix") || u.Hostname() == "localhost" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

func environment(c *cluster.Component) []corev1.EnvVar {
	if c.Object == nil {
		return nil
	}
	pod, ok := c.Object.Value.(*corev1.Pod)
	if !ok {
		return nil
	}
	for _, ctr := range pod.Spec.Containers {
		if ctr.Name == "etcd" || len(pod.Spec.Containers) == 1 {
			return ctr.Env
		}
	}
	return nil
}
