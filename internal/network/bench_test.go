//go:build unix

package network

import (
	"fmt"
	"maps"
	"runtime"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// estate is a cluster of many alike teams: a namespace has 20 workloads, of which each
// talks to the next one; policies close both directions for all, open DNS, and open one
// workload after the other to its neighbour, to a gateway elsewhere, or to the world
// without the metadata service.
func estate(namespaces, replicas, policies int) *cluster.Snapshot {
	b := cluster.NewBuilder("estate", true)
	b.Looked(cluster.Isolation...)
	src := cluster.Source{Origin: "test"}
	for i := range max(1, namespaces*20*replicas/100) {
		b.Add("v1", "Node", &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node%d", i)},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.%d.%d", i/250, i%250+1)}}},
		}, src)
	}
	n := 0
	for i := range namespaces {
		space := fmt.Sprintf("team%d", i)
		b.Add("v1", "Namespace", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space, Labels: map[string]string{"tier": fmt.Sprintf("t%d", i%3)}}}, src)
		for j := range 20 {
			app := fmt.Sprintf("app%d", j)
			labels := map[string]string{"app": app, "team": space}
			spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}}
			uid := types.UID(space + app)
			b.Add("apps/v1", "StatefulSet", &appsv1.StatefulSet{
				ObjectMeta: metav1.ObjectMeta{Namespace: space, Name: app, UID: uid},
				Spec:       appsv1.StatefulSetSpec{Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}},
			}, src)
			controller := true
			for k := range replicas {
				own := map[string]string{"statefulset.kubernetes.io/pod-name": fmt.Sprintf("%s-%d", app, k)}
				maps.Copy(own, labels)
				pod := spec
				pod.NodeName = fmt.Sprintf("node%d", n/100)
				b.Add("v1", "Pod", &corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{
						Namespace: space, Name: fmt.Sprintf("%s-%d", app, k), Labels: own,
						OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: app, UID: uid, Controller: &controller}},
					},
					Spec:   pod,
					Status: corev1.PodStatus{PodIP: fmt.Sprintf("10.%d.%d.%d", n/62500, n/250%250, n%250+1)},
				}, src)
				n++
			}
		}
		for j := range policies {
			np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: space, Name: fmt.Sprintf("np%d", j)}}
			app := func(n int) *metav1.LabelSelector {
				return &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("app%d", n%20)}}
			}
			http := intstr.FromString("http")
			switch udp, dns := corev1.ProtocolUDP, intstr.FromInt32(53); {
			case j == 0:
				np.Spec.PolicyTypes = []networkingv1.PolicyType{"Ingress", "Egress"}
				np.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{
					To:    []networkingv1.NetworkPolicyPeer{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "team0"}}}},
					Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &dns}},
				}}
			case j%3 == 1:
				np.Spec.PodSelector = *app(j)
				np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: app(j + 1)}}, Ports: []networkingv1.NetworkPolicyPort{{Port: &http}}}}
			case j%3 == 2:
				np.Spec.PodSelector = *app(j)
				np.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{
					{To: []networkingv1.NetworkPolicyPeer{{PodSelector: app(j - 1)}}},
					{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"169.254.169.254/32", "10.0.0.0/8"}}}}},
				}
				np.Spec.PolicyTypes = []networkingv1.PolicyType{"Egress"}
			default:
				np.Spec.PodSelector = *app(j)
				np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "t1"}}, PodSelector: app(0),
				}}}}
			}
			b.Add("networking.k8s.io/v1", "NetworkPolicy", np, src)
		}
	}
	return b.Snapshot()
}

// live is the heap that is in use.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// spent is the processor time of this process, which other work on the machine does not
// change.
func spent(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// run measures f, with its processor time.
func run(b *testing.B, name string, f func(b *testing.B)) {
	b.Helper()
	b.Run(name, func(b *testing.B) {
		runtime.GC()
		before := spent(b)
		for b.Loop() {
			f(b)
		}
		b.ReportMetric(float64((spent(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	})
}

// BenchmarkEstates builds the world, and answers all pairs of classes, one question, and
// the sums.
func BenchmarkEstates(b *testing.B) {
	for _, size := range []struct{ namespaces, replicas, policies int }{{40, 1, 3}, {500, 10, 10}} {
		s := estate(size.namespaces, size.replicas, size.policies)
		name := fmt.Sprintf("%d-workloads", size.namespaces*20)
		opts := Options{Profile: Generic()}
		before := live()
		w := New(s, opts)
		open := 0
		for _, row := range w.Matrix().Rows() {
			for _, c := range row {
				if !c.Allowed.Empty() {
					open++
				}
			}
		}
		memory := float64(live()-before) / 1e6
		run(b, name+"/build", func(b *testing.B) {
			New(s, opts)
			b.ReportMetric(float64(w.Classes()), "classes")
		})
		run(b, name+"/all-pairs-of-classes", func(b *testing.B) {
			pairs := 0
			for _, row := range w.newMatrix().Rows() {
				pairs += len(row)
			}
			b.ReportMetric(float64(pairs), "pairs")
			b.ReportMetric(float64(open), "open")
			b.ReportMetric(memory, "MB")
		})
		run(b, name+"/all-pairs-of-workloads", func(b *testing.B) {
			w := New(s, opts)
			list, n := w.Workloads(), 0
			for range w.Pairs(list, list) {
				n++
			}
			if n != len(list)*(len(list)-1) {
				b.Fatal(n)
			}
		})
		from, _ := w.Find(cluster.Ref{Kind: "StatefulSet", Namespace: "team1", Name: "app2"})
		to, _ := w.Find(cluster.Ref{Kind: "StatefulSet", Namespace: "team2", Name: "app1"})
		run(b, name+"/ask", func(*testing.B) { w.Ask(from, to, corev1.ProtocolTCP, 8080) })
		run(b, name+"/reaches", func(*testing.B) { w.Reaches() })
	}
}

// BenchmarkAMillionRules is what somebody may do to us with one namespace.
func BenchmarkAMillionRules(b *testing.B) {
	snapshot := func(policies, rules int, rule func(i int) networkingv1.NetworkPolicyIngressRule) *cluster.Snapshot {
		builder := cluster.NewBuilder("hostile", false)
		for i := range 100 {
			builder.Add("v1", "Pod", &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("pod%d", i), Labels: map[string]string{"n": fmt.Sprint(i)}},
				Status:     corev1.PodStatus{PodIP: fmt.Sprintf("10.0.0.%d", i+1)},
			}, cluster.Source{})
		}
		for i := range policies {
			np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("np%d", i)}}
			for j := range rules {
				np.Spec.Ingress = append(np.Spec.Ingress, rule(i*rules+j))
			}
			builder.Add("networking.k8s.io/v1", "NetworkPolicy", np, cluster.Source{})
		}
		return builder.Snapshot()
	}
	port := func(i int) []networkingv1.NetworkPolicyPort {
		p := intstr.FromInt32(int32(i%maxPort) + 1)
		return []networkingv1.NetworkPolicyPort{{Port: &p}}
	}
	for name, rule := range map[string]func(i int) networkingv1.NetworkPolicyIngressRule{
		"addresses": func(i int) networkingv1.NetworkPolicyIngressRule {
			return networkingv1.NetworkPolicyIngressRule{Ports: port(i), From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("%d.%d.%d.0/24", 10+i/65536, i/256%256, i%256)}}}}
		},
		"selectors": func(i int) networkingv1.NetworkPolicyIngressRule {
			return networkingv1.NetworkPolicyIngressRule{Ports: port(i), From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"n": fmt.Sprint(i)}}}}}
		},
		"everybody": func(i int) networkingv1.NetworkPolicyIngressRule {
			return networkingv1.NetworkPolicyIngressRule{Ports: port(2 * i), From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}
		},
	} {
		s := snapshot(10, 100_000, rule)
		run(b, name, func(b *testing.B) {
			for range New(s, Options{Profile: Generic()}).Matrix().Rows() {
				continue
			}
		})
	}
}

// TestAllPairsStayCheap: 800 workloads take 0.1 s of a processor at most; the test leaves
// room for the race detector and fails where a loop has become one of pairs of pods.
func TestAllPairsStayCheap(t *testing.T) {
	s := estate(40, 1, 3)
	before := spent(t)
	w := New(s, Options{Profile: Generic()})
	list, n := w.Workloads(), 0
	for p := range w.Pairs(list, list) {
		if !p.Allowed.Empty() {
			n++
		}
	}
	if took := spent(t) - before; took > 2*time.Second {
		t.Errorf("all pairs of 800 workloads took %s of processor time", took)
	}
	if n == 0 || n == 800*799 {
		t.Errorf("%d pairs are open: the policies did nothing", n)
	}
}
