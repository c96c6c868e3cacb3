package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/lab/machine"
	"github.com/bulwark-k8s/bulwark/internal/lab/process"
)

// lookEvery is how often `up` looks at what it waits for.
const lookEvery = 100 * time.Millisecond

// wait follows the components as they come up, brings in the objects the
// profile needs, and returns when all is well.
func (b *builder) wait(ctx context.Context, owner process.ID) error {
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
		var why error
		for {
			err := s.check(ctx)
			if err == nil {
				break
			}
			// Once the time is over every check fails for that reason; the one
			// before knew more.
			if ctx.Err() == nil || why == nil {
				why = err
			}
			if ferr := b.fatal(owner); ferr != nil {
				return ferr
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: %w: %w%s", s.name, context.Cause(ctx), why, b.culprit(s.name))
			case <-time.After(lookEvery):
			}
		}
		b.progress(s.name, time.Since(b.began))
		if steps[i].name == "kube-apiserver" {
			go func() { objects <- api.applyAll(ctx, b.profile, b.state) }()
		}
	}
	return nil
}

// hopeless is how often a machine may die while its cluster starts.
const hopeless = 3

// fatal is why waiting longer is of no use.
func (b *builder) fatal(owner process.ID) error {
	var r runtimeState
	_ = readJSON(runtimeFile(b.dir), &r) // not written yet, perhaps
	if r.Error != "" {
		return errors.New(r.Error)
	}
	for name, m := range r.Machines {
		log := filepath.Join(b.dir, machinesDir, name, "machine.log")
		if m.Error != "" {
			return fmt.Errorf("machine %s: %s%s", name, m.Error, tail(log))
		}
		if m.Restarts >= hopeless {
			return fmt.Errorf("machine %s: died %d times%s", name, m.Restarts, tail(log))
		}
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
// that has ended, and an early one before those that wait for it; and if none
// has, the one that was waited for.
func (b *builder) culprit(awaited string) string {
	var named string
	for i, h := range b.state.Topology.Hosts {
		var report machine.Report
		if err := readJSON(reportOnHost(h), &report); err != nil {
			return tail(h.file("machine.log"))
		}
		for n, p := range report.Processes {
			log := logOnHost(h, b.state.Machines[i].Processes[n].LogFile)
			if p.Restarts > 0 || p.Phase == machine.Paused {
				return fmt.Sprintf("\n%s on %s was started %d times; the last time: %s%s", p.Name, h.Name, p.Restarts+1, p.LastExit, tail(log))
			}
			if p.Name == awaited && named == "" {
				named = tail(log)
			}
		}
	}
	return named
}
