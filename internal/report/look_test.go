package report

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

func TestLook(t *testing.T) {
	live := cluster.Source{Origin: "/apis/apps/v1/deployments", ResourceVersion: "7"}
	for name, tt := range map[string]struct {
		finding control.Finding
		want    lookup
	}{
		"a live object": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Deployment", Namespace: "shop", Name: "cart"}, Source: live},
			lookup{"", "kubectl -n shop get deployment cart -o yaml"},
		},
		"a cluster-wide object": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "ClusterRoleBinding", Name: "system:boss"}},
			lookup{"", "kubectl get clusterrolebinding system:boss -o yaml"},
		},
		"an object that could not be judged": {
			control.Finding{Object: cluster.Ref{Kind: "Pod", Namespace: "shop", Name: "cart"}},
			lookup{"", "kubectl -n shop get pod cart -o yaml"},
		},
		"an object of one of several clusters": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Deployment", Namespace: "shop", Name: "cart", Cluster: "prod; reboot"}, Source: live},
			lookup{"", "kubectl --context 'prod; reboot' -n shop get deployment cart -o yaml"},
		},
		"one of several clusters": {
			control.Finding{Object: cluster.WholeCluster("prod")},
			lookup{"", "kubectl --context prod version"},
		},
		"an object in a chart's archive": {
			control.Finding{
				Outcome: control.Broken, Object: cluster.Ref{Kind: "Pod", Namespace: "shop", Name: "cart"},
				Source: cluster.Source{Origin: "my charts/redis-1.0.0.tgz/redis/templates/pod.yaml", Line: 3},
			},
			lookup{"", "tar -xzOf 'my charts/redis-1.0.0.tgz' redis/templates/pod.yaml | sed -n '3,/^---/p'"},
		},
		"an object in a file": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Deployment", Namespace: "shop", Name: "cart"}, Source: cluster.Source{Origin: "my app/cart.yaml", Line: 12}},
			lookup{"", "sed -n '12,/^---/p' 'my app/cart.yaml'"},
		},
		"an object from a pipe": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Pod", Namespace: "shop", Name: "cart"}, Source: cluster.Source{Origin: "<stdin>", Line: 12}},
			lookup{"", "kubectl -n shop get pod cart -o yaml"},
		},
		"a file on a machine": {
			control.Finding{Outcome: control.Broken, Object: cluster.FileRef("cp-1", "/etc/kubernetes/pki/ca.key")},
			lookup{"cp-1", "stat /etc/kubernetes/pki/ca.key"},
		},
		"a port on every address": {
			control.Finding{Outcome: control.Broken, Object: cluster.ListenerRef("cp-1", cluster.Listener{Component: "etcd", Address: "::", Port: 2379})},
			lookup{"cp-1", "openssl s_client -connect localhost:2379 </dev/null"},
		},
		"a port on one address": {
			control.Finding{Outcome: control.Broken, Object: cluster.ListenerRef("cp-1", cluster.Listener{Component: "etcd", Address: "fd00::1", Port: 2379})},
			lookup{"cp-1", "openssl s_client -connect '[fd00::1]:2379' </dev/null"},
		},
		"a process's flag": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "kube-controller-manager", Name: "cp-1"}, Source: cluster.Source{Origin: "facts.yaml", Line: 3}},
			lookup{"cp-1", "pgrep -af kube-controller-manager"},
		},
		"a static pod's flag": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "etcd", Name: "kube-system/etcd-cp-1"}},
			lookup{"", "kubectl -n kube-system get pod etcd-cp-1 -o yaml"},
		},
		"a flag from flagz": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "kube-apiserver", Name: "(the instance that answered)"}, Source: cluster.Source{Origin: "/flagz"}},
			lookup{"", "kubectl get --raw /flagz"},
		},
		"a kubelet's configuration": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Kubelet", Name: "n1"}, Source: cluster.Source{Origin: "/api/v1/nodes/n1/proxy/configz"}},
			lookup{"", "kubectl get --raw /api/v1/nodes/n1/proxy/configz"},
		},
		"a kubelet's file on its machine": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Kubelet", Name: "n1"}, Source: cluster.Source{Origin: "/var/lib/kubelet/config.yaml"}},
			lookup{"n1", "cat /var/lib/kubelet/config.yaml"},
		},
		"a kubelet's file in a folder": {
			control.Finding{Outcome: control.Broken, Object: cluster.Ref{Kind: "Kubelet", Name: "config.yaml"}, Source: cluster.Source{Origin: "nodes/config.yaml", Line: 1}},
			lookup{"", "sed -n '1,/^---/p' nodes/config.yaml"},
		},
		"a kind that could not be listed": {
			control.Finding{Object: cluster.Ref{Kind: "networkpolicies.networking.k8s.io", Name: "(all)"}, Reason: "403"},
			lookup{"", "kubectl auth can-i list networkpolicies.networking.k8s.io --all-namespaces"},
		},
		"a kind that could not be listed in a namespace": {
			control.Finding{Object: cluster.Ref{Kind: "pods", Name: "shop"}, Reason: "403"},
			lookup{"", "kubectl auth can-i list pods -n shop"},
		},
		"host files nobody saw": {
			control.Finding{Object: cluster.Ref{Kind: string(cluster.HostFiles), Name: "(all)"}, Reason: "no access"},
			lookup{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := look(&tt.finding); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestPatch(t *testing.T) {
	ref := cluster.Ref{Kind: "Deployment", Namespace: "shop", Name: "cart"}
	pod := cluster.Ref{Kind: "Pod", Namespace: "shop", Name: "cart"}
	for name, tt := range map[string]struct {
		finding *control.Finding
		want    string
	}{
		"a field":            {(&control.Finding{Object: ref}).Set("spec.replicas", 2), `kubectl -n shop patch deployment cart -p '{"spec":{"replicas":2}}'`},
		"a quote in a value": {(&control.Finding{Object: ref}).Set("spec.x", "it's"), `kubectl -n shop patch deployment cart -p '{"spec":{"x":"it'\''s"}}'`},
		"no change":          {&control.Finding{Object: ref}, ""},
		"a pod's spec":       {(&control.Finding{Object: pod}).Remove("spec.hostNetwork"), ""},
		"a pod's label":      {(&control.Finding{Object: pod}).Set("metadata.labels[a/b]", "c"), `kubectl -n shop patch pod cart -p '{"metadata":{"labels":{"a/b":"c"}}}'`},
		"a file":             {(&control.Finding{Object: cluster.FileRef("cp-1", "/x")}).Set("mode", "0600"), ""},
		"a name like an option": {
			(&control.Finding{Object: cluster.Ref{Kind: "Deployment", Name: "--kubeconfig=/tmp/x"}}).Set("spec.x", 1),
			`kubectl patch deployment/--kubeconfig=/tmp/x -p '{"spec":{"x":1}}'`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := patch(tt.finding); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// FuzzQuote states that a quoted word is one line and that a shell reads it as the
// word itself.
func FuzzQuote(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		f.Skip("bash is not installed")
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := quote(s)
		if strings.ContainsAny(q, "\n\r\x1b\x00") {
			t.Fatalf("quote(%q) is %q, want one line without escapes", s, q)
		}
		if strings.Contains(s, "\x00") {
			return // no argument of a program can hold it
		}
		cmd := exec.CommandContext(t.Context(), bash, "-c", "printf %s "+q)
		cmd.Env = []string{"LC_ALL=C.UTF-8"}
		got, err := cmd.Output()
		if err != nil || string(got) != s {
			t.Errorf("a shell reads %s as %q (%v), want %q", q, got, err, s)
		}
	})
}
