package pki

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

const (
	sealedSuffix = ".age"
	// identityFile is the age identity that opens the keys beside it. It is
	// itself sealed with the passphrase, so that the passphrase's slow
	// derivation is done once, and `age -d -i identity.age ca.key.age` works.
	identityFile = "identity.age"
)

// ErrSealed is wrapped by errors about keys that are encrypted and for which
// there is no identity or passphrase.
var ErrSealed = errors.New("the key is encrypted")

// Unlock returns the identities that open sealed keys. It is called at most
// once, and only when a sealed key is needed. passphrase says that what is
// needed is the passphrase of an identity file, given to age.NewScryptIdentity.
type Unlock func(passphrase bool) ([]age.Identity, error)

// NewPassphrase returns what encrypts under a passphrase and what opens it.
func NewPassphrase(passphrase string) (age.Recipient, age.Identity, error) {
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, nil, errors.New("the passphrase is empty")
	}
	identity, err := age.NewScryptIdentity(passphrase)
	return recipient, identity, err
}

func seal(data []byte, recipients ...age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	w, err := age.Encrypt(text, recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	_, err = w.Write(data)
	if err := errors.Join(err, w.Close(), text.Close()); err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return out.Bytes(), nil
}

func unseal(data []byte, identities []age.Identity) ([]byte, error) {
	var in io.Reader = bytes.NewReader(data)
	if strings.HasPrefix(strings.TrimSpace(string(data)), armor.Header) {
		in = armor.NewReader(in)
	}
	r, err := age.Decrypt(in, identities...)
	var mismatch *age.NoIdentityMatchError
	if errors.As(err, &mismatch) {
		return nil, errors.New("encrypted to somebody else, or with another passphrase")
	}
	if err != nil {
		return nil, fmt.Errorf("decrypting: %w", err)
	}
	return io.ReadAll(r)
}

// vault reads and writes the keys of authorities in one folder.
type vault struct {
	dir    string // the folder with the authorities
	unlock Unlock

	recipients []age.Recipient
	identities []age.Identity
	unlocked   bool
}

// open makes the identities available.
func (v *vault) open() error {
	if v.unlocked {
		return nil
	}
	if v.unlock == nil {
		return ErrSealed
	}
	sealed, err := os.ReadFile(filepath.Join(v.dir, identityFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	identities, err := v.unlock(sealed != nil)
	if err != nil {
		return err
	}
	if sealed != nil {
		if identities, err = openIdentity(sealed, identities); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(v.dir, identityFile), err)
		}
	}
	v.identities, v.unlocked = identities, true
	return nil
}

func openIdentity(sealed []byte, by []age.Identity) ([]age.Identity, error) {
	text, err := unseal(sealed, by)
	if err != nil {
		return nil, err
	}
	identities, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("not an age identity") // age's words could quote it
	}
	return identities, nil
}

// key reads base's private key, plain or sealed. It returns nil without an
// error where there is none.
func (v *vault) key(base string) (crypto.Signer, error) {
	file := filepath.Join(v.dir, filepath.FromSlash(base)) + ".key"
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		file += sealedSuffix
		if data, err = os.ReadFile(file); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err == nil {
			if err := v.open(); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			data, err = unseal(data, v.identities)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// hasKey says whether there is a key, without opening it.
func (v *vault) hasKey(base string) bool {
	file := filepath.Join(v.dir, filepath.FromSlash(base)) + ".key"
	return exists(file) || exists(file+sealedSuffix)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// encode returns a key as it is stored: its suffix and its content.
func (v *vault) encode(key crypto.Signer) (suffix string, data []byte, err error) {
	if data, err = EncodeKey(key); err != nil || len(v.recipients) == 0 {
		return ".key", data, err
	}
	data, err = seal(data, v.recipients...)
	return ".key" + sealedSuffix, data, err
}

// prepare finds out to whom new keys are sealed, and returns a new identity
// file if there has to be one. passphrase is asked for a new passphrase; with
// fresh, the identity file that may be there is not used.
func (v *vault) prepare(c CAKeys, passphrase func() (age.Recipient, error), fresh bool) (identity []byte, err error) {
	if c.Store != StoreAge {
		return nil, nil
	}
	for _, s := range c.Recipients {
		r, err := age.ParseX25519Recipient(s)
		if err != nil {
			return nil, errors.New("a recipient is no age public key")
		}
		v.recipients = append(v.recipients, r)
	}
	if !c.Passphrase {
		return nil, nil
	}
	if !fresh && exists(filepath.Join(v.dir, identityFile)) {
		if err := v.open(); err != nil {
			return nil, err
		}
		for _, i := range v.identities {
			if x, ok := i.(*age.X25519Identity); ok {
				v.recipients = append(v.recipients, x.Recipient())
			}
		}
		return nil, nil
	}
	if passphrase == nil {
		return nil, errors.New("a new passphrase is needed")
	}
	to, err := passphrase()
	if err != nil {
		return nil, err
	}
	x, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	v.recipients = append(v.recipients, x.Recipient())
	v.identities, v.unlocked = []age.Identity{x}, true
	return seal([]byte(x.String()+"\n"), to)
}

// Sealer returns what encrypts a new key as the keys of the authorities in
// caDir are: to the config's recipients, or to the identity that the passphrase
// opens, which is asked for.
func Sealer(caDir string, keys CAKeys, unlock Unlock) (func(key []byte) ([]byte, error), error) {
	v := &vault{dir: caDir, unlock: unlock}
	// Fresh is false, so no new identity is made where one is to be read.
	if keys.Passphrase && !exists(filepath.Join(caDir, identityFile)) {
		return nil, fmt.Errorf("%s: not there, and the keys beside it are encrypted to it", filepath.Join(caDir, identityFile))
	}
	if _, err := v.prepare(keys, nil, false); err != nil {
		return nil, err
	}
	if len(v.recipients) == 0 {
		return nil, errors.New("the authorities' keys are encrypted, and cluster.yaml does not say to whom")
	}
	return func(key []byte) ([]byte, error) { return seal(key, v.recipients...) }, nil
}
