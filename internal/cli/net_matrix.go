package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/segment/show"
)

// gridFormats are how a matrix is written, the first one by default.
var gridFormats = []string{"table", "json", "jsonl", "csv", "svg"}

// matrixOptions are net matrix's own flags.
type matrixOptions struct {
	outputs   []string
	workloads bool
	pods      bool
	ports     []string
}

func newNetMatrix(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &netOptions{kube: kubeFlags, streams: streams}
	m := &matrixOptions{}
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Show which namespaces, or workloads, may talk to which",
		Long: `Matrix shows what the pods of each namespace may do to those of each other one, and
to and from the internet, by policy. With -n the workloads of that namespace stand in
the place of it; with --workloads all of them do.

A cell is open if every pod reaches every pod on every port, closed if none reaches
any, else it is open in part. Namespaces that are exactly alike share a row.

As jsonl it is one line for each ordered pair of workloads, or with --pods of pods,
and with --ports one for each port, by policy alone, whether or not anybody listens.`,
		Example: `  # the namespaces
  bulwark net matrix

  # the workloads of one namespace, and the other namespaces
  bulwark net matrix -n shop

  # a picture for a report, and a table for a spreadsheet
  bulwark net matrix -o svg=matrix.svg -o csv=matrix.csv

  # every pair of pods on two ports, for a program
  bulwark net matrix -f ./deploy -o jsonl --pods --ports TCP/80,UDP/53`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.color = colour(cmd, streams.Out)
			return o.matrix(cmd.Context(), m)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&m.outputs, "output", "o", nil, "`format` or format=file, repeatable: "+strings.Join(gridFormats, ", ")+" (default table)")
	f.BoolVar(&m.workloads, "workloads", false, "workloads in the place of namespaces")
	f.BoolVar(&m.pods, "pods", false, "for jsonl: pods in the place of workloads; --ports says on which ports")
	f.StringSliceVar(&m.ports, "ports", nil, "for jsonl: one line for each of these `ports`: TCP/80, UDP/53, 8080")
	complete(cmd, "output", gridFormats...)
	o.addFlags(cmd, true)
	return cmd
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misuse("write -f "+args[0]+" to read it; see `"+cmd.CommandPath()+" --help`", "%s: %q: it takes no arguments", cmd.Name(), args[0])
	}
	return nil
}

// listed are the ports of --ports, one by one.
func (m *matrixOptions) listed() ([]segment.Port, error) {
	const most = 1000
	set, err := segment.ParsePorts(m.ports)
	if err != nil {
		return nil, misuse("", "--ports: %w", err)
	}
	var out []segment.Port
	for _, r := range set {
		if int(r.Last-r.First)+1+len(out) > most {
			return nil, misuse("leave --ports out to get all of them as ranges", "--ports: more than %d ports: each is a line for each pair", most)
		}
		for n := r.First; n <= r.Last; n++ {
			out = append(out, segment.Port{Protocol: r.Protocol, Number: n})
		}
	}
	return out, nil
}

func (o *netOptions) matrix(ctx context.Context, m *matrixOptions) error {
	outputs, err := parseOutputs(m.outputs, gridFormats, format(gridFormats))
	if err != nil {
		return err
	}
	only, err := m.listed()
	if err != nil {
		return err
	}
	lines := slices.ContainsFunc(outputs, func(out output[string]) bool { return out.format == "jsonl" })
	switch {
	case (m.pods || len(m.ports) > 0) && !lines:
		return misuse("write -o jsonl", "--pods and --ports: they are for jsonl")
	case m.pods && len(only) == 0:
		return misuse("write --ports TCP/80,UDP/53", "--pods: want --ports: each is a line for each pair of pods")
	}
	in, err := o.read(ctx, o.files)
	if err != nil {
		return err
	}
	scope := segment.Scope{Workloads: m.workloads}
	if ns := *o.kube.Namespace; ns != "" {
		if !slices.Contains(in.Snapshot.Namespaces(), ns) {
			return misuse("there are: "+some(in.Snapshot.Namespaces()), "--namespace: namespace %q does not exist", ns)
		}
		scope.Within = []string{ns}
	}
	var grid *segment.Grid
	untold := false
	if slices.ContainsFunc(outputs, func(out output[string]) bool { return out.format != "jsonl" }) {
		grid = in.Grid(scope)
		for i := range grid.Units {
			for j := range grid.Units {
				untold = untold || grid.At(i, j).Untold
			}
		}
	}
	title := "Who may talk to whom in " + in.Snapshot.Name
	err = writeOutputs(o.streams, outputs, func(w io.Writer, format string, toFile bool) error {
		switch format {
		case "json":
			return show.WriteGridJSON(w, in.Profile().Name, grid)
		case "csv":
			return show.WriteGridCSV(w, grid)
		case "svg":
			return show.WriteSVG(w, title, grid)
		case "jsonl":
			if m.pods {
				return in.WritePods(w, only)
			}
			return show.WriteLines(w, in.View, only)
		}
		shown := o.shown()
		if toFile {
			shown = show.Options{}
		}
		return show.WriteGrid(w, title, grid, shown)
	})
	if err != nil {
		return err
	}
	return in.exit(untold)
}

// overview says how the namespaces stand.
func (o *netOptions) overview(in *netInput, output string) error {
	grid := in.Grid(segment.Scope{})
	profile := in.Profile()
	policies := map[string]int{}
	total := 0
	for _, o := range in.Snapshot.Kind("NetworkPolicy") {
		policies[o.Namespace]++
		total++
	}
	pods, namespaces, untold := 0, 0, false
	for i, u := range grid.Units {
		pods += u.Pods
		if u.Kind != segment.Internet && u.Pods > 0 {
			namespaces++
		}
		for j := range grid.Units {
			untold = untold || grid.At(i, j).Untold
		}
	}
	head := fmt.Sprintf("%s: %s in %s, %s; network: %s", in.Snapshot.Name, plural(pods, "pod"), plural(namespaces, "namespace"), policiesText(total), profile.Name)
	err := o.write(func(w io.Writer) error {
		if output == "json" {
			return show.WriteGridJSON(w, profile.Name, grid)
		}
		return show.WriteOverview(w, head, grid, policies, profile, o.shown())
	})
	if err != nil {
		return err
	}
	return in.exit(untold)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func policiesText(n int) string {
	switch n {
	case 0:
		return "no NetworkPolicy"
	case 1:
		return "1 NetworkPolicy"
	}
	return fmt.Sprintf("%d NetworkPolicies", n)
}
