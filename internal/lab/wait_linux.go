package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/lab/machine"
	"github.com/bulwark-k8s/bulwark/internal/lab/process"
)

// lookEvery is how often `up` looks at what it waits for.
const lookEvery = 100 * time.Millisecond

// wait follows the components as they come up, brings in the objects the
// profile needs, and returns when all is well.
func (b *builder) wait(ctx context.Context, owner process.ID) error {
	begin := time.Now()
	// The objects go in while the later components still start.
	objects := make(chan error, 1)
	api, err := newAPI(b.state)
	if err != nil {
		return err
	}
	steps := []struct {
		name  string
		check func(context.Context) error
	}{
		{"etcd", b.healthy("etcd")},
		{"kube-apiserver", b.healthy("kube-apiserver")},
		{"kube-controller-manager", b.healthy("kube-controller-manager")},
		{"kube-scheduler", b.healthy("kube-scheduler")},
		{"objects of the profile", func(context.Context) error {
			select {
			case err := <-objects:
				objects <- err
				return err
			default:
				return errors.New("not all applied yet")
			}
		}},
		{"default service account", api.defaultServiceAccount},
	}
	if b.state.Nodes > 0 {
		steps = append(steps, []struct {
			name  string
			check func(context.Context) error
		}{
			{countNodes(b.state.Nodes), func(ctx context.Context) error { return api.nodesReady(ctx, b.state.Nodes) }},
			{"node agents", b.healthy("containerd", "kubelet", "kube-proxy")},
			{"cluster DNS", api.dnsReady},
		}...)
	}
	for i, s := range steps {
		for {
			err := s.check(ctx)
			if err == nil {
				break
			}
			if ferr := b.fatal(owner); ferr != nil {
				return ferr
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: %w: %w%s", s.name, context.Cause(ctx), err, b.culprit())
			case <-time.After(lookEvery):
			}
		}
		b.progress(s.name, time.Since(begin))
		if steps[i].name == "kube-apiserver" {
			go func() { objects <- api.applyAll(ctx, b.profile, b.state) }()
		}
	}
	return nil
}

// fatal is why waiting longer is of no use.
func (b *builder) fatal(owner process.ID) error {
	var r runtimeState
	_ = readJSON(runtimeFile(b.dir), &r) // not written yet, perhaps
	if r.Error != "" {
		return errors.New(r.Error)
	}
	if !owner.Alive() {
		return fmt.Errorf("its owner process has died%s", tail(ownerLog(b.dir)))
	}
	return nil
}

// healthy asks every component of the given names.
func (b *builder) healthy(names ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		status, err := inspect(ctx, b.dir, names...)
		if err != nil {
			return err
		}
		for _, row := range status.Components {
			if !row.Healthy {
				return fmt.Errorf("%s on %s: %s", row.Name, row.Machine, row.Why)
			}
		}
		if len(status.Components) == 0 {
			return errors.New("not started yet")
		}
		return nil
	}
}

// culprit shows the log of the process that most likely stands in the way: one
// that has ended before one that runs, and an early one before those that wait
// for it.
func (b *builder) culprit() string {
	for i, h := range b.state.Topology.Hosts {
		var report machine.Report
		if err := readJSON(reportOnHost(h), &report); err != nil {
			return tail(h.file("machine.log"))
		}
		n := slices.IndexFunc(report.Processes, func(p machine.ProcessReport) bool { return p.Restarts > 0 || p.Phase == machine.Paused })
		if n < 0 {
			continue
		}
		file := b.state.Machines[i].Processes[n].LogFile
		if h.Prefix == "" {
			file = h.file(file)
		}
		var out strings.Builder
		fmt.Fprintf(&out, "\n%s on %s was started %d times; the last time: %s", report.Processes[n].Name, h.Name, report.Processes[n].Restarts+1, report.Processes[n].LastExit)
		return out.String() + tail(file)
	}
	return ""
}
