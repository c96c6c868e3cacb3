package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"

	"github.com/bulwark-k8s/bulwark/internal/apiconfig"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/host/handshake"
)

// flagNeeds are the needs that a component's arguments meet.
var flagNeeds = map[string]cluster.Need{
	"kube-apiserver":          cluster.APIServerFlags,
	"kube-controller-manager": cluster.ControllerManagerFlags,
	"kube-scheduler":          cluster.SchedulerFlags,
	"etcd":                    cluster.EtcdFlags,
	"kubelet":                 cluster.KubeletConfig,
	"kube-proxy":              cluster.ProxyFlags,
}

type reader struct {
	Options
	proc procfs
	self string // the network that the program is in
}

func read(ctx context.Context, opts Options) (*Facts, error) {
	r := &reader{Options: opts, proc: procfs{opts.Proc}}
	self, err := os.Readlink(path.Join(opts.Proc, "self/ns/net"))
	if err != nil {
		return nil, fmt.Errorf("finding the own network namespace: %w", err)
	}
	r.self = self
	home, err := r.proc.home()
	if err != nil {
		return nil, fmt.Errorf("finding the machine's network namespace from inside a pod: %w", err)
	}
	groups, apart, err := r.proc.components()
	if err != nil {
		return nil, err
	}
	// A machine without components is a machine still.
	if !slices.ContainsFunc(groups, func(g *group) bool { return g.net == home }) {
		groups = append(groups, &group{net: home})
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		switch {
		case a.net == home && b.net != home:
			return -1
		case b.net == home && a.net != home:
			return 1
		}
		return 0
	})

	facts := &Facts{}
	for _, g := range groups {
		if g.net != home {
			if r.Inside == nil {
				r.Logger.DebugContext(ctx, "another machine left out", "network", g.net, "components", len(g.processes))
				continue
			}
			if g.workload() {
				r.Logger.DebugContext(ctx, "workload left out", "network", g.net, "component", g.processes[0].component)
				continue
			}
		}
		m := r.machine(ctx, g, g.net == home)
		facts.Machines = append(facts.Machines, m.Machines...)
		facts.Kubelets = append(facts.Kubelets, m.Kubelets...)
		facts.Configs = append(facts.Configs, m.Configs...)
		facts.Gaps = append(facts.Gaps, m.Gaps...)
	}
	r.unseen(ctx, facts, apart)
	slices.SortFunc(facts.Machines[1:], func(a, b *cluster.Machine) int { return strings.Compare(a.Name, b.Name) })
	return facts, nil
}

// allNeeds are what a machine can answer, and where it does not has gaps.
var allNeeds = []cluster.Need{
	cluster.APIServerFlags, cluster.ControllerManagerFlags, cluster.SchedulerFlags, cluster.EtcdFlags,
	cluster.KubeletConfig, cluster.ProxyFlags, cluster.HostFiles, cluster.Listeners,
	cluster.AuditFile, cluster.EncryptionFile, cluster.AuthenticationFile, cluster.AuthorizationFile, cluster.AdmissionFile, cluster.ABACFile,
	cluster.StoredObjects,
}

// unseen records what cannot be said of the machine as a whole, after it was read.
func (r *reader) unseen(ctx context.Context, facts *Facts, apart map[*process]error) {
	reasons := map[cluster.Need][]string{}
	if r.proc.hidden() {
		for _, need := range allNeeds {
			reasons[need] = append(reasons[need], "the processes of other users are hidden (hidepid); root sees them")
		}
	}
	processes := slices.SortedFunc(maps.Keys(apart), func(a, b *process) int { return cmp.Compare(a.pid, b.pid) })
	for _, p := range processes {
		err := apart[p]
		if errors.Is(err, errElsewhere) {
			r.Logger.DebugContext(ctx, "process of another machine left out", "component", p.component, "pid", p.pid)
			continue
		}
		for _, need := range []cluster.Need{flagNeeds[p.component], cluster.HostFiles, cluster.Listeners} {
			if need != "" {
				reasons[need] = append(reasons[need], fmt.Sprintf("which machine %s (process %d) runs on: %v", p.component, p.pid, err))
			}
		}
	}
	facts.addGaps(facts.Machines[0].Name, reasons)
}

// addGaps adds one gap for each need that has reasons.
func (f *Facts) addGaps(machine string, reasons map[cluster.Need][]string) {
	for _, need := range allNeeds {
		if len(reasons[need]) > 0 {
			f.Gaps = append(f.Gaps, cluster.Gap{Need: need, Scope: machine, Reason: join(reasons[need])})
		}
	}
}

// A survey is the reading of one machine.
type survey struct {
	*reader
	group   *group
	machine *cluster.Machine
	kubelet *cluster.Kubelet
	configs []*cluster.Config
	base    *view
	views   map[string]*view // by mount namespace
	gaps    map[cluster.Need][]string
}

// grace is how long a machine may go on after its time is up: what it does then is
// hang up on ports, unless a file system holds it.
const grace = time.Second

// machine reads one machine. A file that never answers, on a network file system whose
// server is gone, does not hold it up for longer than ctx and a grace.
func (r *reader) machine(ctx context.Context, g *group, home bool) *Facts {
	done := make(chan *Facts, 1)
	go func() { done <- r.survey(ctx, g, home) }()
	select {
	case facts := <-done:
		return facts
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case facts := <-done:
		return facts
	case <-late.C:
	}
	m := &cluster.Machine{Name: r.Name}
	if !home {
		m.Name = g.net
	}
	facts := &Facts{Machines: []*cluster.Machine{m}}
	reasons := map[cluster.Need][]string{}
	for _, need := range allNeeds {
		reasons[need] = []string{"a file did not answer in time: " + context.Cause(ctx).Error()}
	}
	facts.addGaps(m.Name, reasons)
	return facts
}

// survey reads one machine.
func (r *reader) survey(ctx context.Context, g *group, home bool) *Facts {
	s := &survey{
		reader: r, group: g, views: map[string]*view{}, gaps: map[cluster.Need][]string{},
		machine: &cluster.Machine{Seen: r.Now().UTC().Truncate(time.Second)},
	}
	defer s.close()
	s.openBase(home)
	s.name(home)
	s.machine.Source = cluster.Source{Origin: fmt.Sprintf("%s of %s", r.Proc, s.machine.Name)}

	configs := s.processes()
	s.files(configs)
	if !home && !r.Inside(s.machine) {
		r.Logger.DebugContext(ctx, "another machine left out", "machine", s.machine.Name)
		return &Facts{}
	}
	s.listeners(ctx)
	if r.Stored {
		s.stored(ctx)
	}

	facts := &Facts{Machines: []*cluster.Machine{s.machine}, Configs: s.configs}
	if s.kubelet != nil {
		facts.Kubelets = []*cluster.Kubelet{s.kubelet}
	}
	facts.addGaps(s.machine.Name, s.gaps)
	return facts
}

// join makes one reason of many, and does not let it grow long.
func join(reasons []string) string {
	const most = 5
	if n := len(reasons) - most; n > 0 {
		reasons = append(slices.Clone(reasons[:most]), fmt.Sprintf("and %d more", n))
	}
	return strings.Join(reasons, "; ")
}

func (s *survey) gap(need cluster.Need, reason string) {
	if !slices.Contains(s.gaps[need], reason) {
		s.gaps[need] = append(s.gaps[need], reason)
	}
}

func (s *survey) close() {
	for _, v := range s.views {
		v.close()
	}
}

// openBase opens the machine's own file tree: that of its foremost process.
func (s *survey) openBase(home bool) {
	pid := os.Getpid()
	if p := s.group.foremost(); p != nil {
		pid = p.pid
	} else if home && s.group.net != s.self {
		pid = 1 // a pod that looks at its node
	}
	v, err := openView(s.Proc, pid)
	if err != nil {
		s.gap(cluster.HostFiles, err.Error())
		return
	}
	mnt, err := os.Readlink(s.proc.path(pid, "ns/mnt"))
	if err != nil {
		mnt = "process " + strconv.Itoa(pid)
	}
	s.base, s.views[mnt] = v, v
}

// name finds the machine's name: the Node's where a kubelet is told it, else the host's.
func (s *survey) name(home bool) {
	for _, p := range s.group.processes {
		flag := map[string]string{"kubelet": "hostname-override", "k3s": "node-name", "rke2": "node-name"}[p.component]
		if name, ok := cluster.ParseFlags(p.argv[1:]).Lookup(flag); ok && flag != "" && name != "" {
			s.machine.Name = strings.ToLower(strings.TrimSpace(name))
			return
		}
	}
	if home && s.group.net == s.self {
		s.machine.Name = s.Name
		return
	}
	if p := s.group.foremost(); p != nil && p.uts != "" {
		if name, err := nodeName(s.Proc, p.pid, p.uts); err == nil && name != "" {
			s.machine.Name = name
			return
		}
	}
	if s.base != nil {
		if b, err := s.base.read("/etc/hostname"); err == nil && len(bytes.TrimSpace(b)) > 0 {
			s.machine.Name = string(bytes.TrimSpace(b))
			return
		}
	}
	s.machine.Name = s.group.net
}

// view is the file tree that a process sees.
func (s *survey) view(p *process) (*view, error) {
	if v, ok := s.views[p.mnt]; ok {
		return v, nil
	}
	v, err := openView(s.Proc, p.pid)
	if err != nil {
		return nil, err
	}
	key := p.mnt
	if key == "" {
		key = "process " + strconv.Itoa(p.pid)
	}
	s.views[key] = v
	return v, nil
}

// processes reads arguments and configurations, and returns the kubelets' by process.
func (s *survey) processes() map[*process]*kubeletv1beta1.KubeletConfiguration {
	configs := map[*process]*kubeletv1beta1.KubeletConfiguration{}
	for _, p := range s.group.processes {
		args := p.argv
		switch p.component {
		case "etcd":
			if a, err := s.etcd(p); err == nil {
				args = a
			} else {
				s.gap(cluster.EtcdFlags, fmt.Sprintf("etcd (process %d): %v", p.pid, err))
			}
		case "kubelet":
			config, err := s.kubeletConfig(p)
			if err != nil {
				s.gap(cluster.KubeletConfig, fmt.Sprintf("kubelet (process %d): %v", p.pid, err))
				break
			}
			configs[p] = config
			s.kubelet = &cluster.Kubelet{
				Node: s.machine.Name, Config: config,
				Source: cluster.Source{Origin: cmp.Or(flag(p, "config"), s.proc.path(p.pid, "cmdline"))},
			}
		case "kube-apiserver":
			s.serverConfigs(p)
		case "kube-proxy", "kube-scheduler":
			if a, err := s.configured(p); err == nil {
				args = a
			} else {
				s.gap(flagNeeds[p.component], fmt.Sprintf("%s (process %d): %v", p.component, p.pid, err))
			}
		case "k3s":
			s.embedded(p)
		}
		p.args = redact(p.component, args)
		s.machine.Processes = append(s.machine.Processes, cluster.Process{
			Component: p.component, PID: p.pid, UID: p.uid, Args: p.args,
		})
	}
	slices.SortFunc(s.machine.Processes, func(a, b cluster.Process) int {
		return cmp.Or(strings.Compare(a.Component, b.Component), cmp.Compare(a.PID, b.PID))
	})
	return configs
}

func flag(p *process, name string) string {
	return cluster.ParseFlags(p.argv[1:]).Get(name, "")
}

// embedded records that a k3s runs components inside its own process.
func (s *survey) embedded(p *process) {
	reason := fmt.Sprintf("k3s (process %d) runs it inside its own process, where its flags do not show", p.pid)
	s.gap(cluster.KubeletConfig, reason)
	s.gap(cluster.ProxyFlags, reason)
	if strings.Contains(strings.Join(p.argv, " "), "server") {
		for _, need := range []cluster.Need{cluster.APIServerFlags, cluster.ControllerManagerFlags, cluster.SchedulerFlags, cluster.EtcdFlags} {
			s.gap(need, reason)
		}
	}
}

// etcd returns the arguments that an etcd acts on, wherever they come from.
func (s *survey) etcd(p *process) ([]string, error) {
	environ, err := os.ReadFile(s.proc.path(p.pid, "environ"))
	if err != nil {
		return nil, fmt.Errorf("its environment, where it also takes settings from: %w", err)
	}
	defer clear(environ)
	args, err := etcdArgs(p.argv, environ, nil)
	if err != nil {
		return nil, err
	}
	file := cluster.ParseFlags(args[1:]).Get("config-file", "")
	if file == "" {
		return args, nil
	}
	v, err := s.view(p)
	if err != nil {
		return nil, err
	}
	if !path.IsAbs(file) {
		file = path.Join(p.cwd, file)
	}
	config, err := v.read(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	args, err = etcdArgs(p.argv, nil, config)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: not the YAML that it should be", file)
	}
	return slices.Insert(args, 1, "--config-file="+file), nil
}

// serverConfigs reads the configuration files that an API server was started with.
func (s *survey) serverConfigs(p *process) {
	for need, name := range cluster.ConfigFlags {
		file := flag(p, name)
		if file == "" {
			continue
		}
		c, err := s.serverConfig(p, need, file)
		if err != nil {
			s.gap(need, fmt.Sprintf("%s of kube-apiserver (process %d): %v", file, p.pid, err))
			continue
		}
		if c.Need() != need {
			s.gap(need, fmt.Sprintf("%s of kube-apiserver (process %d) is a %s", file, p.pid, c.Kind))
			continue
		}
		c.Ref = cluster.FileRef(s.machine.Name, file)
		c.Machine, c.File = s.machine.Name, file
		c.Source = cluster.Source{Origin: file + " of " + s.machine.Name}
		s.configs = append(s.configs, c)
	}
	slices.SortFunc(s.configs, func(a, b *cluster.Config) int { return a.Compare(b.Ref) })
}

// serverConfig reads one of them, and what it names in turn, as the process sees them.
func (s *survey) serverConfig(p *process, need cluster.Need, file string) (*cluster.Config, error) {
	v, err := s.view(p)
	if err != nil {
		return nil, err
	}
	if !path.IsAbs(file) {
		file = path.Join(p.cwd, file)
	}
	data, err := v.read(file)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	if need == cluster.ABACFile {
		return apiconfig.ParseABAC(data)
	}
	return apiconfig.Parse(data, func(other string) ([]byte, error) {
		if !path.IsAbs(other) {
			other = path.Join(path.Dir(file), other)
		}
		return v.read(other)
	})
}

// configured returns the arguments of a component with the settings of its
// configuration file among them.
func (s *survey) configured(p *process) ([]string, error) {
	file := flag(p, "config")
	if file == "" {
		return p.argv, nil
	}
	v, err := s.view(p)
	if err != nil {
		return nil, err
	}
	if !path.IsAbs(file) {
		file = path.Join(p.cwd, file)
	}
	config, err := v.read(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	args, err := configArgs(p.component, p.argv, config)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: not the YAML that it should be", file)
	}
	return args, nil
}

func (s *survey) kubeletConfig(p *process) (*kubeletv1beta1.KubeletConfiguration, error) {
	v, err := s.view(p)
	if err != nil {
		return nil, err
	}
	abs := func(file string) string {
		if !path.IsAbs(file) {
			return path.Join(p.cwd, file)
		}
		return file
	}
	return kubeletConfig(cluster.ParseFlags(p.argv[1:]),
		func(file string) ([]byte, error) { return v.read(abs(file)) },
		func(dir string) ([]string, error) { return v.names(abs(dir)) })
}

// files looks at the files of every component, and at those of the machine itself.
func (s *survey) files(configs map[*process]*kubeletv1beta1.KubeletConfiguration) {
	if s.base == nil {
		return
	}
	set := newFileSet(s.base)
	for _, p := range s.group.processes {
		v, err := s.view(p)
		switch {
		case gone(err):
		case err != nil:
			s.gap(cluster.HostFiles, fmt.Sprintf("%s: %v", p.component, err))
		default:
			set.filesOf(v, p, configs[p])
		}
	}
	set.conventions()
	for _, reason := range set.denied {
		s.gap(cluster.HostFiles, reason)
	}
	s.machine.Files = set.files
	slices.SortFunc(s.machine.Files, func(a, b cluster.File) int { return strings.Compare(a.Path, b.Path) })
}

// listeners finds the ports of the components and asks each how it answers.
func (s *survey) listeners(ctx context.Context) {
	if len(s.group.processes) == 0 {
		return
	}
	listening, err := s.proc.listening(s.group.processes[0].pid)
	if err != nil {
		s.gap(cluster.Listeners, err.Error())
		return
	}
	type key struct {
		component string
		addr      netip.AddrPort
	}
	seen := map[key]bool{}
	for _, p := range s.group.processes {
		held, err := s.proc.sockets(p.pid)
		switch {
		case gone(err):
			continue
		case err != nil:
			s.gap(cluster.Listeners, fmt.Sprintf("which ports %s listens on: %v", p.component, err))
			continue
		}
		for inode := range held {
			sock, ok := listening[inode]
			if k := (key{p.component, sock.addr}); ok && !seen[k] {
				seen[k] = true
				s.machine.Listeners = append(s.machine.Listeners, cluster.Listener{
					Component: p.component, PID: p.pid,
					Address: sock.addr.Addr().String(), Port: int(sock.addr.Port()),
				})
			}
		}
	}
	slices.SortFunc(s.machine.Listeners, func(a, b cluster.Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Address, b.Address), strings.Compare(a.Component, b.Component))
	})
	s.ask(ctx)
}

// ask asks every listener how it answers, from inside the machine's network.
func (s *survey) ask(ctx context.Context) {
	listeners := s.machine.Listeners
	if len(listeners) == 0 {
		return
	}
	var from *network
	if s.group.net != s.self {
		var err error
		from, err = enter(s.Proc, s.group.processes[0].pid, s.group.net, min(s.Concurrency, len(listeners)))
		if err != nil {
			for i := range listeners {
				listeners[i].Unknown = err.Error()
			}
			s.gap(cluster.Listeners, "how ports answer: "+err.Error())
			return
		}
		defer from.close()
	}
	var wg sync.WaitGroup
	next := make(chan *cluster.Listener)
	for range min(s.Concurrency, len(listeners)) {
		wg.Go(func() {
			for l := range next {
				s.askOne(ctx, from, l)
			}
		})
	}
	for i := range listeners {
		next <- &listeners[i]
	}
	close(next)
	wg.Wait()
}

func (s *survey) askOne(ctx context.Context, from *network, l *cluster.Listener) {
	t, err := handshake.Ask(ctx, handshake.Options{
		Timeout: s.Timeout,
		Dial:    func(ctx context.Context) (net.Conn, error) { return from.dialListener(ctx, l) },
	})
	switch {
	case err == nil:
		l.TLS = t
	case errors.Is(err, handshake.ErrPlain):
	default:
		l.Unknown = err.Error()
	}
}

// dialListener connects to a listener; one on every address is met on the loopback.
func (n *network) dialListener(ctx context.Context, l *cluster.Listener) (net.Conn, error) {
	port := strconv.Itoa(l.Port)
	switch l.Address {
	case "0.0.0.0":
		return n.dial(ctx, net.JoinHostPort("127.0.0.1", port))
	case "::":
		conn, err := n.dial(ctx, net.JoinHostPort("::1", port))
		if err != nil && ctx.Err() == nil { // no IPv6 on the loopback
			return n.dial(ctx, net.JoinHostPort("127.0.0.1", port))
		}
		return conn, err
	}
	return n.dial(ctx, net.JoinHostPort(l.Address, port))
}
