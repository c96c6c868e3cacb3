package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/host"
	"github.com/bulwark-k8s/bulwark/internal/kube"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
)

// read makes the snapshot that the arguments ask for.
func (o *scanOptions) read(ctx context.Context, paths []string, p *progress) (*cluster.Snapshot, error) {
	for _, path := range paths {
		s, is, err := readSnapshot(path, o.workloads)
		switch {
		case err != nil:
			return nil, err
		case is && len(paths) > 1:
			return nil, misuse("scan them one after the other", "%s is a snapshot, which holds a whole cluster: it cannot be joined with other paths", path)
		case is && o.host:
			return nil, misuse("take the snapshot with --host", "--host: %s is a snapshot, and this machine is not in it", path)
		case is:
			return s, nil
		}
	}
	var b *cluster.Builder
	var err error
	if len(paths) > 0 {
		b, err = o.readFiles(ctx, paths, p)
	} else {
		b, err = o.readCluster(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	if o.host {
		p.say("reading this machine")
		if err := o.readHost(ctx, b); err != nil {
			return nil, err
		}
	}
	return b.Snapshot(), nil
}

// readHost adds the machine this runs on, and the machines inside it (a lab's, kind's)
// that belong to the scanned cluster: those that hold the CA that the kubeconfig trusts.
func (o *scanOptions) readHost(ctx context.Context, b *cluster.Builder) error {
	facts, err := host.Read(ctx, host.Options{
		Stored: true,
		Inside: func(m *cluster.Machine) bool { return m.Holds(o.clusterCA) },
	})
	if err != nil {
		return fmt.Errorf("--host: %w", err)
	}
	// Where the cluster's machines are inside this one, what else runs here is not the
	// cluster's, unless it holds the CA as well. With no such machine, this is the one.
	own := facts.Machines[0]
	onlyHost := len(facts.Machines) > 1 && !own.Holds(o.clusterCA)
	addFacts(b, facts, func(machine string) bool { return machine != own.Name || !onlyHost })
	b.Looked(cluster.HostFiles, cluster.Listeners)
	return nil
}

func (o *scanOptions) namespace() string {
	if o.everywhere {
		return ""
	}
	return *o.kube.Namespace
}

func (o *scanOptions) readCluster(ctx context.Context, p *progress) (*cluster.Builder, error) {
	config, err := o.kube.ToRESTConfig()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	loader := o.kube.ToRawKubeConfigLoader()
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	if len(raw.Clusters) == 0 && *o.kube.APIServer == "" && config.BearerTokenFile == "" {
		// The flags' library then assumes localhost:8080, which nobody means.
		return nil, kubeconfigError(clientcmd.ErrEmptyConfig)
	}
	name := raw.CurrentContext
	if *o.kube.Context != "" {
		name = *o.kube.Context
	}
	if name == "" {
		name = config.Host
	}
	if err := rest.LoadTLSFiles(config); err == nil {
		o.clusterCA = cluster.KeyIDs(config.CAData)
	}
	b := cluster.NewBuilder(name, true, o.workloads...)
	err = kube.Read(ctx, config, b, kube.Options{
		Needs:     o.needs,
		Namespace: o.namespace(),
		Progress: func(what string, objects int) {
			p.say("reading %s from %s: %d objects", what, name, objects)
		},
	})
	if err == nil && o.nodes.ask {
		err = o.readNodes(ctx, config, b, p)
	}
	return b, err
}

// kubeconfigError says in one line why there is no cluster to talk to.
func kubeconfigError(err error) error {
	const hint = "set KUBECONFIG or --kubeconfig, start a cluster with `bulwark up`, or scan files: `bulwark scan PATH`"
	if clientcmd.IsEmptyConfig(err) || errors.Is(err, genericclioptions.ErrEmptyConfig) {
		return &exitError{code: exitFailed, err: errors.New("kubeconfig: none was found, and this is no pod of a cluster"), hint: hint}
	}
	text := strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "error loading config file ")
	return &exitError{code: exitFailed, err: fmt.Errorf("kubeconfig: %s", text), hint: hint}
}

func (o *scanOptions) readFiles(ctx context.Context, paths []string, p *progress) (*cluster.Builder, error) {
	b := cluster.NewBuilder(strings.Join(paths, " "), false, o.workloads...)
	r := manifest.NewReader(b, o.namespace())
	process, err := self()
	if err != nil {
		return nil, err
	}
	in := &renderer{ctx: ctx, chart: o.chart, namespace: o.namespace(), reader: r, process: process, progress: p}
	for _, path := range paths {
		p.say("reading %s", path)
		if path == "-" {
			r.Read("standard input", o.streams.In)
			continue
		}
		if err := in.path(path); err != nil {
			var pathErr *fs.PathError
			if errors.As(err, &pathErr) {
				err = fmt.Errorf("%s: %w", path, pathErr.Err)
			}
			return nil, err
		}
	}
	if in.charts == 0 && (len(o.chart.values) > 0 || len(o.chart.set) > 0) {
		return nil, misuse("give the folder that holds Chart.yaml", "--values and --set: there is no Helm chart in %s", strings.Join(paths, " "))
	}
	o.locate = r.Locate
	out := r.Outcome()
	p.end()
	for _, problem := range out.Problems {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: error: %s\n", problem)
		b.Gap(cluster.Gap{Need: cluster.Input, Scope: problem.Place(), Reason: problem.Err.Error()})
	}
	for why, places := range out.SkippedByReason() {
		more := ""
		if len(places) > 1 {
			more = fmt.Sprintf(" and %d more", len(places)-1)
		}
		fmt.Fprintf(o.streams.ErrOut, "bulwark: skipped: %s%s: %s\n", places[0], more, why)
	}
	if out.Documents == 0 && in.elsewhere == 0 {
		return nil, &exitError{
			code: exitFailed, err: fmt.Errorf("%s: there is nothing to scan", strings.Join(paths, " ")),
			hint: "give files or folders with Kubernetes objects in YAML or JSON, Helm charts or kustomizations",
		}
	}
	return b, nil
}
