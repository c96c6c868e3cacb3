package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kubeadmMachine is a control plane as kubeadm leaves it, and its
// /etc/kubernetes.
func kubeadmMachine(t *testing.T, algorithm Algorithm) (root, etc string) {
	t.Helper()
	root = t.TempDir()
	etc = filepath.Join(root, "etc/kubernetes")
	issuer := Issuer{Now: now, Algorithm: algorithm}
	trust, err := issuer.NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	c := testCluster()
	if err := (Files{Dir: etc}).Write(issuer, trust, c.ControlPlane(testMachine)); err != nil {
		t.Fatal(err)
	}
	// The kubelet rotates its client certificate and has a serving one of its own.
	kubelet := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://x:6443'}}]\n" +
		"users: [{name: u, user: {client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem, client-key: /var/lib/kubelet/pki/kubelet-client-current.pem}}]\n" +
		"contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
	if err := WriteNew(filepath.Join(etc, "kubelet.conf"), []byte(kubelet), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := issuer.Authority("cp-1@1700000000")
	if err != nil {
		t.Fatal(err)
	}
	if err := (Files{Dir: filepath.Join(root, "var/lib/kubelet/pki")}).WritePair("kubelet", &self.Pair); err != nil {
		t.Fatal(err)
	}
	if err := WriteNew(filepath.Join(etc, "notes.conf"), []byte("[section]\nkey = value\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root, etc
}

func actions(r *RenewResult) map[string]Action {
	m := map[string]Action{}
	for _, n := range r.Renewals {
		m[n.ID] = n.Action
	}
	return m
}

func TestRenewOnAKubeadmMachine(t *testing.T) {
	_, etc := kubeadmMachine(t, ECDSAP256)
	later := now.Add(300 * day)
	before := tree(t, etc)
	dry, err := Renew(etc, RenewOptions{All: true, DryRun: true, Now: later})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, etc)); diff != "" {
		t.Errorf("a dry run changed something:\n%s", diff)
	}
	r, err := Renew(etc, RenewOptions{All: true, Now: later})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Action{
		"admin.conf": Renewed, "super-admin.conf": Renewed, "controller-manager.conf": Renewed, "scheduler.conf": Renewed,
		"apiserver": Renewed, "apiserver-etcd-client": Renewed, "apiserver-kubelet-client": Renewed, "front-proxy-client": Renewed,
		"etcd/server": Renewed, "etcd/peer": Renewed, "etcd/healthcheck-client": Renewed,
		"kube-controller-manager": Renewed, "kube-scheduler": Renewed,
		"kubelet.conf": Left, "kubelet": Left,
	}
	for _, result := range []*RenewResult{dry, r} {
		if diff := cmp.Diff(want, actions(result)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for _, n := range result.Renewals {
			if n.Action != Renewed {
				if n.Reason == "" {
					t.Errorf("%s: left without a reason", n.ID)
				}
				continue
			}
			if !n.Before.Equal(now.Add(DefaultLifetime)) || !n.After.Equal(later.Add(DefaultLifetime)) || n.Pickup == "" || n.Cut {
				t.Errorf("%s: from %s to %s, %q", n.ID, n.Before, n.After, n.Pickup)
			}
		}
	}
	after := tree(t, etc)
	for file, old := range before {
		switch {
		case strings.HasSuffix(file, "ca.crt"), strings.HasSuffix(file, "ca.key"), strings.Contains(file, "/sa."), file == "kubelet.conf", file == "notes.conf":
			if after[file] != old {
				t.Errorf("%s was changed", file)
			}
		default:
			if after[file] == old || after[file][:10] != old[:10] {
				t.Errorf("%s: not renewed, or with another mode", file)
			}
			saved, err := os.ReadFile(filepath.Join(r.Backup, file))
			if err != nil || old[11:] != string(saved) {
				t.Errorf("%s is not in the backup (%v)", file, err)
			}
		}
	}
	checkSame(t, before, after)
	if program, err := exec.LookPath("openssl"); err == nil {
		out, err := exec.Command(program, "verify", "-x509_strict", "-attime", strconv.FormatInt(later.Unix(), 10),
			"-purpose", "sslserver", "-verify_hostname", "kubernetes.default.svc", "-CAfile", filepath.Join(etc, "pki/ca.crt"), filepath.Join(etc, "pki/apiserver.crt")).CombinedOutput()
		if err != nil {
			t.Errorf("openssl: %s", out)
		}
	}
}

// checkSame: what certificates say is what they said, and keys fit.
func checkSame(t *testing.T, before, after map[string]string) {
	t.Helper()
	for file := range before {
		if !strings.HasSuffix(file, ".crt") || strings.HasSuffix(file, "ca.crt") {
			continue
		}
		old, err := ParseCertificate([]byte(before[file][11:]))
		if err != nil {
			t.Fatal(err)
		}
		cert, err := ParseCertificate([]byte(after[file][11:]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(old.RawSubject, cert.RawSubject) || !slices.Equal(old.DNSNames, cert.DNSNames) || len(old.IPAddresses) != len(cert.IPAddresses) ||
			old.KeyUsage != cert.KeyUsage || !slices.Equal(old.ExtKeyUsage, cert.ExtKeyUsage) || algorithmOf(old.PublicKey) != algorithmOf(cert.PublicKey) {
			t.Errorf("%s says something else", file)
		}
		key, err := ParseKey([]byte(after[strings.TrimSuffix(file, ".crt")+".key"][11:]))
		if err != nil || !samePublicKey(key.Public(), cert.PublicKey) {
			t.Errorf("%s: the key does not fit (%v)", file, err)
		}
	}
}

func TestRenewByName(t *testing.T) {
	_, etc := kubeadmMachine(t, RSA2048)
	before := tree(t, etc)
	r, err := Renew(etc, RenewOptions{Names: []string{"apiserver", "etcd-peer", "admin.conf"}, KeepKey: true, Lifetime: 30 * day, Now: now.Add(day)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]Action{"apiserver": Renewed, "etcd/peer": Renewed, "admin.conf": Renewed}, actions(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	after := tree(t, etc)
	maps.DeleteFunc(after, func(name, _ string) bool { return strings.HasPrefix(name, backupFolder) })
	var changed []string
	for file := range after {
		if before[file] != after[file] {
			changed = append(changed, file)
		}
	}
	slices.Sort(changed)
	if diff := cmp.Diff([]string{"admin.conf", "pki/apiserver.crt", "pki/etcd/peer.crt"}, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	checkSame(t, before, after)
	cert, err := ParseCertificate([]byte(after["pki/apiserver.crt"][11:]))
	if err != nil || !cert.NotAfter.Equal(now.Add(31*day)) {
		t.Errorf("expires %v (%v)", cert.NotAfter, err)
	}
	if _, err := Renew(etc, RenewOptions{Names: []string{"apisrever"}, Now: now}); !errors.Is(err, ErrNoSuchName) {
		t.Errorf("a name that is not there: %v", err)
	}
	if _, err := Renew(t.TempDir(), RenewOptions{All: true, Now: now}); err == nil {
		t.Error("an empty folder was taken")
	}
}

// A leaf never outlives its authority, and an expired authority signs nothing.
func TestRenewNearTheEndOfTheAuthority(t *testing.T) {
	_, etc := kubeadmMachine(t, ECDSAP256)
	end := now.Add(DefaultAuthorityLifetime)
	r, err := Renew(etc, RenewOptions{Names: []string{"apiserver"}, Now: end.Add(-day)})
	if err != nil || !r.Renewals[0].After.Equal(end) || !r.Renewals[0].Cut {
		t.Errorf("%v, %+v", err, r.Renewals)
	}
	r, err = Renew(etc, RenewOptions{All: true, Now: end.Add(day)})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range r.Renewals {
		if n.Action != Left {
			t.Errorf("%s: %s by an expired authority", n.ID, n.Action)
		}
	}
}

// A worker has no authority's key: with --ca-dir it is renewed from there, and
// without it a request is written.
func TestRenewAMachineWithoutKeys(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir, InitOptions{Config: mustParse(t, smallCluster)})
	machine := filepath.Join(dir, "w")
	r, err := Renew(machine, RenewOptions{All: true, Now: now.Add(day), CADir: filepath.Join(dir, "ca")})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Action{"kubelet": Renewed, "kubelet.conf": Renewed, "kube-proxy.conf": Renewed, "docker": Renewed}
	if diff := cmp.Diff(want, actions(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	etc := filepath.Join(machine, "etc/kubernetes")
	r, err = Renew(etc, RenewOptions{All: true, Now: now.Add(day)})
	if err != nil {
		t.Fatal(err)
	}
	want = map[string]Action{"kubelet": Requested, "kubelet.conf": Requested, "kube-proxy.conf": Requested, "docker": Left}
	if diff := cmp.Diff(want, actions(r)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The answer goes to a file outside of the folder, and into a kubeconfig.
	ca, err := os.ReadFile(filepath.Join(dir, "ca/ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCertificate(ca)
	if err != nil {
		t.Fatal(err)
	}
	key, err := (&vault{dir: filepath.Join(dir, "ca")}).key(ClusterCA)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{t, map[string]*Authority{ClusterCA: {Pair{cert, key}}}}
	var answers []Named
	for _, q := range requests(t, etc) {
		answers = append(answers, Named{q.ID, s.sign(etc, q, nil)})
	}
	result, err := Import(etc, ImportOptions{Now: now.Add(day), Signed: answers})
	if err != nil || len(result.Installed) != 3 || len(result.Refused) > 0 {
		t.Fatalf("%v, %+v", err, result)
	}
	kubelet, err := os.ReadFile(filepath.Join(machine, "var/lib/kubelet/pki/kubelet.crt"))
	if err != nil || !bytes.Equal(kubelet, answers[slices.IndexFunc(answers, func(a Named) bool { return a.Name == "kubelet" })].Data) {
		t.Errorf("the kubelet's certificate is not the answer (%v)", err)
	}
	if again := mustInit(t, dir, InitOptions{Config: mustParse(t, smallCluster)}); len(again.Made)+len(again.Differs) > 0 {
		t.Errorf("the bundle: made %v, differs %v", again.Made, again.Differs)
	}
}

// What a component that is not root reads, it still reads afterwards; behind a
// link the file is replaced, and not the link.
func TestRenewKeepsModesAndLinks(t *testing.T) {
	_, etc := kubeadmMachine(t, ECDSAP256)
	server := filepath.Join(etc, "pki/etcd/server.key")
	if err := os.Chmod(server, 0o640); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(etc, "pki/apiserver.crt")
	real := filepath.Join(t.TempDir(), "real.crt")
	if err := errors.Join(os.Rename(link, real), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(real)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Renew(etc, RenewOptions{All: true, Now: now.Add(day)}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(server); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v (%v), want 0640", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone (%v)", err)
	}
	if data, err := os.ReadFile(real); err != nil || bytes.Equal(data, old) {
		t.Errorf("the file behind the link was not renewed (%v)", err)
	}
}

// Older kubeadms begin every certificate when its authority began. Its length
// is then not taken for a lifetime, or it would grow with every renewal.
func TestRenewDoesNotGrowLifetimes(t *testing.T) {
	authority, err := (Issuer{Now: now}).Authority("ca")
	if err != nil {
		t.Fatal(err)
	}
	r := &renewRun{}
	for name, tc := range map[string]struct {
		from, to time.Time
		want     time.Duration
	}{
		"ours":        {now.Add(-backdate), now.Add(90 * day), 90 * day},
		"old kubeadm": {authority.Certificate.NotBefore, now.Add(3 * year), DefaultLifetime},
		"an hour":     {now.Add(day - backdate), now.Add(day + time.Hour), time.Hour},
	} {
		cert := &x509.Certificate{NotBefore: tc.from, NotAfter: tc.to}
		ca := *authority.Certificate
		if name == "ours" {
			ca.NotBefore = now.Add(-year)
		}
		if got := r.lifetime(cert, &ca); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// Every certificate of a bundle has its own answer to what must restart.
func TestEveryRoleSaysHowItIsPickedUp(t *testing.T) {
	for _, text := range bundles {
		for _, i := range mustParse(t, text).Bundle().Items {
			_, role, _ := strings.Cut(i.ID, "/")
			if p := Pickup(role); p == "" || strings.HasPrefix(p, "restart whatever") {
				t.Errorf("%s: %q", i.ID, p)
			}
		}
	}
}
