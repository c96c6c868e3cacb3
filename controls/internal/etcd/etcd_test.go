package etcd

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func member(args []string, env ...corev1.EnvVar) *cluster.Component {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "etcd", Env: env}}}}
	return &cluster.Component{Flags: cluster.ParseFlags(args), Object: &cluster.Object{Value: pod}}
}

func TestSetting(t *testing.T) {
	variable := corev1.EnvVar{Name: "ETCD_CLIENT_CERT_AUTH", Value: "false"}
	for name, tt := range map[string]struct {
		c     *cluster.Component
		want  string
		given bool
	}{
		"nowhere":                     {member(nil), "", false},
		"by flag":                     {member([]string{"--client-cert-auth=true"}), "true", true},
		"by variable":                 {member(nil, variable), "false", true},
		"a flag goes before":          {member([]string{"--client-cert-auth=true"}, variable), "true", true},
		"a variable from elsewhere":   {member(nil, corev1.EnvVar{Name: variable.Name, ValueFrom: &corev1.EnvVarSource{}}), "", false},
		"a process has no variables":  {&cluster.Component{}, "", false},
		"another variable than asked": {member(nil, corev1.EnvVar{Name: "ETCD_PEER_CLIENT_CERT_AUTH", Value: "true"}), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, given := Setting(tt.c, "client-cert-auth"); got != tt.want || given != tt.given {
				t.Errorf("Setting is %q, %v, want %q, %v", got, given, tt.want, tt.given)
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1:2379": true, "http://127.8.8.8:2379": true, "https://[::1]:2379": true, "http://localhost:2379": true,
		"unix:///run/etcd.sock": true, "https://10.0.0.1:2379": false, "https://0.0.0.0:2379": false, "https://localhost.example:2379": false,
	} {
		urls := URLs(&cluster.Component{}, "listen-client-urls", address)
		if len(urls) != 1 || Loopback(urls[0]) != want {
			t.Errorf("Loopback(%s) is not %v", address, want)
		}
	}
}
