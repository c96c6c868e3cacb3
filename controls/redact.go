package controls

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/controls/internal/credential"
)

// What stands for a value that was taken out: controls say the same of it as of the
// value, a literal or an address with a password.
const (
	redacted    = "redacted"
	redactedURL = "redacted://redacted:" + redacted + "@redacted"
)

// RedactPod takes out of a pod spec, in place, what may be a credential: the value of
// every environment variable, arguments whose flag or form promises one, and headers
// of probes that carry one. What is only a switch or a reference stays.
func RedactPod(spec *corev1.PodSpec) {
	container := func(c *corev1.Container) {
		for i := range c.Env {
			c.Env[i].Value = redactValue(c.Env[i].Value)
		}
		RedactArgs(c.Command)
		RedactArgs(c.Args)
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil {
				redactHandler(p.Exec, p.HTTPGet)
			}
		}
		if c.Lifecycle == nil {
			return
		}
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				redactHandler(h.Exec, h.HTTPGet)
			}
		}
	}
	for i := range spec.InitContainers {
		container(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		container(&spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		container((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon))
	}
}

func redactValue(value string) string {
	switch {
	case credential.InURL(value):
		return redactedURL
	case credential.Literal(value):
		return redacted
	}
	return value
}

// RedactArgs takes out of arguments, in place, what may be a credential.
func RedactArgs(args []string) {
	for i, arg := range args {
		flag, value, joined := strings.Cut(arg, "=")
		name, long := strings.CutPrefix(flag, "--")
		promises := long && !strings.ContainsAny(name, " \n") && credential.Named(name)
		switch {
		case credential.InURL(arg):
			args[i] = redactedURL
		case joined && credential.InURL(value):
			args[i] = flag + "=" + redactedURL
		case !promises:
		case joined && redactable(value):
			args[i] = flag + "=" + redacted
		case !joined && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") && redactable(args[i+1]):
			args[i+1] = redacted
		}
	}
}

// redactable reports whether an argument may be a credential and is no path or
// reference, nor an address without a password.
func redactable(value string) bool {
	return credential.Literal(value) && !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "$") && !strings.Contains(value, "://")
}

func redactHandler(exec *corev1.ExecAction, get *corev1.HTTPGetAction) {
	if exec != nil {
		RedactArgs(exec.Command)
	}
	if get == nil {
		return
	}
	for i, h := range get.HTTPHeaders {
		if credential.Literal(h.Value) && !strings.EqualFold(h.Name, "Host") && !strings.EqualFold(h.Name, "Accept") {
			get.HTTPHeaders[i].Value = redacted
		}
	}
}
