package podsec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// A Field is one of the places in a pod that a check refuses.
type Field struct {
	// Path leads to the field inside the object that declares the pod.
	Path, Got, Want string
	// Change mends it; nil where that is for a person to decide.
	Change *control.Change
}

// Locate returns the fields for which the policy's check refuses the pod. The evaluator
// tells containers at best, and its rules differ from version to version, so fields are
// found by asking it again: a field is at fault if a pod that has nothing else fails the
// same check.
func (p Policy) Locate(check string, pod *cluster.PodSpec) []Field {
	s := search{policy: p, check: check, pod: stored(pod)}
	if find, ok := finders[check]; ok {
		find(&s)
	}
	return s.found
}

// finders know which fields a check looks at; whether a value is refused they ask.
var finders = map[string]func(*search){
	"allowPrivilegeEscalation": func(s *search) {
		s.containers("allowPrivilegeEscalation", "false", false, nil, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
			if c.AllowPrivilegeEscalation == nil {
				return &corev1.SecurityContext{}, "unset"
			}
			return &corev1.SecurityContext{AllowPrivilegeEscalation: c.AllowPrivilegeEscalation}, strconv.FormatBool(*c.AllowPrivilegeEscalation)
		})
	},
	"appArmorProfile": func(s *search) {
		const want = "RuntimeDefault or Localhost"
		s.annotations(corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix, "runtime/default or a profile of the node")
		s.context("appArmorProfile.type", want, func(c *corev1.PodSecurityContext) (*corev1.PodSecurityContext, string) {
			if c.AppArmorProfile == nil {
				return nil, ""
			}
			return &corev1.PodSecurityContext{AppArmorProfile: c.AppArmorProfile}, string(c.AppArmorProfile.Type)
		})
		s.containers("appArmorProfile.type", want, nil, nil, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
			if c.AppArmorProfile == nil {
				return nil, ""
			}
			return &corev1.SecurityContext{AppArmorProfile: c.AppArmorProfile}, string(c.AppArmorProfile.Type)
		})
	},
	"capabilities_baseline": func(s *search) { s.added("none that runtimes do not give by default", nil) },
	"capabilities_restricted": func(s *search) {
		s.containers("capabilities.drop", "[ALL]", nil, nil, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
			if c.Capabilities == nil || len(c.Capabilities.Drop) == 0 {
				return &corev1.SecurityContext{}, "unset"
			}
			return &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Drop: c.Capabilities.Drop}}, fmt.Sprint(c.Capabilities.Drop)
		})
		s.added("none but NET_BIND_SERVICE", []corev1.Capability{"ALL"})
	},
	"hostNamespaces": func(s *search) {
		spec := s.pod.Spec
		s.shared("hostNetwork", spec.HostNetwork, corev1.PodSpec{HostNetwork: true})
		s.shared("hostPID", spec.HostPID, corev1.PodSpec{HostPID: true})
		s.shared("hostIPC", spec.HostIPC, corev1.PodSpec{HostIPC: true})
	},
	"hostPathVolumes": func(s *search) { s.volumes("another kind of volume") },
	"hostPorts": func(s *search) {
		for _, c := range s.pod.Containers {
			for i, port := range c.Ports {
				s.try(Field{Path: fmt.Sprintf("%s.ports[%s].hostPort", c.Path, cmp.Or(port.Name, strconv.Itoa(i))), Got: strconv.Itoa(int(port.HostPort)), Want: "none"},
					nil, corev1.PodSpec{Containers: []corev1.Container{{Name: c.Name, Ports: []corev1.ContainerPort{port}}}})
			}
		}
	},
	"hostProbesAndHostLifecycle": func(s *search) {
		for _, c := range s.pod.Containers {
			for _, call := range HostCalls(c) {
				f := Field{Path: call.Path, Got: call.Host, Want: "unset, which is the pod itself"}
				if c.Kind != cluster.Ephemeral {
					f.Change = &control.Change{Op: control.Remove, Path: call.Path}
				}
				s.found = append(s.found, f)
			}
		}
	},
	"privileged": func(s *search) {
		s.containers("privileged", "false", false, nil, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
			if c.Privileged == nil {
				return nil, ""
			}
			return &corev1.SecurityContext{Privileged: c.Privileged}, strconv.FormatBool(*c.Privileged)
		})
	},
	"procMount":            procMount,
	"procMount_restricted": procMount,
	"restrictedVolumes": func(s *search) {
		s.volumes("configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret")
	},
	"runAsNonRoot": func(s *search) {
		pod := s.context("runAsNonRoot", "true", func(c *corev1.PodSecurityContext) (*corev1.PodSecurityContext, string) {
			if c.RunAsNonRoot == nil {
				return nil, ""
			}
			return &corev1.PodSecurityContext{RunAsNonRoot: c.RunAsNonRoot}, strconv.FormatBool(*c.RunAsNonRoot)
		})
		s.containers("runAsNonRoot", "true", nil, pod, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
			if c.RunAsNonRoot == nil {
				return s.silent()
			}
			return &corev1.SecurityContext{RunAsNonRoot: c.RunAsNonRoot}, strconv.FormatBool(*c.RunAsNonRoot)
		})
	},
	"runAsUser": func(s *search) {
		const want = "another user than 0"
		s.context("runAsUser", want, func(c *corev1.PodSecurityContext) (*corev1.PodSecurityContext, string) {
			if c.RunAsUser == nil {
				return nil, ""
			}
			return &corev1.PodSecurityContext{RunAsUser: c.RunAsUser}, strconv.FormatInt(*c.RunAsUser, 10)
		})
		s.containers("runAsUser", want, nil, nil, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
			if c.RunAsUser == nil {
				return nil, ""
			}
			return &corev1.SecurityContext{RunAsUser: c.RunAsUser}, strconv.FormatInt(*c.RunAsUser, 10)
		})
	},
	"seLinuxOptions": func(s *search) {
		for _, part := range []struct {
			field, want string
			only        func(*corev1.SELinuxOptions) (corev1.SELinuxOptions, string)
		}{
			{"type", "container_t or another type for containers", func(o *corev1.SELinuxOptions) (corev1.SELinuxOptions, string) {
				return corev1.SELinuxOptions{Type: o.Type}, o.Type
			}},
			{"user", "unset", func(o *corev1.SELinuxOptions) (corev1.SELinuxOptions, string) {
				return corev1.SELinuxOptions{User: o.User}, o.User
			}},
			{"role", "unset", func(o *corev1.SELinuxOptions) (corev1.SELinuxOptions, string) {
				return corev1.SELinuxOptions{Role: o.Role}, o.Role
			}},
		} {
			s.context("seLinuxOptions."+part.field, part.want, func(c *corev1.PodSecurityContext) (*corev1.PodSecurityContext, string) {
				if c.SELinuxOptions == nil {
					return nil, ""
				}
				o, got := part.only(c.SELinuxOptions)
				return &corev1.PodSecurityContext{SELinuxOptions: &o}, got
			})
			s.containers("seLinuxOptions."+part.field, part.want, nil, nil, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
				if c.SELinuxOptions == nil {
					return nil, ""
				}
				o, got := part.only(c.SELinuxOptions)
				return &corev1.SecurityContext{SELinuxOptions: &o}, got
			})
		}
	},
	"seccompProfile_baseline": func(s *search) {
		// Before v1.19 the profile was an annotation (policy/check_seccompProfile_baseline.go).
		s.annotations("seccomp.security.alpha.kubernetes.io/pod", "runtime/default or a profile of the node")
		s.annotations("container.seccomp.security.alpha.kubernetes.io/", "runtime/default or a profile of the node")
		seccomp(s, false)
	},
	"seccompProfile_restricted": func(s *search) { seccomp(s, true) },
	"sysctls": func(s *search) {
		if s.pod.Spec.SecurityContext == nil {
			return
		}
		for _, sysctl := range s.pod.Spec.SecurityContext.Sysctls {
			s.try(Field{Path: fmt.Sprintf("%s.securityContext.sysctls[%s]", s.pod.Path, sysctl.Name), Got: "set", Want: "unset"},
				nil, corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{sysctl}}})
		}
	},
	"windowsHostProcess": func(s *search) {
		const field = "windowsOptions.hostProcess"
		s.context(field, "false", func(c *corev1.PodSecurityContext) (*corev1.PodSecurityContext, string) {
			if c.WindowsOptions == nil {
				return nil, ""
			}
			return &corev1.PodSecurityContext{WindowsOptions: c.WindowsOptions}, "true"
		})
		s.containers(field, "false", nil, nil, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
			if c.WindowsOptions == nil {
				return nil, ""
			}
			return &corev1.SecurityContext{WindowsOptions: c.WindowsOptions}, "true"
		})
	},
}

func procMount(s *search) {
	s.containers("procMount", "Default", string(corev1.DefaultProcMount), nil, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
		if c.ProcMount == nil {
			return nil, ""
		}
		return &corev1.SecurityContext{ProcMount: c.ProcMount}, string(*c.ProcMount)
	})
}

// seccomp looks at the fields; with required, a container that nobody gave a profile is
// at fault too.
func seccomp(s *search, required bool) {
	const field, want = "seccompProfile.type", "RuntimeDefault or Localhost"
	pod := s.context(field, want, func(c *corev1.PodSecurityContext) (*corev1.PodSecurityContext, string) {
		if c.SeccompProfile == nil {
			return nil, ""
		}
		return &corev1.PodSecurityContext{SeccompProfile: c.SeccompProfile}, string(c.SeccompProfile.Type)
	})
	s.containers(field, want, string(corev1.SeccompProfileTypeRuntimeDefault), pod, func(c *corev1.SecurityContext) (*corev1.SecurityContext, string) {
		switch {
		case c.SeccompProfile != nil:
			return &corev1.SecurityContext{SeccompProfile: c.SeccompProfile}, string(c.SeccompProfile.Type)
		case required:
			return s.silent()
		}
		return nil, ""
	})
}

// A search collects the fields of one pod that one check refuses.
type search struct {
	policy Policy
	check  string
	pod    *cluster.PodSpec
	found  []Field
	podBad bool // the pod's own security context is at fault
}

// try keeps the field if the check refuses a pod that has only this. What relaxes a
// check for the whole pod is the pod's in every trial.
func (s *search) try(f Field, annotations map[string]string, spec corev1.PodSpec) bool {
	spec.OS, spec.HostUsers = s.pod.Spec.OS, s.pod.Spec.HostUsers
	if !s.policy.fails(s.check, &metav1.ObjectMeta{Annotations: annotations}, &spec) {
		return false
	}
	f.Got = cmp.Or(f.Got, `""`)
	s.found = append(s.found, f)
	return true
}

// context tries a field of the pod's security context, which only returns alone. The
// result is what containers inherit: nil where the field is unset or at fault itself.
func (s *search) context(field, want string, only func(*corev1.PodSecurityContext) (*corev1.PodSecurityContext, string)) *corev1.PodSecurityContext {
	if s.pod.Spec.SecurityContext == nil {
		return nil
	}
	alone, got := only(s.pod.Spec.SecurityContext)
	if alone == nil {
		return nil
	}
	if s.try(Field{Path: s.pod.Path + ".securityContext." + field, Got: got, Want: want}, nil, corev1.PodSpec{SecurityContext: alone}) {
		s.podBad = true
		return nil
	}
	return alone
}

// silent is the trial of a container that leaves a field to its pod. Where the pod's is
// at fault, that was said.
func (s *search) silent() (*corev1.SecurityContext, string) {
	if s.podBad {
		return nil, ""
	}
	return &corev1.SecurityContext{}, "unset"
}

// containers tries a field of every container's security context, which only returns
// alone, below what the pod gives. value mends it, if it is not nil.
func (s *search) containers(field, want string, value any, pod *corev1.PodSecurityContext, only func(*corev1.SecurityContext) (*corev1.SecurityContext, string)) {
	for _, c := range s.pod.Containers {
		context := c.SecurityContext
		if context == nil {
			context = &corev1.SecurityContext{}
		}
		alone, got := only(context)
		if alone == nil {
			continue
		}
		f := Field{Path: c.Path + ".securityContext." + field, Got: got, Want: want}
		if value != nil && c.Kind != cluster.Ephemeral {
			f.Change = &control.Change{Op: control.Set, Path: f.Path, Value: value}
		}
		s.try(f, nil, corev1.PodSpec{SecurityContext: pod, Containers: []corev1.Container{{Name: c.Name, SecurityContext: alone}}})
	}
}

// added tries every capability that a container adds.
func (s *search) added(want string, drop []corev1.Capability) {
	for _, c := range s.pod.Containers {
		if c.SecurityContext == nil || c.SecurityContext.Capabilities == nil {
			continue
		}
		for _, name := range c.SecurityContext.Capabilities.Add {
			s.try(Field{Path: c.Path + ".securityContext.capabilities.add", Got: string(name), Want: want},
				nil, corev1.PodSpec{Containers: []corev1.Container{{Name: c.Name, SecurityContext: &corev1.SecurityContext{
					Capabilities: &corev1.Capabilities{Add: []corev1.Capability{name}, Drop: drop},
				}}}})
		}
	}
}

func (s *search) volumes(want string) {
	for i := range s.pod.Spec.Volumes {
		v := &s.pod.Spec.Volumes[i]
		kind := RawStorage(v)
		switch {
		case v.HostPath != nil:
			kind = "hostPath"
		case v.GitRepo != nil:
			kind = "gitRepo"
		}
		s.try(Field{Path: fmt.Sprintf("%s.volumes[%s]", s.pod.Path, v.Name), Got: cmp.Or(kind, "of an unknown kind"), Want: want},
			nil, corev1.PodSpec{Volumes: []corev1.Volume{*v}})
	}
}

// shared tries a namespace of the node.
func (s *search) shared(field string, set bool, alone corev1.PodSpec) {
	if set {
		path := s.pod.Path + "." + field
		s.try(Field{Path: path, Got: "true", Want: "false", Change: &control.Change{Op: control.Remove, Path: path}}, nil, alone)
	}
}

// annotations tries every annotation with a prefix, on a pod whose containers have their
// names and nothing else, since an annotation may speak of one by name.
func (s *search) annotations(prefix, want string) {
	var named corev1.PodSpec
	for _, c := range s.pod.Containers {
		named.Containers = append(named.Containers, corev1.Container{Name: c.Name})
	}
	for _, key := range slices.Sorted(maps.Keys(s.pod.Meta.Annotations)) {
		if value := s.pod.Meta.Annotations[key]; strings.HasPrefix(key, prefix) {
			s.try(Field{Path: fmt.Sprintf("%smetadata.annotations[%s]", strings.TrimSuffix(s.pod.Path, "spec"), key), Got: value, Want: want},
				map[string]string{key: value}, named)
		}
	}
}
