package cluster

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
)

func TestParseFlags(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want map[string][]string
	}{
		"with an equals sign":    {[]string{"--a=1", "--b="}, map[string][]string{"a": {"1"}, "b": {""}}},
		"in two words":           {[]string{"--a", "1", "--b", "2"}, map[string][]string{"a": {"1"}, "b": {"2"}}},
		"a bare boolean":         {[]string{"--a", "--b=2"}, map[string][]string{"a": {"true"}, "b": {"2"}}},
		"one dash":               {[]string{"-v=2"}, map[string][]string{"v": {"2"}}},
		"twice":                  {[]string{"--a=1", "--a=2"}, map[string][]string{"a": {"1", "2"}}},
		"underscores":            {[]string{"--tls_min_version=x"}, map[string][]string{"tls-min-version": {"x"}}},
		"after two dashes":       {[]string{"--a=1", "--", "--b=2"}, map[string][]string{"a": {"1"}}},
		"an equals in the value": {[]string{"--feature-gates=A=true,B=false"}, map[string][]string{"feature-gates": {"A=true,B=false"}}},
		"arguments between":      {[]string{"serve", "--a=1"}, map[string][]string{"a": {"1"}}},
		"nothing":                {nil, map[string][]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ParseFlags(tt.args).values); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	f := ParseFlags([]string{"--a=1", "--a=2", "--list=[x, y]", "--list=z"})
	if got := f.Get("a", "0") + f.Get("b", "0") + strings.Join(f.List("list"), ""); got != "20xyz" {
		t.Errorf("got %s, want the last value, the fallback and all items", got)
	}
}

// FuzzParseFlags states that a flag given as --name=value is read back exactly.
func FuzzParseFlags(f *testing.F) {
	f.Add("tls-min-version", "VersionTLS12")
	f.Add("a", "--b=c")
	f.Fuzz(func(t *testing.T, name, value string) {
		if name == "" || strings.ContainsAny(name, "=-_") {
			return
		}
		if got, ok := ParseFlags([]string{"--" + name + "=" + value}).Lookup(name); !ok || got != value {
			t.Errorf("--%s=%s: got %q, %t", name, value, got, ok)
		}
	})
}

func controlled(name, uid string, kind, owner string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID(uid)}
	if owner != "" {
		yes := true
		m.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: owner, UID: types.UID(owner), Controller: &yes}}
	}
	return m
}

// TestPodsAreJoinedToTheirTop: a pod belongs to the Deployment, not to its ReplicaSet;
// a pod whose owner is not here stands for itself; cycles end.
func TestPodsAreJoinedToTheirTop(t *testing.T) {
	b := NewBuilder("test", true)
	always := corev1.ContainerRestartPolicyAlways
	spec := corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init"}, {Name: "proxy", RestartPolicy: &always}},
		Containers:     []corev1.Container{{Name: "cart"}},
	}
	b.Add("apps/v1", "Deployment", &appsv1.Deployment{ObjectMeta: controlled("cart", "d", "", ""), Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: spec}}}, Source{})
	b.Add("apps/v1", "ReplicaSet", &appsv1.ReplicaSet{ObjectMeta: controlled("cart-1", "r", "Deployment", "d"), Spec: appsv1.ReplicaSetSpec{Template: corev1.PodTemplateSpec{Spec: spec}}}, Source{})
	debugged := spec
	debugged.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}}
	b.Add("v1", "Pod", &corev1.Pod{ObjectMeta: controlled("cart-1-a", "p", "ReplicaSet", "r"), Spec: debugged}, Source{})
	b.Add("v1", "Pod", &corev1.Pod{ObjectMeta: controlled("rollout-a", "q", "Rollout", "absent"), Spec: spec}, Source{})
	b.Add("v1", "Pod", &corev1.Pod{ObjectMeta: controlled("loop", "l", "Pod", "l"), Spec: spec}, Source{})

	var got []string
	for _, p := range b.Snapshot().Pods() {
		line := p.Object.Ref.String()
		if p.Of != nil {
			line += " of " + p.Of.Object.Ref.String()
		}
		for _, c := range p.Containers {
			line += fmt.Sprintf("\n  %s %s %s", c.Kind, c.Path, c.Image)
		}
		got = append(got, line)
	}
	want := []string{
		"deployment shop/cart\n  init spec.template.spec.initContainers[init] \n  sidecar spec.template.spec.initContainers[proxy] \n  regular spec.template.spec.containers[cart] ",
		"pod shop/cart-1-a of deployment shop/cart\n  init spec.initContainers[init] \n  sidecar spec.initContainers[proxy] \n  regular spec.containers[cart] \n  ephemeral spec.ephemeralContainers[debug] busybox",
		"pod shop/loop\n  init spec.initContainers[init] \n  sidecar spec.initContainers[proxy] \n  regular spec.containers[cart] ",
		"pod shop/rollout-a\n  init spec.initContainers[init] \n  sidecar spec.initContainers[proxy] \n  regular spec.containers[cart] ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFlagsHaveOneWitness: the process before the static pod before /flagz.
func TestFlagsHaveOneWitness(t *testing.T) {
	static := func(b *Builder, node string) {
		b.Add("v1", "Pod", &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "kube-apiserver-" + node, Namespace: "kube-system"},
			Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{
				{Name: "side", Command: []string{"/bin/other"}},
				{Name: "kube-apiserver", Command: []string{"/usr/local/bin/kube-apiserver"}, Args: []string{"--who=pod"}},
			}},
		}, Source{Origin: "pod"})
	}
	process := func(b *Builder, machine string) {
		b.AddMachine(&Machine{Name: machine, Processes: []Process{{Component: "kube-apiserver", Args: []string{"kube-apiserver", "--who=process"}}}})
	}
	for name, tt := range map[string]struct {
		facts func(*Builder)
		want  []string
		gap   bool
	}{
		"only flagz": {func(b *Builder) { b.AddFlagz("kube-apiserver", map[string]string{"who": "flagz"}, Source{}) }, []string{"flagz"}, false},
		"flagz and a pod": {func(b *Builder) {
			b.AddFlagz("kube-apiserver", map[string]string{"who": "flagz"}, Source{})
			static(b, "a")
		}, []string{"pod"}, false},
		"a pod and its process": {func(b *Builder) { static(b, "a"); process(b, "a") }, []string{"process"}, false},
		"two machines":          {func(b *Builder) { static(b, "a"); static(b, "b"); process(b, "b") }, []string{"process", "pod"}, false},
		"nobody":                {func(*Builder) {}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder("test", true)
			tt.facts(b)
			s := b.Snapshot()
			var got []string
			for _, c := range s.Components("kube-apiserver") {
				got = append(got, c.Flags.Get("who", ""))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if gap := len(s.Gaps(APIServerFlags)) > 0; gap != tt.gap {
				t.Errorf("gap: %t, want %t", gap, tt.gap)
			}
		})
	}
}

// TestWhatARunningClusterMustHave: its machines exist even if nobody showed them.
func TestWhatARunningClusterMustHave(t *testing.T) {
	b := NewBuilder("test", true)
	b.Looked(Nodes)
	for _, n := range []string{"a", "b"} {
		b.Add("v1", "Node", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}}, Source{})
	}
	b.AddMachine(&Machine{Name: "a"})
	b.Gap(Gap{Need: KubeletConfig, Scope: "a", Reason: "its file could not be read"})
	b.AddKubelet(&Kubelet{Node: "a", Config: &kubeletv1beta1.KubeletConfiguration{ReadOnlyPort: 1}})
	b.AddKubelet(&Kubelet{Node: "a", Config: &kubeletv1beta1.KubeletConfiguration{ReadOnlyPort: 2}})
	s := b.Snapshot()
	var got []string
	for _, g := range s.Gaps(HostFiles, Listeners, KubeletConfig) {
		got = append(got, g.String())
	}
	want := []string{
		"host-files of b: no host access; run `bulwark scan --host` on its machine",
		"listeners of b: no host access; run `bulwark scan --host` on its machine",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	if n := len(s.Kubelets()); n != 1 || s.Kubelets()[0].Config.ReadOnlyPort != 1 {
		t.Errorf("%d kubelets, want the first one added", n)
	}
	if files := NewBuilder("files", false).Snapshot(); len(files.AllGaps()) > 0 {
		t.Errorf("a folder of manifests has no machines to miss: %v", files.AllGaps())
	}
}

func TestBindings(t *testing.T) {
	b := NewBuilder("test", true)
	rules := []rbacv1.PolicyRule{{Verbs: []string{"get"}, Resources: []string{"pods"}}}
	b.Add("rbac.authorization.k8s.io/v1", "Role", &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "shop"}, Rules: rules}, Source{})
	b.Add("rbac.authorization.k8s.io/v1", "RoleBinding", &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "rb", Namespace: "shop"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "r"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "cart"}, {Kind: "User", Name: "ann"}},
	}, Source{})
	b.Add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "crb"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "gone"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "shop", Name: "cart"}},
	}, Source{})
	s := b.Snapshot()
	bound := s.BoundTo(ServiceAccount("shop", "cart"))
	if len(bound) != 2 || bound[0].Role != nil || bound[0].Rules() != nil {
		t.Fatalf("bindings of the account: %+v, want the dangling cluster binding first", bound)
	}
	if diff := cmp.Diff(rules, bound[1].Rules()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if len(s.BoundTo(Subject{Kind: "User", Name: "ann"})) != 1 || len(s.BoundTo(ServiceAccount("", "cart"))) != 0 {
		t.Error("subjects are mixed up")
	}
}

func TestRefs(t *testing.T) {
	for want, ref := range map[string]Ref{
		"deployment shop/cart":            {Kind: "Deployment", Namespace: "shop", Name: "cart"},
		"clusterrole admin":               {Kind: "ClusterRole", Namespace: "", Name: "admin"},
		"file /etc/x on cp-1":             FileRef("cp-1", "/etc/x"),
		"listener etcd [::]:2379 on cp-1": ListenerRef("cp-1", Listener{Component: "etcd", Address: "::", Port: 2379}),
	} {
		if got := ref.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for want, key := range map[string]any{
		"RSA 1024": &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}, "ECDSA 384": &curve.PublicKey, "Ed25519": edwards, "": nil,
	} {
		if got := Describe(&x509.Certificate{PublicKey: key, IsCA: true}); got.Key != want || !got.CA {
			t.Errorf("Describe gives %q, want %q", got.Key, want)
		}
	}
}

// TestMissingProxies: a cluster may have no kube-proxy, and that is known only of the
// machines that were looked at.
func TestMissingProxies(t *testing.T) {
	node := func(b *Builder, name string) {
		b.Add("v1", "Node", &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, Source{})
	}
	machine := func(b *Builder, name string, args ...string) {
		m := &Machine{Name: name}
		if len(args) > 0 {
			m.Processes = []Process{{Component: args[0], Args: args}}
		}
		b.AddMachine(m)
	}
	daemonSet := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-proxy"}}
	daemonSet.Spec.Template.Spec.Containers = []corev1.Container{{Name: "kube-proxy", Command: []string{"/usr/local/bin/kube-proxy", "--v=2"}}}
	for name, tt := range map[string]struct {
		build func(*Builder)
		want  []string
	}{
		"nothing was shown":           {func(b *Builder) { node(b, "a") }, []string{""}},
		"pods show all":               {func(b *Builder) { node(b, "a"); b.Add("apps/v1", "DaemonSet", daemonSet, Source{}) }, nil},
		"all machines, and none runs": {func(b *Builder) { node(b, "a"); machine(b, "a") }, nil},
		"one machine of two":          {func(b *Builder) { node(b, "a"); node(b, "b"); machine(b, "a", "kube-proxy") }, []string{"b"}},
		"one machine beside the pods": {func(b *Builder) {
			node(b, "a")
			node(b, "b")
			machine(b, "a", "kube-proxy")
			b.Add("apps/v1", "DaemonSet", daemonSet, Source{})
		}, []string{"b"}},
		"another machine than the node": {func(b *Builder) { node(b, "a"); machine(b, "cp-1") }, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder("x", true)
			tt.build(b)
			var got []string
			for _, g := range b.Snapshot().Gaps(ProxyFlags) {
				got = append(got, g.Scope)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnceWorksOnce(t *testing.T) {
	s := NewBuilder("test", true).Snapshot()
	type mine struct{}
	type yours struct{}
	var worked atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := Once(s, mine{}, func() int { return int(worked.Add(1)) }); got != 1 {
				t.Errorf("the work was done %d times", got)
			}
		})
	}
	wg.Wait()
	if got := Once(s, yours{}, func() string { return "another" }); got != "another" {
		t.Errorf("another key has %q", got)
	}
}
