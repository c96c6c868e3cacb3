package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
)

// InitOptions say what Init makes. Config and Now are required.
type InitOptions struct {
	Config Config
	// File is cluster.yaml as somebody wrote it, kept beside the result.
	// Without, the config is written out.
	File []byte
	Now  time.Time
	// Force makes everything anew, authorities too. Reissue makes anew only
	// what is not what the config asks for. Both keep what was in the backup.
	Force, Reissue bool
	Unlock         Unlock
	NewPassphrase  func() (age.Recipient, error)

	step func() // see journal
}

// InitResult is what Init did.
type InitResult struct {
	Bundle    Bundle
	Recovered bool     // an earlier run was completed first
	Made      []string // files, with the folder in front left out
	Kept      int      // files that were there
	Requested []string // IDs for which a request was written
	Waiting   []string // IDs whose request is not answered yet
	// MissingAuthorities are those of which not even the certificate is there.
	MissingAuthorities []string
	Differs            []Difference
	Backup             string // the folder with what was replaced
}

// Difference is something that is there and is not what the config asks for.
type Difference struct{ ID, Text string }

// Init makes what the config asks for below dir and is not there yet.
func Init(dir string, o InitOptions) (*InitResult, error) {
	r := &initRun{
		dir: dir, o: o, result: &InitResult{Bundle: o.Config.Bundle()},
		issuer:      Issuer{Now: o.Now, Algorithm: o.Config.Algorithm, AuthorityLifetime: o.Config.CALifetime, Lifetime: o.Config.LeafLifetime},
		vault:       &vault{dir: filepath.Join(dir, caFolder), unlock: o.Unlock},
		journal:     &journal{Time: o.Now, step: o.step},
		authorities: map[string]*Authority{},
	}
	if err := r.run(); err != nil {
		return nil, err
	}
	return r.result, nil
}

type initRun struct {
	dir         string
	o           InitOptions
	issuer      Issuer
	vault       *vault
	journal     *journal
	manifest    Manifest
	authorities map[string]*Authority // Certificate nil: not there; Key nil: not here
	result      *InitResult
}

func (r *initRun) run() (err error) {
	if r.result.Recovered, err = recoverJournal(r.dir, r.o.step); err != nil {
		return err
	}
	if r.manifest, err = readManifest(r.dir); err != nil {
		return err
	}
	if err := r.makeAuthorities(); err != nil {
		return err
	}
	if err := r.makeServiceAccounts(); err != nil {
		return err
	}
	if err := r.makeItems(); err != nil {
		return err
	}
	if err := r.makeRest(); err != nil {
		return err
	}
	for _, c := range r.journal.Changes {
		if !c.Remove {
			r.result.Made = append(r.result.Made, c.Path)
		}
	}
	slices.Sort(r.result.Made)
	r.result.Backup = r.journal.backup(r.dir)
	return r.journal.commit(r.dir)
}

// read returns a file below the folder, or nil if there is none.
func (r *initRun) read(file string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(file)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func (r *initRun) differs(id, format string, args ...any) {
	r.result.Differs = append(r.result.Differs, Difference{id, fmt.Sprintf(format, args...)})
}

func (r *initRun) makeAuthorities() error {
	store := r.o.Config.CAKeys.Store
	var absent []CertAuthority
	for _, a := range r.result.Bundle.Authorities {
		data, err := r.read(a.File + ".crt")
		if err != nil {
			return err
		}
		hasKey := r.vault.hasKey(a.Base)
		requested := slices.ContainsFunc(r.manifest.Requests, func(q Request) bool { return q.Signer == a.Base })
		switch {
		case data == nil && requested && store != StoreExternal && !r.o.Force:
			return &hinted{fmt.Errorf("authority %s: certificates are requested from it, so it is somebody else's", a.Base), "go on with --csr-only"}
		case r.o.Force && store != StoreExternal, data == nil && !hasKey && store != StoreExternal:
			absent = append(absent, a)
		case data == nil && hasKey:
			return &hinted{fmt.Errorf("authority %s: its key is there and its certificate is not", a.Base), "bring it back from a backup, or remove " + a.File + ".key to begin anew"}
		case data == nil:
			r.authorities[a.Base] = &Authority{}
			r.result.MissingAuthorities = append(r.result.MissingAuthorities, a.Base)
		default:
			cert, err := ParseCertificate(data)
			if err != nil {
				return fmt.Errorf("%s: %w", a.File+".crt", err)
			}
			r.authorities[a.Base] = &Authority{Pair{Certificate: cert}}
			r.result.Kept++
			if hasKey {
				r.result.Kept++
			}
			plain := exists(filepath.Join(r.dir, filepath.FromSlash(a.File)) + ".key")
			if plain && store == StoreAge {
				r.differs(a.File, "its key is a plain file, and the config wants it encrypted")
			}
		}
	}
	if len(absent) == 0 {
		return nil
	}
	identity, err := r.vault.prepare(r.o.Config.CAKeys, r.o.NewPassphrase, r.o.Force)
	if err != nil {
		return err
	}
	if file := caFolder + "/" + identityFile; identity != nil {
		r.journal.add(file, identity, 0o600, r.o.Force)
	} else if r.o.Force && exists(filepath.Join(r.dir, file)) {
		r.journal.remove(file, true) // it goes with the keys that it opens
	}
	made := make([]*Authority, len(absent))
	if err := parallel(len(absent), 0, func(i int) (err error) {
		made[i], err = r.issuer.Authority(absent[i].CommonName)
		return err
	}); err != nil {
		return err
	}
	for i, a := range absent {
		r.authorities[a.Base] = made[i]
		if err := r.addKey(a.File, made[i].Key); err != nil {
			return err
		}
		r.journal.add(a.File+".crt", EncodeCertificate(made[i].Certificate), 0o644, r.o.Force)
	}
	return nil
}

// addKey stores a key beside the authorities, the way that the config says.
func (r *initRun) addKey(base string, key crypto.Signer) error {
	suffix, data, err := r.vault.encode(key)
	if err != nil {
		return err
	}
	r.journal.add(base+suffix, data, 0o600, r.o.Force)
	for _, other := range []string{".key", ".key" + sealedSuffix} {
		if other != suffix && exists(filepath.Join(r.dir, base+other)) {
			r.journal.remove(base+other, true)
		}
	}
	return nil
}

// signer returns an authority with its key, or nil if the key is not here.
func (r *initRun) signer(base string) (*Authority, error) {
	a := r.authorities[base]
	switch {
	case a.Key != nil:
		return a, nil
	case a.Certificate == nil || !r.vault.hasKey(base):
		return nil, nil
	}
	key, err := r.vault.key(base)
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", base, err)
	}
	if !samePublicKey(key.Public(), a.Certificate.PublicKey) {
		return nil, fmt.Errorf("authority %s: its key belongs to another certificate", base)
	}
	a.Key = key
	return a, nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// makeServiceAccounts makes the pair that signs tokens, and gives it to the
// machines that have none.
func (r *initRun) makeServiceAccounts() error {
	base := caFolder + "/" + ServiceAccountKey
	var absent []string
	for _, copy := range r.result.Bundle.ServiceAccountCopies {
		if r.o.Force || !exists(filepath.Join(r.dir, copy+".key")) || !exists(filepath.Join(r.dir, copy+".pub")) {
			absent = append(absent, copy)
		} else {
			r.result.Kept += 2
		}
	}
	have := r.vault.hasKey(ServiceAccountKey) && exists(filepath.Join(r.dir, base+".pub"))
	var key crypto.Signer
	var err error
	switch {
	case have && !r.o.Force:
		r.result.Kept += 2
		if len(absent) == 0 {
			return nil
		}
		if key, err = r.vault.key(ServiceAccountKey); err != nil {
			return err
		}
	default:
		if key, err = r.issuer.Algorithm.Generate(); err != nil {
			return err
		}
		if len(r.vault.recipients) == 0 {
			if _, err := r.vault.prepare(r.o.Config.CAKeys, r.o.NewPassphrase, false); err != nil {
				return err
			}
		}
		if err := r.addKey(base, key); err != nil {
			return err
		}
	}
	private, err := EncodeKey(key)
	if err != nil {
		return err
	}
	public, err := EncodePublicKey(key)
	if err != nil {
		return err
	}
	if !have || r.o.Force {
		r.journal.add(base+".pub", public, 0o644, r.o.Force)
	}
	for _, copy := range absent {
		for suffix, data := range map[string][]byte{".key": private, ".pub": public} {
			if old, err := r.read(copy + suffix); err != nil {
				return err
			} else if !bytes.Equal(old, data) {
				r.journal.add(copy+suffix, data, 0o600, r.o.Force)
			}
		}
	}
	return nil
}

// makeItems issues what is missing, all of it at the same time.
func (r *initRun) makeItems() error {
	var wanted, requests []Item
	for _, item := range r.result.Bundle.Items {
		there, err := r.inspect(item)
		if err != nil {
			return err
		}
		switch _, waiting := r.manifest.find(item.ID); {
		case there:
			continue
		case waiting && !r.o.Force:
			r.result.Waiting = append(r.result.Waiting, item.ID)
			continue
		}
		authority, err := r.signer(item.Authority)
		if err != nil {
			return err
		}
		if authority == nil {
			requests = append(requests, item)
		} else {
			wanted = append(wanted, item)
		}
	}
	made := make([][]change, len(wanted))
	if err := parallel(len(wanted), 0, func(i int) (err error) {
		made[i], err = r.issue(wanted[i])
		return err
	}); err != nil {
		return err
	}
	for _, m := range made {
		r.journal.Changes = append(r.journal.Changes, m...)
	}
	for _, item := range requests {
		if err := r.request(item); err != nil {
			return fmt.Errorf("%s: %w", item.ID, err)
		}
	}
	if len(requests) > 0 {
		return r.manifest.write(r.journal)
	}
	return nil
}

func (r *initRun) issue(item Item) ([]change, error) {
	authority := r.authorities[item.Authority]
	pair, err := r.issuer.Issue(authority, item.Leaf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", item.ID, err)
	}
	key, err := EncodeKey(pair.Key)
	if err != nil {
		return nil, err
	}
	replace := r.o.Force || r.o.Reissue
	cert := EncodeCertificate(pair.Certificate)
	if item.Kubeconfig == "" {
		return []change{
			{Path: item.Key, Data: key, Mode: 0o600, Replace: replace},
			{Path: item.Certificate, Data: cert, Mode: 0o644, Replace: replace},
		}, nil
	}
	config, err := newKubeconfig(KubeconfigSpec{Subject: item.Subject, Server: item.Server}, EncodeCertificate(authority.Certificate), cert, key)
	if err != nil {
		return nil, err
	}
	return []change{{Path: item.Kubeconfig, Data: config, Mode: 0o600, Replace: replace}}, nil
}

// request asks for a certificate whose authority's key is not here.
func (r *initRun) request(item Item) error {
	key, err := r.issuer.Algorithm.Generate()
	if err != nil {
		return err
	}
	lifetime := r.o.Config.LeafLifetime
	req, csr, err := newRequest(item.ID, item.Leaf, key, lifetime)
	if err != nil {
		return err
	}
	private, err := EncodeKey(key)
	if err != nil {
		return err
	}
	req.Signer = item.Authority
	for _, a := range r.result.Bundle.Authorities {
		if a.Base == item.Authority {
			req.SignerName, req.AuthorityFile = a.CommonName, a.File+".crt"
		}
	}
	req.Certificate, req.Key, req.Kubeconfig, req.Server = item.Certificate, item.Key, item.Kubeconfig, item.Server
	req.PendingKey = pendingFolder + "/" + item.ID + ".key"
	r.journal.add(req.PendingKey, private, 0o600, true)
	r.journal.Changes = append(r.journal.Changes, change{Path: req.CSR, Data: csr, Mode: 0o644, Overwrite: true})
	r.manifest.set(req)
	r.result.Requested = append(r.result.Requested, item.ID)
	return nil
}

// inspect says whether an item is there, and notes where it is another than
// the config asks for. With Force nothing is there, with Reissue only what is
// as it should be.
func (r *initRun) inspect(item Item) (bool, error) {
	if r.o.Force {
		return false, nil
	}
	var cert, key []byte
	var server string
	if item.Kubeconfig != "" {
		data, err := r.read(item.Kubeconfig)
		if data == nil || err != nil {
			return false, err
		}
		users, _ := clientsOf(data)
		if len(users) != 1 {
			return r.stale(item, "it is no kubeconfig with one client certificate"), nil
		}
		cert, key, server = users[0].cert, users[0].key, users[0].server
		r.result.Kept++
	} else {
		var err error
		if cert, err = r.read(item.Certificate); err != nil {
			return false, err
		}
		if key, err = r.read(item.Key); err != nil {
			return false, err
		}
		switch {
		case cert == nil && key == nil:
			return false, nil
		case key == nil:
			return r.stale(item, "its key is missing"), nil
		case cert == nil:
			return r.stale(item, "its key is there and its certificate is not"), nil
		}
		r.result.Kept += 2
	}
	if why := item.compare(cert, key, server, r.authorities[item.Authority].Certificate); why != "" {
		return r.stale(item, why), nil
	}
	return true, nil
}

// stale notes a difference; the item counts as there unless it is reissued.
func (r *initRun) stale(item Item, why string) bool {
	if r.o.Reissue {
		return false
	}
	r.differs(item.ID, "%s", why)
	return true
}

// compare says in what a certificate is not the item, or nothing.
func (i Item) compare(certPEM, keyPEM []byte, server string, authority *x509.Certificate) string {
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return "its certificate cannot be read"
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return "its key cannot be read"
	}
	switch {
	case !samePublicKey(key.Public(), cert.PublicKey):
		return "key and certificate do not belong together"
	case authority != nil && !hasSigned(authority, cert) && authority.Equal(cert):
		return "it is its own authority"
	case server != i.Server:
		return fmt.Sprintf("it dials %s, want %s", server, i.Server)
	}
	if authority != nil && len(certsOf(certPEM)) == 1 && !hasSigned(authority, cert) {
		return "it was signed by another authority"
	}
	return i.Leaf.mismatch(cert)
}

func hasSigned(authority, cert *x509.Certificate) bool {
	return bytes.Equal(authority.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(authority) == nil
}

// mismatch says what a certificate says otherwise than the leaf, or nothing.
func (l Leaf) mismatch(cert *x509.Certificate) string {
	var names []string
	for _, ip := range l.IPs {
		names = append(names, ip.String())
	}
	var has []string
	for _, ip := range cert.IPAddresses {
		has = append(has, ip.String())
	}
	wantUsages, _ := l.Usage.extKeyUsages()
	switch {
	case cert.Subject.CommonName != l.Subject.CommonName:
		return fmt.Sprintf("it names %s, want %s", quote(cert.Subject.CommonName), l.Subject.CommonName)
	case !sameSet(cert.Subject.Organization, l.Subject.Organizations):
		return fmt.Sprintf("its groups are %s, want %s", list(cert.Subject.Organization), list(l.Subject.Organizations))
	case !sameSet(cert.ExtKeyUsage, wantUsages) || len(cert.UnknownExtKeyUsage) > 0:
		return "its usages are not " + strings.Join(l.Usage.names(), " and ")
	}
	if missing := without(append(slices.Clone(l.DNSNames), names...), append(slices.Clone(cert.DNSNames), has...)); len(missing) > 0 {
		return "it lacks the names " + list(missing)
	}
	if more := without(append(slices.Clone(cert.DNSNames), has...), append(slices.Clone(l.DNSNames), names...)); len(more) > 0 {
		return "it has names that nobody asked for: " + list(more)
	}
	if len(cert.URIs)+len(cert.EmailAddresses) > 0 {
		return "it has URIs or mail addresses that nobody asked for"
	}
	return ""
}

func sameSet[T comparable](a, b []T) bool { return len(without(a, b)) == 0 && len(without(b, a)) == 0 }

// without are the elements of a that are not in b.
func without[T comparable](a, b []T) []T {
	var out []T
	for _, v := range a {
		if !slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = n
		if !isDNSName(n) {
			quoted[i] = strings.Trim(quote(n), `"`)
		}
	}
	return strings.Join(quoted, ", ")
}

// makeRest writes what follows from the authorities: their certificates and,
// where needed, keys on the machines; the RBAC objects; the config.
func (r *initRun) makeRest() error {
	if err := r.makeCopies(); err != nil {
		return err
	}
	if old, err := r.read(rbacFile); err != nil {
		return err
	} else if old == nil {
		r.journal.add(rbacFile, RBAC(), 0o644, false)
	} else {
		r.result.Kept++ // it may have been edited, which is fine
	}
	config := r.o.File
	if config == nil {
		config = r.o.Config.YAML()
	}
	if old, err := r.read(configFile); err != nil {
		return err
	} else if !bytes.Equal(old, config) {
		r.journal.add(configFile, config, 0o644, true)
	} else {
		r.result.Kept++
	}
	return nil
}

func (r *initRun) makeCopies() error {
	for _, a := range r.result.Bundle.Authorities {
		cert := r.authorities[a.Base].Certificate
		if cert == nil {
			continue
		}
		// The whole file: an external authority may come with intermediates.
		data, err := r.read(a.File + ".crt")
		if err != nil {
			return err
		}
		if data == nil || r.o.Force && r.o.Config.CAKeys.Store != StoreExternal {
			data = EncodeCertificate(cert)
		}
		for _, copy := range a.Copies {
			if err := r.addCopy(copy, data, 0o644); err != nil {
				return err
			}
		}
		for _, copy := range a.Keys {
			if !r.o.Force && exists(filepath.Join(r.dir, copy)) {
				r.result.Kept++
				continue
			}
			authority, err := r.signer(a.Base)
			if err != nil {
				return err
			}
			if authority == nil {
				r.differs(copy, "the config wants the authority's key here, and it is not to be had")
				continue
			}
			key, err := EncodeKey(authority.Key)
			if err != nil {
				return err
			}
			if err := r.addCopy(copy, key, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// addCopy writes a copy of something from beside the authorities.
func (r *initRun) addCopy(file string, data []byte, mode fs.FileMode) error {
	switch old, err := r.read(file); {
	case err != nil:
		return err
	case bytes.Equal(old, data):
		r.result.Kept++
	case old != nil && !r.o.Force && !r.o.Reissue:
		r.differs(file, "it is not the one of this cluster's authority")
	default:
		r.journal.add(file, data, mode, true)
	}
	return nil
}

// hinted is an error with its next step.
type hinted struct {
	error
	hint string
}

func (e *hinted) Hint() string  { return e.hint }
func (e *hinted) Unwrap() error { return e.error }
