package rotate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

// Options say how a rotation goes.
type Options struct {
	Now time.Time
	// Settle is how long pods get to read what is trusted after all machines
	// have it. Without pods it is not waited for.
	Settle time.Duration
	// Tokens is how long tokens of the old key may live after the switch.
	Tokens time.Duration
	// Compromised leaves out the time in which both are trusted.
	Compromised bool
	// Seal encrypts a private key for a file that ends in .key.age: the keys of
	// authorities that are kept so. Without such files it is not needed.
	Seal func(key []byte) ([]byte, error)
}

// What Options have where nothing is said. A kubelet refreshes what it has
// mounted within 90 seconds, and client-go reads it again within five minutes.
// A token lives an hour unless somebody asked for another time.
const (
	DefaultSettle = 7 * time.Minute
	DefaultTokens = 61 * time.Minute
)

// Blobs is content by its digest.
type Blobs map[Digest][]byte

func (b Blobs) put(data []byte) Digest {
	if data == nil {
		return ""
	}
	d := DigestOf(data)
	b[d] = data
	return d
}

// New plans a rotation of a cluster, and makes everything that it will write.
func New(kind Kind, inv Inventory, opts Options) (*Plan, Blobs, error) {
	b := &builder{kind: kind, inv: inv, opts: opts, blobs: Blobs{}, now: map[string]map[string]File{}}
	for _, m := range inv.Machines {
		b.now[m.Name] = maps.Clone(m.Files)
	}
	var err error
	if kind == SAKeys {
		err = b.drawKey()
	} else {
		err = b.drawAuthority()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("planning the rotation of %s: %w", kind, err)
	}
	p := &Plan{Kind: kind, Notes: b.notes()}
	if opts.Compromised {
		p.Phases = []Phase{b.replace()}
	} else {
		p.Phases = []Phase{b.distribute(), b.reissue(), b.switchOver(), b.retire()}
	}
	if b.err != nil {
		return nil, nil, b.err
	}
	if kind == SAKeys {
		p.Old, p.New = b.blobs.put(b.oldPublic), b.blobs.put(b.newPublic)
	} else {
		p.Old, p.New = b.retired(), b.only()
	}
	return p, b.blobs, nil
}

type builder struct {
	kind  Kind
	inv   Inventory
	opts  Options
	blobs Blobs
	now   map[string]map[string]File // as it is at this point of the plan
	err   error

	// Of an authority.
	base     string // below the certificates' folder, without extension
	old, new *x509.Certificate
	newKey   []byte
	leaves   map[string]*leaf // by machine and file

	// Of the key for tokens.
	oldPublic, newPublic, newPrivate []byte
}

// leaf is a certificate of the old authority, and its successor.
type leaf struct {
	machine, file string
	old, new      *x509.Certificate
	oldPair       []byte // certificate and key in PEM
	cert, key     []byte // of the successor
}

func (l *leaf) pair() []byte { return slices.Concat(l.cert, l.key) }

func (l *leaf) client() bool { return slices.Contains(l.old.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }

func (b *builder) controlPlanes() []Machine {
	var all []Machine
	for _, m := range b.inv.Machines {
		if slices.Contains(m.Components, "kube-apiserver") {
			all = append(all, m)
		}
	}
	return all
}

func (b *builder) drawKey() error {
	for _, m := range b.controlPlanes() {
		public := m.Files[certs+"sa.pub"].Data
		switch {
		case public == nil:
			return fmt.Errorf("machine %s: no %ssa.pub", m.Name, certs)
		case b.oldPublic == nil:
			b.oldPublic = public
		case !bytes.Equal(b.oldPublic, public):
			return fmt.Errorf("machine %s: its sa.pub is not that of the first control plane", m.Name)
		}
	}
	if b.oldPublic == nil {
		return errors.New("no machine with an apiserver")
	}
	private := b.controlPlanes()[0].Files[certs+"sa.key"].Data
	oldKey, err := pki.ParseKey(private)
	if err != nil {
		return fmt.Errorf("reading sa.key: %w", err)
	}
	algorithm, err := algorithmOf(oldKey.Public())
	if err != nil {
		return err
	}
	key, err := algorithm.Generate()
	if err != nil {
		return err
	}
	if b.newPrivate, err = pki.EncodeKey(key); err != nil {
		return err
	}
	b.newPublic, err = pki.EncodePublicKey(key)
	return err
}

func (b *builder) drawAuthority() error {
	b.base = map[Kind]string{ClusterCA: pki.ClusterCA, EtcdCA: pki.EtcdCA, FrontProxyCA: pki.FrontProxyCA}[b.kind]
	file := certs + b.base + ".crt"
	for _, m := range b.controlPlanes() {
		have := certificates(m.Files[file].Data)
		switch {
		case len(have) != 1:
			return fmt.Errorf("machine %s: %s holds %d certificates, want 1: an earlier rotation by other means is not finished", m.Name, file, len(have))
		case b.old == nil:
			b.old = have[0]
		case !b.old.Equal(have[0]):
			return fmt.Errorf("machine %s: its %s is not that of the first control plane", m.Name, file)
		}
	}
	if b.old == nil {
		return errors.New("no machine with an apiserver")
	}
	issuer, err := issuerLike(b.old, b.opts.Now)
	if err != nil {
		return err
	}
	authority, err := issuer.Authority(b.old.Subject.CommonName)
	if err != nil {
		return err
	}
	b.new = authority.Certificate
	if b.newKey, err = pki.EncodeKey(authority.Key); err != nil {
		return err
	}
	b.leaves = map[string]*leaf{}
	for _, m := range b.inv.Machines {
		for name, f := range m.Files {
			cert, key := b.leafIn(m, name, f.Data)
			if cert == nil {
				continue
			}
			if len(key) == 0 {
				return fmt.Errorf("machine %s: %s has no key beside it", m.Name, name)
			}
			l, err := succeed(cert, authority, b.opts.Now)
			if err != nil {
				return fmt.Errorf("machine %s: %s: %w", m.Name, name, err)
			}
			l.machine, l.file = m.Name, name
			l.oldPair = slices.Concat(pki.EncodeCertificate(cert), key)
			b.leaves[m.Name+":"+name] = l
		}
	}
	return nil
}

// leafIn finds a certificate of the old authority in a file, and its key.
func (b *builder) leafIn(m Machine, name string, data []byte) (*x509.Certificate, []byte) {
	var key []byte
	if isKubeconfig(name) {
		_, _, user := loadKubeconfig(data)
		if user == nil {
			return nil, nil
		}
		data, key = user.ClientCertificateData, user.ClientKeyData
	}
	list := certificates(data)
	if len(list) == 0 || list[0].IsCA || list[0].CheckSignatureFrom(b.old) != nil {
		return nil, nil
	}
	if key == nil {
		if _, err := pki.ParseKey(data); err == nil {
			key = data // both in one file, as kubelets keep them
		} else {
			key = m.Files[keyFileOf(name)].Data
		}
	}
	return list[0], key
}

func succeed(cert *x509.Certificate, authority *pki.Authority, now time.Time) (*leaf, error) {
	issuer, err := issuerLike(cert, now)
	if err != nil {
		return nil, err
	}
	want, err := leafLike(cert)
	if err != nil {
		return nil, err
	}
	pair, err := issuer.Issue(authority, want)
	if err != nil {
		return nil, err
	}
	l := &leaf{old: cert, new: pair.Certificate, cert: pki.EncodeCertificate(pair.Certificate)}
	l.key, err = pki.EncodeKey(pair.Key)
	return l, err
}

// transform is what a file holds after a phase.
func (b *builder) transform(phase PhaseName, m, name string, data []byte) ([]byte, error) {
	switch {
	case strings.HasSuffix(name, sealedKey):
		return b.transformSealed(phase, name, data)
	case b.kind == SAKeys:
		return b.transformKeys(phase, name, data), nil
	case isKubeconfig(name):
		return b.transformKubeconfig(phase, m, name, data)
	case name == certs+b.base+".key":
		if phase == Switch && b.signs(data) {
			return b.newKey, nil
		}
		return data, nil
	}
	if phase == Switch {
		if l := b.leaves[m+":"+name]; l != nil {
			if _, err := pki.ParseKey(data); err == nil {
				return l.pair(), nil
			}
			return l.cert, nil
		}
		for _, l := range b.leaves {
			if l.machine == m && !isKubeconfig(l.file) && name == keyFileOf(l.file) {
				return l.key, nil
			}
		}
	}
	list := certificates(data)
	if !contains(list, b.old) {
		return data, nil
	}
	return b.bundle(phase, list), nil
}

// sealedKey is how the file of an encrypted key ends.
const sealedKey = ".key.age"

// transformSealed seals a new key once, when it begins to be used.
func (b *builder) transformSealed(phase PhaseName, name string, data []byte) ([]byte, error) {
	base, key := b.base, b.newKey
	if b.kind == SAKeys {
		base, key = pki.ServiceAccountKey, b.newPrivate
	}
	if phase != Switch || name != certs+base+sealedKey {
		return data, nil
	}
	if b.opts.Seal == nil {
		return nil, errors.New("it is encrypted, and it is not known to whom")
	}
	return b.opts.Seal(key)
}

// signs reports whether a key is the old authority's.
func (b *builder) signs(key []byte) bool {
	k, err := pki.ParseKey(key)
	if err != nil {
		return false
	}
	public, ok := k.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b.old.PublicKey)
}

// bundle is what is trusted in a phase. The first is the one that signs, which
// is whom the key beside the file belongs to.
func (b *builder) bundle(phase PhaseName, list []*x509.Certificate) []byte {
	others := without(without(list, b.old), b.new)
	switch phase {
	case Distribute, Reissue:
		return encodeAll(slices.Concat([]*x509.Certificate{b.old, b.new}, others))
	case Switch:
		return encodeAll(slices.Concat([]*x509.Certificate{b.new, b.old}, others))
	default:
		return encodeAll(slices.Concat([]*x509.Certificate{b.new}, others))
	}
}

func (b *builder) transformKubeconfig(phase PhaseName, m, name string, data []byte) ([]byte, error) {
	cfg, cluster, user := loadKubeconfig(data)
	if cfg == nil {
		return data, nil
	}
	changed := false
	if list := certificates(cluster.CertificateAuthorityData); contains(list, b.old) {
		cluster.CertificateAuthorityData = b.bundle(phase, list)
		changed = true
	}
	if l := b.leaves[m+":"+name]; l != nil && phase == Switch {
		user.ClientCertificateData, user.ClientKeyData = l.cert, l.key
		changed = true
	}
	if !changed {
		return data, nil
	}
	return clientcmd.Write(*cfg)
}

func (b *builder) transformKeys(phase PhaseName, name string, data []byte) []byte {
	switch {
	case name == certs+"sa.pub" && phase == Distribute:
		return slices.Concat(b.oldPublic, b.newPublic)
	case name == certs+"sa.pub" && phase == Retire:
		return b.newPublic
	case name == certs+"sa.key" && phase == Switch:
		return b.newPrivate
	}
	return data
}

// writes moves a machine's files to where they are after the given phases.
func (b *builder) writes(m Machine, phases ...PhaseName) ([]Step, []string) {
	var steps []Step
	var changed []string
	files := b.now[m.Name]
	write := func(name string, to []byte, mode fs.FileMode) {
		from := files[name]
		if bytes.Equal(from.Data, to) && (from.Data == nil) == (to == nil) {
			return
		}
		if from.Data != nil {
			mode = from.Mode
		}
		c := Change{name, b.blobs.put(from.Data), b.blobs.put(to), mode}
		// A certificate comes before its key. Whoever reads them in this order
		// at each handshake, as etcd does, is then least likely to get one of
		// each: client/pkg/tlsutil/tlsutil.go.
		if last := len(steps) - 1; last >= 0 && path.Ext(steps[last].File) == ".crt" && keyFileOf(steps[last].File) == name {
			steps[last].Also = append(steps[last].Also, c)
		} else {
			steps = append(steps, Step{Do: Write, Machine: m.Name, File: c.File, From: c.From, To: c.To, Mode: c.Mode})
		}
		changed = append(changed, name)
		if to == nil {
			delete(files, name)
		} else {
			files[name] = File{Data: to, Mode: mode}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		to := files[name].Data
		for _, phase := range phases {
			next, err := b.transform(phase, m.Name, name, to)
			if err != nil {
				b.err = errors.Join(b.err, fmt.Errorf("machine %s: %s: %w", m.Name, name, err))
				break
			}
			to = next
		}
		write(name, to, 0)
	}
	// The signer takes a file with exactly one certificate, so it gets one of
	// its own for as long as two are trusted.
	_, signer := m.Files[certs+"ca.key"]
	if b.kind == ClusterCA && len(phases) == 1 && signer && slices.Contains(m.Components, "kube-controller-manager") {
		signing := certs + "ca-signing.crt"
		flag := func(from, to string) {
			steps = append(steps, Step{Do: SetFlag, Machine: m.Name, Component: "kube-controller-manager", Flag: "cluster-signing-cert-file", FlagFrom: from, FlagTo: to})
		}
		switch phases[0] {
		case Distribute:
			write(signing, pki.EncodeCertificate(b.old), 0o644)
			flag(certs+"ca.crt", signing)
		case Switch:
			write(signing, pki.EncodeCertificate(b.new), 0o644)
		case Retire:
			flag(signing, certs+"ca.crt")
			write(signing, nil, 0)
		case Reissue:
		}
	}
	return steps, changed
}

// turn is a machine's turn in a phase: written, restarted, well again.
func (b *builder) turn(m Machine, phase PhaseName) Turn {
	steps, changed := b.writes(m, phase)
	t := Turn{Machine: m.Name}
	restart := restartsFor(phase, m, changed)
	serves := slices.Contains(restart, "kube-apiserver")
	if serves {
		t.Steps = append(t.Steps, Step{Do: Leave, Machine: m.Name})
	}
	t.Steps = append(t.Steps, steps...)
	if len(restart) > 0 {
		t.Steps = append(t.Steps,
			Step{Do: Restart, Machine: m.Name, Components: restart, Files: changed},
			Step{Do: Healthy, Machine: m.Name, Components: m.Components})
	}
	if serves {
		t.Steps = append(t.Steps, Step{Do: Join, Machine: m.Name})
	}
	return t
}

func (b *builder) turns(phase PhaseName, after func(Machine) []Step) []Turn {
	var all []Turn
	for _, m := range b.inv.Machines {
		t := b.turn(m, phase)
		if len(m.Components) > 0 {
			t.Steps = append(t.Steps, after(m)...)
		}
		if len(t.Steps) > 0 {
			all = append(all, t)
		}
	}
	return all
}

func (b *builder) both() Digest { return b.blobs.put(encodeAll([]*x509.Certificate{b.old, b.new})) }
func (b *builder) only() Digest { return b.blobs.put(encodeAll([]*x509.Certificate{b.new})) }

// published is what the cluster's objects must carry: what is trusted, and no
// longer what is not.
func (b *builder) published(trust, without Digest) []Step {
	var objects []string
	switch b.kind {
	case ClusterCA:
		objects = []string{"kube-root-ca.crt", "cluster-info", "extension-apiserver-authentication/client-ca-file"}
	case FrontProxyCA:
		objects = []string{"extension-apiserver-authentication/requestheader-client-ca-file"}
	case EtcdCA, SAKeys:
	}
	var steps []Step
	for _, o := range objects {
		steps = append(steps, Step{Do: Publish, Object: o, Trust: trust, Without: without})
	}
	return steps
}

// retired is the old authority, which nothing may carry any more.
func (b *builder) retired() Digest { return b.blobs.put(pki.EncodeCertificate(b.old)) }

func (b *builder) distribute() Phase {
	ph := Phase{Name: Distribute, Why: "everybody trusts the old and the new one"}
	ph.Turns = b.turns(Distribute, func(m Machine) []Step {
		if b.kind == SAKeys && slices.Contains(m.Components, "kube-apiserver") {
			return []Step{{Do: Accounts, Machine: m.Name, Trust: b.blobs.put(slices.Concat(b.oldPublic, b.newPublic))}}
		}
		return nil
	})
	if b.kind == SAKeys {
		return ph
	}
	last := Turn{Steps: b.published(b.both(), "")}
	if b.kind == ClusterCA && b.inv.Pods && b.opts.Settle > 0 {
		last.Steps = append(last.Steps, Step{Do: Settle, Wait: b.opts.Settle})
	}
	if len(last.Steps) > 0 {
		ph.Turns = append(ph.Turns, last)
	}
	return ph
}

// asks are questions for the clients of a machine: of the new authority, or of
// the old one, which must be refused.
func (b *builder) asks(of Machine, servers []string, at string, trust Digest, refused bool) []Step {
	var steps []Step
	for _, key := range slices.Sorted(maps.Keys(b.leaves)) {
		l := b.leaves[key]
		if l.machine != of.Name || !l.client() {
			continue
		}
		pair, age := l.pair(), "new"
		if refused {
			pair, age = l.oldPair, "old"
		}
		q := Question{
			Trust: trust, Client: b.blobs.put(pair), Refused: refused, Proxy: b.kind == FrontProxyCA,
			Who: fmt.Sprintf("the %s certificate in %s", age, path.Base(l.file)),
		}
		for _, server := range servers {
			// A peer's port is for peers.
			if server == "etcd-peer" && l.file != certs+"etcd/peer.crt" {
				continue
			}
			ask := q
			ask.Server = server
			steps = append(steps, Step{Do: Ask, Machine: at, Ask: &ask})
		}
	}
	return steps
}

// clusterTrust is what kube-apiserver's own certificate verifies against at
// this point of the plan.
func (b *builder) clusterTrust() Digest {
	m := b.controlPlanes()[0]
	return b.blobs.put(b.now[m.Name][certs+"ca.crt"].Data)
}

func (b *builder) servers() []string {
	if b.kind == EtcdCA {
		return []string{"etcd", "etcd-peer"}
	}
	return []string{"kube-apiserver"}
}

func (b *builder) trustFor(authority Digest) Digest {
	if b.kind == FrontProxyCA {
		return b.clusterTrust()
	}
	return authority
}

func (b *builder) reissue() Phase {
	ph := Phase{Name: Reissue, Why: "each certificate has a successor, and servers accept it"}
	if b.kind == SAKeys {
		ph.Why = "the new key is drawn; nothing is signed by it yet"
		return ph
	}
	for _, m := range b.inv.Machines {
		// A member asks itself: others refuse a peer that comes from another
		// address than its certificate names.
		at := m.Name
		if !slices.Contains(m.Components, "kube-apiserver") {
			at = b.controlPlanes()[0].Name
		}
		steps := b.asks(m, b.servers(), at, b.trustFor(b.both()), false)
		if b.kind == ClusterCA {
			steps = append(steps, b.callsKubelet(m, false)...)
		}
		if len(steps) > 0 {
			ph.Turns = append(ph.Turns, Turn{Machine: m.Name, Steps: steps})
		}
	}
	return ph
}

// shown asks the servers of a machine for what they show now.
func (b *builder) shown(m Machine) []Step {
	var steps []Step
	for _, key := range slices.Sorted(maps.Keys(b.leaves)) {
		l := b.leaves[key]
		if server := serverOf(l.file); l.machine == m.Name && server != "" {
			steps = append(steps, Step{Do: Ask, Machine: m.Name, Ask: &Question{Server: server, Trust: b.only()}})
		}
	}
	return steps
}

func (b *builder) switchOver() Phase {
	ph := Phase{Name: Switch, Why: "everybody shows the new one"}
	ph.Turns = b.turns(Switch, func(m Machine) []Step {
		if b.kind == SAKeys {
			if !slices.Contains(m.Components, "kube-apiserver") {
				return nil
			}
			return []Step{{Do: Accounts, Machine: m.Name, Trust: b.blobs.put(slices.Concat(b.oldPublic, b.newPublic)), Signer: b.blobs.put(b.newPublic)}}
		}
		return b.shown(m)
	})
	return ph
}

// callsKubelet asks a machine's kubelet whether it takes the apiserver's new
// identity, which it obeys, or still takes the old one.
func (b *builder) callsKubelet(m Machine, refused bool) []Step {
	client := b.leaves[b.controlPlanes()[0].Name+":"+certs+"apiserver-kubelet-client.crt"]
	if client == nil || !slices.Contains(m.Components, "kubelet") {
		return nil
	}
	// A kubelet may have made its serving certificate itself.
	trust := Digest("")
	for _, l := range b.leaves {
		if l.machine == m.Name && serverOf(l.file) == "kubelet" {
			trust = b.both()
			if refused {
				trust = b.only()
			}
		}
	}
	pair, who := client.pair(), "the apiserver's new certificate"
	if refused {
		pair, who = client.oldPair, "the apiserver's old certificate"
	}
	return []Step{{Do: Ask, Machine: m.Name, Ask: &Question{
		Server: "kubelet", Trust: trust, Client: b.blobs.put(pair), Refused: refused, Who: who,
	}}}
}

// refusals ask a machine's servers whether they still take an old certificate.
func (b *builder) refusals(m Machine) []Step {
	has := func(c string) bool { return slices.Contains(m.Components, c) }
	var steps []Step
	if b.kind == ClusterCA {
		steps = b.callsKubelet(m, true)
	}
	if has("kube-apiserver") {
		steps = append(steps, b.asks(m, b.servers(), m.Name, b.trustFor(b.only()), true)...)
	}
	return steps
}

func (b *builder) retire() Phase {
	ph := Phase{Name: Retire, Why: "nobody trusts the old one; from here there is no way back"}
	if b.kind == SAKeys {
		ph.Turns = append(ph.Turns, Turn{Steps: []Step{{Do: Outlive, Wait: b.opts.Tokens}}})
	}
	ph.Turns = append(ph.Turns, b.turns(Retire, b.after)...)
	if b.kind != SAKeys {
		if last := b.published(b.only(), b.retired()); len(last) > 0 {
			ph.Turns = append(ph.Turns, Turn{Steps: last})
		}
	}
	return ph
}

func (b *builder) after(m Machine) []Step {
	if b.kind == SAKeys {
		if !slices.Contains(m.Components, "kube-apiserver") {
			return nil
		}
		return []Step{{Do: Accounts, Machine: m.Name, Trust: b.blobs.put(b.newPublic)}}
	}
	return b.refusals(m)
}

// replace is all at once: for when somebody else has the old key, and each
// minute of trust in it is worse than what breaks.
func (b *builder) replace() Phase {
	ph := Phase{Name: Retire, Why: "the old one is replaced at once; nothing can be undone"}
	for _, m := range b.inv.Machines {
		steps, changed := b.writes(m, Distribute, Switch, Retire)
		if restart := restartsFor(Retire, m, changed); len(restart) > 0 {
			steps = append(steps, Step{Do: Restart, Machine: m.Name, Components: restart, Files: changed})
		}
		if len(steps) > 0 {
			ph.Turns = append(ph.Turns, Turn{Machine: m.Name, Steps: steps})
		}
	}
	// Only now can they be well: an etcd member alone with its authority is not.
	for _, m := range b.inv.Machines {
		if len(m.Components) == 0 {
			continue
		}
		t := Turn{Machine: m.Name, Steps: []Step{{Do: Healthy, Machine: m.Name, Components: m.Components}}}
		if b.kind != SAKeys {
			t.Steps = append(t.Steps, b.shown(m)...)
		}
		t.Steps = append(t.Steps, b.after(m)...)
		ph.Turns = append(ph.Turns, t)
	}
	if b.kind != SAKeys {
		if last := b.published(b.only(), b.retired()); len(last) > 0 {
			ph.Turns = append(ph.Turns, Turn{Steps: last})
		}
	}
	return ph
}

func (b *builder) notes() []string {
	var notes []string
	switch b.kind {
	case ClusterCA:
		notes = append(notes,
			"caBundles of webhooks, APIServices and conversion hooks are not touched: those that were signed by the old authority through the CSR API must be renewed by who made them, before retire",
			"kubeconfigs that are not on these machines must be given out again, with both authorities, before switch")
		if b.inv.Pods {
			notes = append(notes, "pods whose programs read the authority once, at their start (client-go before 1.36), must be restarted after distribute and before switch")
		}
	case EtcdCA:
		notes = append(notes, "other clients of etcd (backups, monitoring) need the new authority after distribute and a new certificate before retire")
	case FrontProxyCA:
		notes = append(notes, "extension API servers read extension-apiserver-authentication by themselves; those that were given a file must be given the new one before switch")
	case SAKeys:
		notes = append(notes, "whoever verifies tokens outside of the cluster must read /openid/v1/jwks again after distribute")
	}
	if b.opts.Compromised {
		notes = append(notes, "all at once: "+strings.Join(breaks(b.kind), "; "))
	}
	return notes
}

// breaks is what stops working when there is no time in which both are trusted.
func breaks(k Kind) []string {
	switch k {
	case ClusterCA:
		return []string{
			"requests fail from the first machine to the last",
			"pods do not trust the API server until their volume is refreshed, about 90 seconds, and those that read it once until they are restarted",
			"every kubeconfig elsewhere stops working",
		}
	case EtcdCA:
		return []string{"etcd has no quorum, and the API no storage, while the second member restarts"}
	case FrontProxyCA:
		return []string{"aggregated APIs refuse requests for up to a minute"}
	case SAKeys:
		return []string{"every token is refused at once: pods work again when kubelets have renewed theirs, at the latest when a pod is restarted; tokens in Secrets must be made again"}
	}
	return nil
}
