package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// allContexts is the value of --contexts for every context of the kubeconfig.
const allContexts = "all"

// A subject is one of the clusters that a scan is of.
type subject struct {
	name string // empty for the one that the scan is of
	read func(context.Context, *progress) (*cluster.Snapshot, error)
}

// subjects are what the arguments ask to scan: one thing, or several clusters.
func (o *scanOptions) subjects(paths []string) ([]subject, error) {
	if len(o.contexts) > 0 {
		return o.ofContexts(paths)
	}
	if len(paths) > 1 {
		if several, err := o.ofSnapshots(paths); len(several) > 0 || err != nil {
			return several, err
		}
	}
	return []subject{{read: func(ctx context.Context, p *progress) (*cluster.Snapshot, error) { return o.read(ctx, paths, p) }}}, nil
}

// ofContexts are the clusters of --contexts.
func (o *scanOptions) ofContexts(paths []string) ([]subject, error) {
	switch {
	case len(paths) > 0:
		return nil, misuse("leave out the paths", "--contexts: files are of no context")
	case o.host:
		return nil, misuse("scan it with --context and --host", "--contexts: goes not with --host: this machine is of one cluster")
	case o.nodes.ask:
		return nil, misuse("scan them one after the other, with --context", "--contexts: goes not with --nodes, which asks before it runs anything in a cluster")
	}
	// A credential or an address on the command line would be sent to, or stand for, all of them.
	for flag, value := range map[string]*string{
		"context": o.kube.Context, "cluster": o.kube.ClusterName, "user": o.kube.AuthInfoName, "server": o.kube.APIServer,
		"token": o.kube.BearerToken, "client-certificate": o.kube.CertFile, "client-key": o.kube.KeyFile,
		"certificate-authority": o.kube.CAFile, "tls-server-name": o.kube.TLSServerName,
	} {
		if value != nil && *value != "" {
			return nil, misuse("leave it out: each context says it for itself", "--contexts: goes not with --%s, which is for one cluster", flag)
		}
	}
	raw, err := o.kube.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, kubeconfigError(err)
	}
	if len(raw.Contexts) == 0 {
		return nil, kubeconfigError(clientcmd.ErrEmptyConfig)
	}
	names, err := o.named(raw)
	if err != nil {
		return nil, err
	}
	out := make([]subject, len(names))
	var asked sync.Mutex // of several plugins that ask people, one asks at a time
	for i, name := range names {
		user := raw.AuthInfos[raw.Contexts[name].AuthInfo]
		asks := user != nil && user.Exec != nil && user.Exec.InteractiveMode == clientcmdapi.AlwaysExecInteractiveMode
		out[i] = subject{name, func(ctx context.Context, p *progress) (*cluster.Snapshot, error) {
			if asks {
				asked.Lock()
				defer asked.Unlock()
			}
			at := *o
			at.kube = forContext(o.kube, name)
			return at.read(ctx, nil, p)
		}}
	}
	return out, nil
}

// named are the contexts that --contexts means, each once. Of all, those that name the
// same cluster and user as another one are left out, and said to be.
func (o *scanOptions) named(raw clientcmdapi.Config) ([]string, error) {
	if !slices.Equal(o.contexts, []string{allContexts}) {
		var names []string
		for _, name := range o.contexts {
			if raw.Contexts[name] == nil {
				return nil, misuse("there are: "+some(slices.Sorted(maps.Keys(raw.Contexts))), "--contexts: context %q does not exist", name)
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return names, nil
	}
	type same struct{ cluster, user string }
	first := map[same]string{}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(raw.Contexts)) {
		is := same{raw.Contexts[name].Cluster, raw.Contexts[name].AuthInfo}
		if other, twice := first[is]; twice {
			fmt.Fprintf(o.streams.ErrOut, "bulwark: context %s is left out: it has the cluster and user of %s\n", printable(name), printable(other))
			continue
		}
		first[is] = name
		names = append(names, name)
	}
	return names, nil
}

// forContext are kubectl's flags for one of several contexts.
func forContext(kube *genericclioptions.ConfigFlags, name string) *genericclioptions.ConfigFlags {
	f := genericclioptions.NewConfigFlags(true)
	f.KubeConfig, f.Namespace, f.CacheDir, f.Timeout = kube.KubeConfig, kube.Namespace, kube.CacheDir, kube.Timeout
	f.Impersonate, f.ImpersonateUID, f.ImpersonateGroup = kube.Impersonate, kube.ImpersonateUID, kube.ImpersonateGroup
	f.Insecure, f.DisableCompression = kube.Insecure, kube.DisableCompression
	f.Context = &name
	return f
}

// ofSnapshots are the clusters of several snapshots; none where a path is something else.
func (o *scanOptions) ofSnapshots(paths []string) ([]subject, error) {
	var out []subject
	seen := map[string]bool{}
	for _, path := range paths {
		h, is, err := snapshotHeader(path)
		if err != nil || !is {
			return nil, err
		}
		name := h.Cluster
		if seen[name] {
			name += " (" + path + ")"
		}
		if seen[name] {
			return nil, misuse("", "%s: it is given twice", path)
		}
		seen[name] = true
		out = append(out, subject{name, func(ctx context.Context, p *progress) (*cluster.Snapshot, error) {
			return o.read(ctx, []string{path}, p)
		}})
	}
	return out, nil
}

// scanAll scans each subject and returns the result of all of them. One that cannot be
// read does not hide the others.
func (o *scanOptions) scanAll(ctx context.Context, subjects []subject, chosen []*control.Control, stand *stand, started time.Time, memory *collector, p *progress) (*scan.Result, error) {
	waivers := stand.book(started)
	var parts []*scan.Result
	var faults []error
	for s, read := range readAhead(ctx, subjects, p) {
		snapshot, err := read.snapshot, read.err
		several := len(subjects) > 1
		switch {
		case err != nil && (!several || ctx.Err() != nil):
			return nil, err
		case err != nil:
			faults = append(faults, err)
			p.print("bulwark: error: %s: %v\n", printable(s.name), err)
			snapshot = cluster.NewBuilder(s.name, true).Snapshot()
		}
		own, ownErr := o.own.chosen(snapshot, o.controls)
		if ownErr != nil && err == nil {
			return nil, ownErr
		}
		all := slices.Concat(chosen, own)
		var result *scan.Result
		if err != nil {
			result = scan.Unread(s.name, all, err.Error())
		} else {
			if o.images.ask {
				if snapshot, err = o.images.add(ctx, snapshot, started, p); err != nil {
					return nil, err
				}
			}
			p.say("checking %d controls", len(all))
			memory.tighten(tight)
			result = scan.Run(snapshot, all)
			o.draw(snapshot, s.name)
		}
		if several {
			result.Target = s.name
			result.As(s.name)
		}
		waivers.Mark(result, snapshot)
		parts = append(parts, result)
	}
	if len(subjects) > 1 && len(faults) == len(subjects) {
		return nil, hinted(fmt.Errorf("none of %d clusters could be read", len(subjects)), faults[0])
	}
	result := parts[0]
	if len(subjects) > 1 {
		result = scan.Join(parts)
	}
	result.Started, result.Version = started, version()
	stand.judge(result, waivers)
	return result, nil
}

// A reading is what became of reading a subject.
type reading struct {
	snapshot *cluster.Snapshot
	err      error
}

// aheadMost is how many subjects are read or held at once, which bounds the memory.
const aheadMost = 4

// readAhead reads the subjects, a few at a time, and hands them over in their order. It
// returns when nothing is read any more: whoever is interrupted tidies up first.
func readAhead(ctx context.Context, subjects []subject, p *progress) iter.Seq2[subject, reading] {
	return func(yield func(subject, reading) bool) {
		var wg sync.WaitGroup
		defer wg.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		slots := make(chan struct{}, aheadMost)
		done := make([]chan reading, len(subjects))
		for i := range done {
			done[i] = make(chan reading, 1)
		}
		wg.Go(func() {
			for i, s := range subjects {
				select {
				case slots <- struct{}{}:
					wg.Go(func() {
						snapshot, err := s.read(ctx, p)
						done[i] <- reading{snapshot, err}
					})
				case <-ctx.Done():
					done[i] <- reading{err: context.Cause(ctx)}
				}
			}
		})
		for i, s := range subjects {
			if !yield(s, <-done[i]) {
				return
			}
			select {
			case <-slots:
			default: // it was never read
			}
		}
	}
}

// hinted is an error with the hint of another one.
func hinted(err, other error) error {
	out := &exitError{code: exitFailed, err: err}
	var h interface{ Hint() string }
	if errors.As(other, &h) {
		out.hint = h.Hint()
	}
	return out
}

// completeContexts offers the kubeconfig's contexts.
func completeContexts(cmd *cobra.Command, kube *genericclioptions.ConfigFlags) {
	_ = cmd.RegisterFlagCompletionFunc("contexts", func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		names := []string{allContexts}
		if raw, err := kube.ToRawKubeConfigLoader().RawConfig(); err == nil {
			names = append(names, slices.Sorted(maps.Keys(raw.Contexts))...)
		}
		before := ""
		if i := strings.LastIndexByte(typed, ','); i >= 0 {
			before = typed[:i+1]
		}
		for i := range names {
			names[i] = before + names[i]
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}
