package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/trust"
	"github.com/bulwark-k8s/bulwark/internal/trust/gather"
	"github.com/bulwark-k8s/bulwark/internal/trust/show"
)

// pkiCheckOptions are the flags of pki check.
type pkiCheckOptions struct {
	outputs []string
	failOn  string
	within  string
	secrets bool
	offline bool
	nodes   bool
	all     bool
	timeout time.Duration

	kube    *genericclioptions.ConfigFlags
	streams genericiooptions.IOStreams
	color   bool
}

func newPKICheck(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &pkiCheckOptions{kube: kubeFlags, streams: streams}
	cmd := &cobra.Command{
		Use:   "check [DIR | KUBECONFIG | HOST:PORT …]",
		Short: "Say who is who, who trusts whom, and what is wrong with the certificates",
		Long: `Check reads certificates and says for each whose identity it is, what that may do
in the cluster, who trusts it and until when, draws who talks to whom and how each
side proves who it is, and says what is wrong, worst first.

Give folders (/etc/kubernetes, k3s' or RKE2's server/tls, folders of bundles that
bulwark wrote), kubeconfigs, and addresses of ports. With a kubeconfig the cluster
is asked too: authentication, RBAC, webhooks, aggregated APIs and certificate
requests. Without an argument it is the current context.

It only reads and shakes hands. Of a private key it keeps the public half's
fingerprint, to compare it with the certificate; no key is printed or sent. Secrets
are not asked for, unless --secrets is given: then each TLS Secret is, one by one,
and only its tls.crt is decoded.

What could not be read is unknown, never passed: the exit code is then 4, unless
something is wrong at or above --fail-on, which is 3.`,
		Example: `  # the cluster of the current context
  bulwark pki check

  # on a control-plane machine: its files and its ports
  sudo bulwark pki check /etc/kubernetes localhost:6443 localhost:2379

  # a picture of who talks to whom
  bulwark pki check admin.conf ./bundles -o html=trust.html

  # what ends within 60 days, for a pipeline
  bulwark pki check /etc/kubernetes --within 60d -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.color = colour(cmd, streams.Out)
			return o.run(cmd.Context(), args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "`format` or format=file, repeatable: "+strings.Join(show.Names(), ", ")+" (default table)")
	f.StringVar(&o.failOn, "fail-on", "medium", "the least severity that ends with exit code 3: critical, high, medium, low, note or none")
	f.StringVar(&o.within, "within", "30d", "how long before its end a certificate expires soon: 30d, 72h")
	f.BoolVar(&o.secrets, "secrets", false, "also ask for every TLS Secret, one by one; only tls.crt is decoded")
	f.BoolVar(&o.offline, "offline", false, "read kubeconfigs as files, and do not ask their clusters")
	f.BoolVar(&o.nodes, "nodes", false, "also ask API servers and kubelets at the machines' own addresses; best from a machine of the cluster")
	f.BoolVar(&o.all, "all", false, "show every certificate with its names, chain and places, and every finding")
	f.DurationVar(&o.timeout, "timeout", gather.DefaultTimeout, "how long a port may take for one answer")
	if kubeFlags != nil {
		kubeFlags.AddFlags(f)
	}
	complete(cmd, "output", show.Names()...)
	complete(cmd, "fail-on", "critical", "high", "medium", "low", "note", "none")
	return cmd
}

func (o *pkiCheckOptions) run(ctx context.Context, args []string) error {
	outputs, err := parseOutputs(o.outputs, show.Names(), show.Find)
	if err != nil {
		return err
	}
	threshold, none := trust.Note, o.failOn == "none"
	if !none {
		if threshold, err = trust.ParseSeverity(o.failOn); err != nil {
			return misuse("", "--fail-on: %w, or none", err)
		}
	}
	within, err := parseDays(o.within)
	if err != nil {
		return misuse("write 30d or 72h", "--within: %w", err)
	}
	if o.timeout <= 0 {
		return misuse("", "--timeout: %s, want more than nothing", o.timeout)
	}

	p := startProgress(o.streams.ErrOut)
	defer p.end()
	machine, _ := os.Hostname()
	r := gather.New(gather.Options{
		Machine: machine, Timeout: o.timeout, Secrets: o.secrets, Nodes: o.nodes,
		Progress: func(what string) { p.say("reading %s", what) },
	})
	target := strings.Join(args, " ")
	if len(args) == 0 {
		if target, err = o.current(ctx, r); err != nil {
			return err
		}
	}
	for _, arg := range args {
		if err := o.read(ctx, r, arg); err != nil {
			return err
		}
	}
	p.end()
	if r.Empty() {
		return &exitError{
			code: exitFailed, err: fmt.Errorf("%s: there is no certificate, key or kubeconfig in it", target),
			hint: "give /etc/kubernetes, a kubeconfig, or an address: HOST:PORT",
		}
	}
	result := trust.Judge(r.Facts(target), trust.Options{Now: time.Now(), Within: within})
	if err := o.write(result, outputs); err != nil {
		return err
	}
	switch worst, any := result.Worst(); {
	case any && !none && worst >= threshold:
		return &exitError{code: exitBroken}
	case result.Incomplete():
		return &exitError{code: exitIncomplete}
	}
	return nil
}

// parseDays reads a duration that may be given in days.
func parseDays(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		const most = 36500
		days, err := strconv.Atoi(n)
		if err != nil || days <= 0 || days > most {
			return 0, fmt.Errorf("%q: want 1d to %dd", s, most)
		}
		return time.Duration(days) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q: want a time such as 30d or 72h", s)
	}
	return d, nil
}

// current reads the kubeconfig's current context and its cluster.
func (o *pkiCheckOptions) current(ctx context.Context, r *gather.Reader) (string, error) {
	config, err := o.kube.ToRESTConfig()
	if err != nil {
		return "", kubeconfigError(err)
	}
	loader := o.kube.ToRawKubeConfigLoader()
	raw, err := loader.RawConfig()
	if err != nil {
		return "", kubeconfigError(err)
	}
	if len(raw.Clusters) == 0 && *o.kube.APIServer == "" && config.BearerTokenFile == "" {
		return "", kubeconfigError(clientcmd.ErrEmptyConfig)
	}
	name := raw.CurrentContext
	if *o.kube.Context != "" {
		name = *o.kube.Context
	}
	for _, file := range loader.ConfigAccess().GetLoadingPrecedence() {
		if _, err := os.Stat(file); err == nil {
			if err := r.File(file); err != nil {
				return "", namedError(file, err)
			}
		}
	}
	if name == "" {
		name = config.Host
	}
	if o.offline {
		return name, nil
	}
	return name, r.Cluster(ctx, config, name)
}

// read reads one argument: a folder, a file, or the address of a port.
func (o *pkiCheckOptions) read(ctx context.Context, r *gather.Reader, arg string) error {
	info, err := os.Stat(arg)
	if errors.Is(err, fs.ErrNotExist) {
		if host, port, splitErr := net.SplitHostPort(arg); splitErr == nil && host != "" {
			if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
				return misuse("give HOST:PORT with a port from 1 to 65535", "%s: port %q is none", arg, port)
			}
			r.Port(ctx, arg)
			return ctx.Err()
		}
		return &exitError{
			code: exitMisuse, err: fmt.Errorf("%s: no such folder or file, and no HOST:PORT", arg),
			hint: "give /etc/kubernetes, a kubeconfig, or an address such as 10.0.0.1:6443",
		}
	}
	if err != nil {
		return namedError(arg, err)
	}
	if info.IsDir() {
		if err := r.Folder(ctx, arg); err != nil {
			return namedError(arg, err)
		}
		return nil
	}
	if err := r.File(arg); err != nil {
		return namedError(arg, err)
	}
	if o.offline {
		return nil
	}
	config, name, err := clusterOf(arg)
	if err != nil || config == nil {
		return nil //nolint:nilerr // a certificate, or a kubeconfig without a cluster: the file was read
	}
	return r.Cluster(ctx, config, name)
}

func namedError(name string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// clusterOf is how to ask the cluster of a kubeconfig's current context, or nil where the
// file is none.
func clusterOf(file string) (*rest.Config, string, error) {
	raw, err := clientcmd.LoadFromFile(file)
	if err != nil || len(raw.Clusters) == 0 {
		return nil, "", err
	}
	config, err := clientcmd.NewDefaultClientConfig(*raw, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, "", err
	}
	name := raw.CurrentContext
	if name == "" {
		name = config.Host
	}
	return config, name, nil
}

// write makes every report.
func (o *pkiCheckOptions) write(result *trust.Result, outputs []output[show.Format]) error {
	options := show.Options{All: o.all, Version: version()}
	shown := options
	shown.Color = o.color
	shown.Width, _ = terminal(o.streams.Out)
	return writeOutputs(o.streams, outputs, func(w io.Writer, format show.Format, toFile bool) error {
		if toFile {
			return format.Write(w, result, options)
		}
		return format.Write(w, result, shown)
	})
}
