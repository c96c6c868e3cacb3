package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/host"
	"github.com/bulwark-k8s/bulwark/internal/nodes"
)

// nodesOptions are the flags of reading every node through Jobs.
type nodesOptions struct {
	ask     bool
	image   string
	timeout time.Duration
	yes     bool
}

func (o *nodesOptions) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.ask, "nodes", false, "also read every node, through a short Job on each; shown first, and removed")
	f.StringVar(&o.image, "nodes-image", "", "the `image` with bulwark that nodes pull for --nodes (see: make image)")
	f.DurationVar(&o.timeout, "nodes-timeout", 2*time.Minute, "how long one node may take")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask before Jobs are run")
}

// check finds what is wrong with the flags before anything is read.
func (o *nodesOptions) check(paths []string) error {
	switch {
	case !o.ask && o.image != "":
		return misuse("add --nodes", "--nodes-image: without --nodes nothing pulls it")
	case !o.ask:
		return nil
	case len(paths) > 0:
		return misuse("leave out the paths", "--nodes: files have no nodes")
	case o.image == "":
		return misuse("`make image` writes one; push it where the nodes can pull it", "--nodes: nodes need an image with bulwark in it: --nodes-image is missing")
	case o.timeout < time.Second:
		return misuse("", "--nodes-timeout: %s is too short", o.timeout)
	}
	return nil
}

// requests a second that asking nodes makes at the most: a few for each node, and one
// look at all pods twice a second.
const nodesQPS = 20

// readNodes asks every node about itself.
func (o *scanOptions) readNodes(ctx context.Context, config *rest.Config, b *cluster.Builder, p *progress) error {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = nodesQPS, 2*nodesQPS
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("--nodes: %w", err)
	}
	p.say("looking which nodes there are")
	plan, err := nodes.New(ctx, client, nodes.Options{
		Image: o.nodes.image, Timeout: o.nodes.timeout,
		Args:     []string{hostFacts, "--name=$(NODE_NAME)", "--timeout=" + (o.nodes.timeout / 2).String()},
		Progress: func(done, all int) { p.say("asking nodes: %d of %d", done, all) },
	}, time.Now())
	if err != nil {
		return fmt.Errorf("--nodes: %w", err)
	}
	if !o.nodes.yes {
		resume := p.pause()
		err := o.nodes.confirm(plan, o.streams)
		resume()
		if err != nil {
			return err
		}
	}
	answers, err := plan.Run(ctx)
	if err != nil {
		return fmt.Errorf("--nodes: %w", err)
	}
	for _, a := range answers {
		facts, err := decode(a)
		if err != nil {
			p.print("bulwark: node %s did not answer: %v\n", a.Node, err)
			for _, need := range []cluster.Need{cluster.HostFiles, cluster.Listeners} {
				b.Gap(cluster.Gap{Need: need, Scope: a.Node, Reason: err.Error()})
			}
			continue
		}
		addFacts(b, facts, func(string) bool { return true })
	}
	b.Looked(cluster.HostFiles, cluster.Listeners)
	return nil
}

func decode(a nodes.Answer) (*host.Facts, error) {
	if a.Err != nil {
		return nil, a.Err
	}
	return host.Decode(bytes.NewReader(a.Log), a.Node)
}

// confirm shows what will be run, and asks.
func (o *nodesOptions) confirm(plan *nodes.Plan, streams genericiooptions.IOStreams) error {
	if f, ok := streams.In.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return misuse("add --yes", "--nodes: %d Jobs would be run, and there is nobody to ask", len(plan.Ask))
	}
	w := streams.ErrOut
	fmt.Fprintf(w, "A Job will run on each of %d nodes, and be removed with its namespace when all have answered:\n", len(plan.Ask))
	fmt.Fprintf(w, "  image   %s\n", o.image)
	fmt.Fprintf(w, "  rights  %s\n", nodes.Rights)
	fmt.Fprintf(w, "  nodes   %s\n", some(plan.Ask))
	for _, s := range plan.Skip {
		fmt.Fprintf(w, "  not     %s: %v\n", s.Node, s.Err)
	}
	for _, ns := range plan.Left {
		fmt.Fprintf(w, "  remove  namespace %s, which an earlier run has left\n", ns)
	}
	fmt.Fprint(w, "go on? [y/N] ")
	line, err := bufio.NewReader(streams.In).ReadString('\n')
	if err != nil && line == "" {
		return fmt.Errorf("--nodes: reading the answer: %w", err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return &exitError{code: exitFailed, err: fmt.Errorf("--nodes: you said no"), hint: "without --nodes nothing runs in the cluster"}
	}
	return nil
}

// some names a few, and says how many more there are.
func some(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), len(names)-most)
}

// hostFacts is what a Job on a node runs.
const hostFacts = "host-facts"

// newHostFacts is hidden: people say `scan --host`.
func newHostFacts(streams genericiooptions.IOStreams) *cobra.Command {
	var opts host.Options
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:     hostFacts,
		Hidden:  true,
		Short:   "Write what is seen of this machine, as scan --nodes reads it",
		Example: "  bulwark host-facts --name node-1",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			facts, err := host.Read(ctx, opts)
			if err != nil {
				return fmt.Errorf("reading this machine: %w", err)
			}
			w := bufio.NewWriterSize(streams.Out, 64<<10)
			if err := facts.Encode(w); err != nil {
				return err
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&opts.Name, "name", "", "the machine's `name` (default: the system's)")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to look")
	return cmd
}

// addFacts adds the machines that are wanted.
func addFacts(b *cluster.Builder, facts *host.Facts, wanted func(machine string) bool) {
	for _, m := range facts.Machines {
		if wanted(m.Name) {
			b.AddMachine(m)
		}
	}
	for _, k := range facts.Kubelets {
		b.AddKubelet(k)
	}
	for _, c := range facts.Configs {
		if wanted(c.Machine) {
			b.AddConfig(c)
		}
	}
	for _, g := range facts.Gaps {
		if wanted(g.Scope) {
			b.Gap(g)
		}
	}
}
