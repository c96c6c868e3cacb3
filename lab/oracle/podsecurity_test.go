package oracle

import (
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

// A generator makes random pods out of small alphabets, most fields absent, so that
// allowed and refused pods both abound.
type generator struct{ *rand.Rand }

func (g generator) maybe(p float64) bool { return g.Float64() < p }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

func some[T any](g generator, p float64, value func() T) *T {
	if !g.maybe(p) {
		return nil
	}
	v := value()
	return &v
}

func (g generator) selinux() *corev1.SELinuxOptions {
	return some(g, 0.1, func() corev1.SELinuxOptions {
		return corev1.SELinuxOptions{
			Type: pick(g, "", "container_t", "container_engine_t", "spc_t"),
			User: pick(g, "", "", "", "x"), Role: pick(g, "", "", "", "y"),
		}
	})
}

func (g generator) seccomp() *corev1.SeccompProfile {
	return some(g, 0.1, func() corev1.SeccompProfile {
		return corev1.SeccompProfile{Type: pick(g, corev1.SeccompProfileTypeUnconfined, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeLocalhost)}
	})
}

func (g generator) apparmor() *corev1.AppArmorProfile {
	return some(g, 0.1, func() corev1.AppArmorProfile {
		return corev1.AppArmorProfile{Type: pick(g, corev1.AppArmorProfileTypeUnconfined, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeLocalhost)}
	})
}

func (g generator) windows() *corev1.WindowsSecurityContextOptions {
	return some(g, 0.05, func() corev1.WindowsSecurityContextOptions {
		return corev1.WindowsSecurityContextOptions{HostProcess: g.boolean(1)}
	})
}

func (g generator) boolean(p float64) *bool {
	return some(g, p, func() bool { return g.maybe(0.5) })
}

func (g generator) container(name string) corev1.Container {
	c := corev1.Container{Name: name}
	c.SecurityContext = some(g, 0.5, func() corev1.SecurityContext {
		return corev1.SecurityContext{
			SELinuxOptions: g.selinux(), SeccompProfile: g.seccomp(), AppArmorProfile: g.apparmor(), WindowsOptions: g.windows(),
			Privileged: g.boolean(0.05),
			ProcMount:  some(g, 0.1, func() corev1.ProcMountType { return pick(g, corev1.DefaultProcMount, corev1.UnmaskedProcMount) }),
			Capabilities: some(g, 0.2, func() corev1.Capabilities {
				return corev1.Capabilities{Add: []corev1.Capability{pick[corev1.Capability](g, "CHOWN", "NET_RAW", "SYS_ADMIN", "NET_BIND_SERVICE", "MKNOD", "ALL", "chown", "")}}
			}),
		}
	})
	if g.maybe(0.05) {
		c.Ports = []corev1.ContainerPort{{HostPort: int32(g.IntN(2))}}
	}
	handler := func() corev1.ProbeHandler {
		return pick(g, corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: pick(g, "", "h")}}, corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: pick(g, "", "h")}})
	}
	probe := func() *corev1.Probe {
		return some(g, 0.03, func() corev1.Probe { return corev1.Probe{ProbeHandler: handler()} })
	}
	c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = probe(), probe(), probe()
	hook := func() *corev1.LifecycleHandler {
		return some(g, 0.3, func() corev1.LifecycleHandler {
			h := handler()
			return corev1.LifecycleHandler{TCPSocket: h.TCPSocket, HTTPGet: h.HTTPGet}
		})
	}
	c.Lifecycle = some(g, 0.05, func() corev1.Lifecycle { return corev1.Lifecycle{PreStop: hook(), PostStart: hook()} })
	return c
}

func (g generator) pod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}}
	s := &p.Spec
	s.HostNetwork, s.HostPID, s.HostIPC = g.maybe(0.01), g.maybe(0.01), g.maybe(0.01)
	s.HostUsers = g.boolean(0.2)
	s.SecurityContext = some(g, 0.5, func() corev1.PodSecurityContext {
		ctx := corev1.PodSecurityContext{SELinuxOptions: g.selinux(), SeccompProfile: g.seccomp(), AppArmorProfile: g.apparmor(), WindowsOptions: g.windows()}
		if g.maybe(0.1) {
			ctx.Sysctls = []corev1.Sysctl{{Name: pick(g, "kernel.msgmax", "net.ipv4.tcp_rmem", "net.ipv4.tcp_fin_timeout", "kernel.shm_rmid_forced", "net.ipv4.ip_local_reserved_ports")}}
		}
		return ctx
	})
	if g.maybe(0.02) {
		s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x"}}}}
	}
	s.Containers = []corev1.Container{g.container("c")}
	if g.maybe(0.3) {
		s.InitContainers = []corev1.Container{g.container("i")}
	}
	if g.maybe(0.2) {
		s.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon(g.container("e"))}}
	}
	if g.maybe(0.05) {
		p.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/c": pick(g, "unconfined", "runtime/default", "localhost/x", "")}
	}
	return p
}

// TestBaseline compares what the catalogue calls below baseline with what Pod Security
// admission refuses at baseline.
func TestBaseline(t *testing.T) {
	real, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelBaseline, Version: api.LatestVersion()}
	g := generator{rand.New(rand.NewPCG(1, 36))}
	const pods = 100_000
	refused := 0
	for i := range pods {
		pod := g.pod()
		want := policy.AggregateCheckResults(real.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
		b := cluster.NewBuilder("oracle", false)
		b.Add("v1", "Pod", pod, cluster.Source{})
		got := podsec.BelowBaseline(b.Snapshot().Pods()[0])
		if want.Allowed != (got == "") {
			t.Fatalf("pod %d: Pod Security allows it: %t (%s); ours says %q\n%+v", i, want.Allowed, want.ForbiddenDetail(), got, pod)
		}
		if !want.Allowed {
			refused++
		}
	}
	// A generator that only makes one kind of pod proves nothing.
	if share := float64(refused) / pods; share < 0.2 || share > 0.8 {
		t.Errorf("%.0f%% of the pods are refused, want 20 to 80", 100*share)
	}
	t.Logf("%d pods, %d refused, none judged differently", pods, refused)
}
