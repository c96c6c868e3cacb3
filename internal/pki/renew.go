package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// RenewOptions say what Renew renews. Now is required, and All or Names.
type RenewOptions struct {
	Now time.Time
	// Names are IDs, machines, or roles such as apiserver, which then means the
	// one of every machine.
	Names    []string
	All      bool
	CADir    string // where the authorities are; without, where the layout has them
	DryRun   bool
	KeepKey  bool
	Lifetime time.Duration // 0: as long as the one before
	Unlock   Unlock

	step func()
}

// Action is what happens to a certificate.
type Action string

// The actions.
const (
	Renewed   Action = "renewed"
	Requested Action = "requested" // its authority's key is not here
	Left      Action = "left"      // it is not for us to renew
)

// Renewal is one certificate of a folder, and what became of it.
type Renewal struct {
	ID, File      string
	Subject       Subject
	Authority     string // its common name
	Before, After time.Time
	Action        Action
	Reason        string // of Left and Requested
	Pickup        string // of Renewed: what has to happen now
	Cut           bool   // it expires with its authority, sooner than it would
}

// RenewResult is what Renew did.
type RenewResult struct {
	Renewals  []Renewal
	Recovered bool
	Backup    string
}

// ErrNoSuchName is wrapped when a name fits no certificate.
var ErrNoSuchName = errors.New("no such certificate")

// Renew makes the certificates below dir anew, from the authorities' keys. dir
// is a bundle that Init made, a machine's root, or its /etc/kubernetes. What
// the certificates say stays; keys are new, unless KeepKey.
func Renew(dir string, o RenewOptions) (*RenewResult, error) {
	r := &renewRun{dir: dir, o: o, result: &RenewResult{}, journal: &journal{Time: o.Now, step: o.step}}
	if err := r.run(); err != nil {
		return nil, err
	}
	return r.result, nil
}

type renewRun struct {
	dir         string
	o           RenewOptions
	vault       *vault
	authorities []*found // certificates of authorities
	journal     *journal
	manifest    Manifest
	result      *RenewResult
	kubeconfigs map[string][]byte // as changed so far: a file may have several users
}

// found is a certificate that lies in a folder.
type found struct {
	id, role         string
	certFile, key    string // below the folder
	kubeconfig, user string
	certPEM, keyPEM  []byte
	certs            []*x509.Certificate
	base             string        // of an authority
	signer           crypto.Signer // of an authority, when it was needed
	left             string        // why it is not for us
}

func (f *found) cert() *x509.Certificate { return f.certs[0] }

func (r *renewRun) run() (err error) {
	if !r.o.DryRun {
		if r.result.Recovered, err = recoverJournal(r.dir, r.o.step); err != nil {
			return err
		}
	}
	if r.manifest, err = readManifest(r.dir); err != nil {
		return err
	}
	places, caDir, err := layout(r.dir)
	if err != nil {
		return err
	}
	if r.o.CADir != "" {
		caDir = r.o.CADir
	}
	r.vault = &vault{dir: caDir, unlock: r.o.Unlock}
	if r.authorities, err = findAuthorities(caDir); err != nil {
		return err
	}
	all, err := r.find(places)
	if err != nil {
		return err
	}
	chosen, err := r.choose(all)
	if err != nil {
		return err
	}
	r.kubeconfigs = map[string][]byte{}
	for _, f := range chosen {
		renewal, err := r.renew(f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.id, err)
		}
		r.result.Renewals = append(r.result.Renewals, renewal)
	}
	for file, data := range r.kubeconfigs {
		r.journal.add(file, data, 0o600, true)
	}
	if r.o.DryRun {
		return nil
	}
	for _, n := range r.result.Renewals {
		if n.Action == Requested {
			if err := r.manifest.write(r.journal); err != nil {
				return err
			}
			break
		}
	}
	r.result.Backup = r.journal.backup(r.dir)
	return r.journal.commit(r.dir)
}

// place is a folder with certificates of one machine.
type place struct {
	owner  string // machine, admin, or nothing
	folder string // below the folder
	kind   placeKind
}

type placeKind int

const (
	placeKubernetes placeKind = iota // an /etc/kubernetes
	placeKubelet                     // a /var/lib/kubelet/pki
	placeDocker                      // an /etc/docker
	placePeople                      // a bundle's admin folder
)

// layout recognizes a folder.
func layout(dir string) (places []place, caDir string, err error) {
	is := func(parts ...string) bool {
		info, err := os.Stat(filepath.Join(append([]string{dir}, parts...)...))
		return err == nil && info.IsDir()
	}
	machine := func(owner, root string) {
		places = append(places, place{owner, root + kubernetesFolder, placeKubernetes},
			place{owner, root + kubeletFolder, placeKubelet}, place{owner, root + dockerFolder, placeDocker})
	}
	switch {
	case is(caFolder) && exists(filepath.Join(dir, configFile)):
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, "", err
		}
		for _, e := range entries {
			if e.IsDir() && (is(e.Name(), kubernetesFolder) || is(e.Name(), dockerFolder)) {
				machine(e.Name(), e.Name()+"/")
			}
		}
		places = append(places, place{adminFolder, adminFolder, placePeople})
		return places, filepath.Join(dir, caFolder), nil
	case is(certificateDir):
		places = append(places, place{"", ".", placeKubernetes})
		if abs, err := filepath.Abs(dir); err == nil && strings.HasSuffix(filepath.ToSlash(abs), "/"+kubernetesFolder) {
			places = append(places, place{"", "../../" + kubeletFolder, placeKubelet}, place{"", "../../" + dockerFolder, placeDocker})
		}
		return places, filepath.Join(dir, certificateDir), nil
	case is(kubernetesFolder):
		machine("", "")
		return places, filepath.Join(dir, pkiFolder), nil
	case !is():
		return nil, "", fmt.Errorf("%s: no such folder", dir)
	}
	return nil, "", fmt.Errorf("%s: neither a folder of `bulwark pki init` nor an /etc/kubernetes", dir)
}

// findAuthorities are the certificates of authorities below a folder.
func findAuthorities(dir string) ([]*found, error) {
	var all []*found
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(name) != ".crt" {
			return err
		}
		data, err := os.ReadFile(name) //nolint:gosec // whoever may write beside the authorities' keys needs no race
		if err != nil {
			return err
		}
		certs := certsOf(data)
		if len(certs) == 0 || !certs[0].IsCA {
			return nil
		}
		rel, err := filepath.Rel(dir, strings.TrimSuffix(name, ".crt"))
		all = append(all, &found{base: filepath.ToSlash(rel), certFile: name, certs: certs, certPEM: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the authorities: %w", err)
	}
	return all, nil
}

// find lists the certificates of all places.
func (r *renewRun) find(places []place) ([]*found, error) {
	var all []*found
	for _, p := range places {
		var err error
		add := func(f *found) {
			f.id = strings.TrimPrefix(p.owner+"/"+f.role, "/")
			all = append(all, f)
		}
		switch p.kind {
		case placeKubernetes:
			if err = r.findKubeconfigs(p.folder, add); err == nil {
				err = r.findPairs(p.folder+"/"+certificateDir, ".crt", ".key", add)
			}
		case placeKubelet:
			if err = r.findPairs(p.folder, ".crt", ".key", add); err == nil && exists(filepath.Join(r.dir, p.folder, "kubelet-client-current.pem")) {
				err = r.findRotated(p.folder+"/kubelet-client-current.pem", add)
			}
		case placeDocker:
			err = r.addPair("docker", p.folder+"/server-cert.pem", p.folder+"/server-key.pem", add)
		case placePeople:
			if err = r.findKubeconfigs(p.folder, add); err != nil {
				break
			}
			var clients []string
			clients, err = filepath.Glob(filepath.Join(r.dir, p.folder, "docker", "*"))
			for _, c := range clients {
				name := filepath.Base(c)
				folder := p.folder + "/docker/" + name
				err = errors.Join(err, r.addPair("docker/"+name, folder+"/cert.pem", folder+"/key.pem", add))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b *found) int { return compare(a.id, b.id) })
	return all, nil
}

func (r *renewRun) path(file string) string { return filepath.Join(r.dir, filepath.FromSlash(file)) }

// findPairs are the certificates below a folder that are no authorities.
func (r *renewRun) findPairs(folder, certSuffix, keySuffix string, add func(*found)) error {
	root := r.path(folder)
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, certSuffix) {
			return err
		}
		rel, err := filepath.Rel(root, strings.TrimSuffix(name, certSuffix))
		if err != nil {
			return err
		}
		role := filepath.ToSlash(rel)
		return r.addPair(role, folder+"/"+role+certSuffix, folder+"/"+role+keySuffix, add)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (r *renewRun) addPair(role, certFile, keyFile string, add func(*found)) error {
	cert, err := os.ReadFile(r.path(certFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f := &found{role: role, certFile: certFile, key: keyFile, certPEM: cert, certs: certsOf(cert)}
	// Authorities are rolled, not renewed. A kubelet's self-signed certificate
	// calls itself one too.
	if len(f.certs) > 0 && f.cert().IsCA && role != "kubelet" {
		return nil
	}
	if f.keyPEM, err = os.ReadFile(r.path(keyFile)); errors.Is(err, fs.ErrNotExist) {
		f.left, err = "its key is not here", nil
	}
	add(f)
	return err
}

// findRotated notes a certificate that a kubelet renews for itself.
func (r *renewRun) findRotated(file string, add func(*found)) error {
	data, err := os.ReadFile(r.path(file))
	if err != nil {
		return err
	}
	add(&found{role: "kubelet-client-current.pem", certFile: file, certPEM: data, certs: certsOf(data), left: "the kubelet renews it by itself"})
	return nil
}

func (r *renewRun) findKubeconfigs(folder string, add func(*found)) error {
	files, err := filepath.Glob(filepath.Join(r.path(folder), "*.conf"))
	if err != nil {
		return err
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		users, err := clientsOf(data)
		if err != nil {
			continue // some other kind of .conf
		}
		for _, u := range users {
			role := filepath.Base(name)
			f := &found{role: role, kubeconfig: strings.TrimPrefix(folder+"/"+role, "./"), user: u.user, certPEM: u.cert, keyPEM: u.key, certs: certsOf(u.cert)}
			if len(u.cert) == 0 {
				f.left = "it refers to " + u.file
				if strings.Contains(u.file, "kubelet-client-current") {
					f.left += ", which the kubelet renews by itself"
				}
			}
			add(f)
		}
	}
	return nil
}

// choose picks what the names say. What is not for us is listed with All, and
// an error if it was named.
func (r *renewRun) choose(all []*found) ([]*found, error) {
	if r.o.All {
		return all, nil
	}
	var chosen []*found
	for _, name := range r.o.Names {
		name = strings.TrimSuffix(name, "/")
		hit := false
		for _, f := range all {
			if f.id == name || f.role == name || strings.ReplaceAll(f.role, "/", "-") == name || strings.HasPrefix(f.id, name+"/") {
				hit = true
				if !slices.Contains(chosen, f) {
					chosen = append(chosen, f)
				}
			}
		}
		if !hit {
			return nil, fmt.Errorf("%s: %w in %s", quote(name), ErrNoSuchName, r.dir)
		}
	}
	return chosen, nil
}

// authorityOf finds by signature who made a certificate. direct is false if
// an intermediate stands between.
func (r *renewRun) authorityOf(f *found) (authority *found, direct bool) {
	for _, a := range r.authorities {
		if hasSigned(a.cert(), f.cert()) {
			return a, true
		}
	}
	for _, a := range r.authorities {
		if hasSigned(a.cert(), f.certs[len(f.certs)-1]) {
			return a, false
		}
	}
	return nil, false
}

func (r *renewRun) renew(f *found) (Renewal, error) {
	n := Renewal{ID: f.id, File: f.certFile, Action: Left, Reason: f.left}
	if f.kubeconfig != "" {
		n.File = f.kubeconfig
	}
	if len(f.certs) == 0 {
		if n.Reason == "" {
			n.Reason = "its certificate cannot be read"
		}
		return n, nil
	}
	old := f.cert()
	n.Before, n.Subject = old.NotAfter, Subject{old.Subject.CommonName, old.Subject.Organization}
	n.Authority = old.Issuer.CommonName
	if f.left != "" {
		return n, nil
	}
	authority, direct := r.authorityOf(f)
	switch {
	case authority == nil && bytes.Equal(old.RawIssuer, old.RawSubject):
		n.Reason = "it is self-signed: there is nobody to renew it"
		return n, nil
	case authority == nil:
		n.Reason = fmt.Sprintf("its authority %s is not in %s", quote(old.Issuer.CommonName), r.vault.dir)
		return n, nil
	}
	issuer := Issuer{Now: r.o.Now, Lifetime: r.lifetime(old, authority.cert())}
	if !r.vault.hasKey(authority.base) || !direct {
		return r.requestAgain(n, f, authority, issuer.Lifetime)
	}
	n.Action, n.Reason, n.Pickup = Renewed, "", Pickup(f.role)
	n.After = issuer.end(authority.cert())
	n.Cut = n.After.Before(r.o.Now.Add(issuer.Lifetime))
	if !n.After.After(r.o.Now) {
		n.Action, n.Pickup, n.Reason, n.After = Left, "", "its authority has expired: it has to be rolled", time.Time{}
		return n, nil
	}
	if r.o.DryRun {
		return n, nil
	}
	return n, r.reissue(f, authority, issuer)
}

// lifetime is as long as the old certificate's. Older kubeadms begin every
// certificate when the authority began, which says nothing about its length.
func (r *renewRun) lifetime(old, authority *x509.Certificate) time.Duration {
	switch {
	case r.o.Lifetime != 0:
		return r.o.Lifetime
	case old.NotBefore.Equal(authority.NotBefore):
		return DefaultLifetime
	}
	life := old.NotAfter.Sub(old.NotBefore)
	if life > backdate {
		life -= backdate
	}
	// Up to the next hour: what kubeadm backdates is not part of it either.
	return life.Round(time.Hour)
}

func (r *renewRun) reissue(f, authority *found, issuer Issuer) error {
	if authority.signer == nil {
		key, err := r.vault.key(authority.base)
		if err != nil {
			return err
		}
		if !samePublicKey(key.Public(), authority.cert().PublicKey) {
			return fmt.Errorf("authority %s: its key belongs to another certificate", authority.base)
		}
		authority.signer = key
	}
	key, err := r.newKey(f)
	if err != nil {
		return err
	}
	cert, err := issuer.Reissue(&Authority{Pair{authority.cert(), authority.signer}}, f.cert(), key.Public())
	if err != nil {
		return err
	}
	certPEM := EncodeCertificate(cert)
	if f.kubeconfig == "" {
		if !r.o.KeepKey {
			keyPEM, err := EncodeKey(key)
			if err != nil {
				return err
			}
			r.journal.add(f.key, keyPEM, 0o600, true)
		}
		r.journal.add(f.certFile, certPEM, 0o644, true)
		return nil
	}
	data := r.kubeconfigs[f.kubeconfig]
	if data == nil {
		if data, err = os.ReadFile(r.path(f.kubeconfig)); err != nil {
			return err
		}
	}
	var keyPEM []byte
	if !r.o.KeepKey {
		if keyPEM, err = EncodeKey(key); err != nil {
			return err
		}
	}
	r.kubeconfigs[f.kubeconfig], err = withClient(data, f.user, certPEM, keyPEM)
	return err
}

// newKey is a key of the same kind as the old certificate's, or the old one.
func (r *renewRun) newKey(f *found) (crypto.Signer, error) {
	if r.o.KeepKey {
		key, err := ParseKey(f.keyPEM)
		if err != nil {
			return nil, err
		}
		if !samePublicKey(key.Public(), f.cert().PublicKey) {
			return nil, errors.New("its key belongs to another certificate: leave out --keep-key")
		}
		return key, nil
	}
	return algorithmOf(f.cert().PublicKey).Generate()
}

// requestAgain writes a request where the authority's key is somewhere else.
func (r *renewRun) requestAgain(n Renewal, f, authority *found, lifetime time.Duration) (Renewal, error) {
	n.Action, n.Reason = Requested, "the key of its authority is not here"
	leaf, why := leafOf(f.cert())
	if why != "" {
		n.Action, n.Reason = Left, why
		return n, nil
	}
	id := f.id
	if f.kubeconfig != "" && r.usersOf(f.kubeconfig) > 1 {
		id += "-" + unsafeInPath.ReplaceAllString(f.user, "-")
	}
	if _, waiting := r.manifest.find(id); waiting {
		// Its key must not change under a request that may be signed by now.
		n.Reason += ", and it was requested before: `bulwark pki import` takes the answer"
		return n, nil
	}
	if r.o.DryRun {
		return n, nil
	}
	key, err := r.newKey(f)
	if err != nil {
		return n, err
	}
	req, csr, err := newRequest(id, leaf, key, lifetime)
	if err != nil {
		return n, err
	}
	req.Signer, req.SignerName = authority.base, authority.cert().Subject.CommonName
	abs, err := filepath.Abs(r.dir)
	if err != nil {
		return n, err
	}
	caFile, err := filepath.Abs(authority.certFile)
	if err != nil {
		return n, err
	}
	if req.AuthorityFile, err = filepath.Rel(abs, caFile); err != nil {
		return n, err
	}
	req.AuthorityFile = filepath.ToSlash(req.AuthorityFile)
	req.Certificate, req.Key, req.Kubeconfig, req.User = f.certFile, f.key, f.kubeconfig, f.user
	if !r.o.KeepKey {
		private, err := EncodeKey(key)
		if err != nil {
			return n, err
		}
		req.PendingKey = pendingFolder + "/" + req.ID + ".key"
		r.journal.Changes = append(r.journal.Changes, change{Path: req.PendingKey, Data: private, Mode: 0o600, Overwrite: true})
	}
	r.journal.Changes = append(r.journal.Changes, change{Path: req.CSR, Data: csr, Mode: 0o644, Overwrite: true})
	r.manifest.set(req)
	return n, nil
}

var unsafeInPath = regexp.MustCompile(`[^A-Za-z0-9-]+`)

func (r *renewRun) usersOf(kubeconfig string) int {
	data, err := os.ReadFile(r.path(kubeconfig))
	if err != nil {
		return 0
	}
	users, _ := clientsOf(data)
	return len(users)
}

// leafOf is what a certificate says, as a Leaf, or why it cannot be one.
func leafOf(cert *x509.Certificate) (leaf Leaf, why string) {
	l := Leaf{Subject: Subject{cert.Subject.CommonName, cert.Subject.Organization}, DNSNames: cert.DNSNames}
	for _, ip := range cert.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			l.IPs = append(l.IPs, a.Unmap())
		}
	}
	server, client := slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth), slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	switch {
	case server && client:
		l.Usage = ServerAndClient
	case server:
		l.Usage = Server
	case client:
		l.Usage = Client
	default:
		return l, "it is neither for servers nor for clients"
	}
	if len(cert.URIs)+len(cert.EmailAddresses) > 0 {
		return l, "it has URIs or mail addresses, which a request of ours does not carry"
	}
	if err := l.validate(); err != nil {
		return l, err.Error()
	}
	return l, ""
}
