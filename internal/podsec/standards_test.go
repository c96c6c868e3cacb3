package podsec

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
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

func (g generator) user() *int64 {
	return some(g, 0.1, func() int64 { return pick[int64](g, 0, 1000) })
}

func (g generator) container(name string) corev1.Container {
	c := corev1.Container{Name: name}
	c.SecurityContext = some(g, 0.5, func() corev1.SecurityContext {
		return corev1.SecurityContext{
			SELinuxOptions: g.selinux(), SeccompProfile: g.seccomp(), AppArmorProfile: g.apparmor(), WindowsOptions: g.windows(),
			Privileged: g.boolean(0.05), AllowPrivilegeEscalation: g.boolean(0.7), RunAsNonRoot: g.boolean(0.3), RunAsUser: g.user(),
			ProcMount: some(g, 0.1, func() corev1.ProcMountType { return pick(g, corev1.DefaultProcMount, corev1.UnmaskedProcMount) }),
			Capabilities: some(g, 0.2, func() corev1.Capabilities {
				if g.maybe(0.5) {
					return corev1.Capabilities{Drop: []corev1.Capability{pick[corev1.Capability](g, "ALL", "all", "NET_RAW")}}
				}
				return corev1.Capabilities{Add: []corev1.Capability{pick[corev1.Capability](g, "CHOWN", "NET_RAW", "SYS_ADMIN", "NET_BIND_SERVICE", "MKNOD", "ALL", "chown", "")}}
			}),
		}
	})
	if g.maybe(0.2) {
		c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: int32(g.IntN(2))}}
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
	s.HostNetwork, s.HostPID, s.HostIPC = g.maybe(0.05), g.maybe(0.01), g.maybe(0.01)
	s.HostUsers = g.boolean(0.2)
	s.OS = some(g, 0.1, func() corev1.PodOS { return corev1.PodOS{Name: pick(g, corev1.Linux, corev1.Windows)} })
	s.SecurityContext = some(g, 0.5, func() corev1.PodSecurityContext {
		ctx := corev1.PodSecurityContext{RunAsNonRoot: g.boolean(0.5), RunAsUser: g.user(), SELinuxOptions: g.selinux(), SeccompProfile: g.seccomp(), AppArmorProfile: g.apparmor(), WindowsOptions: g.windows()}
		if g.maybe(0.1) {
			ctx.Sysctls = []corev1.Sysctl{{Name: pick(g, "kernel.msgmax", "net.ipv4.tcp_rmem", "net.ipv4.tcp_fin_timeout", "kernel.shm_rmid_forced", "net.ipv4.ip_local_reserved_ports")}}
		}
		return ctx
	})
	if g.maybe(0.02) {
		s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: pick(g,
			corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x"}},
			corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}},
			corev1.VolumeSource{GitRepo: &corev1.GitRepoVolumeSource{}},
			corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}},
			corev1.VolumeSource{})}}
	}
	s.Containers = []corev1.Container{g.container("c")}
	if g.maybe(0.3) {
		s.InitContainers = []corev1.Container{g.container("i")}
	}
	if g.maybe(0.2) {
		s.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon(g.container("e"))}}
	}
	if g.maybe(0.05) {
		key := pick(g, "container.apparmor.security.beta.kubernetes.io/c", "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/c", "container.seccomp.security.alpha.kubernetes.io/nobody")
		p.Annotations = map[string]string{key: pick(g, "unconfined", "runtime/default", "docker/default", "localhost/x", "")}
	}
	return p
}

// harden gives most of what the level restricted asks for, which chance alone never does.
func (g generator) harden(pod *corev1.Pod) {
	s := &pod.Spec
	s.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	each := func(c *corev1.SecurityContext) *corev1.SecurityContext {
		if g.maybe(0.1) {
			return c
		}
		return &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	}
	for i := range s.InitContainers {
		s.InitContainers[i].SecurityContext = each(s.InitContainers[i].SecurityContext)
	}
	for i := range s.Containers {
		s.Containers[i].SecurityContext = each(s.Containers[i].SecurityContext)
	}
	for i := range s.EphemeralContainers {
		s.EphemeralContainers[i].SecurityContext = each(s.EphemeralContainers[i].SecurityContext)
	}
}

func podOf(t *testing.T, pod *corev1.Pod) *cluster.PodSpec {
	t.Helper()
	b := cluster.NewBuilder("pods", false)
	b.Add("v1", "Pod", pod, cluster.Source{})
	return b.Snapshot().Pods()[0]
}

// everyPolicy is both levels at every version.
func everyPolicy(t *testing.T) []Policy {
	t.Helper()
	var all []Policy
	for _, level := range []string{"baseline", "restricted"} {
		for minor := range NewestMinor + 1 {
			p, err := ParsePolicy(level, fmt.Sprintf("v1.%d", minor))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
	}
	return all
}

// TestRandomPods holds Judge and Locate against the evaluator as Kubernetes configures it,
// for both levels at every version: the verdict is the same, every check that refuses is
// told with at least one field, no field is told for a check that does not, and what is
// proposed for the fields, if anything is, ends the refusal.
func TestRandomPods(t *testing.T) {
	real, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	g := generator{rand.New(rand.NewPCG(1, 36))}
	const pods = 200
	for _, p := range everyPolicy(t) {
		refused, mended := 0, 0
		for range pods {
			pod := g.pod()
			if g.maybe(0.5) {
				g.harden(pod)
			}
			spec := podOf(t, pod)
			asStored := pod.DeepCopy()
			setDefaults(asStored)
			want := policy.AggregateCheckResults(real.EvaluatePod(p.lv, &asStored.ObjectMeta, &asStored.Spec))
			fails := map[string]bool{}
			for _, r := range p.Judge(spec) {
				fails[r.Check] = true
			}
			if want.Allowed != (len(fails) == 0) || len(want.ForbiddenReasons) != len(fails) {
				t.Fatalf("%s: Kubernetes says %q, here fails %v\n%+v", p.lv, want.ForbiddenDetail(), fails, pod)
			}
			if !want.Allowed {
				refused++
			}
			for _, check := range p.Checks() {
				fields := p.Locate(check, spec)
				if (len(fields) > 0) != fails[check] {
					t.Fatalf("%s: %s fails: %t, and its fields are %+v\n%+v", p.lv, check, fails[check], fields, pod)
				}
				if changed, ok := mend(t, pod, fields); ok {
					mended++
					setDefaults(changed)
					if p.fails(check, &changed.ObjectMeta, &changed.Spec) {
						t.Fatalf("%s: %s fails after %+v\n%+v", p.lv, check, fields, pod)
					}
				}
			}
		}
		// A generator that only makes one kind of pod proves nothing.
		share := float64(refused) / pods
		if share < 0.15 || share == 1 || mended == 0 {
			t.Errorf("%s: %.0f%% of the pods are refused, %d checks mended: too one-sided", p.lv, 100*share, mended)
		}
	}
}

// setDefaults does what pkg/apis/core/v1/defaults.go does to what the checks look at.
func setDefaults(pod *corev1.Pod) {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].VolumeSource == (corev1.VolumeSource{}) {
			pod.Spec.Volumes[i].EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range containers {
			for i := range c.Ports {
				if pod.Spec.HostNetwork && c.Ports[i].HostPort == 0 {
					c.Ports[i].HostPort = c.Ports[i].ContainerPort
				}
			}
		}
	}
}

// mend makes the changes of all fields, and reports false where a field has none.
func mend(t *testing.T, pod *corev1.Pod, fields []Field) (*corev1.Pod, bool) {
	t.Helper()
	var changes []control.Change
	for _, f := range fields {
		if f.Change == nil {
			return nil, false
		}
		changes = append(changes, *f.Change)
	}
	if len(changes) == 0 {
		return nil, false
	}
	data, _ := json.Marshal(pod)
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	if err := control.Apply(object, changes); err != nil {
		t.Fatal(err)
	}
	data, _ = json.Marshal(object)
	out := &corev1.Pod{}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out, true
}

// TestOfficialFixtures judges Kubernetes' own fixtures, which say for every version what
// passes and what fails. They end where the policy last changed, so that later versions
// are judged by the last that there are.
func TestOfficialFixtures(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "test", "testdata")
	total := 0
	for _, p := range everyPolicy(t) {
		version := p.lv.Version
		folder := func(v api.Version) string { return filepath.Join(dir, p.Level(), v.String()) }
		for {
			if _, err := os.Stat(folder(version)); err == nil || version.Minor() == 0 {
				break
			}
			version = api.MajorMinorVersion(1, version.Minor()-1)
		}
		for verdict, refused := range map[string]bool{"pass": false, "fail": true} {
			files, _ := filepath.Glob(filepath.Join(folder(version), verdict, "*.yaml"))
			if len(files) < 5 {
				t.Fatalf("%s: only %d fixtures %s in %s", p.lv, len(files), verdict, folder(version))
			}
			for _, file := range files {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				pod := &corev1.Pod{}
				if err := yaml.UnmarshalStrict(data, pod); err != nil {
					t.Fatal(err)
				}
				spec := podOf(t, pod)
				refusals := p.Judge(spec)
				if (len(refusals) > 0) != refused {
					t.Errorf("%s: %s: refused for %v", p.lv, file, refusals)
				}
				for _, r := range refusals {
					if len(p.Locate(r.Check, spec)) == 0 {
						t.Errorf("%s: %s: no field of %s", p.lv, file, r.Says)
					}
				}
				total++
			}
		}
	}
	t.Logf("%d fixtures judged as Kubernetes does", total)
}

func TestParsePolicy(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"baseline", ""}:            "baseline:v1.36",
		{"restricted", "latest"}:    "restricted:v1.36",
		{"restricted", "v1.0"}:      "restricted:v1.0",
		{"restricted", "v1.37"}:     `version "v1.37": want v1.0 to v1.36, or latest`,
		{"restricted", "1.30"}:      `version "1.30": want v1.0 to v1.36, or latest`,
		{"restricted", "v1.030"}:    `version "v1.030": want v1.0 to v1.36, or latest`,
		{"restricted", "v2.0"}:      `version "v2.0": want v1.0 to v1.36, or latest`,
		{"privileged", "v1.30"}:     `level "privileged": want baseline or restricted`,
		{"", ""}:                    `level "": want baseline or restricted`,
		{"baseline", "v1.99999999"}: `version "v1.99999999": want v1.0 to v1.36, or latest`,
	} {
		p, err := ParsePolicy(in[0], in[1])
		got := p.lv.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
}

// TestNewestIsLinked: a newer evaluator brings a newer version.
func TestNewestIsLinked(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("v0.%d.", NewestMinor); !strings.HasPrefix(string(out), want) {
		t.Errorf("linked is %s, and NewestMinor is %d", strings.TrimSpace(string(out)), NewestMinor)
	}
}
