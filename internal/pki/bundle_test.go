package pki

import (
	"bytes"
	"crypto/x509"
	"io"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

var comparers = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// checkBundle: files stay below the folder, none is written twice, every
// certificate can be issued, and every identity and authority is complete.
func checkBundle(t *testing.T, c Config) {
	t.Helper()
	b := c.Bundle()
	seen, ids := map[string]bool{}, map[string]bool{}
	file := func(name string) {
		if name == "" || path.Clean(name) != name || path.IsAbs(name) || strings.HasPrefix(name, "..") {
			t.Fatalf("file %q leaves the folder", name)
		}
		if seen[name] {
			t.Fatalf("file %s is written twice", name)
		}
		seen[name] = true
	}
	bases := map[string]bool{}
	for _, a := range b.Authorities {
		bases[a.Base] = true
		file(a.File + ".crt")
		file(a.File + ".key")
		for _, copy := range append(slices.Clone(a.Copies), a.Keys...) {
			file(copy)
		}
	}
	for _, i := range b.Items {
		if ids[i.ID] {
			t.Fatalf("ID %s is there twice", i.ID)
		}
		ids[i.ID] = true
		if err := i.validate(); err != nil {
			t.Fatalf("%s: %v", i.ID, err)
		}
		if !bases[i.Authority] {
			t.Fatalf("%s: authority %q is not planned", i.ID, i.Authority)
		}
		if i.Kubeconfig != "" {
			file(i.Kubeconfig)
			if !strings.HasPrefix(i.Server, "https://") {
				t.Fatalf("%s: server %q", i.ID, i.Server)
			}
		} else {
			file(i.Certificate)
			file(i.Key)
		}
	}
	for _, s := range b.ServiceAccountCopies {
		file(s + ".key")
		file(s + ".pub")
	}
	for _, m := range c.machines() {
		if !slices.ContainsFunc(b.Items, func(i Item) bool { return strings.HasPrefix(i.ID, m.Name+"/") }) {
			t.Fatalf("machine %s gets nothing", m.Name)
		}
	}
}

var bundles = map[string]string{
	"example": ExampleConfig,
	"docker and separate etcd": `
controlPlanes: [{name: cp, addresses: [10.0.0.1]}]
etcd: [{name: e1, addresses: [10.0.1.1]}, {name: e2, addresses: [10.0.1.2]}]
workers: [{name: w, addresses: [10.0.2.1]}]
docker: [w, cp]
`,
	"ipv6 alone": "controlPlanes: [{name: cp, addresses: ['fd00::1']}]\nserviceCIDRs: ['fd00:96::/112']\n",
}

func TestBundlesAreWhole(t *testing.T) {
	for name, text := range bundles {
		t.Run(name, func(t *testing.T) { checkBundle(t, mustParse(t, text)) })
	}
}

// Every certificate of every machine is accepted where it is presented, under
// every name by which it is dialled, and at no other authority and no other
// end of a connection.
func TestEveryCertificateOfABundleVerifiesWhereItIsUsedAndNowhereElse(t *testing.T) {
	for name, text := range bundles {
		t.Run(name, func(t *testing.T) {
			b := mustParse(t, text).Bundle()
			issuer := Issuer{Now: now}
			authorities := map[string]*Authority{}
			for _, a := range b.Authorities {
				var err error
				if authorities[a.Base], err = issuer.Authority(a.CommonName); err != nil {
					t.Fatal(err)
				}
			}
			for _, i := range b.Items {
				pair, err := issuer.Issue(authorities[i.Authority], i.Leaf)
				if err != nil {
					t.Fatalf("%s: %v", i.ID, err)
				}
				for base, a := range authorities {
					for _, u := range []Usage{Client, Server} {
						want := base == i.Authority && (i.Usage == u || i.Usage == ServerAndClient)
						if err := verify(a, pair, u, ""); (err == nil) != want {
							t.Errorf("%s at authority %s as %v: %v, want %t", i.ID, base, u.names(), err, want)
						}
					}
				}
				for _, n := range i.DNSNames {
					if err := verify(authorities[i.Authority], pair, i.Usage, n); err != nil {
						t.Errorf("%s dialled as %s: %v", i.ID, n, err)
					}
				}
				for _, ip := range i.IPs {
					if err := verify(authorities[i.Authority], pair, i.Usage, ip.String()); err != nil {
						t.Errorf("%s dialled as %s: %v", i.ID, ip, err)
					}
				}
				if i.Usage != Client && verify(authorities[i.Authority], pair, Server, "elsewhere.example.com") == nil {
					t.Errorf("%s answers to a name that is not its own", i.ID)
				}
				if why := i.mismatch(pair.Certificate); why != "" {
					t.Errorf("%s: not what was asked for: %s", i.ID, why)
				}
				if bytes.Equal(pair.Certificate.RawSubject, pair.Certificate.RawIssuer) || pair.Certificate.KeyUsage&x509.KeyUsageCertSign != 0 {
					t.Errorf("%s may sign", i.ID)
				}
			}
		})
	}
}

// A machine holds what it needs and nothing else.
func TestMachinesHoldOnlyWhatTheyNeed(t *testing.T) {
	b := mustParse(t, bundles["docker and separate etcd"]).Bundle()
	holds := map[string][]string{}
	add := func(file string) {
		machine, rest, _ := strings.Cut(file, "/")
		holds[machine] = append(holds[machine], rest)
	}
	for _, a := range b.Authorities {
		for _, f := range append(slices.Clone(a.Copies), a.Keys...) {
			add(f)
		}
	}
	for _, i := range b.Items {
		add(i.file())
	}
	for _, s := range b.ServiceAccountCopies {
		add(s)
	}
	for machine, want := range map[string][]string{
		"w": {
			"etc/docker/ca.pem", "etc/docker/server-cert.pem", "etc/kubernetes/kube-proxy.conf", "etc/kubernetes/kubelet.conf",
			"etc/kubernetes/pki/ca.crt", "var/lib/kubelet/pki/kubelet.crt",
		},
		"e1": {
			"etc/kubernetes/pki/etcd/ca.crt", "etc/kubernetes/pki/etcd/healthcheck-client.crt",
			"etc/kubernetes/pki/etcd/peer.crt", "etc/kubernetes/pki/etcd/server.crt",
		},
		"cp": {
			"etc/docker/ca.pem", "etc/docker/server-cert.pem",
			"etc/kubernetes/admin.conf", "etc/kubernetes/controller-manager.conf", "etc/kubernetes/kube-proxy.conf", "etc/kubernetes/kubelet.conf",
			"etc/kubernetes/pki/apiserver-etcd-client.crt", "etc/kubernetes/pki/apiserver-kubelet-client.crt", "etc/kubernetes/pki/apiserver.crt",
			"etc/kubernetes/pki/ca.crt", "etc/kubernetes/pki/ca.key", "etc/kubernetes/pki/etcd/ca.crt",
			"etc/kubernetes/pki/front-proxy-ca.crt", "etc/kubernetes/pki/front-proxy-client.crt",
			"etc/kubernetes/pki/kube-controller-manager.crt", "etc/kubernetes/pki/kube-scheduler.crt", "etc/kubernetes/pki/sa",
			"etc/kubernetes/scheduler.conf", "var/lib/kubelet/pki/kubelet.crt",
		},
	} {
		slices.Sort(holds[machine])
		if diff := cmp.Diff(want, holds[machine]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", machine, diff)
		}
	}
	for _, i := range b.Items {
		if slices.Contains(i.Subject.Organizations, GroupMasters) != (i.ID == "admin/super-admin.conf") {
			t.Errorf("%s: groups %v", i.ID, i.Subject.Organizations)
		}
	}
}

// No kubelet and no client of another machine is a client of a Docker daemon.
func TestDockerDaemonsHaveAuthoritiesOfTheirOwn(t *testing.T) {
	for _, i := range mustParse(t, bundles["docker and separate etcd"]).Bundle().Items {
		if machine, is := strings.CutPrefix(i.Authority, "docker/"); is && i.ID != machine+"/docker" && i.ID != "admin/docker/"+machine {
			t.Errorf("%s is of authority %s", i.ID, i.Authority)
		}
	}
}

// The roles are what they say: no secret, no way to more.
func TestRBACIsTheLeast(t *testing.T) {
	d := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(RBAC())))
	roles := map[string]rbacv1.ClusterRole{}
	bound := map[string][]string{}
	buf := make([]byte, 1<<16)
	for {
		n, err := d.Read(buf)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var kind struct{ Kind string }
		if err := sigsyaml.Unmarshal(buf[:n], &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.Kind {
		case "ClusterRole":
			var r rbacv1.ClusterRole
			if err := sigsyaml.UnmarshalStrict(buf[:n], &r); err != nil {
				t.Fatal(err)
			}
			roles[r.Name] = r
		case "ClusterRoleBinding":
			var b rbacv1.ClusterRoleBinding
			if err := sigsyaml.UnmarshalStrict(buf[:n], &b); err != nil {
				t.Fatal(err)
			}
			bound[b.Subjects[0].Name] = append(bound[b.Subjects[0].Name], b.RoleRef.Name)
		default:
			t.Fatalf("kind %q", kind.Kind)
		}
	}
	if diff := cmp.Diff(map[string][]string{
		GroupAdmins: {"cluster-admin"}, UserKubeletClient: {"system:kubelet-api-admin"},
		GroupMonitoring: {"bulwark:monitoring"}, GroupMaintenance: {"bulwark:maintenance", "bulwark:monitoring"},
	}, bound); diff != "" {
		t.Errorf("bindings (-want +got):\n%s", diff)
	}
	forbidden := []string{
		"*", "secrets", "configmaps", "pods/exec", "pods/attach", "pods/portforward", "pods/log", "pods/ephemeralcontainers", "nodes/proxy", "pods/proxy", "services/proxy",
		"roles", "clusterroles", "rolebindings", "clusterrolebindings", "serviceaccounts/token", "certificatesigningrequests/approval",
	}
	for name, role := range roles {
		for _, rule := range role.Rules {
			for _, r := range rule.Resources {
				if slices.Contains(forbidden, r) {
					t.Errorf("%s: has %s", name, r)
				}
				for _, v := range rule.Verbs {
					read := v == "get" || v == "list" || v == "watch"
					write := name == GroupMaintenance && slices.Contains([]string{"patch nodes", "create pods/eviction", "delete pods"}, v+" "+r)
					if !read && !write {
						t.Errorf("%s: may %s %s", name, v, r)
					}
				}
			}
			if slices.Contains(rule.APIGroups, "*") || slices.Contains(rule.NonResourceURLs, "*") {
				t.Errorf("%s: has a wildcard", name)
			}
		}
	}
}
