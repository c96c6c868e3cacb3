package podsec

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// specOf returns the only pod spec of a snapshot that holds one pod.
func specOf(t *testing.T, spec corev1.PodSpec) *cluster.PodSpec {
	t.Helper()
	b := cluster.NewBuilder("test", false)
	b.Add("v1", "Pod", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}, Spec: spec}, cluster.Source{})
	return b.Snapshot().Pods()[0]
}

func TestIdentity(t *testing.T) {
	yes, no := new(true), new(false)
	root, user := new(int64(0)), new(int64(1000))
	type word struct {
		nonRoot *bool
		uid     *int64
	}
	for name, tt := range map[string]struct {
		pod, container word
		want           bool
	}{
		"nobody says anything":                        {word{}, word{}, true},
		"the pod forbids root":                        {word{yes, nil}, word{}, false},
		"the container forbids root":                  {word{}, word{yes, nil}, false},
		"the container takes the pod's word back":     {word{yes, nil}, word{no, nil}, true},
		"the container forbids what the pod allows":   {word{no, nil}, word{yes, nil}, false},
		"the pod's number is not root":                {word{nil, user}, word{}, false},
		"the container's number is root":              {word{nil, user}, word{nil, root}, true},
		"the container's number is not root":          {word{nil, root}, word{nil, user}, false},
		"allowed to be root, and is not":              {word{}, word{no, user}, false},
		"told to be root and forbidden: never starts": {word{yes, nil}, word{nil, root}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := specOf(t, corev1.PodSpec{
				SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: tt.pod.nonRoot, RunAsUser: tt.pod.uid},
				Containers: []corev1.Container{{Name: "c", SecurityContext: &corev1.SecurityContext{
					RunAsNonRoot: tt.container.nonRoot, RunAsUser: tt.container.uid,
				}}},
			})
			if got := IdentityOf(p, p.Containers[0]).MayBeRoot(); got != tt.want {
				t.Errorf("MayBeRoot is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHoldsToken(t *testing.T) {
	off := &corev1.ServiceAccount{AutomountServiceAccountToken: new(false)}
	projected := func(audience string) []corev1.Volume {
		return []corev1.Volume{{Name: "t", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience}}},
		}}}}
	}
	for name, tt := range map[string]struct {
		spec    corev1.PodSpec
		account *corev1.ServiceAccount
		want    bool
	}{
		"silence":                          {corev1.PodSpec{}, nil, true},
		"the account says no":              {corev1.PodSpec{}, off, false},
		"the pod says yes to that":         {corev1.PodSpec{AutomountServiceAccountToken: new(true)}, off, true},
		"the pod says no":                  {corev1.PodSpec{AutomountServiceAccountToken: new(false)}, &corev1.ServiceAccount{}, false},
		"projected":                        {corev1.PodSpec{Volumes: projected("")}, off, true},
		"projected for somebody else":      {corev1.PodSpec{Volumes: projected("vault")}, off, false},
		"projected for the server by name": {corev1.PodSpec{Volumes: projected("https://kubernetes.default.svc.cluster.local")}, off, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := HoldsToken(specOf(t, tt.spec), tt.account); got != tt.want {
				t.Errorf("HoldsToken is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHostMounts(t *testing.T) {
	for name, tt := range map[string]struct {
		path, sub        string
		readOnly         bool
		gain, wantSocket string
	}{
		"the whole disk":              {"/", "", true, "it is the node's whole file system", "/run/containerd/containerd.sock"},
		"a trailing slash":            {"/run/containerd/", "", true, "", "/run/containerd/containerd.sock"},
		"the old name of run":         {"/var/run/docker.sock", "", true, "", "/run/docker.sock"},
		"var holds no sockets":        {"/var", "", true, "it holds the kubelet's credential and every pod's secrets", ""},
		"a name that only begins so":  {"/runtime", "", false, "", ""},
		"a subPath leads elsewhere":   {"/run", "udev", true, "", ""},
		"a subPath leads to it":       {"/run", "containerd", true, "", "/run/containerd/containerd.sock"},
		"a file of etc to read":       {"/etc/localtime", "", true, "", ""},
		"a file of etc to write":      {"/etc/localtime", "", false, "it holds the node's accounts and its jobs", ""},
		"one pod's volumes":           {"/var/lib/kubelet/pods/x", "", true, "it holds the kubelet's credential and every pod's secrets", ""},
		"an ordinary place to write":  {"/srv/data", "", false, "", ""},
		"out of the place by dotdots": {"/srv/../etc/kubernetes", "", true, "it holds the node's Kubernetes credentials and its static pods", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := specOf(t, corev1.PodSpec{
				Containers: []corev1.Container{{Name: "c", VolumeMounts: []corev1.VolumeMount{{Name: "v", SubPath: tt.sub, ReadOnly: tt.readOnly}}}},
				Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: tt.path}}}},
			})
			mounts := HostMounts(p)
			if len(mounts) != 1 {
				t.Fatalf("%d mounts, want 1", len(mounts))
			}
			if got := RuntimeSocket(mounts[0]); got != tt.wantSocket {
				t.Errorf("RuntimeSocket is %q, want %q", got, tt.wantSocket)
			}
			if got := Gain(mounts[0]); tt.wantSocket == "" && got != tt.gain {
				t.Errorf("Gain is %q, want %q", got, tt.gain)
			}
		})
	}
}

func TestBelowBaseline(t *testing.T) {
	for name, tt := range map[string]struct {
		spec corev1.PodSpec
		want string
	}{
		"an ordinary pod": {corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}, ""},
		"the first of two faults, in admission's words": {
			corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{Name: "c", SecurityContext: &corev1.SecurityContext{Privileged: new(true)}}}},
			"host namespaces (hostNetwork=true)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := BelowBaseline(specOf(t, tt.spec)); got != tt.want {
				t.Errorf("BelowBaseline is %q, want %q", got, tt.want)
			}
		})
	}
}
