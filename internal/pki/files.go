package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Modes are the permissions of what is written. The zero value is the safe
// one; the others exist because a laboratory must be able to show what unsafe
// looks like.
type Modes struct {
	Key         fs.FileMode // 0600
	Certificate fs.FileMode // 0644
	Kubeconfig  fs.FileMode // 0600: it contains a key
}

func (m Modes) withDefaults() Modes {
	if m.Key == 0 {
		m.Key = 0o600
	}
	if m.Certificate == 0 {
		m.Certificate = 0o644
	}
	if m.Kubeconfig == 0 {
		m.Kubeconfig = 0o600
	}
	return m
}

// Trust is a cluster's roots: its authorities by base path, and the pair that
// signs service account tokens.
type Trust struct {
	Authorities     map[string]*Authority
	ServiceAccounts Pair // Certificate is nil: only the key matters
}

// NewTrust makes the three authorities and the service account key. Keys are
// drawn at the same time, since RSA takes long.
func (i Issuer) NewTrust() (*Trust, error) {
	specs := Authorities()
	made := make([]*Authority, len(specs))
	errs := make([]error, len(specs)+1)
	t := &Trust{Authorities: map[string]*Authority{}}
	var wg sync.WaitGroup
	for n, spec := range specs {
		wg.Go(func() { made[n], errs[n] = i.Authority(spec.CommonName) })
	}
	wg.Go(func() { t.ServiceAccounts.Key, errs[len(specs)] = i.Algorithm.Generate() })
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for n, spec := range specs {
		t.Authorities[spec.Base] = made[n]
	}
	return t, nil
}

// Files writes what an Issuer makes in kubeadm's layout below Dir, which
// stands for /etc/kubernetes. No file is ever replaced: a plan that meets an
// existing file stops with an error that wraps fs.ErrExist.
type Files struct {
	Dir   string
	Modes Modes
}

// certificateDir is kubeadm's name for the folder beside the kubeconfigs.
const certificateDir = "pki"

// Write issues and writes a plan. Which of a trust's files a machine gets is
// decided by the plan's authorities: a control plane gets them with their
// keys and the service account pair, a node only the cluster's certificate.
func (f Files) Write(issuer Issuer, trust *Trust, plan Plan) error {
	if err := plan.validate(); err != nil {
		return err
	}
	for _, spec := range plan.Authorities {
		authority, ok := trust.Authorities[spec.Base]
		if !ok {
			return fmt.Errorf("authority %s: not in this trust", spec.Base)
		}
		if err := f.WritePair(filepath.Join(certificateDir, spec.Base), &authority.Pair); err != nil {
			return err
		}
	}
	if len(plan.Authorities) > 0 {
		if err := f.writeServiceAccountKeys(trust.ServiceAccounts); err != nil {
			return err
		}
	} else if err := f.writeCertificate(filepath.Join(certificateDir, ClusterCA), &trust.Authorities[ClusterCA].Pair); err != nil {
		return err
	}
	errs := make([]error, len(plan.Certificates)+len(plan.Kubeconfigs))
	var wg sync.WaitGroup
	for n, spec := range plan.Certificates {
		wg.Go(func() {
			errs[n] = f.writeLeaf(issuer, trust, spec)
		})
	}
	for n, spec := range plan.Kubeconfigs {
		wg.Go(func() {
			errs[len(plan.Certificates)+n] = f.writeKubeconfig(issuer, trust, spec)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f Files) writeLeaf(issuer Issuer, trust *Trust, spec CertificateSpec) error {
	authority, ok := trust.Authorities[spec.Authority]
	if !ok {
		return fmt.Errorf("certificate %s: unknown authority %q", spec.Base, spec.Authority)
	}
	pair, err := issuer.Issue(authority, spec.Leaf)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", spec.Base, err)
	}
	return f.WritePair(filepath.Join(certificateDir, spec.Base), pair)
}

func (f Files) writeKubeconfig(issuer Issuer, trust *Trust, spec KubeconfigSpec) error {
	data, err := issuer.Kubeconfig(trust, spec)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: %w", spec.File, err)
	}
	return WriteNew(filepath.Join(f.Dir, spec.File), data, f.Modes.withDefaults().Kubeconfig)
}

func (f Files) writeServiceAccountKeys(pair Pair) error {
	private, err := EncodeKey(pair.Key)
	if err != nil {
		return err
	}
	public, err := EncodePublicKey(pair.Key)
	if err != nil {
		return err
	}
	base := filepath.Join(f.Dir, certificateDir, ServiceAccountKey)
	modes := f.Modes.withDefaults()
	if err := WriteNew(base+".key", private, modes.Key); err != nil {
		return err
	}
	// The public half verifies tokens and is as public as a certificate, but
	// kubeadm keeps it to root, and so do we.
	return WriteNew(base+".pub", public, modes.Key)
}

// WritePair writes base.key and then base.crt below Dir: a certificate that is
// there always has its key.
func (f Files) WritePair(base string, pair *Pair) error {
	key, err := EncodeKey(pair.Key)
	if err != nil {
		return err
	}
	if err := WriteNew(filepath.Join(f.Dir, base)+".key", key, f.Modes.withDefaults().Key); err != nil {
		return err
	}
	return f.writeCertificate(base, pair)
}

func (f Files) writeCertificate(base string, pair *Pair) error {
	return WriteNew(filepath.Join(f.Dir, base)+".crt", EncodeCertificate(pair.Certificate), f.Modes.withDefaults().Certificate)
}

// newPattern is how a file is called while it is written.
const newPattern = ".bulwark-new-*"

// WriteNew writes a file that must not exist yet, whole or not at all: the
// content goes to a temporary file that is then linked to its name, and a link
// refuses to replace. Missing folders are made.
func WriteNew(name string, data []byte, mode fs.FileMode) error {
	return writeNew(name, data, mode, true)
}

// writeNew leaves it to the caller to sync the file, if told so.
func writeNew(name string, data []byte, mode fs.FileMode, sync bool) (err error) {
	dir := filepath.Dir(name)
	// 0755: certificates in here are for every component to read, whoever it
	// runs as; the keys beside them have modes of their own.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", name, err)
	}
	tmp, err := os.CreateTemp(dir, newPattern)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer func() {
		if rm := os.Remove(tmp.Name()); rm != nil && err == nil {
			err = fmt.Errorf("writing %s: %w", name, rm)
		}
	}()
	_, werr := tmp.Write(data)
	if sync {
		werr = errors.Join(werr, tmp.Sync())
	}
	if err := errors.Join(werr, tmp.Chmod(mode), tmp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Link(tmp.Name(), name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
