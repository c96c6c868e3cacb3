package controls

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/credential"
)

// What stands for a value that was taken out: controls say the same of it as of the
// value, a literal or an address with a password.
const (
	redacted    = "redacted"
	redactedURL = "redacted://redacted:" + redacted + "@redacted"
	// These are judged as what they stand for.
	redactedShape = "AKIAREDACTEDREDACTED"
	redactedPath  = "/redacted/redacted"
)

// RedactPod takes out of a pod spec, in place, what may be a credential: the value of
// every environment variable, arguments whose flag or form promises one, headers of
// probes that carry one, and such settings of volumes' drivers. What is only a switch or
// a reference stays.
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
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; v.FlexVolume != nil {
			RedactSettings(v.FlexVolume.Options)
		} else if v.CSI != nil {
			RedactSettings(v.CSI.VolumeAttributes)
		}
	}
}

func redactValue(value string) string {
	switch {
	case credential.InURL(value):
		return redactedURL
	case credential.Shaped(value):
		return redactedShape
	case credential.Path(value):
		return redactedPath
	case credential.Literal(value):
		return redacted
	}
	return value
}

// RedactArgs takes out of arguments, in place, what may be a credential. In a script,
// whose words are not told apart, it takes out what looks like one.
func RedactArgs(args []string) {
	for at := range credential.InArgs(args) {
		value := redacted
		if at.Name == "" {
			value = redactedURL
		}
		args[at.Index] = args[at.Index][:at.From] + value
	}
	for i, arg := range args {
		if strings.ContainsAny(arg, " \t\n") {
			args[i] = credential.Mask(arg, redacted)
		}
	}
}

// RedactSettings takes out of a driver's settings, in place, what may be a credential.
func RedactSettings(settings map[string]string) {
	for name, value := range settings {
		if credential.InURL(value) {
			settings[name] = redactedURL
		} else if credential.Named(name) {
			settings[name] = redactValue(value)
		}
	}
}

func redactHandler(exec *corev1.ExecAction, get *corev1.HTTPGetAction) {
	if exec != nil {
		RedactArgs(exec.Command)
	}
	if get == nil {
		return
	}
	for i, h := range get.HTTPHeaders {
		if !strings.EqualFold(h.Name, "Host") && !strings.EqualFold(h.Name, "Accept") {
			get.HTTPHeaders[i].Value = redactValue(h.Value)
		}
	}
}
