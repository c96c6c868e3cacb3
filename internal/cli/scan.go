package cli

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/report"
	"github.com/bulwark-k8s/bulwark/internal/scan"
	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/standard"
)

// scanOptions are scan's flags.
type scanOptions struct {
	outputs  []string
	controls []string
	with     []string
	standard string
	failOn   string
	host     bool
	contexts []string
	all      bool
	chart    chartOptions
	nodes    nodesOptions
	stand    standOptions
	own      ownOptions
	images   *clusterImages

	kube    *genericclioptions.ConfigFlags
	streams genericiooptions.IOStreams
	color   bool

	// workloads are the kinds that the user named.
	workloads []cluster.CustomKind
	// everywhere is set where --namespace does not say where to look.
	everywhere bool
	// needs are the facts to read from a cluster; nil means all.
	needs []cluster.Need
	// pictured: some report has a picture of the network, whose networks are here.
	pictured bool
	networks []report.Network
	// clusterCA are the keys of the CA that the kubeconfig trusts.
	clusterCA []string
	// locate finds fields in the files that were read; nil where there were none.
	locate func(cluster.Source, string) (line, column int, ok bool)
}

func newScan(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &scanOptions{kube: kubeFlags, streams: streams, images: &clusterImages{read: imageOptions{streams: streams}}}
	cmd := &cobra.Command{
		Use:     "scan [PATH…]",
		GroupID: "look",
		Short:   "Say what is wrong, with evidence, worst first",
		Long: `Scan checks the controls of the catalogue and says what is wrong, with evidence,
worst first.

Without a PATH it reads the cluster of the current context, or with --contexts those
of several, and only reads. With PATHs it reads files and folders (.yaml, .yml,
.json); - is standard input. Helm charts and kustomizations among them are rendered,
without network, and findings point into their sources. With --host it also reads the
machine it runs on: processes, files, listening ports.

What could not be read is unknown, never passed: the exit code is then 4, unless
something is broken at or above --fail-on, which is 3. What is waived, and what
--baseline has already, is shown and does not count for that.`,
		Example: `  # the cluster of the current context
  bulwark scan

  # on a control-plane machine, with its processes, files and ports
  sudo bulwark scan --host

  # with the processes, files and ports of every node
  bulwark scan --nodes --nodes-image registry.example/bulwark:0.1.0

  # manifests in a pull request; only what is grave ends with exit code 3
  bulwark scan ./deploy --fail-on high

  # several clusters, one report
  bulwark scan --contexts prod,stage -o html=clusters.html
  bulwark scan --contexts all

  # several reports of one run
  bulwark scan -o table -o json=scan.json -o html=scan.html

  # in a pipeline: findings on the lines of the pull request
  bulwark scan ./deploy -o table -o sarif=bulwark.sarif -o junit=bulwark.xml

  # a Helm chart as it will be installed; every kustomization below a folder
  bulwark scan ./chart --values prod.yaml --set image.tag=1.2
  bulwark scan ./overlays

  # as Pod Security admission would judge each pod
  bulwark scan ./deploy --standard pss-restricted@v1.36

  # the CIS Benchmark, number by number
  sudo bulwark scan --host --standard cis-1.12

  # also what keeps workloads available: probes, budgets, quotas, removed APIs
  bulwark scan ./deploy --with hygiene

  # in a pull request of a repository with a past: fail on what is new
  bulwark scan ./deploy --baseline main.json

  # only some controls
  kubectl get pods -A -o yaml | bulwark scan - --controls pod,-pod.seccomp

  # with the images that run: vulnerabilities, secrets, how they are built
  bulwark scan --images

  # a team's own controls in CEL, and what the cluster's own policies would refuse
  bulwark scan ./deploy --controls-dir ./controls
  bulwark scan --policies`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.color = colour(cmd, streams.Out)
			return o.run(cmd.Context(), args)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "`format` or format=file, repeatable: "+strings.Join(report.Names(), ", ")+" (default table)")
	f.StringSliceVar(&o.controls, "controls", nil, "only these controls or families; a leading - leaves one out")
	f.StringSliceVar(&o.with, "with", nil, "also these `families`, which are off by default: "+strings.Join(controls.Optional, ", "))
	f.StringVar(&o.standard, "standard", "", "answer the items of a `standard`: "+strings.Join(standard.Names(), ", ")+"; any that is broken ends with exit code 3")
	f.StringVar(&o.failOn, "fail-on", "medium", "the least severity that ends with exit code 3: critical, high, medium, low or none")
	f.BoolVar(&o.host, "host", false, "also read the machine this runs on (best as root)")
	f.StringSliceVar(&o.contexts, "contexts", nil, "scan the clusters of several `contexts` into one report: a,b or "+allContexts)
	o.nodes.add(cmd)
	f.BoolVar(&o.all, "all", false, "show every finding, and what holds")
	f.StringSliceVarP(&o.chart.values, "values", "f", nil, "a `file` with values for the Helm charts, repeatable; later ones win")
	f.StringArrayVar(&o.chart.set, "set", nil, "one value for the Helm charts, as `key=value`, repeatable")
	f.StringVar(&o.chart.release, "release-name", "", "the release's name for the Helm charts (default release-name)")
	o.stand.addFlags(f)
	o.own.addFlags(f)
	o.images.addFlags(f)
	kubeFlags.AddFlags(f)
	completeContexts(cmd, kubeFlags)
	complete(cmd, "waivers", "all", "file", "none")
	complete(cmd, "output", report.Names()...)
	complete(cmd, "fail-on", "critical", "high", "medium", "low", "none")
	complete(cmd, "with", controls.Optional...)
	complete(cmd, "controls", controlIDs()...)
	complete(cmd, "standard", standard.Names()...)
	return cmd
}

func controlIDs() []string {
	var ids []string
	for _, c := range controls.All() {
		ids = append(ids, c.ID+"\t"+c.Title)
	}
	return ids
}

// notSelected says which flag named no control.
func notSelected(err error) error {
	if strings.HasPrefix(err.Error(), "family") {
		return misuse("", "--with: %w", err)
	}
	return misuse("`bulwark explain` lists them", "--controls: %w", err)
}

func (o *scanOptions) run(ctx context.Context, paths []string) error {
	outputs, err := parseOutputs(o.outputs, report.Names(), report.Find)
	if err != nil {
		return err
	}
	o.pictured = slices.ContainsFunc(outputs, func(out output[report.Format]) bool { return out.format.Name == "html" })
	if err := o.nodes.check(paths); err != nil {
		return err
	}
	if err := o.own.load(); err != nil {
		return err
	}
	chosen, plan, err := o.choose()
	if err != nil {
		return err
	}
	var threshold control.Severity
	if o.failOn != "none" {
		if threshold, err = control.ParseSeverity(o.failOn); err != nil {
			return misuse("", "--fail-on: %w, or none", err)
		}
	}
	stand, err := o.stand.read(paths, o.own.known)
	if err != nil {
		return err
	}
	o.workloads = stand.workloads

	subjects, err := o.subjects(paths)
	if err != nil {
		return err
	}
	started := time.Now()
	if err := o.images.open(ctx, o.stand.config, started, version()); err != nil {
		return err
	}
	defer o.images.close()
	if len(o.own.folders) == 0 && !o.own.policies { // which may look at anything
		o.needs = scan.Needs(chosen)
	}
	p := startProgress(o.streams.ErrOut)
	defer p.end()
	result, err := o.scanAll(ctx, subjects, chosen, stand, started, roomy(o.room(paths)), p)
	if err != nil {
		return err
	}
	if o.images.found != nil {
		o.images.found.Notes = o.images.db.notes()
	}
	if plan != nil {
		result.Under(plan)
	}
	result.Took = time.Since(started)
	p.end()

	if err := o.write(result, outputs); err != nil {
		return err
	}
	switch worst := result.Gate(); {
	case plan != nil && result.Standard.Fails, plan == nil && threshold > 0 && worst >= threshold:
		return &exitError{code: exitBroken}
	case result.Count().Incomplete:
		return &exitError{code: exitIncomplete}
	}
	return nil
}

// choose returns the controls to run, and the plan where they are a standard's.
func (o *scanOptions) choose() ([]*control.Control, *standard.Plan, error) {
	if o.standard == "" {
		chosen, err := o.catalogue()
		return chosen, nil, err
	}
	if len(o.controls)+len(o.with)+len(o.own.folders) > 0 || o.own.policies {
		return nil, nil, misuse("a standard says which controls answer it", "--standard: goes with none of --controls, --with, --controls-dir and --policies")
	}
	s, err := standard.Find(o.standard)
	if err != nil {
		return nil, nil, misuse("docs/standards.md says what each of them is", "--standard: %w", err)
	}
	plan := s.Plan(controls.All())
	return plan.Controls, plan, nil
}

// catalogue returns the controls that --controls and --with name.
func (o *scanOptions) catalogue() ([]*control.Control, error) {
	patterns, onlyOwn := o.own.catalogue(o.controls)
	chosen, err := controls.Select(patterns, o.with...)
	if err != nil {
		return nil, notSelected(err)
	}
	if onlyOwn {
		chosen = slices.DeleteFunc(chosen, func(c *control.Control) bool {
			family, _, _ := strings.Cut(c.ID, ".")
			return !slices.Contains(o.with, family)
		})
	}
	return chosen, nil
}

// draw keeps what policies let through in a cluster, for reports that show it: where there
// are pods, and policies were looked for.
func (o *scanOptions) draw(s *cluster.Snapshot, name string) {
	if o.pictured && len(s.Pods()) > 0 && s.Looked(cluster.NetworkPolicies) && s.Looked(cluster.Pods) {
		grid := segment.NewView(s, network.Options{}).Grid(segment.Scope{})
		o.networks = append(o.networks, report.Network{Cluster: name, Grid: grid})
	}
}

// write makes every report.
func (o *scanOptions) write(result *scan.Result, outputs []output[report.Format]) error {
	options := report.Options{All: o.all, Locate: o.locate, Networks: o.networks, Images: o.images.found}
	if o.locate != nil {
		options.Text = new(lineReader).text
	}
	options.Dir, _ = os.Getwd() // without it, absolute paths stay as they are
	shown := options
	shown.Color = o.color
	shown.Width, _ = terminal(o.streams.Out)
	return writeOutputs(o.streams, outputs, func(w io.Writer, format report.Format, toFile bool) error {
		if toFile {
			return format.Write(w, result, options)
		}
		return format.Write(w, result, shown)
	})
}
