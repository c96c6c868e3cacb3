package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulwark-k8s/bulwark/internal/lab/machine"
	"github.com/bulwark-k8s/bulwark/internal/lab/process"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

const (
	// people is the machine of those who hold the cluster's kubeconfig.
	people         = "people"
	peopleFile     = "/kubeconfig"
	newFilePattern = ".bulwark-rotate-*"

	// drainPause lets connections that were just accepted say their first
	// word before their apiserver is told to stop.
	drainPause = 300 * time.Millisecond
	// stopPatience is how long a component gets to stop, before it is told
	// again, and again before it is killed.
	stopPatience = 12 * time.Second
	// farewell is what an apiserver that has closed its port gets for telling
	// its clients.
	farewell = 700 * time.Millisecond
	// healthPatience is for a component to be well after a restart, and for
	// others to have read what has changed: a minute is what they take at most.
	healthPatience = 100 * time.Second
)

// Rotation is a cluster whose keys are being replaced: where its files are, how
// its components are restarted, and what has been done. It is a
// rotate.Executor. Nobody else may work on the cluster until it is closed.
type Rotation struct {
	rotationStore

	cluster string
	state   state
	profile Profile
	lock    *os.File
	owner   *controller
	// MidWrite is called when a file's new content is written but not in place;
	// tests die in it.
	MidWrite func()
}

// OpenRotation takes a running cluster.
func OpenRotation(ctx context.Context, name, stateDir string, env Environment) (*Rotation, error) {
	dir, err := existing(name, stateDir, env)
	if err != nil {
		return nil, err
	}
	held, err := lock(dir, false)
	if err != nil {
		return nil, err
	}
	r := &Rotation{rotationStore: rotationStore{filepath.Join(dir, rotationDir)}, cluster: dir, lock: held}
	if err := r.open(ctx); err != nil {
		return nil, withHint(errors.Join(fmt.Errorf("cluster %s: %w", name, err), held.Close()), "bulwark status --name %s", name)
	}
	return r, nil
}

func (r *Rotation) open(ctx context.Context) (err error) {
	if err := readJSON(stateFile(r.cluster), &r.state); err != nil {
		return err
	}
	if r.profile, err = ProfileNamed(r.state.Profile); err != nil {
		return err
	}
	r.owner, err = dialOwner(ctx, r.cluster)
	return err
}

// Close gives the cluster back. An apiserver that was left out is taken in
// again by the owner.
func (r *Rotation) Close() error { return errors.Join(r.owner.Close(), r.lock.Close()) }

// Check says why a kind of rotation makes no sense here.
func (r *Rotation) Check(kind rotate.Kind) error {
	if kind == rotate.EtcdCA && r.profile.Etcd.Plaintext {
		return errors.New("etcd of this profile speaks plain HTTP: there is no authority in use")
	}
	return nil
}

func (r *Rotation) runtime() (runtimeState, error) {
	var rt runtimeState
	err := readJSON(runtimeFile(r.cluster), &rt)
	return rt, err
}

func (r *Rotation) index(name string) (int, error) {
	for i, h := range r.state.Topology.Hosts {
		if h.Name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("machine %s: not in this cluster", name)
}

// Inventory reads every file that could hold a certificate or a key.
func (r *Rotation) Inventory() (rotate.Inventory, error) {
	inv := rotate.Inventory{Pods: r.state.Nodes > 0}
	for i, h := range r.state.Topology.Hosts {
		m := rotate.Machine{Name: h.Name, Files: map[string]rotate.File{}}
		for _, p := range r.state.Machines[i].Processes {
			if !p.Job {
				m.Components = append(m.Components, p.Name)
			}
		}
		for _, dir := range []string{kubernetesDir, kubeletDir + "/pki"} {
			if err := readFiles(h, dir, m.Files); err != nil {
				return inv, fmt.Errorf("machine %s: %w", h.Name, err)
			}
		}
		inv.Machines = append(inv.Machines, m)
	}
	data, err := os.ReadFile(kubeconfigFile(r.cluster))
	if err != nil {
		return inv, err
	}
	inv.Machines = append(inv.Machines, rotate.Machine{Name: people, Files: map[string]rotate.File{peopleFile: {Data: data, Mode: 0o600}}})
	return inv, nil
}

// readFiles adds the files below a machine's folder. A kubelet keeps all the
// pairs it ever had, and a link to the one that counts.
func readFiles(h host, dir string, into map[string]rotate.File) error {
	current := map[string]bool{}
	var links bool
	err := filepath.WalkDir(h.file(dir), func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		inside := strings.TrimPrefix(name, h.Dir)
		switch ext := filepath.Ext(name); {
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			links = true
			current[filepath.Join(filepath.Dir(inside), filepath.Base(target))] = true
			return nil
		case !e.Type().IsRegular(), !slices.Contains([]string{".crt", ".key", ".pub", ".pem", ".conf"}, ext):
			return nil
		}
		data, err := os.ReadFile(name) //nolint:gosec // the folder is the machine's, and links in it are not followed
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		into[inside] = rotate.File{Data: data, Mode: info.Mode().Perm()}
		return nil
	})
	if links {
		for name := range into {
			if filepath.Ext(name) == ".pem" && filepath.Dir(name) == dir && !current[name] {
				delete(into, name)
			}
		}
	}
	return err
}

// Do carries out a step.
func (r *Rotation) Do(ctx context.Context, s rotate.Step, content func(rotate.Digest) ([]byte, error)) error {
	switch s.Do {
	case rotate.Write:
		return r.write(s, content)
	case rotate.SetFlag:
		return r.setFlag(s)
	case rotate.Leave:
		if err := r.owner.order("drain", s.Machine); err != nil {
			return err
		}
		return pause(ctx, drainPause)
	case rotate.Join:
		return r.owner.order("join", s.Machine)
	case rotate.Restart:
		return r.restart(ctx, s)
	case rotate.Healthy:
		return r.healthy(ctx, s.Machine, s.Components)
	case rotate.Ask:
		return r.ask(ctx, s, content)
	case rotate.Publish:
		trust, err := content(s.Trust)
		if err != nil {
			return err
		}
		without, err := content(s.Without)
		if err != nil {
			return err
		}
		return r.publish(ctx, s.Object, trust, without)
	case rotate.Accounts:
		return r.accounts(ctx, s, content)
	case rotate.Settle, rotate.Outlive:
	}
	return fmt.Errorf("step %q: not for a machine", s.Do)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// until repeats a question that others may need time to answer well.
func until(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if pause(ctx, lookAgain) != nil {
			return last
		}
	}
}

func (r *Rotation) onHost(machineName, file string) (string, error) {
	if machineName == people {
		return kubeconfigFile(r.cluster), nil
	}
	i, err := r.index(machineName)
	if err != nil {
		return "", err
	}
	return r.state.Topology.Hosts[i].file(file), nil
}

// A staged file is one whose new content lies beside it, or that is to go.
type staged struct{ name, tmp string }

func (f staged) place() error {
	if f.tmp == "" {
		return os.Remove(f.name)
	}
	return os.Rename(f.tmp, f.name)
}

// write puts the new content of a step's files in the place of the old. All of
// it is on the disk before the first file is replaced, so that between a
// certificate and its key there is nothing but two renames.
func (r *Rotation) write(s rotate.Step, content func(rotate.Digest) ([]byte, error)) (err error) {
	var files []staged
	defer func() {
		for _, f := range files {
			if f.tmp != "" && err != nil {
				_ = os.Remove(f.tmp)
			}
		}
	}()
	swept := map[string]bool{}
	for _, c := range s.Changes() {
		name, err := r.onHost(s.Machine, c.File)
		if err != nil {
			return err
		}
		if folder := filepath.Dir(name); !swept[folder] {
			swept[folder] = true
			left, _ := filepath.Glob(filepath.Join(folder, newFilePattern))
			for _, l := range left {
				_ = os.Remove(l)
			}
		}
		f, err := stage(name, c, content)
		if err != nil {
			return fmt.Errorf("writing %s: %w", c.File, err)
		}
		if f != nil {
			files = append(files, *f)
		}
	}
	if r.MidWrite != nil && len(files) > 0 {
		r.MidWrite()
	}
	for _, f := range files {
		if err := f.place(); err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	for folder := range swept {
		if err := syncFolder(folder); err != nil {
			return err
		}
	}
	return nil
}

// stage makes one file's new content ready, and returns nothing where it is in
// place already.
func stage(name string, c rotate.Change, content func(rotate.Digest) ([]byte, error)) (*staged, error) {
	from, err := content(c.From)
	if err != nil {
		return nil, err
	}
	to, err := content(c.To)
	if err != nil {
		return nil, err
	}
	now, err := os.ReadFile(name)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return nil, err
	case missing && c.To == "", !missing && c.To != "" && string(now) == string(to):
		return nil, nil
	case missing != (c.From == "") || string(now) != string(from):
		return nil, withHint(errors.New("somebody else has changed it since the rotation was planned"), "bulwark pki rotate --abort, and plan again")
	case c.To == "":
		return &staged{name: name}, nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), newFilePattern)
	if err != nil {
		return nil, err
	}
	_, err = tmp.Write(to)
	var st unix.Stat_t
	if !missing && unix.Stat(name, &st) == nil {
		err = errors.Join(err, tmp.Chown(int(st.Uid), int(st.Gid)))
	}
	if err := errors.Join(err, tmp.Chmod(c.Mode), tmp.Sync(), tmp.Close()); err != nil {
		_ = os.Remove(tmp.Name())
		return nil, err
	}
	return &staged{name, tmp.Name()}, nil
}

func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// setFlag changes a component's command line for its next start.
func (r *Rotation) setFlag(s rotate.Step) error {
	i, err := r.index(s.Machine)
	if err != nil {
		return err
	}
	h := r.state.Topology.Hosts[i]
	at := slices.IndexFunc(r.state.Machines[i].Processes, func(p machine.Process) bool { return p.Name == s.Component })
	if at < 0 {
		return fmt.Errorf("component %s: not on this machine", s.Component)
	}
	described := r.state.Machines[i].Processes[at].Args
	own, err := machine.ReadArguments(h.file("/run"))
	if err != nil {
		return err
	}
	args, changed := own[s.Component]
	if !changed {
		args = described
	}
	flag := "--" + s.Flag + "="
	n := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, flag) })
	if n < 0 {
		return fmt.Errorf("%s has no flag --%s", s.Component, s.Flag)
	}
	if args[n] == flag+h.path(s.FlagTo) {
		return nil
	}
	args = slices.Clone(args)
	args[n] = flag + h.path(s.FlagTo)
	if own == nil {
		own = map[string][]string{}
	}
	if own[s.Component] = args; slices.Equal(args, described) {
		delete(own, s.Component)
	}
	return machine.WriteArguments(h.file("/run"), own)
}

// running is one component's process, as its machine's supervisor reports it.
func (r *Rotation) running(machineName, component string) (machine.ProcessReport, process.ID, error) {
	var none process.ID
	i, err := r.index(machineName)
	if err != nil {
		return machine.ProcessReport{}, none, err
	}
	var report machine.Report
	if err := readJSON(reportOnHost(r.state.Topology.Hosts[i]), &report); err != nil {
		return machine.ProcessReport{}, none, err
	}
	at := slices.IndexFunc(report.Processes, func(p machine.ProcessReport) bool { return p.Name == component })
	if at < 0 {
		return machine.ProcessReport{}, none, fmt.Errorf("component %s: not on this machine", component)
	}
	p := report.Processes[at]
	if p.Phase != machine.Running {
		return p, none, nil
	}
	pid := p.PID
	if r.state.Topology.Namespaced {
		rt, err := r.runtime()
		if err != nil {
			return p, none, err
		}
		pid = process.Inside(rt.Machines[machineName].PID)[p.PID]
	}
	id, err := process.Identify(pid)
	if err != nil {
		return p, none, nil //nolint:nilerr // it has just ended
	}
	return p, id, nil
}

// restart stops components in order; their machine's supervisor starts them
// again. Those that started after their files were written are left alone: a
// turn that was interrupted is repeated.
func (r *Rotation) restart(ctx context.Context, s rotate.Step) error {
	i, err := r.index(s.Machine)
	if err != nil {
		return err
	}
	h := r.state.Topology.Hosts[i]
	var written time.Time
	for _, f := range append([]string{"/run/arguments.json"}, s.Files...) {
		if info, err := os.Stat(h.file(f)); err == nil && info.ModTime().After(written) {
			written = info.ModTime()
		}
	}
	for _, component := range s.Components {
		report, id, err := r.running(s.Machine, component)
		if err != nil {
			return err
		}
		if id.PID == 0 || report.Since.After(written) {
			continue
		}
		switch component {
		case "kube-apiserver":
			err = r.stopAPIServer(ctx, h, id)
		case "etcd":
			err = r.held(ctx, r.apiservers(), func() error { return r.stopMember(ctx, s.Machine, id) })
		default:
			err = stop(ctx, id)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", component, err)
		}
	}
	return nil
}

func (r *Rotation) apiservers() []string {
	var names []string
	for _, h := range r.state.Topology.of(controlPlane) {
		names = append(names, h.Name)
	}
	return names
}

// held does something while nothing that clients send reaches the apiservers
// of the given machines. What they have begun to answer goes on.
func (r *Rotation) held(ctx context.Context, machines []string, do func() error) error {
	var err error
	for _, m := range machines {
		err = errors.Join(err, r.owner.order("hold", m))
	}
	if err == nil && len(machines) > 1 {
		err = pause(ctx, drainPause) // for the answers
	}
	if err == nil {
		err = do()
	}
	for _, m := range machines {
		err = errors.Join(err, r.owner.order("release", m))
	}
	return err
}

// stopAPIServer stops an apiserver while nothing new reaches it. The hold ends
// as soon as it has told its clients which requests it took: the rest of one of
// those may be among what is held, and it waits for it.
func (r *Rotation) stopAPIServer(ctx context.Context, h host, id process.ID) error {
	err := r.held(ctx, []string{h.Name}, func() error {
		if err := id.Signal(unix.SIGTERM); err != nil {
			return err
		}
		dial, done, err := r.dialer(h.Name)
		if err != nil {
			return err
		}
		defer done()
		for deadline := time.Now().Add(stopPatience); id.Alive() && time.Now().Before(deadline); {
			conn, err := dial(ctx, "tcp", h.address(h.Ports.API))
			if err != nil {
				break // it closes its port first, and then says goodbye
			}
			conn.Close()
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
		return pause(ctx, farewell)
	})
	if err != nil {
		return err
	}
	return ended(ctx, id, unix.SIGTERM, unix.SIGKILL)
}

// stop asks a process to end, and then no longer asks.
func stop(ctx context.Context, id process.ID) error {
	if err := id.Signal(unix.SIGTERM); err != nil {
		return err
	}
	return ended(ctx, id, unix.SIGTERM, unix.SIGKILL)
}

// ended waits for a process to end, and becomes more pressing.
func ended(ctx context.Context, id process.ID, signals ...syscall.Signal) error {
	for next := 0; ; next++ {
		for deadline := time.Now().Add(stopPatience); time.Now().Before(deadline); {
			if !id.Alive() {
				return nil
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
		if next == len(signals) {
			return fmt.Errorf("process %d does not end", id.PID)
		}
		if err := id.Signal(signals[next]); err != nil {
			return err
		}
	}
}

// stopMember stops an etcd member, and waits until the others agree without
// it: if it led them, what is written meanwhile would be lost on the way.
func (r *Rotation) stopMember(ctx context.Context, name string, id process.ID) error {
	if err := stop(ctx, id); err != nil {
		return err
	}
	for _, other := range r.apiservers() {
		if other == name {
			continue
		}
		if err := r.healthy(ctx, other, []string{"etcd"}); err != nil {
			return err
		}
	}
	return nil
}

// healthy waits until components of a machine are.
func (r *Rotation) healthy(ctx context.Context, name string, components []string) error {
	i, err := r.index(name)
	if err != nil {
		return err
	}
	return until(ctx, func(ctx context.Context) error {
		rt, err := r.runtime()
		if err != nil {
			return err
		}
		rows := inspectMachine(ctx, r.profile, r.state, i, rt.Machines[name], components)
		for _, row := range rows {
			if !row.Healthy {
				return fmt.Errorf("%s: %s", row.Name, row.Why)
			}
		}
		if len(rows) == 0 {
			return errors.New("not started yet")
		}
		return nil
	})
}
