package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/segment/show"
)

// netOptions are the flags that all of net's commands share.
type netOptions struct {
	files    []string
	cni      string
	podCIDRs []string

	kube    *genericclioptions.ConfigFlags
	streams genericiooptions.IOStreams
	color   bool
}

func newNet(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &netOptions{kube: kubeFlags, streams: streams}
	var ports []string
	var output string
	cmd := &cobra.Command{
		Use:     "net [FROM [TO]]",
		GroupID: "look",
		Short:   "Say what may talk to what, and which policy decides",
		Long: `Net tells from the network policies what may talk to what: NetworkPolicy,
ClusterNetworkPolicy, AdminNetworkPolicy and BaselineAdminNetworkPolicy.

With FROM and TO it says allowed, denied or unknown, and why: the policies and rules
that decide, or that there are none. With FROM alone it lists all that this reaches
and that reaches it. Without either it gives an overview of the namespaces.

FROM and TO are NS/POD, NS/KIND/NAME (shop/deploy/web, shop/svc/db; with -n also
deploy/web), NS/* for a whole namespace, node/NAME, an address, a range of addresses,
or internet. A Service is asked on its own ports, anything else on all of them,
unless --port says which.

It reads the cluster of the current context, or with -f files, folders, charts and
snapshots. Answers are what policies say, not whether anybody listens. What could not
be read makes an answer unknown; the exit code is then 4.`,
		Example: `  # how the namespaces stand
  bulwark net

  # may the front reach the database, and which policy says so
  bulwark net shop/deploy/web data/svc/db --port TCP/5432

  # all that a workload reaches and that reaches it
  bulwark net shop/deploy/web

  # manifests before they are applied; from the internet, to the cloud's metadata
  bulwark net -f ./deploy internet shop/deploy/web
  bulwark net -f ./deploy shop/deploy/web 169.254.169.254 --port 80`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 {
				return misuse("see `"+cmd.CommandPath()+" --help`", "net: %d arguments, want FROM and TO at most", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.color = colour(cmd, streams.Out)
			return o.ask(cmd.Context(), args, ports, output)
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&ports, "port", "p", nil, "only these `ports`: TCP/80, UDP/53, 8080, TCP/8000-8080")
	f.StringVarP(&output, "output", "o", "text", "`format`: text or json")
	complete(cmd, "output", "text", "json")
	o.addFlags(cmd, true)
	cmd.AddCommand(
		newNetMatrix(kubeFlags, streams),
		newNetExposed(kubeFlags, streams),
		newNetDiff(kubeFlags, streams),
		newNetTest(kubeFlags, streams),
		newNetSuggest(kubeFlags, streams),
	)
	return cmd
}

// addFlags adds the flags that say what is read, and of what network.
func (o *netOptions) addFlags(cmd *cobra.Command, files bool) {
	f := cmd.Flags()
	if files {
		f.StringArrayVarP(&o.files, "filename", "f", nil, "read this `path` instead of a cluster, repeatable: a file, a folder, a chart, a snapshot, - for standard input")
	}
	var names []string
	for _, p := range network.Profiles() {
		names = append(names, p.Name)
	}
	f.StringVar(&o.cni, "cni", "", "the `network` that enforces the policies: "+strings.Join(names, ", ")+" (default: told by DaemonSets and nodes; for files that do not tell, generic)")
	f.StringSliceVar(&o.podCIDRs, "pod-cidr", nil, "the `ranges` of the pods' addresses (default: those of the nodes)")
	if o.kube != nil {
		o.kube.AddFlags(f)
	}
	complete(cmd, "cni", names...)
}

// namespace is that of names that have none.
func (o *netOptions) namespace() string {
	if ns := *o.kube.Namespace; ns != "" {
		return ns
	}
	return "default"
}

// network is what the flags say of it.
func (o *netOptions) network() (network.Options, error) {
	var out network.Options
	if o.cni != "" {
		p, ok := network.FindProfile(o.cni)
		if !ok {
			var names []string
			for _, p := range network.Profiles() {
				names = append(names, p.Name)
			}
			return out, misuse("want one of "+strings.Join(names, ", "), "--cni: network %q is not known", o.cni)
		}
		out.Profile = p
	}
	for _, text := range o.podCIDRs {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return out, misuse("want a range such as 10.244.0.0/16", "--pod-cidr: %q is no range of addresses", text)
		}
		out.PodCIDRs = append(out.PodCIDRs, p.Masked())
	}
	return out, nil
}

// A netInput is what was read.
type netInput struct {
	*segment.View
	// incomplete: something that was given or asked for could not be read.
	incomplete bool
}

// read reads the paths, or the cluster without any, and makes a view of it.
func (o *netOptions) read(ctx context.Context, paths []string, needs ...cluster.Need) (*netInput, error) {
	options, err := o.network()
	if err != nil {
		return nil, err
	}
	p := startProgress(o.streams.ErrOut)
	defer p.end()
	from := &scanOptions{kube: o.kube, streams: o.streams, needs: append(slices.Clone(segment.Needs), needs...), everywhere: true}
	s, err := from.read(ctx, paths, p)
	if err != nil {
		return nil, err
	}
	p.say("reading the policies")
	in := &netInput{View: segment.NewView(s, options)}
	p.end()
	for _, problem := range in.Problems() {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: policy: %s\n", printable(problem.String()))
	}
	for _, g := range s.Gaps(append(slices.Clone(from.needs), cluster.Input)...) {
		in.incomplete = true
		if g.Need != cluster.Input { // those were said as they were met
			fmt.Fprintf(o.streams.ErrOut, "bulwark: not read: %s\n", printable(g.String()))
		}
	}
	return in, nil
}

// exit is the exit code's error, or nil.
func (in *netInput) exit(unknown bool) error {
	if unknown || in.incomplete {
		return &exitError{code: exitIncomplete}
	}
	return nil
}

// shown are the options of text on stdout.
func (o *netOptions) shown() show.Options {
	width, _ := terminal(o.streams.Out)
	return show.Options{Width: width, Color: o.color}
}

// write writes one report to stdout.
func (o *netOptions) write(write func(io.Writer) error) error {
	return writeOutputs(o.streams, []output[string]{{}}, func(w io.Writer, _ string, _ bool) error { return write(w) })
}

func (o *netOptions) ask(ctx context.Context, args, ports []string, output string) error {
	if output != "text" && output != "json" {
		return misuse("", "--output: format %q: want text or json", output)
	}
	set, err := segment.ParsePorts(ports)
	if err != nil {
		return misuse("", "--port: %w", err)
	}
	names := make([]segment.Name, len(args))
	for i, arg := range args {
		if names[i], err = segment.ParseName(arg, o.namespace()); err != nil {
			return misuse("", "%w", err)
		}
	}
	in, err := o.read(ctx, o.files)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return o.overview(in, output)
	}
	ends := make([][]segment.Place, len(names))
	for i, n := range names {
		if ends[i], err = in.Resolve(n); err != nil {
			return nobody(err)
		}
	}
	var pairs []segment.Pair
	if len(names) == 1 {
		pairs = in.Around(ends[0], set)
	} else {
		for _, from := range ends[0] {
			for _, to := range ends[1] {
				pairs = append(pairs, in.Ask(from, to, set))
			}
		}
	}
	err = o.write(func(w io.Writer) error {
		switch {
		case output == "json":
			return show.WriteAnswerJSON(w, in.Profile().Name, pairs)
		case len(names) == 1:
			of := map[string]bool{}
			for _, p := range ends[0] {
				of[p.Label] = true
			}
			return show.WriteAround(w, args[0], pairs, of, o.shown())
		}
		return show.WriteAnswer(w, pairs, o.shown())
	})
	if err != nil {
		return err
	}
	return in.exit(show.Incomplete(pairs))
}

// nobody is the error of a name that nothing has.
func nobody(err error) error {
	var hint interface{ Hint() string }
	if errors.As(err, &hint) {
		return misuse(hint.Hint(), "%w", err)
	}
	return misuse("", "%w", err)
}
