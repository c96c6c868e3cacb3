//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	facts "github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/kube"
	"github.com/bulwark-k8s/bulwark/internal/network"
)

// speaker is a pod that answers 8080 and 8081 by TCP and UDP, and can dial. first and
// second are what the ports are called.
func speaker(namespace, name, node, labels, first, second string, sidecar, host bool) string {
	container := func(name, port, ports, more string) string {
		return fmt.Sprintf(`
  - name: %s
    image: lab.bulwark.test/probe:1
    imagePullPolicy: IfNotPresent
    args: [serve, ":%s"]
    ports: [%s]
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}%s`, name, port, ports, more)
	}
	ports := func(name, port string) string {
		return fmt.Sprintf("{name: %s, containerPort: %s}, {name: %s-udp, containerPort: %s, protocol: UDP}", name, port, name, port)
	}
	pod := fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {%s}}
spec:
  nodeName: %s
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}`, name, namespace, labels, node)
	if host { // its ports are the node's, so it only dials
		return pod + `
  hostNetwork: true
  containers:` + container("speaker", "18080", "", "")
	}
	one, two := container("first", "8080", ports(first, "8080"), ""), container("second", "8081", ports(second, "8081"), "")
	if sidecar {
		two = container("second", "8081", ports(second, "8081"), "\n    restartPolicy: Always")
		return pod + "\n  initContainers:" + two + "\n  containers:" + one
	}
	return pod + "\n  containers:" + one + two
}

// speakers are the pods of the worlds, host-1 a process on node-1's own network.
var speakers = []string{"net-shop/front", "net-shop/cart", "net-pay/api", "net-pay/db", "net-ops/prom", "net-ops/host-1"}

const speakerServices = `
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: net-pay}
spec: {selector: {app: api}, ports: [{name: web, port: 80, targetPort: web}, {name: web-udp, port: 53, targetPort: web-udp, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: net-pay}
spec: {selector: {app: db}, ports: [{port: 5432, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: net-shop}
spec: {selector: {app: cart}, ports: [{port: 80, targetPort: admin}]}
`

// A target is something to dial, and what it is to the engine.
type target struct {
	ref      facts.Ref
	protocol corev1.Protocol
	port     int32
	address  string // TCP/10.244.1.2:8080
}

// TestNetworkEngine: for every world of testdata/network.txtar, what gets through among
// real pods under real policies is what the engine says, by address and by Service.
func TestNetworkEngine(t *testing.T) {
	t.Parallel() // it mostly waits, for what policies drop
	c := hardened.get(t)
	for ns, team := range map[string]string{"net-shop": "team=shop", "net-pay": "team=pay", "net-ops": "kind=ops"} {
		c.namespace(t, ns, team, "pod-security.kubernetes.io/enforce=privileged")
	}
	c.apply(t, speaker("net-shop", "front", "node-1", "app: front, tier: edge", "web", "admin", false, false)+
		speaker("net-shop", "cart", "node-2", "app: cart, tier: data", "web", "admin", false, false)+
		speaker("net-pay", "api", "node-1", "app: api, tier: edge", "admin", "web", false, false)+
		speaker("net-pay", "db", "node-2", "app: db, tier: data", "web", "admin", true, false)+
		speaker("net-ops", "prom", "node-2", "app: prom", "web", "admin", false, false)+
		speaker("net-ops", "host-1", "node-1", "app: host", "", "", false, true)+speakerServices, "apply", "-f", "-")
	for _, ns := range []string{"net-shop", "net-pay", "net-ops"} {
		c.must(t, "-n", ns, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")
	}
	client := kubernetes.NewForConfigOrDie(c.config(t))
	targets, names := c.targets(t, client)

	raw, err := os.ReadFile("testdata/network.txtar")
	if err != nil {
		t.Fatal(err)
	}
	worlds := txtar.Parse(raw).Files
	probes, unknown := 0, 0
	count := [3]int{}
	for _, world := range worlds {
		t.Run(world.Name, func(t *testing.T) {
			c.setPolicies(t, client, names.Replace(string(world.Data)))
			w := c.world(t)
			want := map[string]map[string]network.Verdict{}
			for _, from := range speakers {
				want[from] = map[string]network.Verdict{}
				for _, to := range targets {
					if v, ok := ask(t, w, from, to); ok {
						want[from][to.address] = v
						count[v]++
					}
				}
			}
			eventually(t, 30*time.Second, func() string { return c.disagreement(want) })
			for from, all := range want {
				for to, v := range all {
					probes++
					if v == network.Unknown {
						unknown++
						if !strings.Contains(from, "host-1") {
							t.Errorf("the engine does not know whether %s reaches %s", from, to)
						}
					}
				}
			}
		})
	}
	t.Logf("%d worlds, %d connections tried: %d allowed, %d denied, %d that the engine calls unknown",
		len(worlds), probes, count[network.Allowed], count[network.Denied], unknown)
	if len(worlds) < 60 || count[network.Allowed] < probes/5 || count[network.Denied] < probes/5 {
		t.Errorf("that proves little")
	}
}

// targets are every port of every pod, and of every Service; and names puts addresses in
// the place of their names.
func (c *cluster) targets(t *testing.T, client kubernetes.Interface) (out []target, names *strings.Replacer) {
	t.Helper()
	var replace []string
	for _, name := range speakers {
		ns, pod, _ := strings.Cut(name, "/")
		p, err := client.CoreV1().Pods(ns).Get(t.Context(), pod, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if p.Spec.HostNetwork {
			replace = append(replace, "NODE_1", p.Status.PodIP)
			continue
		}
		replace = append(replace, "IP_"+pod, p.Status.PodIP)
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
			for _, port := range []int32{8080, 8081} {
				out = append(out, target{
					facts.Ref{Kind: "Pod", Namespace: ns, Name: pod},
					protocol, port,
					fmt.Sprintf("%s/%s:%d", protocol, p.Status.PodIP, port),
				})
			}
		}
	}
	for _, ns := range []string{"net-shop", "net-pay"} {
		services, err := client.CoreV1().Services(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range services.Items {
			for _, p := range s.Spec.Ports {
				out = append(out, target{
					facts.Ref{Kind: "Service", Namespace: ns, Name: s.Name},
					p.Protocol, p.Port,
					fmt.Sprintf("%s/%s:%d", p.Protocol, s.Spec.ClusterIP, p.Port),
				})
			}
		}
	}
	return out, strings.NewReplacer(replace...)
}

// config is the administrator's, without a limit of its own on requests.
func (c *cluster) config(t *testing.T) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	return config
}

// setPolicies makes the world's policies the only ones of its namespaces.
func (c *cluster) setPolicies(t *testing.T, client kubernetes.Interface, text string) {
	t.Helper()
	for _, ns := range []string{"net-shop", "net-pay", "net-ops"} {
		if err := client.NetworkingV1().NetworkPolicies(ns).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, document := range strings.Split(text, "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var p struct {
			Namespace string                         `json:"namespace"`
			Spec      networkingv1.NetworkPolicySpec `json:"spec"`
		}
		if err := yaml.UnmarshalStrict([]byte(document), &p); err != nil {
			t.Fatal(err)
		}
		policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i)}, Spec: p.Spec}
		if _, err := client.NetworkingV1().NetworkPolicies(p.Namespace).Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// world reads the cluster and puts the engine on it.
func (c *cluster) world(t *testing.T) *network.World {
	t.Helper()
	b := facts.NewBuilder("e2e", true)
	if err := kube.Read(t.Context(), c.config(t), b, kube.Options{}); err != nil {
		t.Fatal(err)
	}
	w := network.New(b.Snapshot(), network.Options{})
	if got := w.Profile().Name; got != "bulwark-lab" {
		t.Fatalf("the network is taken for %s", got)
	}
	return w
}

// ask asks the engine; not for a Service that leads back to who asks.
func ask(t *testing.T, w *network.World, from string, to target) (network.Verdict, bool) {
	t.Helper()
	ns, name, _ := strings.Cut(from, "/")
	source, ok := w.Find(facts.Ref{Kind: "Pod", Namespace: ns, Name: name})
	if !ok {
		t.Fatalf("the engine does not know %s", from)
	}
	if to.ref.Kind == "Service" && to.ref.Namespace == ns && to.ref.Name == name {
		return 0, false
	}
	destination, ok := w.Find(to.ref)
	if !ok {
		t.Fatalf("the engine does not know %s", to.ref)
	}
	return w.Ask(source, destination, to.protocol, to.port).Verdict, true
}

// disagreement dials everything from every pod at once, and says where what happens is
// not what was said.
func (c *cluster) disagreement(want map[string]map[string]network.Verdict) string {
	var all sync.WaitGroup
	complaints := make([]string, len(speakers))
	for i, from := range speakers {
		all.Go(func() {
			ns, pod, _ := strings.Cut(from, "/")
			addresses := slices.Sorted(maps.Keys(want[from]))
			r := command(context.Background(), "", []string{"KUBECONFIG=" + c.kubeconfig}, filepath.Join(bin, "lab", "kubectl"), "-n", ns, "exec", pod, "--",
				"/probe", "sweep", "--timeout", "900ms", strings.Join(addresses, ","))
			if r.code != 0 {
				complaints[i] = from + ": " + r.all()
				return
			}
			var b strings.Builder
			for line := range strings.Lines(r.stdout) {
				answer, address, _ := strings.Cut(strings.TrimSpace(line), " ")
				got := map[string]network.Verdict{"yes": network.Allowed, "no": network.Denied}[answer]
				if v := want[from][address]; v != got && v != network.Unknown {
					fmt.Fprintf(&b, "%s to %s: %s by the engine, in fact %s\n", from, address, v, got)
				}
			}
			complaints[i] = b.String()
		})
	}
	all.Wait()
	return strings.Join(complaints, "")
}
