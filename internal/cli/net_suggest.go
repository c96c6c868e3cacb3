package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/flow"
	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/segment/show"
	"github.com/bulwark-k8s/bulwark/internal/segment/suggest"
)

// suggestOptions are net suggest's own flags.
type suggestOptions struct {
	observed []string
	format   string
	output   string
	into     string
}

func newNetSuggest(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &netOptions{kube: kubeFlags, streams: streams}
	s := &suggestOptions{}
	cmd := &cobra.Command{
		Use:   "suggest [NAMESPACE…]",
		Short: "Write NetworkPolicies that allow what is needed and nothing else, and prove it",
		Long: `Suggest writes policies for the given namespaces, or for all but Kubernetes' own:
deny by default, names resolved, and for each workload who may come in and where it may
go. They select pods by labels that last, never by those of one pod or release.

What is needed is what the objects declare: within a namespace the ports of Services and
containers, across namespaces the Services that containers name in their environment and
arguments, from outside what is published. With --observed it is what was observed:
lines of JSON ({"from":"shop/web-1","to":"10.0.3.7","protocol":"TCP","port":5432}) or the
kernel's table of connections. Answers to clients' ports are told apart.

Then the engine judges the policies, and they are printed only if what they allow is
exactly what is needed. Apply them to a test cluster first: what was not observed yet
will be denied.`,
		Example: `  # from what is declared
  bulwark net suggest -f ./deploy > policies.yaml

  # from what was seen on the nodes of the lab, for one namespace
  bulwark enter node-1 -- cat /proc/net/nf_conntrack > flows.txt
  bulwark net suggest shop --observed flows.txt

  # from another tool's flows, on standard input
  flows-exporter | bulwark net suggest --observed - --format jsonl`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.color = colour(cmd, streams.Out)
			return o.suggest(cmd.Context(), s, args)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&s.observed, "observed", nil, "a `file` with observed connections, repeatable; - is standard input")
	f.StringVar(&s.format, "format", string(flow.Any), "how they are written: "+strings.Join(flow.Formats, ", "))
	f.StringVarP(&s.output, "output", "o", "yaml", "`format`: yaml or json, which has the proof with the policies")
	f.StringVar(&s.into, "to", "", "write one file for each namespace into this `folder`")
	complete(cmd, "format", flow.Formats...)
	complete(cmd, "output", "yaml", "json")
	o.addFlags(cmd, true)
	return cmd
}

func (o *netOptions) suggest(ctx context.Context, s *suggestOptions, namespaces []string) error {
	if s.output != "yaml" && s.output != "json" {
		return misuse("", "--output: format %q: want yaml or json", s.output)
	}
	if s.into != "" && s.output != "yaml" {
		return misuse("", "--to: it is for yaml")
	}
	how, err := flow.ParseFormat(s.format)
	if err != nil {
		return misuse("", "--format: %w", err)
	}
	if slices.Contains(s.observed, "-") && slices.Contains(o.files, "-") {
		return misuse("give one of them as a file", "--observed and --filename: both read standard input")
	}
	options := suggest.Options{Namespaces: namespaces, Observed: len(s.observed) > 0}
	if ns := *o.kube.Namespace; ns != "" && !slices.Contains(namespaces, ns) {
		options.Namespaces = append(options.Namespaces, ns)
	}
	bad := false
	for _, path := range s.observed {
		log, err := o.flows(path, how)
		if err != nil {
			return err
		}
		options.Flows = append(options.Flows, log.Flows...)
		bad = bad || log.Bad > 0
	}
	in, err := o.read(ctx, o.files, segment.Doors...)
	if err != nil {
		return err
	}
	for _, ns := range options.Namespaces {
		if len(in.Snapshot.PodsIn(ns)) == 0 {
			return misuse("there are: "+some(in.Snapshot.Namespaces()), "namespace %s: there are no pods in it", ns)
		}
	}
	network, err := o.network()
	if err != nil {
		return err
	}
	if network.Profile.Name == "" {
		network.Profile = in.Profile() // the plan's own snapshot has the same
	}
	plan := suggest.Make(in.Snapshot, options)
	if len(plan.Policies) == 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("%s: there are no pods to write policies for", in.Snapshot.Name), hint: "name a namespace; Kubernetes' own are left alone unless they are named"}
	}
	proof := plan.Prove(network)
	show.WriteProof(o.streams.ErrOut, plan, proof)
	if proof.Refused() {
		return &exitError{code: exitBroken, err: fmt.Errorf("these policies would not do exactly what is needed, so they are not written"), hint: "what stands above says why; name fewer namespaces, or give the pods labels that tell them apart"}
	}
	switch {
	case s.into != "":
		err = o.writePlan(s.into, plan, proof)
	case s.output == "json":
		err = o.write(func(w io.Writer) error { return show.WritePlanJSON(w, plan, proof) })
	default:
		err = o.write(func(w io.Writer) error { return show.WritePlan(w, plan, proof, plan.Policies) })
	}
	if err != nil {
		return err
	}
	return in.exit(bad || !proof.Exact() || len(plan.Cannot) > 0)
}

// flows reads one file of observed connections and says what of it is none.
func (o *netOptions) flows(path string, how flow.Format) (*flow.Log, error) {
	in := o.streams.In
	name := "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, misuse("give a file of flows, or - for standard input", "--observed: %s: %w", path, cause(err))
		}
		defer f.Close()
		in, name = f, path
	}
	log, err := flow.Read(in, how)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	for i, p := range log.Problems {
		if i == 10 {
			fmt.Fprintf(o.streams.ErrOut, "bulwark: error: %s: and %d more lines\n", name, log.Bad-i)
			break
		}
		fmt.Fprintf(o.streams.ErrOut, "bulwark: error: %s:%d: %s\n", name, p.Line, printable(p.Err.Error()))
	}
	for _, why := range slices.Sorted(maps.Keys(log.Left)) {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: %s: left out: %s %s\n", name, plural(log.Left[why], "line"), why)
	}
	if log.Lines == 0 {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: %s: it is empty\n", name)
	}
	return log, nil
}

// writePlan writes one file for each namespace.
func (o *netOptions) writePlan(folder string, plan *suggest.Plan, proof *suggest.Proof) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("--to: %s: %w", folder, cause(err))
	}
	var outputs []output[string]
	for _, ns := range plan.Namespaces {
		outputs = append(outputs, output[string]{ns, folder + "/" + ns + ".yaml"})
	}
	return writeOutputs(o.streams, outputs, func(w io.Writer, ns string, _ bool) error {
		var own []suggest.Policy
		for _, p := range plan.Policies {
			if p.Namespace == ns {
				own = append(own, p)
			}
		}
		return show.WritePlan(w, plan, proof, own)
	})
}
