package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/atrest"
	"github.com/bulwark-k8s/bulwark/internal/etcd"
	"github.com/bulwark-k8s/bulwark/internal/lab"
	"github.com/bulwark-k8s/bulwark/internal/pki"
)

// encryptedByDefault is what init encrypts and status always looks at.
var encryptedByDefault = []string{"secrets", "configmaps"}

func newPKIEncryption(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "encryption",
		Short: "Encrypt what a cluster keeps in etcd, see under which key, change the key",
		Long: `Encryption at rest: the apiserver's EncryptionConfiguration, what is stored in
etcd under which key, and the change of that key without a restart and without
losing an object. See docs/encryption.md.`,
		Example: `  bulwark pki encryption init -f encryption.yaml
  sudo bulwark pki encryption status --lab default
  sudo bulwark pki encryption rotate --lab default --dry-run`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEncryptionInit(streams), newEncryptionStatus(streams), newEncryptionRotate(kubeFlags, streams))
	return cmd
}

func newEncryptionInit(streams genericiooptions.IOStreams) *cobra.Command {
	var file, provider, name string
	var resources []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write an EncryptionConfiguration with a new key",
		Long: `Write an EncryptionConfiguration with a new key, for its owner alone (0600). A
file that exists is never overwritten: it may be all that can read a cluster.

secretbox (XSalsa20 and Poly1305) may use one key for as long as you like.
aesgcm must have its key changed before 200,000 writes.`,
		Example: `  bulwark pki encryption init -f /etc/kubernetes/encryption.yaml
  bulwark pki encryption init -f encryption.yaml --provider aesgcm --resources secrets`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key, err := atrest.NewKey(name)
			if err != nil {
				return err
			}
			c, err := atrest.New(provider, resources, key)
			if err != nil {
				return misuse("see `bulwark pki encryption init --help`", "%w", err)
			}
			data, err := c.Encode()
			if err != nil {
				return err
			}
			err = pki.WriteNew(file, data, 0o600)
			if errors.Is(err, fs.ErrExist) {
				return &exitError{
					code: exitFailed, err: fmt.Errorf("%s: it is there already, and is not overwritten", file),
					hint: "to change its key: bulwark pki encryption rotate",
				}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(streams.ErrOut, `wrote %s: %s under key %s (%s)

on every control plane, the same file, 0600, and for the apiserver:
  --encryption-provider-config=%[1]s
  --encryption-provider-config-automatic-reload=true
what is stored already stays as it is until it is written again
`, file, strings.Join(resources, ", "), name, provider)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "encryption.yaml", "`file` to write")
	cmd.Flags().StringVar(&provider, "provider", atrest.Secretbox, "secretbox or aesgcm")
	cmd.Flags().StringVar(&name, "key-name", "key1", "the key's `name`, which every stored object bears in the clear")
	cmd.Flags().StringSliceVar(&resources, "resources", encryptedByDefault, "`resources` to encrypt, as resource or resource.group")
	complete(cmd, "provider", atrest.Secretbox, atrest.AESGCM)
	return cmd
}

// etcdFlags say where etcd is: in a lab's cluster, or anywhere.
type etcdFlags struct {
	lab, stateDir     string
	endpoints         []string
	cacert, cert, key string
	prefix            string
	streams           genericiooptions.IOStreams
}

func (f *etcdFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.lab, "lab", "", "`name` of a cluster that bulwark up has started")
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", "`folder` that the lab's clusters have their folders in")
	cmd.Flags().StringSliceVar(&f.endpoints, "etcd-endpoints", nil, "etcd's client `URLs`; the first that answers is asked")
	cmd.Flags().StringVar(&f.cacert, "cacert", "", "`file` with the authority of etcd's certificates")
	cmd.Flags().StringVar(&f.cert, "cert", "", "client certificate `file` for etcd")
	cmd.Flags().StringVar(&f.key, "key", "", "client key `file` for etcd")
	cmd.Flags().StringVar(&f.prefix, "etcd-prefix", atrest.DefaultRegistry, "the apiserver's --etcd-prefix")
}

func (f *etcdFlags) validate() error {
	if (f.lab == "") == (len(f.endpoints) == 0) {
		return misuse("--lab NAME for a cluster of bulwark up, --etcd-endpoints for any other", "which etcd? want one of --lab and --etcd-endpoints")
	}
	return nil
}

// tls is nil if no file is given.
func (f *etcdFlags) tls() (*tls.Config, error) {
	if f.cacert == "" && f.cert == "" {
		return nil, nil //nolint:nilnil // without files there is no configuration, and http:// needs none
	}
	return clientTLS(f.cacert, f.cert, f.key)
}

func clientTLS(ca, cert, key string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("reading the authority: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority %s: no certificate in it", ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// members are the etcd members to ask, and the lab's access if it is a lab's.
func (f *etcdFlags) members(alone bool) ([]*etcd.Client, *lab.Access, error) {
	if f.lab == "" {
		config, err := f.tls()
		if err != nil {
			return nil, nil, err
		}
		var all []*etcd.Client
		for _, e := range f.endpoints {
			u, err := url.Parse(e)
			if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
				return nil, nil, misuse("as https://10.0.0.11:2379", "--etcd-endpoints %s: not a URL", e)
			}
			all = append(all, etcd.NewClient(e, config, new(net.Dialer).DialContext))
		}
		return all, nil, nil
	}
	env, err := labEnvironment()
	if err != nil {
		return nil, nil, err
	}
	access, err := lab.Open(f.lab, f.stateDir, alone, env)
	if err != nil {
		return nil, nil, err
	}
	var all []*etcd.Client
	for _, c := range access.ControlPlanes {
		var config *tls.Config
		if strings.HasPrefix(c.Etcd, "https:") {
			config, err = clientTLS(c.PKI("etcd/ca.crt"), c.PKI("apiserver-etcd-client.crt"), c.PKI("apiserver-etcd-client.key"))
			if err != nil {
				return nil, nil, errors.Join(err, access.Close())
			}
		}
		all = append(all, etcd.NewClient(c.Etcd, config, etcd.Dial(c.Dial)))
	}
	return all, access, nil
}

// count asks the first member that answers.
func (f *etcdFlags) count(members []*etcd.Client) func(context.Context, []string) ([]atrest.Tally, error) {
	return func(ctx context.Context, resources []string) ([]atrest.Tally, error) {
		var errs []error
		for _, m := range members {
			tallies, err := atrest.CountIn(ctx, m, f.prefix, resources)
			if err == nil {
				return tallies, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

func newEncryptionStatus(streams genericiooptions.IOStreams) *cobra.Command {
	f := etcdFlags{streams: streams}
	var resources []string
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Count the objects in etcd that are under each key, or plain",
		Long: `Count the objects in etcd that are stored under each key, or plain. Of every
value only its first bytes are looked at, which name provider and key in the
clear; the rest is dropped as it arrives. Nothing is decrypted.`,
		Example: `  sudo bulwark pki encryption status --lab default
  sudo bulwark pki encryption status --etcd-endpoints https://127.0.0.1:2379 \
    --cacert /etc/kubernetes/pki/etcd/ca.crt \
    --cert /etc/kubernetes/pki/apiserver-etcd-client.crt --key /etc/kubernetes/pki/apiserver-etcd-client.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return misuse("use -o table or -o json", "output format %q: not known", output)
			}
			if err := f.validate(); err != nil {
				return err
			}
			members, access, err := f.members(false)
			if err != nil {
				return err
			}
			if access != nil {
				defer func() { _ = access.Close() }() // only namespaces are given back
			}
			tallies, err := f.count(members)(cmd.Context(), resources)
			if err != nil {
				return err
			}
			return printTallies(streams.Out, tallies, output)
		},
	}
	f.add(cmd)
	cmd.Flags().StringSliceVar(&resources, "resources", encryptedByDefault, "`resources` to count, as resource or resource.group")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "`format`: table or json")
	complete(cmd, "output", "table", "json")
	return cmd
}

func printTallies(out io.Writer, tallies []atrest.Tally, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"resources": tallies})
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RESOURCE\tSTORED\tKEY\tOBJECTS")
	for _, t := range tallies {
		if t.Objects == 0 {
			fmt.Fprintf(w, "%s\t-\t-\t0\n", t.Resource)
		}
		for _, c := range t.Counts {
			stored, key := c.Provider, c.Key
			if c.Provider == atrest.Plain {
				stored, key = "plain", "-"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", t.Resource, stored, key, c.Objects)
		}
	}
	return w.Flush()
}

// rotateFlags are those of rotate beside etcd's.
type rotateFlags struct {
	etcdFlags

	file, dir, dieAt string
	servers          []string
	dryRun           bool
	wait             time.Duration
}

func newEncryptionRotate(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	f := rotateFlags{etcdFlags: etcdFlags{streams: streams}}
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Change the key that objects in etcd are under, and lose nothing",
		Long: `Change the key that objects in etcd are under: a new key is added to read, then
made the one that writes, every object is rewritten, etcd is asked whether one
is left under another key, and only then the old keys go. Between any two steps
every apiserver has to say that it has loaded the file; it looks every minute.

Each step is recorded. Killed at any moment and run again, it goes on.

With --lab it does all of that. For any other cluster give the file, a folder
and access to etcd: it writes what every control plane is to have, says what to
do with it, and goes on when all apiservers say that it is done.`,
		Example: `  sudo bulwark pki encryption rotate --lab default
  bulwark pki encryption rotate -f encryption.yaml -d rotation --etcd-endpoints https://10.0.0.11:2379 \
    --cacert etcd-ca.crt --cert etcd-client.crt --key etcd-client.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.validate(); err != nil {
				return err
			}
			if f.lab == "" && (f.file == "" || f.dir == "") {
				return misuse("-f FILE -d DIR", "rotate: want the cluster's encryption configuration and a folder for what comes next")
			}
			return f.run(cmd.Context(), kubeFlags)
		},
	}
	f.add(cmd)
	kubeFlags.AddFlags(cmd.Flags())
	cmd.Flags().StringVarP(&f.file, "file", "f", "", "the encryption configuration that every control plane has now (not with --lab)")
	cmd.Flags().StringVarP(&f.dir, "dir", "d", "", "`folder` for the record, and for what control planes are to have (not with --lab)")
	cmd.Flags().StringSliceVar(&f.servers, "apiserver", nil, "`URL` of every apiserver (default: the endpoints of the service kubernetes)")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done")
	cmd.Flags().DurationVar(&f.wait, "wait", 0, "how long to wait for the apiservers at each step (default 3m, and 5s where you copy files)")
	// For the tests of what a killed run leaves; nothing else sets it.
	cmd.Flags().StringVar(&f.dieAt, "die-at", "", "die at this place")
	_ = cmd.Flags().MarkHidden("die-at") // it exists
	return cmd
}

func (f *rotateFlags) run(ctx context.Context, kubeFlags *genericclioptions.ConfigFlags) error {
	members, access, err := f.members(true)
	if err != nil {
		return err
	}
	var config *rest.Config
	r := &atrest.Rotation{
		Count: f.count(members), Now: time.Now, Patience: f.wait,
		Say: func(format string, args ...any) { fmt.Fprintf(f.streams.ErrOut, format+"\n", args...) },
	}
	if f.dieAt != "" {
		r.At = func(place string) {
			if place == f.dieAt {
				// As by kill -9: nothing is tidied up.
				process, _ := os.FindProcess(os.Getpid())
				_ = process.Kill()
				select {}
			}
		}
	}
	if access != nil {
		defer func() { _ = access.Close() }() // only namespaces and a lock are given back
		if config, err = clientcmd.BuildConfigFromFlags(access.API, access.Kubeconfig); err != nil {
			return err
		}
		if !access.Profile.APIServer.Encryption {
			return &exitError{
				code: exitFailed, err: fmt.Errorf("cluster %s: profile %s does not encrypt, so there is no key to change", f.lab, access.Profile.Name),
				hint: "bulwark up --profile hardened",
			}
		}
		if err := f.inLab(r, config, access); err != nil {
			return err
		}
	} else {
		if config, err = kubeFlags.ToRESTConfig(); err != nil {
			return fmt.Errorf("reading the kubeconfig: %w", err)
		}
		if err := f.elsewhere(ctx, r, config); err != nil {
			return err
		}
	}
	if f.dryRun {
		return r.Plan(ctx)
	}
	if r.Objects, err = rewriter(config); err != nil {
		return err
	}
	err = r.Run(ctx)
	if err != nil && access == nil {
		return &exitError{code: exitFailed, err: err, hint: f.steps()}
	}
	if err != nil {
		return &exitError{code: exitFailed, err: err, hint: "once that is mended, the same command goes on"}
	}
	return nil
}

// inLab rotates on machines whose files are within reach.
func (f *rotateFlags) inLab(r *atrest.Rotation, config *rest.Config, access *lab.Access) error {
	var machines atrest.Members
	for _, c := range access.ControlPlanes {
		client, err := serverClient(config, c.APIServer, c.Dial)
		if err != nil {
			return err
		}
		machines = append(machines, atrest.Member{
			Server: atrest.Server{Name: c.Name, URL: c.APIServer, Client: client}, File: c.EncryptionFile(),
		})
	}
	r.Machines = machines
	r.Journal = filepath.Join(access.Folder, "encryption-rotation.json")
	if r.Patience == 0 {
		r.Patience = atrest.DefaultPatience
	}
	return nil
}

// nextFile is what control planes of other clusters are to have, in the folder.
const nextFile = "encryption.yaml"

// elsewhere rotates where somebody else puts the files in place.
func (f *rotateFlags) elsewhere(ctx context.Context, r *atrest.Rotation, config *rest.Config) error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	urls := f.servers
	if len(urls) == 0 {
		var err error
		if urls, err = apiServers(ctx, config); err != nil {
			return err
		}
	}
	machines := atrest.Distant{Current: f.file, Next: filepath.Join(f.dir, nextFile)}
	for _, u := range urls {
		client, err := serverClient(config, u, new(net.Dialer).DialContext)
		if err != nil {
			return err
		}
		machines.Servers = append(machines.Servers, atrest.Server{Name: u, URL: strings.TrimRight(u, "/"), Client: client})
	}
	r.Machines = machines
	r.Journal = filepath.Join(f.dir, "rotation.json")
	if r.Patience == 0 {
		r.Patience = 5 * time.Second
	}
	return nil
}

// steps are what somebody does on every control plane.
func (f *rotateFlags) steps() string {
	next := filepath.Join(f.dir, nextFile)
	if _, err := os.Stat(next); err != nil {
		return "once that is mended, the same command goes on"
	}
	return fmt.Sprintf(`copy %s to every control plane, over the file that --encryption-provider-config names there:
  install -m 600 encryption.yaml FILE.new && mv FILE.new FILE
then, a minute later, run the same command again; it goes on when every apiserver has loaded it`, next)
}

// apiServers are the addresses behind the service kubernetes.
func apiServers(ctx context.Context, config *rest.Config) ([]string, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	list, err := client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("listing the apiservers: %w", err)
	}
	var urls []string
	for _, slice := range list.Items {
		for _, port := range slice.Ports {
			for _, endpoint := range slice.Endpoints {
				for _, address := range endpoint.Addresses {
					urls = append(urls, "https://"+net.JoinHostPort(address, strconv.Itoa(int(*port.Port))))
				}
			}
		}
	}
	slices.Sort(urls)
	if urls = slices.Compact(urls); len(urls) == 0 {
		return nil, &exitError{code: exitFailed, err: errors.New("the service kubernetes has no endpoints"), hint: "name every apiserver with --apiserver URL"}
	}
	return urls, nil
}

// serverClient is a client of one apiserver, as the one the kubeconfig names.
func serverClient(config *rest.Config, server string, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*http.Client, error) {
	own := rest.CopyConfig(config)
	own.Host, own.Dial, own.Timeout = server, dial, 10*time.Second
	return rest.HTTPClientFor(own)
}

func rewriter(config *rest.Config) (*atrest.API, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 100, 100
	config.UserAgent = "bulwark-encryption"
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	lookup, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	groups, err := restmapper.GetAPIGroupResources(lookup)
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for its resources: %w", err)
	}
	return &atrest.API{Client: client, Mapper: restmapper.NewDiscoveryRESTMapper(groups)}, nil
}
