package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/lab/cgroup"
	"github.com/bulwark-k8s/bulwark/internal/lab/fabric"
	"github.com/bulwark-k8s/bulwark/internal/lab/machine"
	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
	"github.com/bulwark-k8s/bulwark/internal/lab/process"
)

// listenerFD is where the owner finds the listener on the host's loopback
// address: `up` opened it, so that a port that is taken is its error to print.
const listenerFD = 3

// rebootPause is how long a machine that died stays down.
const rebootPause = time.Second

// owner is the process that a cluster lives and dies with.
type owner struct {
	dir        string
	state      state
	executable string
	log        *slog.Logger
	supervisor *machine.Supervisor

	mu      sync.Mutex
	runtime runtimeState
}

// RunOwner is the owner's life. It returns when it is told to stop and all has
// stopped, or when it could not begin.
func RunOwner(ctx context.Context, dir string, env Environment, log *slog.Logger) error {
	id, err := process.Identify(os.Getpid())
	if err != nil {
		return err
	}
	o := &owner{dir: dir, executable: env.Executable, log: log, runtime: runtimeState{Owner: id, Machines: map[string]machineState{}}}
	if err := readJSON(stateFile(dir), &o.state); err != nil {
		return fmt.Errorf("reading the cluster's state: %w", err)
	}
	o.supervisor = machine.NewSupervisor(log)
	ctx, cancel := machine.Stopped(ctx)
	defer cancel()
	if err := o.run(ctx); err != nil {
		o.update(func(r *runtimeState) { r.Error = err.Error() })
		return err
	}
	return nil
}

// RunMachine is the life of a machine's first process.
func RunMachine(ctx context.Context, log *slog.Logger) error { return machine.First(ctx, log) }

func (o *owner) update(change func(*runtimeState)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.runtime)
	if err := writeJSON(runtimeFile(o.dir), o.runtime); err != nil {
		o.log.Error("writing the runtime state", "error", err)
	}
}

func (o *owner) run(ctx context.Context) error {
	inherited := os.NewFile(listenerFD, "listener")
	listener, err := net.FileListener(inherited)
	// Closed, or every child would hold the port open too.
	if err := errors.Join(err, inherited.Close()); err != nil {
		return fmt.Errorf("taking over the listener: %w", err)
	}
	o.update(func(*runtimeState) {})
	if !o.state.Topology.Namespaced {
		return o.runPlain(ctx, listener)
	}
	return o.runNamespaced(ctx, listener)
}

// runPlain runs the processes as they are.
func (o *owner) runPlain(ctx context.Context, listener net.Listener) error {
	o.balance(ctx, new(net.Dialer).DialContext, listener)
	var wg sync.WaitGroup
	for _, spec := range o.state.Machines {
		wg.Go(func() { o.supervisor.Run(ctx, spec.Processes, spec.ReportFile) })
	}
	wg.Wait()
	return nil
}

// runNamespaced makes the network and runs the machines in it.
func (o *owner) runNamespaced(ctx context.Context, listener net.Listener) error {
	bridge, err := fabric.NewBridge(bridgeAddress)
	if err != nil {
		return err
	}
	inside, err := bridge.Listen(net.JoinHostPort(bridgeAddress.Addr().String(), strconv.Itoa(standardPorts.API)))
	if err != nil {
		return fmt.Errorf("listening for the nodes: %w", err)
	}
	o.balance(ctx, bridge.Dial, listener, inside)
	if o.state.Nodes > 0 {
		go o.route(ctx, bridge)
		if profile, err := ProfileNamed(o.state.Profile); err == nil && profile.PKI.KubeletServing {
			go o.approve(ctx)
		}
	}
	var wg sync.WaitGroup
	for i, h := range o.state.Topology.Hosts {
		wg.Go(func() { o.keep(ctx, bridge, h, o.state.Machines[i]) })
	}
	wg.Wait()
	return nil
}

// keep is the life of a machine: booted, and booted again when it dies.
func (o *owner) keep(ctx context.Context, bridge *fabric.Bridge, h host, spec machine.Spec) {
	for restarts := 0; ctx.Err() == nil; restarts++ {
		log := o.log.With("machine", h.Name)
		m, err := o.boot(bridge, h, spec, restarts)
		if err != nil {
			log.Error("booting", "error", err)
			o.update(func(r *runtimeState) {
				state := r.Machines[h.Name]
				state.Error = err.Error()
				r.Machines[h.Name] = state
			})
		}
		if m != nil {
			select {
			case status := <-m.Ended:
				m.Close()
				log.Warn("machine ended", "exit", status.ExitStatus(), "signal", status.Signal())
			case <-ctx.Done():
				// The first process stops its own, in order; then it ends.
				_ = m.Signal(syscall.SIGTERM)
				<-m.Ended
				return
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(rebootPause):
		}
	}
}

// boot starts one machine. A machine is returned with the error if there is
// something to wait for.
func (o *owner) boot(bridge *fabric.Bridge, h host, spec machine.Spec, restarts int) (*machine.Machine, error) {
	key := clusterKey(o.dir)
	// What an earlier life left: pods' groups with nothing in them.
	if err := cgroup.Remove(key, h.Name, 10*time.Second); err != nil {
		return nil, err
	}
	if err := cgroup.Make(key, h.Name); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(h.Dir, "machine.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	m, err := machine.Boot(o.supervisor, []string{o.executable, HiddenCommand, "machine"}, machineEnvironment(o.dir), log)
	if err != nil {
		return nil, err
	}
	id, err := process.Identify(m.PID)
	if err != nil {
		return m, err
	}
	o.update(func(r *runtimeState) {
		r.Machines[h.Name] = machineState{ID: id, Since: time.Now(), Restarts: restarts}
	})
	if err := cgroup.Enter(key, h.Name, m.PID); err != nil {
		return m, errors.Join(err, m.Signal(syscall.SIGKILL))
	}
	if err := bridge.Join(m.PID, h.Link, h.IP); err != nil {
		return m, errors.Join(err, m.Signal(syscall.SIGKILL))
	}
	return m, m.Describe(spec)
}

// machineEnvironment is all a machine inherits: no variable of the person who
// started the cluster gets in, and the mark is how its processes are known.
func machineEnvironment(dir string) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8",
		process.Mark(dir),
	}
}

// balance carries connections from the listeners to the apiservers.
func (o *owner) balance(ctx context.Context, dial fabric.Dial, listeners ...net.Listener) {
	b := &fabric.Balancer{Dial: dial, Log: o.log}
	hosts := map[string]host{}
	for _, h := range o.state.Topology.of(controlPlane) {
		backend := h.address(h.Ports.API)
		b.Backends = append(b.Backends, backend)
		hosts[backend] = h
	}
	b.Healthy = func(ctx context.Context, backend string) error {
		h := hosts[backend]
		return apiServerProbe(h, h.file, "scheduler.conf").Check(ctx, probe.Dial(dial))
	}
	go b.Watch(ctx)
	go func() {
		machines := map[string]string{}
		for backend, h := range hosts {
			machines[h.Name] = backend
		}
		if err := o.takeOrders(ctx, b, machines); err != nil {
			o.log.Error("serving the control socket", "error", err)
		}
	}()
	for _, l := range listeners {
		go func() {
			if err := b.Serve(ctx, l); err != nil {
				o.log.Error("serving", "address", l.Addr().String(), "error", err)
			}
		}()
	}
}

// route sends every node's pod range to the node, for as long as the owner
// lives. It watches as lab-net does, with an identity that may read nodes and
// nothing that matters.
func (o *owner) route(ctx context.Context, bridge *fabric.Bridge) {
	addresses := map[string]netip.Addr{}
	for _, h := range o.state.Topology.of(worker) {
		addresses[h.Name] = h.IP
	}
	first := o.state.Topology.of(worker)[0]
	for ctx.Err() == nil {
		if err := o.followNodes(ctx, bridge, first.file(kubernetesDir+"/lab-net.conf"), addresses); err != nil && ctx.Err() == nil {
			o.log.Debug("watching nodes", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (o *owner) followNodes(ctx context.Context, bridge *fabric.Bridge, kubeconfig string, addresses map[string]netip.Addr) error {
	config, err := clientcmd.BuildConfigFromFlags(hostServer(o.state.APIPort), kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	// From version 0 a watch begins with everything there is.
	w, err := client.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	defer w.Stop()
	routed := map[string]string{}
	for event := range w.ResultChan() {
		node, ok := nodeOf(event)
		if !ok || node.Spec.PodCIDR == "" || routed[node.Name] == node.Spec.PodCIDR {
			continue
		}
		address, known := addresses[node.Name]
		pods, err := netip.ParsePrefix(node.Spec.PodCIDR)
		if !known || err != nil {
			continue // a node that somebody invented
		}
		if err := bridge.Route(pods, address); err != nil {
			return err
		}
		o.log.Info("routing pods", "node", node.Name, "pods", node.Spec.PodCIDR)
		routed[node.Name] = node.Spec.PodCIDR
	}
	return errors.New("the watch ended")
}

func nodeOf(event watch.Event) (*corev1.Node, bool) {
	if event.Type != watch.Added && event.Type != watch.Modified {
		return nil, false
	}
	node, ok := event.Object.(*corev1.Node)
	return node, ok
}

// specs describes every machine of a topology.
func specs(p Profile, t topology, c components, executable string) ([]machine.Spec, error) {
	images, err := imageArchives(c, t)
	if err != nil {
		return nil, err
	}
	var all []machine.Spec
	for _, h := range t.Hosts {
		s := machine.Spec{Name: h.Name, ReportFile: h.path(reportFile)}
		binary := func(name string) string {
			if name == "bulwark" {
				return executable
			}
			return c.path(name)
		}
		if t.Namespaced {
			binary = func(name string) string { return "/usr/local/bin/" + name }
			s.Root = machineRoot(h, c, executable)
		} else {
			s.ReportFile = h.file("/run/processes.json")
		}
		switch h.Role {
		case controlPlane:
			s.Processes = controlPlaneProcesses(p, t, h, binary)
		case worker:
			s.Processes = nodeProcesses(p.Kubelet, t, h, images)
		}
		all = append(all, s)
	}
	return all, nil
}

// reportOnHost is where a machine's report is found from outside.
func reportOnHost(h host) string { return h.file("/run/processes.json") }

func imageArchives(c components, t topology) ([]string, error) {
	if len(t.of(worker)) == 0 {
		return nil, nil
	}
	files, err := filepath.Glob(c.path("images/*.tar"))
	if err != nil {
		return nil, err
	}
	for i, f := range files {
		files[i] = filepath.Base(f)
	}
	return files, nil
}

// machineRoot is a machine's file system: the host's programs, the components
// where an administrator would put them, and an /etc and a /var of its own.
func machineRoot(h host, c components, executable string) *machine.Root {
	r := &machine.Root{
		Dir:      h.file("/root"),
		Writable: map[string]string{"/etc": h.file("/etc"), "/var": h.file("/var"), "/run/bulwark": h.file("/run")},
		ReadOnly: map[string]string{},
		Links:    map[string]string{},
		// What a kubelet wants of a machine. With these it finds them as it
		// wants them, and leaves them alone.
		Sysctls: map[string]string{
			"vm.overcommit_memory":      "1",
			"vm.panic_on_oom":           "0",
			"kernel.panic":              "10",
			"kernel.panic_on_oops":      "1",
			"kernel.keys.root_maxkeys":  "1000000",
			"kernel.keys.root_maxbytes": strconv.Itoa(1000000 * 25),
		},
		NetSysctls: map[string]string{"net.ipv4.ip_forward": "1"},
	}
	// Parts of /etc that belong to the programs in /usr.
	for _, shared := range []string{"/etc/ssl/certs", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/protocols", "/etc/services", "/etc/localtime"} {
		if _, err := os.Stat(shared); err == nil {
			r.ReadOnly[shared] = shared
		}
	}
	// Links into a folder, not the files themselves bound one by one: runc
	// looks at itself through the folder it lies in, and would find the empty
	// file below the mount.
	r.ReadOnly[componentsDir] = string(c)
	own := slices.Concat(controlPlaneComponents, optionalComponents)
	if h.Role == worker {
		own = slices.Concat(nodePrograms, optionalComponents)
		r.ReadOnly[cniBinDir] = c.path("cni")
	}
	for _, name := range own {
		if _, err := os.Stat(c.path(name)); err == nil {
			r.Links["/usr/local/bin/"+name] = componentsDir + "/" + name
		}
	}
	r.ReadOnly["/usr/local/bin/bulwark"] = executable
	return r
}
