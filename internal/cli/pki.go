package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

// groupPKI is where the root's help lists pki.
const groupPKI = "pki"

func newPKI(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pki",
		GroupID: groupPKI,
		Short:   "Make, check, renew and roll the certificates of a cluster",
		Long: `The certificates, keys and kubeconfigs of a cluster, in kubeadm's file layout.
No private key is ever printed. See docs/pki.md.`,
		Example: `  bulwark pki check
  bulwark pki init -f cluster.yaml -d prod-pki
  bulwark pki renew --all -d /etc/kubernetes --dry-run`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(
		newPKICheck(kubeFlags, streams),
		newPKIInit(streams),
		newPKIImport(streams),
		newPKIRenew(streams),
		newPKIRotate(kubeFlags, streams),
		newPKIEncryption(kubeFlags, streams),
	)
	return cmd
}

// pkiKeys are the flags about encrypted keys.
type pkiKeys struct {
	passphraseFile string
	identities     []string
	streams        genericiooptions.IOStreams
	// context is that of the command that runs.
	context func() context.Context
}

func (k *pkiKeys) add(cmd *cobra.Command) {
	k.context = cmd.Context
	cmd.Flags().StringVar(&k.passphraseFile, "passphrase-file", "", "read the passphrase of encrypted authority keys from this `file`")
	cmd.Flags().StringArrayVarP(&k.identities, "identity", "i", nil, "age identity `file` that opens encrypted authority keys, repeatable")
}

// unlock is a pki.Unlock: flags first, then the terminal.
func (k *pkiKeys) unlock(passphrase bool) ([]age.Identity, error) {
	if passphrase {
		text, err := k.passphrase("passphrase of the authorities' keys: ", false)
		if err != nil {
			return nil, err
		}
		_, identity, err := pki.NewPassphrase(text)
		return []age.Identity{identity}, err
	}
	if len(k.identities) == 0 {
		return nil, &exitError{
			code: exitFailed, err: pki.ErrSealed,
			hint: "give the identity that opens it: --identity FILE",
		}
	}
	var all []age.Identity
	for _, file := range k.identities {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--identity %s: %w", file, cause(err))
		}
		ids, err := age.ParseIdentities(bytes.NewReader(data))
		if err != nil {
			// age's words stay out: they could quote the file.
			return nil, fmt.Errorf("--identity %s: it is no age identity file", file)
		}
		all = append(all, ids...)
	}
	return all, nil
}

// newPassphrase asks for a passphrase that does not exist yet.
func (k *pkiKeys) newPassphrase() (age.Recipient, error) {
	text, err := k.passphrase("new passphrase for the authorities' keys: ", true)
	if err != nil {
		return nil, err
	}
	const least = 12
	if len([]rune(text)) < least {
		return nil, &exitError{
			code: exitMisuse, err: fmt.Errorf("the passphrase is too short: want at least %d characters", least),
			hint: "a few random words are easy to keep and hard to guess",
		}
	}
	recipient, _, err := pki.NewPassphrase(text)
	return recipient, err
}

func (k *pkiKeys) passphrase(prompt string, twice bool) (string, error) {
	if k.passphraseFile != "" {
		data, err := os.ReadFile(k.passphraseFile)
		if err != nil {
			return "", fmt.Errorf("--passphrase-file %s: %w", k.passphraseFile, cause(err))
		}
		// One line: an editor's line end is not part of it.
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	in, ok := k.streams.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", &exitError{
			code: exitFailed, err: errors.New("a passphrase is needed, and there is no terminal to ask at"),
			hint: "give it with --passphrase-file FILE",
		}
	}
	text, err := k.ask(in, prompt)
	if err != nil || !twice {
		return text, err
	}
	again, err := k.ask(in, "once more: ")
	if err != nil {
		return "", err
	}
	if text != again {
		return "", &exitError{code: exitMisuse, err: errors.New("the two passphrases are not the same")}
	}
	return text, nil
}

// ask reads a line from a terminal without showing it. An interrupt ends it: the signal
// only ends the context, so the read itself would go on, with the echo off.
func (k *pkiKeys) ask(terminal *os.File, prompt string) (string, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("reading the passphrase: %w", err)
	}
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	fmt.Fprint(k.streams.ErrOut, prompt)
	defer fmt.Fprintln(k.streams.ErrOut)
	go func() {
		text, err := term.ReadPassword(fd)
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return "", fmt.Errorf("reading the passphrase: %w", a.err)
		}
		return string(a.text), nil
	case <-k.context().Done():
		return "", errors.Join(k.context().Err(), term.Restore(fd, before))
	}
}
