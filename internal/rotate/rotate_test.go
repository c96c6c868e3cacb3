package rotate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// inventory is a cluster of two control planes and a node, made as for real.
func inventory(t *testing.T) Inventory {
	t.Helper()
	issuer := pki.Issuer{Now: now.Add(-time.Hour)}
	trust, err := issuer.NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	names := pki.Cluster{
		Name: "test", DNSDomain: "cluster.local", ServiceIP: netip.MustParseAddr("10.96.0.1"),
		Server: "https://10.0.0.1:6443", ComponentServing: true,
	}
	inv := Inventory{Pods: true}
	add := func(name string, plan pki.Plan, components ...string) {
		dir := t.TempDir()
		if err := (pki.Files{Dir: dir}).Write(issuer, trust, plan); err != nil {
			t.Fatal(err)
		}
		m := Machine{Name: name, Components: components, Files: map[string]File{}}
		err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			data, err := os.ReadFile(file)
			m.Files["/etc/kubernetes"+strings.TrimPrefix(file, dir)] = File{Data: data, Mode: 0o600}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		inv.Machines = append(inv.Machines, m)
	}
	for i := range 2 {
		name := fmt.Sprintf("cp-%d", i+1)
		m := pki.Machine{Name: name, IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)}), APIServer: "https://10.0.0.11:6443"}
		add(name, names.ControlPlane(m), "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
	}
	node := pki.Machine{Name: "node-1", IP: netip.MustParseAddr("10.0.0.21")}
	add("node-1", names.Node(node), "kubelet", "kube-proxy")
	serving, err := issuer.Issue(trust.Authorities[pki.ClusterCA], names.KubeletServing(node).Leaf)
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.EncodeKey(serving.Key)
	if err != nil {
		t.Fatal(err)
	}
	inv.Machines[2].Files[kubeletPKI+"kubelet-server-1.pem"] = File{Data: append(pki.EncodeCertificate(serving.Certificate), key...), Mode: 0o600}
	return inv
}

// machines is an executor and a store in memory. It keeps the rules that real
// machines have, and complains when a plan breaks one.
type machines struct {
	t     *testing.T
	files map[string]map[string][]byte
	flags map[string]string
	left  map[string]bool

	plan   *Plan
	cursor Cursor
	blobs  Blobs
	log    []string
}

func newMachines(t *testing.T, inv Inventory) *machines {
	m := &machines{t: t, files: map[string]map[string][]byte{}, flags: map[string]string{}, left: map[string]bool{}}
	for _, in := range inv.Machines {
		m.files[in.Name] = map[string][]byte{}
		for name, f := range in.Files {
			m.files[in.Name][name] = f.Data
		}
		m.flags[in.Name] = certs + "ca.crt"
	}
	return m
}

func (m *machines) Begin(p *Plan, blobs Blobs, c Cursor) error {
	m.plan, m.blobs, m.cursor = p, maps.Clone(blobs), c
	return nil
}
func (m *machines) Load() (*Plan, Cursor, error) { return m.plan, m.cursor, nil }
func (m *machines) Save(c Cursor) error          { m.cursor = c; return nil }
func (m *machines) End() error                   { m.plan, m.blobs = nil, nil; return nil }
func (m *machines) Content(d Digest) ([]byte, error) {
	if d == "" {
		return nil, nil
	}
	data, ok := m.blobs[d]
	if !ok {
		return nil, fmt.Errorf("content %s: not kept", d)
	}
	return data, nil
}

func (m *machines) Do(_ context.Context, s Step, content func(Digest) ([]byte, error)) error {
	m.log = append(m.log, s.Machine+": "+s.String())
	switch s.Do {
	case Write:
		for _, c := range s.Changes() {
			to, err := content(c.To)
			if err != nil {
				return err
			}
			have, there := m.files[s.Machine][c.File]
			switch {
			case there && DigestOf(have) == c.To, !there && c.To == "":
			case there && DigestOf(have) == c.From, !there && c.From == "":
				if m.files[s.Machine][c.File] = to; to == nil {
					delete(m.files[s.Machine], c.File)
				}
			default:
				return fmt.Errorf("%s is neither what was nor what will be", c.File)
			}
		}
	case SetFlag:
		m.flags[s.Machine] = s.FlagTo
	case Leave:
		m.left[s.Machine] = true
		if m.left["cp-1"] && m.left["cp-2"] {
			m.t.Error("both apiservers have left at once")
		}
	case Join:
		delete(m.left, s.Machine)
	case Restart:
		signing := m.files[s.Machine][m.flags[s.Machine]]
		if n := len(certificates(signing)); n != 1 && strings.Contains(s.String(), "controller-manager") {
			m.t.Errorf("%s: the signer starts with %d certificates, and takes one", s.Machine, n)
		}
	case Ask:
		return m.ask(s, content)
	default:
	}
	return nil
}

// ask verifies a client's certificate as the machine's files say.
func (m *machines) ask(s Step, content func(Digest) ([]byte, error)) error {
	pair, err := content(s.Ask.Client)
	if err != nil || pair == nil {
		return err
	}
	cert, err := tls.X509KeyPair(pair, pair)
	if err != nil {
		return err
	}
	trusted := map[string]string{"etcd": "etcd/ca.crt", "etcd-peer": "etcd/ca.crt"}[s.Ask.Server]
	if trusted == "" {
		trusted = "ca.crt"
	}
	if s.Ask.Proxy {
		trusted = "front-proxy-ca.crt"
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(m.files[s.Machine][certs+trusted])
	_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if refused := err != nil; refused != s.Ask.Refused {
		return fmt.Errorf("%s: refused is %t: %w", s, refused, err)
	}
	return nil
}

func (m *machines) runner() *Runner {
	return &Runner{
		Store: m, Executor: m, Now: func() time.Time { return now },
		Sleep:    func(context.Context, time.Duration) error { return nil },
		Confirm:  func(Phase) (bool, error) { return true, nil },
		Progress: func(Phase, Step, time.Duration, bool) {},
	}
}

func (m *machines) digests() map[string]map[string]Digest {
	all := map[string]map[string]Digest{}
	for machine, files := range m.files {
		all[machine] = map[string]Digest{}
		for name, data := range files {
			all[machine][name] = DigestOf(data)
		}
	}
	return all
}

type death int

// dyingAt runs until a boundary, and then is no more.
func (m *machines) dyingAt(n int, act func(*Runner) error) (died bool, err error) {
	defer func() {
		if got := recover(); got != nil {
			if _, ok := got.(death); !ok {
				panic(got)
			}
			died = true
			clear(m.left) // the owner takes them in again
		}
	}()
	r := m.runner()
	r.Boundary = func(number int) {
		if number == n {
			panic(death(n))
		}
	}
	return false, act(r)
}

func begin(t *testing.T, kind Kind, inv Inventory, opts Options) *machines {
	t.Helper()
	m := newMachines(t, inv)
	plan, blobs, err := New(kind, inv, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Begin(plan, blobs, Cursor{Began: now}); err != nil {
		t.Fatal(err)
	}
	return m
}

// checkEnd: every file of the plan is its last word, and nothing trusts the old.
func (m *machines) checkEnd(t *testing.T, plan *Plan, before map[string]map[string]Digest) {
	t.Helper()
	want := before
	for machine, files := range plan.Final() {
		for name, digest := range files {
			if want[machine][name] = digest; digest == "" {
				delete(want[machine], name)
			}
		}
	}
	if diff := cmp.Diff(want, m.digests()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for machine, flag := range m.flags {
		if flag != certs+"ca.crt" {
			t.Errorf("%s: the signer's file is %s", machine, flag)
		}
	}
}

// TestEveryBoundary: killed before and after each step, the rotation ends as if
// it had not been.
func TestEveryBoundary(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			m := begin(t, kind, inventory(t), Options{Now: now})
			plan, before := m.plan, m.digests()
			deaths := 0
			for n := 0; ; n++ {
				died, err := m.dyingAt(n, func(r *Runner) error { return r.Run(t.Context()) })
				if err != nil {
					t.Fatalf("after death %d: %v", n, err)
				}
				if !died {
					break
				}
				deaths++
			}
			steps := position(plan, len(plan.Phases)-1, len(plan.Phases[len(plan.Phases)-1].Turns), 0)
			if deaths != 2*steps {
				t.Errorf("died %d times in %d steps", deaths, steps)
			}
			m.checkEnd(t, plan, before)
		})
	}
}

// TestAbort: from every boundary before retire, and killed while going back,
// everything is as it was; from retire on it is refused.
func TestAbort(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			inv := inventory(t)
			first := begin(t, kind, inv, Options{Now: now})
			before := first.digests()
			retire := position(first.plan, 3, 0, 0)
			for n := 0; n < 2*retire; n += 3 {
				m := newMachines(t, inv)
				if err := m.Begin(first.plan, first.blobs, Cursor{Began: now}); err != nil {
					t.Fatal(err)
				}
				if died, err := m.dyingAt(n, func(r *Runner) error { return r.Run(t.Context()) }); !died || err != nil {
					t.Fatalf("boundary %d: died %t, %v", n, died, err)
				}
				_, err := m.dyingAt(backward+n%7, func(r *Runner) error { return r.Abort(t.Context()) })
				if err == nil && m.plan != nil {
					err = m.runner().Abort(t.Context())
				}
				if err != nil {
					t.Fatalf("going back from boundary %d: %v", n, err)
				}
				if diff := cmp.Diff(before, m.digests()); diff != "" {
					t.Fatalf("back from boundary %d (-want +got):\n%s", n, diff)
				}
			}
			m := begin(t, kind, inv, Options{Now: now})
			if died, err := m.dyingAt(2*retire+5, func(r *Runner) error { return r.Run(t.Context()) }); !died {
				t.Fatal(err)
			}
			if err := m.runner().Abort(t.Context()); !errors.Is(err, ErrRetired) {
				t.Errorf("abort in retire: %v", err)
			}
		})
	}
}

// TestCompromised: one phase, with the same end.
func TestCompromised(t *testing.T) {
	for _, kind := range Kinds {
		m := begin(t, kind, inventory(t), Options{Now: now, Compromised: true})
		plan, before := m.plan, m.digests()
		if len(plan.Phases) != 1 {
			t.Errorf("%s: %d phases", kind, len(plan.Phases))
		}
		if err := m.runner().Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.checkEnd(t, plan, before)
	}
}

// TestLeavesKeepTheirNames: a successor differs in its key, its authority and
// its time, and in nothing else.
func TestLeavesKeepTheirNames(t *testing.T) {
	inv := inventory(t)
	b := &builder{kind: ClusterCA, inv: inv, opts: Options{Now: now}, blobs: Blobs{}}
	if err := b.drawAuthority(); err != nil {
		t.Fatal(err)
	}
	if len(b.leaves) < 10 {
		t.Fatalf("%d leaves found", len(b.leaves))
	}
	for _, l := range b.leaves {
		if err := l.new.CheckSignatureFrom(b.new); err != nil {
			t.Errorf("%s: %v", l.file, err)
		}
		type names struct {
			Subject string
			DNS     []string
			IPs     []string
			Uses    []x509.ExtKeyUsage
		}
		of := func(c *x509.Certificate) names {
			n := names{Subject: c.Subject.String(), DNS: c.DNSNames, Uses: c.ExtKeyUsage}
			for _, ip := range c.IPAddresses {
				n.IPs = append(n.IPs, ip.String())
			}
			return n
		}
		if diff := cmp.Diff(of(l.old), of(l.new)); diff != "" {
			t.Errorf("%s (-old +new):\n%s", l.file, diff)
		}
	}
}

// TestTokensAreWaitedFor: retire does not begin while tokens may live, and the
// way back stays open.
func TestTokensAreWaitedFor(t *testing.T) {
	m := begin(t, SAKeys, inventory(t), Options{Now: now, Tokens: time.Hour})
	before := m.digests()
	var wait *WaitError
	if err := m.runner().Run(t.Context()); !errors.As(err, &wait) || wait.For != time.Hour {
		t.Fatalf("retire began: %v", err)
	}
	if err := m.runner().Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, m.digests()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRefusesWhatItDoesNotUnderstand: an unfinished rotation by other means.
func TestRefusesWhatItDoesNotUnderstand(t *testing.T) {
	inv := inventory(t)
	file := certs + "ca.crt"
	f := inv.Machines[0].Files[file]
	f.Data = append(append([]byte{}, f.Data...), inv.Machines[0].Files[certs+"etcd/ca.crt"].Data...)
	inv.Machines[0].Files[file] = f
	if _, _, err := New(ClusterCA, inv, Options{Now: now}); err == nil || !strings.Contains(err.Error(), "holds 2 certificates") {
		t.Errorf("two authorities: %v", err)
	}
}
