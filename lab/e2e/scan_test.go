//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHardenedIsClean: every control holds on the hardened cluster, machines included.
func TestHardenedIsClean(t *testing.T) {
	c := hardened.get(t)
	r, res := c.first, c.firstRun
	if broken := r.with("broken"); broken != "" {
		t.Errorf("broken:\n%s", broken)
	}
	if unknown := r.with("unknown"); unknown != "" {
		t.Errorf("unknown:\n%s", unknown)
	}
	if res.code != 0 {
		t.Errorf("exit code %d, want 0\n%s", res.code, res.stderr)
	}
}

// weaknesses maps each item of docs/lab.md's list of what is weak to the controls
// that must name it.
var weaknesses = map[string][]string{
	"etcd on plain HTTP":                     {"etcd.plainclient", "apiserver.etcdplain", "listener.plainlistener"},
	"etcd without client certificates":       {"etcd.clientcerts", "listener.noclientcert"},
	"anonymous access with a binding":        {"apiserver.anonymousrequests", "rbac.anonymousgrant"},
	"kubelet anonymous":                      {"kubelet.anonymouskubelet"},
	"kubelet AlwaysAllow":                    {"kubelet.alwaysallow"},
	"kubelet read-only port":                 {"kubelet.readonlyport"},
	"no Node authorizer":                     {"apiserver.nodeauthorizer"},
	"no NodeRestriction":                     {"apiserver.noderestriction"},
	"no encryption at rest":                  {"apiserver.encryption"},
	"no audit log":                           {"apiserver.auditlog"},
	"old TLS versions and weak ciphers":      {"apiserver.apitls", "controllermanager.kcmtls", "scheduler.schedulertls", "kubelet.kubelettls", "listener.oldtls"},
	"profiling":                              {"apiserver.apiprofiling", "controllermanager.kcmprofiling", "scheduler.schedulerprofiling", "kubelet.kubeletprofiling"},
	"profiling on all addresses":             {"controllermanager.kcmbind", "scheduler.schedulerbind"},
	"no Pod Security":                        {"apiserver.podsecurityplugin"},
	"controller-manager with one credential": {"controllermanager.sharedcredentials"},
	"credentials that everybody may read":    {"file.kubeconfig", "file.privatekey", "file.secretconfig", "file.datadir"},
	"configuration that everybody may write": {"file.writableconfig", "file.kubeletfile"},
	"tokens that never expire":               {"apiserver.tokenfile", "apiserver.extendedtokens"},
	"kubelet signs its own certificate":      {"kubelet.selfsignedserving", "apiserver.kubeletverify"},
	"idle sessions without a time":           {"kubelet.streamtimeout"},
	"no seccomp by default":                  {"kubelet.seccompdefault"},
	"kernel defaults not protected":          {"kubelet.kernelprotection"},
}

// TestWeakIsNamed: the scan names everything that docs/lab.md says is weak.
func TestWeakIsNamed(t *testing.T) {
	c := weak.get(t)
	r, res := c.first, c.firstRun
	if res.code != 3 {
		t.Errorf("exit code %d, want 3\n%s", res.code, res.stderr)
	}
	for what, ids := range weaknesses {
		for _, id := range ids {
			if got := r.outcome(id); got != "broken" {
				t.Errorf("%s: %s is %q, want broken", what, id, got)
			}
		}
	}
	if unknown := r.with("unknown"); unknown != "" {
		t.Errorf("unknown:\n%s", unknown)
	}
}

// TestLiveAlone: without host access, what only machines can tell is unknown, never passed.
func TestLiveAlone(t *testing.T) {
	c := hardened.get(t)
	r, res := c.live, c.liveRun
	if res.code != 4 {
		t.Errorf("exit code %d, want 4\n%s", res.code, res.all())
	}
	for _, id := range []string{"file.privatekey", "listener.oldtls", "etcd.clientcerts"} {
		if got := r.outcome(id); got != "unknown" {
			t.Errorf("%s is %q, want unknown", id, got)
		}
	}
	// From v1.36 the API server tells its own flags.
	if got := r.outcome("apiserver.auditlog"); got != "holds" {
		t.Errorf("apiserver.auditlog is %q, want holds", got)
	}
}

// TestLeastPrivilege: a credential that may read little gets little, and knows it.
func TestLeastPrivilege(t *testing.T) {
	c := kubeadm.get(t)
	c.namespace(t, "e2e-scanner")
	c.must(t, "-n", "e2e-scanner", "create", "serviceaccount", "viewer")
	c.apply(t, probe("e2e-scanner", "judged", "", "sleep"), "apply", "-f", "-")
	c.must(t, "create", "clusterrolebinding", "e2e-scanner", "--clusterrole=view", "--serviceaccount=e2e-scanner:viewer")
	t.Cleanup(func() { c.kubectl(t, "delete", "clusterrolebinding", "e2e-scanner") })
	r, res := c.scanReport(t, "--as", "system:serviceaccount:e2e-scanner:viewer")
	if res.code != 3 && res.code != 4 {
		t.Errorf("exit code %d\n%s", res.code, res.all())
	}
	for id, want := range map[string]string{
		"rbac.clusteradmin": "unknown", "kubelet.readonlyport": "unknown",
		"workload.takeover": "unknown", "pod.procmount": "holds",
	} {
		if got := r.outcome(id); got != want {
			t.Errorf("%s is %q, want %s", id, got, want)
		}
	}
}

// TestNoSecretIsShown: the value of a secret is in no report and no message.
func TestNoSecretIsShown(t *testing.T) {
	c := kubeadm.get(t)
	c.namespace(t, "e2e-secret")
	const value = "tr0ub4dor-and-3"
	c.apply(t, `
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: e2e-secret}
stringData: {password: `+value+`}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: e2e-secret}
data: {smtp-password: `+value+`}
---
apiVersion: v1
kind: Pod
metadata: {name: user, namespace: e2e-secret}
spec:
  containers:
  - name: c
    image: lab.bulwark.test/probe:1
    args: [sleep]
    env:
    - {name: DB_PASSWORD, value: `+value+`}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: db, key: password}}}
`, "apply", "-f", "-")
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "scan.json"), filepath.Join(dir, "scan.html")}
	res := c.scan(t, "--all", "--host", "-o", "table", "-o", "json="+files[0], "-o", "html="+files[1])
	texts := []string{res.all()}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(raw))
	}
	for i, text := range texts {
		if strings.Contains(text, value) {
			t.Errorf("report %d shows the secret's value", i)
		}
		if !strings.Contains(text, "DB_PASSWORD") {
			t.Errorf("report %d does not name the variable", i)
		}
	}
	r, _ := c.scanReport(t, "--controls", "secret")
	for _, id := range []string{"secret.literal", "secret.environment", "secret.inconfigmap"} {
		if got := r.outcome(id); got != "broken" {
			t.Errorf("%s is %q, want broken", id, got)
		}
	}
}

// TestStaticPods: the flags of a control plane that runs as static pods are read from
// their mirrors, without host access.
func TestStaticPods(t *testing.T) {
	c := kubeadm.get(t)
	manifest := `
apiVersion: v1
kind: Pod
metadata: {name: kube-scheduler, namespace: kube-system, labels: {tier: control-plane, component: kube-scheduler}}
spec:
  hostNetwork: true
  containers:
  - name: kube-scheduler
    image: lab.bulwark.test/probe:1
    imagePullPolicy: Never
    command: [/usr/local/bin/kube-scheduler, --kubeconfig=/etc/kubernetes/scheduler.conf, --profiling=true, --bind-address=0.0.0.0]
`
	if r := c.enter(t, "node-1", "sh", "-c", "mkdir -p /etc/kubernetes/manifests && cat >/etc/kubernetes/manifests/scheduler.yaml <<'E'"+manifest+"E"); r.code != 0 {
		t.Fatalf("writing the static pod: %s", r.all())
	}
	t.Cleanup(func() {
		command(t.Context(), "", nil, filepath.Join(bin, "bulwark"), "enter", "--name", c.name, "--state-dir", stateDir, "node-1", "--", "rm", "-f", "/etc/kubernetes/manifests/scheduler.yaml")
	})
	eventually(t, 60*time.Second, func() string {
		r, _ := c.scanReport(t, "--controls", "scheduler")
		for _, control := range r.Controls {
			for _, f := range control.Findings {
				if f.Outcome == "broken" && strings.Contains(f.Object.Name, "kube-scheduler-node-1") {
					return ""
				}
			}
		}
		return fmt.Sprintf("no finding on the static pod: %s", r.with("unknown"))
	})
}
