package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

const smallCluster = `
name: small
endpoint: api.example.com:6443
serviceCIDRs: [10.96.0.0/12, "fd00:96::/112"]
controlPlanes: [{name: cp, addresses: [10.0.0.1, "fd00::1"]}]
workers: [{name: w, addresses: [10.0.0.2]}]
docker: [w]
`

func mustInit(t testing.TB, dir string, o InitOptions) *InitResult {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = now
	}
	r, err := Init(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tree is every file below a folder with its mode and content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	if err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := e.Info()
		rel, _ := filepath.Rel(dir, name)
		files[rel] = info.Mode().String() + " " + string(data)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	config := mustParse(t, smallCluster)
	first := mustInit(t, dir, InitOptions{Config: config, File: []byte(smallCluster)})
	before := tree(t, dir)
	if len(before) != len(first.Made) || first.Kept != 0 || first.Backup != "" {
		t.Errorf("%d files, said %d made, %d kept, backup %q", len(before), len(first.Made), first.Kept, first.Backup)
	}
	for file, content := range before {
		secret := strings.Contains(content, "PRIVATE KEY") || strings.Contains(content, "client-key-data")
		if mode := content[:10]; secret && mode != "-rw-------" {
			t.Errorf("%s: mode %s", file, mode)
		}
	}
	// A second run changes nothing and knows all.
	second := mustInit(t, dir, InitOptions{Config: config, File: []byte(smallCluster), Now: now.Add(time.Hour)})
	if len(second.Made) != 0 || second.Kept != len(before) || len(second.Differs) != 0 {
		t.Errorf("the second run made %v, kept %d of %d, differs %v", second.Made, second.Kept, len(before), second.Differs)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("the second run changed something:\n%s", diff)
	}
	// Another machine is added, and nothing else happens.
	more := strings.Replace(smallCluster, "workers: [", "workers: [{name: w2, addresses: [10.0.0.3]}, ", 1)
	third := mustInit(t, dir, InitOptions{Config: mustParse(t, more), File: []byte(more)})
	for _, file := range third.Made {
		if !strings.HasPrefix(file, "w2/") && file != configFile {
			t.Errorf("with one more machine it wrote %s", file)
		}
	}
	opensslJudges(t, dir, config)
}

// opensslJudges has openssl verify every certificate against its authority,
// for its purpose and under its names.
func opensslJudges(t *testing.T, dir string, config Config) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed: its judgement is left out")
	}
	b := config.Bundle()
	cas := map[string]string{}
	for _, a := range b.Authorities {
		cas[a.Base] = filepath.Join(dir, a.File+".crt")
	}
	verify := func(args ...string) (string, error) {
		args = append([]string{"verify", "-x509_strict", "-attime", strconv.FormatInt(now.Unix(), 10)}, args...)
		out, err := exec.Command(program, args...).CombinedOutput()
		return string(out), err
	}
	files := map[string]Item{}
	for _, i := range b.Items {
		file := filepath.Join(dir, i.Certificate)
		if i.Kubeconfig != "" {
			config, err := clientcmd.LoadFromFile(filepath.Join(dir, i.Kubeconfig))
			if err != nil {
				t.Fatal(err)
			}
			file = filepath.Join(t.TempDir(), "client.crt")
			if err := os.WriteFile(file, config.AuthInfos[config.Contexts[config.CurrentContext].AuthInfo].ClientCertificateData, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		files[file] = i
		names := map[string][]string{"-verify_hostname": i.DNSNames}
		for _, ip := range i.IPs {
			names["-verify_ip"] = append(names["-verify_ip"], ip.String())
		}
		for option, values := range names {
			for _, n := range values {
				if out, err := verify("-CAfile", cas[i.Authority], option, n, file); err != nil {
					t.Errorf("%s dialled as %s: %s", i.ID, n, out)
				}
			}
		}
	}
	for base, ca := range cas {
		for purpose, usages := range map[string][]Usage{"any": {Client, Server, ServerAndClient}, "sslclient": {Client, ServerAndClient}, "sslserver": {Server, ServerAndClient}} {
			out, _ := verify(append([]string{"-CAfile", ca, "-purpose", purpose}, slices.Collect(maps.Keys(files))...)...)
			for file, i := range files {
				want := i.Authority == base && slices.Contains(usages, i.Usage)
				if got := strings.Contains(out, file+": OK\n"); got != want {
					t.Errorf("%s at %s as %s: %t, want %t", i.ID, base, purpose, got, want)
				}
			}
		}
	}
}

func TestForceKeepsABackup(t *testing.T) {
	dir := t.TempDir()
	config := mustParse(t, smallCluster)
	mustInit(t, dir, InitOptions{Config: config})
	before := tree(t, dir)
	r := mustInit(t, dir, InitOptions{Config: config, Force: true, Now: now.Add(time.Minute)})
	if diff := cmp.Diff(before["ca/ca.key"], tree(t, dir)["ca/ca.key"]); diff == "" {
		t.Error("the authority's key is the same")
	}
	saved := tree(t, r.Backup)
	for file, content := range before {
		if file == configFile || file == rbacFile {
			continue // they say the same again
		}
		if saved[file] != content {
			t.Errorf("%s is not in the backup as it was", file)
		}
	}
	if again := mustInit(t, dir, InitOptions{Config: config}); len(again.Made) > 0 || len(again.Differs) > 0 {
		t.Errorf("after --force it made %v, differs %v", again.Made, again.Differs)
	}
}

// What is there and is not what is wanted is said, and reissued on demand.
func TestDifferences(t *testing.T) {
	dir := t.TempDir()
	mustInit(t, dir, InitOptions{Config: mustParse(t, smallCluster)})
	changed := mustParse(t, smallCluster+"extraSANs: [other.example.com]\n")
	if err := os.Remove(filepath.Join(dir, "w/var/lib/kubelet/pki/kubelet.key")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	r := mustInit(t, dir, InitOptions{Config: changed})
	want := []Difference{{"cp/apiserver", "it lacks the names other.example.com"}, {"w/kubelet", "its key is missing"}}
	if diff := cmp.Diff(want, r.Differs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if before["cp/etc/kubernetes/pki/apiserver.crt"] != tree(t, dir)["cp/etc/kubernetes/pki/apiserver.crt"] {
		t.Error("it was replaced all the same")
	}
	r = mustInit(t, dir, InitOptions{Config: changed, Reissue: true, Now: now.Add(time.Minute)})
	wantMade := []string{
		"cp/etc/kubernetes/pki/apiserver.crt", "cp/etc/kubernetes/pki/apiserver.key",
		"w/var/lib/kubelet/pki/kubelet.crt", "w/var/lib/kubelet/pki/kubelet.key",
	}
	if diff := cmp.Diff(wantMade, r.Made); diff != "" {
		t.Errorf("reissued (-want +got):\n%s", diff)
	}
	if r := mustInit(t, dir, InitOptions{Config: changed}); len(r.Differs) > 0 {
		t.Errorf("still differs: %v", r.Differs)
	}
}

func TestKeysEncryptedToRecipients(t *testing.T) {
	dir := t.TempDir()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	text := smallCluster + "caKeys: {store: age, recipients: [" + identity.Recipient().String() + "]}\n"
	config := mustParse(t, text)
	mustInit(t, dir, InitOptions{Config: config})
	for _, base := range []string{"ca", "etcd/ca", "front-proxy-ca", "sa", "docker/w"} {
		sealed, err := os.ReadFile(filepath.Join(dir, "ca", base+".key.age"))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := unseal(sealed, []age.Identity{identity})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseKey(plain); err != nil {
			t.Errorf("%s: %v", base, err)
		}
		if exists(filepath.Join(dir, "ca", base+".key")) {
			t.Errorf("%s is there in plain too", base)
		}
	}
	if exists(filepath.Join(dir, "cp/etc/kubernetes/pki/ca.key")) {
		t.Error("a machine has the authority's key in plain")
	}
	// Nothing is missing, so nothing is opened.
	mustInit(t, dir, InitOptions{Config: config})
	// One more machine needs the key.
	config = mustParse(t, strings.Replace(text, "workers: [", "workers: [{name: w2, addresses: [10.0.0.3]}, ", 1))
	if _, err := Init(dir, InitOptions{Config: config, Now: now}); !errors.Is(err, ErrSealed) {
		t.Errorf("without an identity: %v", err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	open := func(id age.Identity) Unlock {
		return func(bool) ([]age.Identity, error) { return []age.Identity{id}, nil }
	}
	if _, err := Init(dir, InitOptions{Config: config, Now: now, Unlock: open(other)}); err == nil || !strings.Contains(err.Error(), "encrypted to somebody else") {
		t.Errorf("with another's identity: %v", err)
	}
	mustInit(t, dir, InitOptions{Config: config, Unlock: open(identity)})
}

func TestKeysEncryptedWithAPassphrase(t *testing.T) {
	if testing.Short() {
		t.Skip("deriving from a passphrase is slow on purpose")
	}
	dir := t.TempDir()
	config := mustParse(t, smallCluster+"caKeys: {store: age, passphrase: true, onControlPlanes: true}\n")
	recipient, err := age.NewScryptRecipient("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	recipient.SetWorkFactor(10)
	mustInit(t, dir, InitOptions{Config: config, NewPassphrase: func() (age.Recipient, error) { return recipient, nil }})
	if !exists(filepath.Join(dir, "cp/etc/kubernetes/pki/ca.key")) {
		t.Error("the controller manager has no key, though the config wants it")
	}
	asked := 0
	unlock := func(text string) Unlock {
		return func(passphrase bool) ([]age.Identity, error) {
			asked++
			if !passphrase {
				t.Error("asked for an identity, want the passphrase")
			}
			_, id, err := NewPassphrase(text)
			return []age.Identity{id}, err
		}
	}
	if _, err := Renew(dir, RenewOptions{All: true, Now: now, Unlock: unlock("wrong")}); err == nil || !strings.Contains(err.Error(), "another passphrase") {
		t.Errorf("with a wrong passphrase: %v", err)
	}
	asked = 0
	if _, err := Renew(dir, RenewOptions{All: true, Now: now, Unlock: unlock("correct horse")}); err != nil {
		t.Fatal(err)
	}
	if asked != 1 {
		t.Errorf("asked %d times for the passphrase", asked)
	}
}

func thousandNodes(t testing.TB) ([]Item, *Authority, Issuer) {
	t.Helper()
	var b strings.Builder
	b.WriteString("controlPlanes: [{name: cp, addresses: [10.0.0.1]}]\nworkers:\n")
	for n := range 1000 {
		fmt.Fprintf(&b, "- {name: node-%d, addresses: [10.1.%d.%d]}\n", n, n/250, n%250+1)
	}
	var items []Item
	for _, i := range mustParse(t, b.String()).Bundle().Items {
		if strings.HasPrefix(i.ID, "node-") {
			items = append(items, i)
		}
	}
	issuer := Issuer{Now: now}
	authority, err := issuer.Authority("kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	return items, authority, issuer
}

func BenchmarkThousandNodes(b *testing.B) {
	items, authority, issuer := thousandNodes(b)
	for b.Loop() {
		if err := parallel(len(items), 0, func(i int) error {
			_, err := issuer.Issue(authority, items[i].Leaf)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}
