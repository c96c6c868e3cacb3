package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/lab/process"
)

// Up makes a cluster and waits until it is well. Whatever stops it (an error,
// the timeout, the end of ctx) also removes what it made, unless the options
// say to keep it.
func Up(ctx context.Context, o Options, env Environment, progress Progress) (*Cluster, error) {
	o, err := o.withDefaults(env)
	if err != nil {
		return nil, err
	}
	if err := o.validate(env); err != nil {
		return nil, err
	}
	profile, err := ProfileNamed(o.Profile)
	if err != nil {
		return nil, err
	}
	binaries, err := findComponents(o, env)
	if err != nil {
		return nil, err
	}
	if err := checkHost(o.ControlPlanes, *o.Nodes); err != nil {
		return nil, err
	}
	dir := filepath.Join(o.StateDir, o.Name)
	held, err := lock(dir, true)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	if err := refuseExisting(dir, o.Name); err != nil {
		return nil, err
	}
	b := builder{options: o, env: env, profile: profile, binaries: binaries, dir: dir, progress: progress, began: time.Now()}
	if err := b.build(ctx); err != nil {
		err = fmt.Errorf("cluster %s: %w", o.Name, err)
		if o.KeepOnFailure {
			return nil, withHint(errors.Join(err, b.setPhase(failed)), "look around, then: bulwark down --name %s", o.Name)
		}
		if derr := destroy(dir); derr != nil {
			return nil, withHint(errors.Join(err, derr), "bulwark down --name %s", o.Name)
		}
		return nil, err
	}
	return &Cluster{
		Name: o.Name, Profile: profile, Kubeconfig: kubeconfigFile(dir),
		APIPort: b.state.APIPort, Namespaced: b.state.Topology.Namespaced,
	}, nil
}

// refuseExisting says what is there already, if anything is.
func refuseExisting(dir, name string) error {
	var s state
	err := readJSON(stateFile(dir), &s)
	if errors.Is(err, os.ErrNotExist) {
		entries, rerr := os.ReadDir(dir)
		if rerr != nil || len(entries) > 0 {
			return withHint(fmt.Errorf("cluster %s: %s is not empty", name, dir), "bulwark down --name %s", name)
		}
		return nil
	}
	down := "bulwark down --name " + name
	if err != nil {
		return withHint(fmt.Errorf("cluster %s: its state is damaged: %w", name, err), "%s", down)
	}
	var r runtimeState
	if err := readJSON(runtimeFile(dir), &r); err == nil && r.Owner.Alive() {
		return withHint(fmt.Errorf("cluster %s: already running (profile %s, %s)", name, s.Profile, countNodes(s.Nodes)),
			"export KUBECONFIG=%s, or %s", kubeconfigFile(dir), down)
	}
	return withHint(fmt.Errorf("cluster %s: its owner process has died", name), "%s", down)
}

func countNodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}

// builder is one run of Up.
type builder struct {
	options  Options
	env      Environment
	profile  Profile
	binaries components
	dir      string
	progress Progress
	began    time.Time
	state    state
}

func (b *builder) build(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.options.Timeout, fmt.Errorf("not healthy within %s", b.options.Timeout))
	defer cancel()
	listener, err := listen(ctx, b.options.APIPort)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // the owner has its own by then
	if err := b.plan(listener.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	if err := writeMachines(b.profile, b.state.Topology, b.options.Name, b.dir, b.state.APIPort, b.began); err != nil {
		return err
	}
	if err := giveKubeconfig(kubeconfigFile(b.dir), b.env); err != nil {
		return err
	}
	b.progress("certificates", time.Since(b.began))
	owner, err := b.startOwner(listener)
	if err != nil {
		return err
	}
	if err := b.wait(ctx, owner); err != nil {
		return err
	}
	return b.setPhase(ready)
}

// giveKubeconfig hands the kubeconfig to the person behind sudo. Whoever may run
// this as root is the cluster's administrator either way.
func giveKubeconfig(file string, env Environment) error {
	if !env.Root {
		return nil
	}
	var uid, gid int
	if n, _ := fmt.Sscan(env.Getenv("SUDO_UID")+" "+env.Getenv("SUDO_GID"), &uid, &gid); n < 2 {
		return nil // not called by sudo: nobody to give it to
	}
	return os.Chown(file, uid, gid)
}

// listen opens the one thing of a cluster that the host's network sees.
func listen(ctx context.Context, port int) (*net.TCPListener, error) {
	var lc net.ListenConfig
	open := func(port int) (*net.TCPListener, error) {
		l, err := lc.Listen(ctx, "tcp4", net.JoinHostPort(loopback.String(), strconv.Itoa(port)))
		if err != nil {
			return nil, err
		}
		return l.(*net.TCPListener), nil
	}
	if port == 0 {
		if l, err := open(standardPorts.API); err == nil {
			return l, nil
		}
	}
	l, err := open(port)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, withHint(fmt.Errorf("API port %d: somebody else listens on it", port), "leave out --api-port to get a free one")
	}
	if err != nil {
		return nil, fmt.Errorf("API port %d: %w", port, err)
	}
	return l, nil
}

// plan decides where everything is, and writes it down before any of it is.
func (b *builder) plan(apiPort int) error {
	o := b.options
	var t topology
	var err error
	if b.env.Root {
		t = namespacedTopology(b.dir, o.ControlPlanes, *o.Nodes)
	} else if t, err = plainTopology(b.dir, o.ControlPlanes, apiPort, freePorts()); err != nil {
		return err
	}
	machines, err := specs(b.profile, t, b.binaries, b.env.Executable)
	if err != nil {
		return err
	}
	b.state = state{
		Version: stateVersion, Name: o.Name, Profile: o.Profile, Phase: starting, Created: b.began,
		ControlPlanes: o.ControlPlanes, Nodes: *o.Nodes, APIPort: apiPort,
		Topology: t, Machines: machines,
	}
	return writeJSON(stateFile(b.dir), b.state)
}

func (b *builder) setPhase(p phase) error {
	b.state.Phase = p
	return writeJSON(stateFile(b.dir), b.state)
}

// freePorts returns ports that were free a moment ago, each one once. Holding
// them open would not help: the components open their own.
func freePorts() func() (int, error) {
	given := map[int]bool{}
	return func() (int, error) {
		for {
			l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback.AsSlice()})
			if err != nil {
				return 0, err
			}
			port := l.Addr().(*net.TCPAddr).Port
			if err := l.Close(); err != nil {
				return 0, err
			}
			if !given[port] {
				given[port] = true
				return port, nil
			}
		}
	}
}

// startOwner starts the process that outlives this one.
func (b *builder) startOwner(listener *net.TCPListener) (process.ID, error) {
	port, err := listener.File()
	if err != nil {
		return process.ID{}, err
	}
	defer port.Close()
	log, err := os.OpenFile(ownerLog(b.dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return process.ID{}, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return process.ID{}, err
	}
	defer null.Close()
	p, err := os.StartProcess(b.env.Executable, []string{b.env.Executable, HiddenCommand, "owner", "--dir", b.dir}, &os.ProcAttr{
		// Not where the user stood: a folder somebody may want to remove.
		Dir:   "/",
		Env:   machineEnvironment(b.dir),
		Files: []*os.File{null, log, log, port},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return process.ID{}, fmt.Errorf("starting the owner process: %w", err)
	}
	id, err := process.Identify(p.Pid)
	if err != nil {
		return process.ID{}, fmt.Errorf("owner process: %w%s", err, tail(ownerLog(b.dir)))
	}
	// It is not ours to wait for. Should it end before we do, it stays a
	// zombie until then, and Alive takes a zombie for dead.
	return id, p.Release()
}

// tailLines is how much of a log an error shows.
const tailLines = 12

// tail returns the end of a log as part of an error, or nothing.
func tail(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	const enough = 16 << 10
	if info, err := f.Stat(); err == nil && info.Size() > enough {
		if _, err := f.Seek(-enough, io.SeekEnd); err != nil {
			return ""
		}
	}
	data, err := io.ReadAll(f)
	if err != nil || len(data) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return fmt.Sprintf("\n%s ends with:\n  %s", file, strings.Join(lines, "\n  "))
}
