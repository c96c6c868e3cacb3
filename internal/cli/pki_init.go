package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

// pkiInit are init's flags.
type pkiInit struct {
	pkiKeys
	file, dir string
	encrypt   []string
	force     bool
	reissue   bool
	csrOnly   bool
	example   bool
}

func newPKIInit(streams genericiooptions.IOStreams) *cobra.Command {
	o := &pkiInit{pkiKeys: pkiKeys{streams: streams}}
	cmd := &cobra.Command{
		Use:   "init -d DIR [-f cluster.yaml]",
		Short: "Make the authorities, certificates and kubeconfigs of a cluster",
		Long: `Make the authorities, certificates, keys and kubeconfigs of a cluster, as one
folder for each machine with what that machine needs and nothing else, one for
the authorities, and one for people. Files are where kubeadm has them.

Without -f it uses the cluster.yaml in DIR, or else makes a cluster of this
machine alone.

What exists is never touched: run it again after adding a machine, or after it
was interrupted, and it makes what is missing. What is there but is not what
cluster.yaml asks for is named, and --reissue makes only that anew. Whatever is
replaced stays in DIR/backup.`,
		Example: `  bulwark pki init --example > cluster.yaml
  bulwark pki init -f cluster.yaml -d prod-pki
  bulwark pki init -d prod-pki                             # what is missing
  bulwark pki init -f cluster.yaml -d prod-pki --encrypt-ca passphrase
  bulwark pki init -f cluster.yaml -d prod-pki --encrypt-ca age1…
  bulwark pki init -f cluster.yaml -d prod-pki --csr-only  # somebody else signs`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if o.example {
				_, err := io.WriteString(streams.Out, pki.ExampleConfig)
				return err
			}
			return o.run()
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "the cluster's description, a YAML `file`; - is standard input")
	f.StringVarP(&o.dir, "dir", "d", "", "the `folder` to write")
	f.StringArrayVar(&o.encrypt, "encrypt-ca", nil, "encrypt the authorities' keys: passphrase, an age1… `recipient`, or a file of recipients; repeatable")
	f.BoolVar(&o.csrOnly, "csr-only", false, "make keys and requests, for authorities that are elsewhere")
	f.BoolVar(&o.reissue, "reissue", false, "make anew what is not what the description asks for")
	f.BoolVar(&o.force, "force", false, "make everything anew, the authorities too")
	f.BoolVar(&o.example, "example", false, "print a description with every key, and stop")
	o.add(cmd)
	return cmd
}

func (o *pkiInit) run() error {
	if o.dir == "" {
		return misuse("bulwark pki init -d DIR", "init: which folder?")
	}
	config, text, err := o.config()
	if err != nil {
		return err
	}
	if err := o.store(&config); err != nil {
		return err
	}
	if o.csrOnly || len(o.encrypt) > 0 {
		text = nil // flags changed it: what is kept is what was made
	}
	result, err := pki.Init(o.dir, pki.InitOptions{
		Config: config, File: text, Now: time.Now(), Force: o.force, Reissue: o.reissue,
		Unlock: o.unlock, NewPassphrase: o.newPassphrase,
	})
	if err != nil {
		return existing(err)
	}
	return o.print(config, result)
}

// existing says what to do about a file that should not be there.
func existing(err error) error {
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return &exitError{code: exitFailed, err: err, hint: "another run, or another program, writes to this folder: run it again"}
}

// config reads the description: of the flag, of the folder, or of this machine.
func (o *pkiInit) config() (pki.Config, []byte, error) {
	file := o.file
	if file == "" {
		kept := filepath.Join(o.dir, "cluster.yaml")
		if _, err := os.Stat(kept); err == nil {
			file = kept
		}
	}
	if file == "" {
		config, err := thisMachine()
		return config, nil, err
	}
	var text []byte
	var err error
	if file == "-" {
		file = "standard input"
		text, err = io.ReadAll(o.streams.In)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return pki.Config{}, nil, fmt.Errorf("%s: %w", file, cause(err))
	}
	config, err := pki.ParseConfig(file, text)
	return config, text, err
}

// store applies the flags about the authorities' keys.
func (o *pkiInit) store(config *pki.Config) error {
	if o.csrOnly {
		if len(o.encrypt) > 0 {
			return misuse("leave out one of them", "--csr-only and --encrypt-ca: an authority that is elsewhere has no key here")
		}
		config.CAKeys = pki.CAKeys{Store: pki.StoreExternal}
		return nil
	}
	if len(o.encrypt) == 0 {
		return nil
	}
	keys := pki.CAKeys{Store: pki.StoreAge}
	for _, value := range o.encrypt {
		if value == "passphrase" {
			keys.Passphrase = true
			continue
		}
		if _, err := age.ParseX25519Recipient(value); err == nil {
			keys.Recipients = append(keys.Recipients, value)
			continue
		}
		recipients, err := readRecipients(value)
		if err != nil {
			return err
		}
		keys.Recipients = append(keys.Recipients, recipients...)
	}
	if keys.Passphrase && len(keys.Recipients) > 0 {
		return misuse("leave out one of them", "--encrypt-ca: passphrase and recipients exclude each other")
	}
	config.CAKeys = keys
	return nil
}

// readRecipients reads a file with an age1… on each line.
func readRecipients(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		if strings.HasPrefix(strings.ToUpper(file), "AGE-SECRET-KEY-") {
			// Not to be repeated on a screen.
			return nil, misuse("encrypt to the public key: age1…", "--encrypt-ca: this is a private key")
		}
		return nil, misuse("want passphrase, age1…, or a file with an age1… on each line", "--encrypt-ca %s: %w", file, cause(err))
	}
	defer f.Close()
	var all []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := age.ParseX25519Recipient(line); err != nil {
			return nil, misuse("want an age1… on each line", "--encrypt-ca %s: a line is no age recipient", file)
		}
		all = append(all, line)
	}
	if len(all) == 0 {
		return nil, misuse("want an age1… on each line", "--encrypt-ca %s: there is no recipient in it", file)
	}
	return all, nil
}

// thisMachine is a cluster of the machine this runs on.
func thisMachine() (pki.Config, error) {
	const hint = "describe the cluster in a file: bulwark pki init --example > cluster.yaml"
	name, err := os.Hostname()
	if err != nil {
		return pki.Config{}, fmt.Errorf("this machine's name: %w", err)
	}
	// Kubelets register under the name in lower case.
	name = strings.ToLower(name)
	addresses := ownAddresses()
	if len(addresses) == 0 {
		return pki.Config{}, &exitError{code: exitFailed, err: errors.New("this machine has no address that others could reach"), hint: hint}
	}
	// Through the same checks as a file.
	config, err := pki.ParseConfig("this machine", pki.SingleNode(name, addresses).YAML())
	if err != nil {
		return config, &exitError{code: exitFailed, err: err, hint: hint}
	}
	return config, nil
}

// ownAddresses are those with which this machine would dial out, one of each
// family. Choosing a route sends nothing.
func ownAddresses() (own []netip.Addr) {
	for _, far := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		conn, err := net.Dial("udp", far) //nolint:noctx // it only looks up a route
		if err != nil {
			continue
		}
		if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			if ip := a.AddrPort().Addr().Unmap(); ip.IsGlobalUnicast() {
				own = append(own, ip)
			}
		}
		_ = conn.Close()
	}
	if len(own) > 0 {
		return own
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return []netip.Addr{p.Addr()}
		}
	}
	return nil
}

func (o *pkiInit) print(config pki.Config, r *pki.InitResult) error {
	talk := o.streams.ErrOut
	if r.Recovered {
		fmt.Fprintln(talk, "bulwark: completed what an earlier run had begun")
	}
	for _, d := range r.Differs {
		fmt.Fprintf(talk, "bulwark: kept: %s: %s\n", d.ID, d.Text)
	}
	if len(r.Differs) > 0 {
		fmt.Fprintln(talk, "bulwark: hint: --reissue makes anew what is not what cluster.yaml asks for")
	}
	for _, m := range config.Docker {
		fmt.Fprintf(talk, "bulwark: warning: whoever holds admin/docker/%s/key.pem is root on %s: Docker asks its clients for nothing but the certificate\n", m, m)
	}
	if r.Backup != "" {
		fmt.Fprintf(talk, "bulwark: what was replaced is in %s\n", r.Backup)
	}
	if len(r.Made) == 0 {
		fmt.Fprintf(o.streams.Out, "cluster %s: all %d files exist, nothing was changed\n", config.Name, r.Kept)
	} else {
		if err := o.table(r); err != nil {
			return err
		}
		kept := ""
		if r.Kept > 0 {
			kept = fmt.Sprintf(", %d existed", r.Kept)
		}
		fmt.Fprintf(o.streams.Out, "\ncluster %s: %s made in %s%s\n", config.Name, count(len(r.Made), "file"), o.dir, kept)
	}
	if waiting := len(r.Requested) + len(r.Waiting); waiting > 0 {
		fmt.Fprintf(talk, "bulwark: %s to be signed: hand out %s, and take the answers with `bulwark pki import`\n", count(waiting, "request"), filepath.Join(o.dir, "requests"))
	}
	if len(r.MissingAuthorities) > 0 {
		fmt.Fprintf(talk, "bulwark: certificates of authorities that are still missing: %s\n", strings.Join(r.MissingAuthorities, ", "))
	}
	return nil
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// table counts what was made by its first folder.
func (o *pkiInit) table(r *pki.InitResult) error {
	type row struct{ certs, keys, configs, other int }
	counts := map[string]*row{}
	var order []string
	for _, file := range r.Made {
		folder, _, nested := strings.Cut(file, "/")
		if !nested {
			folder = "."
		}
		c := counts[folder]
		if c == nil {
			c = &row{}
			counts[folder] = c
			order = append(order, folder)
		}
		switch base := filepath.Base(file); {
		case strings.HasSuffix(base, ".conf"):
			c.configs++
		case strings.HasSuffix(base, ".key"), strings.HasSuffix(base, ".key.age"), strings.HasSuffix(base, "key.pem"):
			c.keys++
		case strings.HasSuffix(base, ".crt"), strings.HasSuffix(base, ".pem"):
			c.certs++
		default:
			c.other++
		}
	}
	w := tabwriter.NewWriter(o.streams.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FOLDER\tCERTIFICATES\tKEYS\tKUBECONFIGS\tOTHER")
	for _, folder := range order {
		c := counts[folder]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", folder, c.certs, c.keys, c.configs, c.other)
	}
	return w.Flush()
}

func newPKIImport(streams genericiooptions.IOStreams) *cobra.Command {
	var dir string
	var authorities []string
	cmd := &cobra.Command{
		Use:   "import -d DIR [--ca NAME=FILE]… SIGNED…",
		Short: "Install certificates that somebody else has signed",
		Long: `Install the answers to the requests of init --csr-only, or of renew where an
authority's key is elsewhere. A certificate finds its request by its public
key, so files may have any name and order, and hold any number of certificates.

A certificate is installed if it says exactly what was requested, and leads to
the authority from which it was requested. Whatever is more (a name, a group, a
usage) is refused as well as whatever is less.`,
		Example: `  bulwark pki import -d prod-pki --ca ca=k8s-ca.pem --ca etcd/ca=etcd-ca.pem \
      --ca front-proxy-ca=proxy-ca.pem signed/*.pem
  bulwark pki import -d prod-pki late.pem`,
		RunE: func(_ *cobra.Command, args []string) error {
			return importSigned(streams, dir, authorities, args)
		},
	}
	cmd.Flags().StringVarP(&dir, "dir", "d", "", "the `folder` with the requests")
	cmd.Flags().StringArrayVar(&authorities, "ca", nil, "an authority's certificate, as `NAME=FILE`, where it is not there yet: ca, etcd/ca, front-proxy-ca")
	return cmd
}

func importSigned(streams genericiooptions.IOStreams, dir string, authorities, files []string) error {
	if dir == "" {
		return misuse("bulwark pki import -d DIR SIGNED…", "import: which folder?")
	}
	if len(files)+len(authorities) == 0 {
		return misuse("bulwark pki import -d "+dir+" SIGNED…", "import: which certificates?")
	}
	o := pki.ImportOptions{Now: time.Now(), Authorities: map[string]pki.Named{}}
	for _, a := range authorities {
		name, file, ok := strings.Cut(a, "=")
		if !ok {
			return misuse("--ca etcd/ca=FILE", "--ca %s: want NAME=FILE", a)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, cause(err))
		}
		o.Authorities[name] = pki.Named{Name: file, Data: data}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, cause(err))
		}
		o.Signed = append(o.Signed, pki.Named{Name: file, Data: data})
	}
	r, err := pki.Import(dir, o)
	if err != nil {
		return existing(err)
	}
	for _, base := range r.InstalledCAs {
		fmt.Fprintf(streams.Out, "installed: authority %s\n", base)
	}
	for _, id := range r.Installed {
		fmt.Fprintf(streams.Out, "installed: %s\n", id)
	}
	for _, base := range r.MissingAuthorities {
		fmt.Fprintf(streams.Out, "missing:   authority %s\n", base)
	}
	for _, id := range r.Missing {
		fmt.Fprintf(streams.Out, "missing:   %s\n", id)
	}
	if r.Backup != "" {
		fmt.Fprintf(streams.ErrOut, "bulwark: what was replaced is in %s\n", r.Backup)
	}
	for _, d := range r.Refused {
		fmt.Fprintf(streams.ErrOut, "bulwark: refused: %s: %s\n", d.ID, d.Text)
	}
	if n := len(r.Refused); n > 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("import: %d of the certificates are not what was requested", n), hint: "requests/manifest.json says what each has to be"}
	}
	return nil
}
