package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A process that ran this long is taken to have been well, and its next
	// pause is the shortest again.
	wellAfter = 20 * time.Second
	minPause  = 300 * time.Millisecond
	maxPause  = 10 * time.Second
	// stopGrace is how long processes get to stop by themselves.
	stopGrace = 5 * time.Second
	// askEvery is how often a condition is tried.
	askEvery = 100 * time.Millisecond
)

// Supervisor starts processes, reaps every child of this process (its own and
// those it inherits as a namespace's first process), and starts again what
// ended. There can be one per process, because reaping takes every child.
type Supervisor struct {
	log   *slog.Logger
	spawn chan func()

	mu       sync.Mutex
	children map[int]chan<- syscall.WaitStatus
	wake     chan struct{} // a child was started
}

// group is the processes of one call of Run.
type group struct {
	*Supervisor

	mu      sync.Mutex
	reports []ProcessReport
	file    string
	done    map[string]chan struct{} // jobs; closed when done
}

// NewSupervisor begins reaping. Its children are killed by the kernel when
// this process dies, however it dies.
func NewSupervisor(log *slog.Logger) *Supervisor {
	s := &Supervisor{
		log:      log,
		spawn:    make(chan func()),
		children: map[int]chan<- syscall.WaitStatus{},
		wake:     make(chan struct{}, 1),
	}
	// The kernel's promise to kill a child with its parent is bound to the
	// parent's thread, not the process: all children are started on this one
	// thread, and it never ends.
	go func() {
		runtime.LockOSThread()
		for f := range s.spawn {
			f()
		}
	}()
	go s.reap()
	return s
}

func (s *Supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.ECHILD):
			<-s.wake
		case err != nil:
			// EINTR; nothing else is possible with these arguments.
		default:
			s.mu.Lock()
			exited := s.children[pid]
			delete(s.children, pid)
			s.mu.Unlock()
			if exited != nil {
				exited <- status
			}
		}
	}
}

// Child is a program that was started.
type Child struct {
	PID int
	// Ended receives once, when it has ended and is buried.
	Ended <-chan syscall.WaitStatus

	// handle is the kernel's descriptor of that very process, or negative where
	// the kernel has none. It is for signals: a number could by then be
	// another's.
	handle int
}

// Signal sends a signal to the child and to no other process.
func (c *Child) Signal(sig syscall.Signal) error {
	if c.handle < 0 {
		return syscall.Kill(c.PID, sig)
	}
	return unix.PidfdSendSignal(c.handle, sig, nil, 0)
}

// Close gives the handle back. The child may go on; it can no longer be
// signalled.
func (c *Child) Close() {
	if c.handle >= 0 {
		_ = unix.Close(c.handle)
	}
}

// Start runs a program. The caller reads Ended.
func (s *Supervisor) Start(path string, args []string, attr *syscall.ProcAttr) (*Child, error) {
	exited := make(chan syscall.WaitStatus, 1)
	child := &Child{Ended: exited, handle: -1}
	attr.Sys.PidFD = &child.handle
	failed := make(chan error)
	s.spawn <- func() {
		// Held across the fork, so that the reaper cannot meet a child it has
		// not heard of.
		s.mu.Lock()
		pid, err := syscall.ForkExec(path, args, attr)
		if child.PID = pid; err == nil {
			s.children[pid] = exited
		}
		s.mu.Unlock()
		select {
		case s.wake <- struct{}{}:
		default:
		}
		failed <- err
	}
	if err := <-failed; err != nil {
		return nil, err
	}
	return child, nil
}

// Run keeps the processes running until ctx is done, then stops them and
// returns. reportFile receives their state.
func (s *Supervisor) Run(ctx context.Context, processes []Process, reportFile string) {
	g := &group{Supervisor: s, file: reportFile, reports: make([]ProcessReport, len(processes)), done: map[string]chan struct{}{}}
	for i, p := range processes {
		g.reports[i] = ProcessReport{Name: p.Name, Phase: Waiting}
		if p.Job {
			g.done[p.Name] = make(chan struct{})
		}
	}
	g.write()
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() { g.keep(ctx, i, p) })
	}
	wg.Wait()
}

// keep is the life of one process.
func (g *group) keep(ctx context.Context, i int, p Process) {
	pause := minPause
	for ctx.Err() == nil {
		if !g.await(ctx, i, p.After) {
			return
		}
		child, err := g.open(p)
		if err != nil {
			g.log.Error("starting", "process", p.Name, "error", err)
			g.update(i, func(r *ProcessReport) { r.Phase, r.LastExit = Paused, err.Error() })
		} else {
			began := time.Now()
			g.log.Info("started", "process", p.Name, "pid", child.PID)
			g.update(i, func(r *ProcessReport) {
				r.Phase, r.PID, r.Since, r.WaitingFor = Running, child.PID, began, ""
			})
			var status syscall.WaitStatus
			select {
			case status = <-child.Ended:
			case <-ctx.Done():
				status = child.stop()
			}
			child.Close()
			how := describe(status)
			g.log.Info("ended", "process", p.Name, "pid", child.PID, "how", how)
			if p.Job && status.Exited() && status.ExitStatus() == 0 {
				g.update(i, func(r *ProcessReport) { r.Phase, r.PID = Done, 0 })
				close(g.done[p.Name])
				return
			}
			g.update(i, func(r *ProcessReport) { r.Phase, r.PID, r.Since, r.LastExit = Paused, 0, time.Now(), how })
			if time.Since(began) > wellAfter {
				pause = minPause
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
		g.update(i, func(r *ProcessReport) { r.Phase = Waiting; r.Restarts++ })
	}
}

// await returns false if ctx was done first.
func (g *group) await(ctx context.Context, i int, conditions []Condition) bool {
	for _, c := range conditions {
		if c.Job != "" {
			done := g.done[c.Job]
			g.update(i, func(r *ProcessReport) { r.WaitingFor = "job " + c.Job })
			select {
			case <-done:
				continue
			case <-ctx.Done():
				return false
			}
		}
		g.update(i, func(r *ProcessReport) { r.WaitingFor = c.Probe.URL })
		dialer := new(net.Dialer)
		for c.Probe.Check(ctx, dialer.DialContext) != nil {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(askEvery):
			}
		}
	}
	return ctx.Err() == nil
}

func (g *group) open(p Process) (*Child, error) {
	if err := os.MkdirAll(filepath.Dir(p.LogFile), 0o755); err != nil {
		return nil, fmt.Errorf("making the log's folder: %w", err)
	}
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	args := p.Args
	if own, err := ReadArguments(filepath.Dir(g.file)); err != nil {
		return nil, err
	} else if other, ok := own[p.Name]; ok {
		args = other
	}
	return g.Start(p.Path, append([]string{p.Path}, args...), &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(os.Environ(), p.Env...),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		// A group of its own: a signal to ours must not reach it behind our back.
		Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true},
	})
}

// argumentsFile is beside the report: what an administrator has changed in
// processes' arguments since the machine was described.
const argumentsFile = "arguments.json"

// ReadArguments reads them by process, from the report's folder.
func ReadArguments(dir string) (map[string][]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, argumentsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading changed arguments: %w", err)
	}
	var own map[string][]string
	if err := json.Unmarshal(data, &own); err != nil {
		return nil, fmt.Errorf("reading changed arguments: %w", err)
	}
	return own, nil
}

// WriteArguments changes them. Each process takes them at its next start.
func WriteArguments(dir string, own map[string][]string) error {
	name := filepath.Join(dir, argumentsFile)
	if len(own) == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing changed arguments: %w", err)
		}
		return nil
	}
	data, err := json.Marshal(own)
	if err != nil {
		return fmt.Errorf("encoding changed arguments: %w", err)
	}
	if err := errors.Join(os.WriteFile(name+".new", data, 0o600), os.Rename(name+".new", name)); err != nil {
		return fmt.Errorf("writing changed arguments: %w", err)
	}
	return nil
}

// stop asks the child to end, and then no longer asks.
func (c *Child) stop() syscall.WaitStatus {
	_ = c.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case status := <-c.Ended:
		return status
	case <-time.After(stopGrace):
	}
	_ = c.Signal(syscall.SIGKILL)
	return <-c.Ended
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

func (g *group) update(i int, change func(*ProcessReport)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.reports[i])
	g.write()
}

// write is called with the lock held.
func (g *group) write() {
	data, err := json.Marshal(Report{Processes: g.reports})
	if err != nil {
		g.log.Error("encoding the report", "error", err)
		return
	}
	tmp := g.file + ".new"
	if err := errors.Join(os.WriteFile(tmp, data, 0o600), os.Rename(tmp, g.file)); err != nil {
		g.log.Error("writing the report", "error", err)
	}
}

// Stopped returns a context that ends with SIGTERM or SIGINT.
func Stopped(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
}
