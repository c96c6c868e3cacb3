package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Named is a file's content and what to call it in messages.
type Named struct {
	Name string
	Data []byte
}

// ImportOptions say what Import installs. Now is required.
type ImportOptions struct {
	Now time.Time
	// Authorities are the certificates of signers, by the base under which the
	// manifest names them. Those that are there already need not be given.
	Authorities map[string]Named
	// Signed are PEM files, in any order and with any number of certificates.
	// A certificate finds its request by its public key; those of authorities
	// are taken as intermediates.
	Signed []Named

	step func()
}

// ImportResult is what Import did.
type ImportResult struct {
	Installed          []string // IDs
	InstalledCAs       []string // bases
	Refused            []Difference
	Missing            []string // IDs that are still waiting
	MissingAuthorities []string // bases
	Backup             string
	Recovered          bool
}

// Import takes signed certificates to the places for which they were requested
// below dir. What is not exactly what was requested is refused, and the rest
// is installed.
func Import(dir string, o ImportOptions) (*ImportResult, error) {
	r := &importRun{dir: dir, o: o, result: &ImportResult{}, journal: &journal{Time: o.Now, step: o.step}, authorities: map[string][]*x509.Certificate{}}
	if err := r.run(); err != nil {
		return nil, err
	}
	return r.result, nil
}

type importRun struct {
	dir         string
	o           ImportOptions
	manifest    Manifest
	journal     *journal
	authorities map[string][]*x509.Certificate // by file
	kubeconfigs map[string][]byte
	result      *ImportResult
}

func (r *importRun) run() (err error) {
	if r.result.Recovered, err = recoverJournal(r.dir, r.o.step); err != nil {
		return err
	}
	if r.manifest, err = readManifest(r.dir); err != nil {
		return err
	}
	if len(r.manifest.Requests) == 0 {
		return &hinted{fmt.Errorf("%s: no certificate is requested here", r.dir), "requests are made by `bulwark pki init --csr-only`, and by `bulwark pki renew` where the authority's key is not"}
	}
	if err := r.importAuthorities(); err != nil {
		return err
	}
	if err := r.importLeaves(); err != nil {
		return err
	}
	for _, q := range r.manifest.Requests {
		r.result.Missing = append(r.result.Missing, q.ID)
		if len(r.authorities[q.AuthorityFile]) == 0 && !slices.Contains(r.result.MissingAuthorities, q.Signer) {
			r.result.MissingAuthorities = append(r.result.MissingAuthorities, q.Signer)
		}
	}
	if len(r.result.Installed) > 0 {
		if err := r.manifest.write(r.journal); err != nil {
			return err
		}
	}
	r.result.Backup = r.journal.backup(r.dir)
	return r.journal.commit(r.dir)
}

func (r *importRun) refuse(name, format string, args ...any) {
	r.result.Refused = append(r.result.Refused, Difference{name, fmt.Sprintf(format, args...)})
}

// importAuthorities installs the signers' certificates, and reads those that
// are there.
func (r *importRun) importAuthorities() error {
	files := map[string]string{}
	var bases []string
	for _, q := range r.manifest.Requests {
		if _, seen := files[q.Signer]; !seen {
			bases = append(bases, q.Signer)
		}
		files[q.Signer] = q.AuthorityFile
	}
	slices.Sort(bases)
	for base := range r.o.Authorities {
		if files[base] == "" {
			return &hinted{fmt.Errorf("authority %s: nothing is requested from it", base), "requests are open with: " + list(bases)}
		}
	}
	owners := map[string]string{} // of public keys
	for _, base := range bases {
		data, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(files[base])))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		given, isGiven := r.o.Authorities[base]
		switch {
		case data == nil && !isGiven:
			continue
		case data != nil && isGiven && !bytes.Equal(encodeCerts(certsOf(data)), encodeCerts(certsOf(given.Data))):
			return &hinted{fmt.Errorf("authority %s: another certificate than %s is there", base, given.Name), "one authority takes another's place by a roll, not by an import"}
		case data == nil:
			data = given.Data
		}
		certs := certsOf(data)
		if err := checkAuthority(certs, r.o.Now); err != nil {
			return fmt.Errorf("authority %s: %w", base, err)
		}
		id, err := fingerprint(certs[0].PublicKey)
		if err != nil {
			return err
		}
		if other := owners[id]; other != "" {
			// Then every client of one would be a client of the other.
			return fmt.Errorf("authorities %s and %s: one key for both: they have to be separate", other, base)
		}
		owners[id] = base
		r.authorities[files[base]] = certs
		if isGiven {
			if err := r.installAuthority(base, files[base], encodeCerts(certs)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkAuthority(certs []*x509.Certificate, now time.Time) error {
	if len(certs) == 0 {
		return errors.New("no certificate in PEM form")
	}
	for _, c := range certs {
		switch {
		case !c.IsCA || !c.BasicConstraintsValid:
			return fmt.Errorf("%s is no authority", quote(c.Subject.CommonName))
		case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
			return fmt.Errorf("%s may not sign certificates", quote(c.Subject.CommonName))
		case now.After(c.NotAfter) || now.Before(c.NotBefore):
			return fmt.Errorf("%s is valid from %s to %s", quote(c.Subject.CommonName), c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
		}
	}
	return nil
}

// installAuthority writes a signer's certificate, and its copies if this is a
// bundle.
func (r *importRun) installAuthority(base, file string, data []byte) error {
	files := []string{file}
	if text, err := os.ReadFile(filepath.Join(r.dir, configFile)); err == nil {
		config, err := ParseConfig(configFile, text)
		if err != nil {
			return err
		}
		for _, a := range config.Bundle().Authorities {
			if a.Base == base {
				files = append(files, a.Copies...)
			}
		}
	}
	before := len(r.journal.Changes)
	for _, f := range files {
		if old, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(f))); err != nil || !bytes.Equal(old, data) {
			r.journal.add(f, data, 0o644, false)
		}
	}
	if len(r.journal.Changes) > before {
		r.result.InstalledCAs = append(r.result.InstalledCAs, base)
	}
	return nil
}

// importLeaves matches certificates to requests and installs what fits.
func (r *importRun) importLeaves() error {
	byKey := map[string]int{}
	for i, q := range r.manifest.Requests {
		byKey[q.PublicKey] = i
	}
	type candidate struct {
		from string
		cert *x509.Certificate
	}
	best := map[int]candidate{}
	var intermediates []*x509.Certificate
	for _, f := range r.o.Signed {
		certs := certsOf(f.Data)
		if len(certs) == 0 {
			r.refuse(f.Name, "no certificate in PEM form")
		}
		for _, c := range certs {
			id, err := fingerprint(c.PublicKey)
			if err != nil {
				r.refuse(f.Name, "%s", err)
				continue
			}
			i, requested := byKey[id]
			switch {
			case requested:
				if old, twice := best[i]; !twice || c.NotAfter.After(old.cert.NotAfter) {
					best[i] = candidate{f.Name, c}
				}
			case c.IsCA:
				intermediates = append(intermediates, c)
			default:
				r.refuse(f.Name, "nobody requested a certificate with the key of %s", quote(c.Subject.CommonName))
			}
		}
	}
	r.kubeconfigs = map[string][]byte{}
	var open []Request
	for i, q := range r.manifest.Requests {
		c, found := best[i]
		if !found {
			open = append(open, q)
			continue
		}
		chain, why := r.verify(q, c.cert, intermediates)
		if why != "" {
			r.refuse(c.from, "%s: %s", q.ID, why)
			open = append(open, q)
			continue
		}
		if err := r.install(q, chain); err != nil {
			return fmt.Errorf("%s: %w", q.ID, err)
		}
		r.result.Installed = append(r.result.Installed, q.ID)
	}
	for file, data := range r.kubeconfigs {
		r.journal.add(file, data, 0o600, true)
	}
	r.manifest.Requests = open
	return nil
}

// verify returns the certificate and its intermediates, or why it is not what
// was requested.
func (r *importRun) verify(q Request, cert *x509.Certificate, intermediates []*x509.Certificate) (chain []*x509.Certificate, why string) {
	leaf, err := q.leaf()
	if err != nil {
		return nil, err.Error()
	}
	roots := r.authorities[q.AuthorityFile]
	switch {
	case len(roots) == 0:
		return nil, fmt.Sprintf("the certificate of its authority %s is not here yet", q.Signer)
	case cert.IsCA:
		return nil, "it is an authority"
	case r.o.Now.After(cert.NotAfter):
		return nil, "it expired on " + cert.NotAfter.Format(time.DateOnly)
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, "it may not sign a handshake: key usage digital signature is missing"
	}
	if why := leaf.mismatch(cert); why != "" {
		return nil, why
	}
	opts := x509.VerifyOptions{Roots: pool(roots), Intermediates: pool(intermediates), CurrentTime: r.o.Now}
	if cert.NotBefore.After(r.o.Now) {
		opts.CurrentTime = cert.NotBefore // it will be valid, and that is for its signer to say
	}
	usages, err := leaf.Usage.extKeyUsages()
	if err != nil {
		return nil, err.Error()
	}
	for _, u := range usages {
		opts.KeyUsages = []x509.ExtKeyUsage{u}
		chains, err := cert.Verify(opts)
		if err != nil {
			return nil, fmt.Sprintf("it does not lead to authority %s: %s", q.Signer, err)
		}
		chain = chains[0][:len(chains[0])-1]
	}
	return chain, ""
}

func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// install writes a certificate and its key where they belong.
func (r *importRun) install(q Request, chain []*x509.Certificate) error {
	cert := encodeCerts(chain)
	var key []byte
	if q.PendingKey != "" {
		var err error
		if key, err = os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(q.PendingKey))); err != nil {
			return err
		}
		if signer, err := ParseKey(key); err != nil || !samePublicKey(signer.Public(), chain[0].PublicKey) {
			return errors.New("the key of its request is another one now")
		}
		r.journal.remove(q.PendingKey, false)
	}
	r.journal.remove(q.CSR, false)
	if q.Kubeconfig == "" {
		if key != nil {
			r.journal.add(q.Key, key, 0o600, true)
		}
		r.journal.add(q.Certificate, cert, 0o644, true)
		return nil
	}
	data := r.kubeconfigs[q.Kubeconfig]
	if data == nil {
		var err error
		if data, err = os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(q.Kubeconfig))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var err error
	if data == nil {
		r.kubeconfigs[q.Kubeconfig], err = newKubeconfig(KubeconfigSpec{Subject: Subject{CommonName: q.CommonName}, Server: q.Server},
			encodeCerts(r.authorities[q.AuthorityFile]), cert, key)
		return err
	}
	user := q.User
	if user == "" {
		users, err := clientsOf(data)
		if err != nil || len(users) != 1 {
			return fmt.Errorf("%s: no kubeconfig with one client certificate", q.Kubeconfig)
		}
		user = users[0].user
	}
	r.kubeconfigs[q.Kubeconfig], err = withClient(data, user, cert, key)
	return err
}
