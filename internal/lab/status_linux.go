package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/lab/fabric"
	"github.com/bulwark-k8s/bulwark/internal/lab/machine"
	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
	"github.com/bulwark-k8s/bulwark/internal/lab/process"
)

// Inspect asks a cluster how it is: every component over its own channel, and
// the nodes through the API.
func Inspect(ctx context.Context, name, stateDir string, env Environment) (*Status, error) {
	dir, err := existing(name, stateDir, env)
	if err != nil {
		return nil, err
	}
	status, err := inspect(ctx, dir)
	if err != nil {
		return nil, withHint(fmt.Errorf("cluster %s: its state is damaged: %w", name, err), "bulwark down --name %s", name)
	}
	return status, nil
}

// existing returns the folder of a cluster that there is.
func existing(name, stateDir string, env Environment) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	root, err := StateDir(stateDir, env)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", withHint(fmt.Errorf("cluster %s: there is none in %s", name, root), "bulwark up --name %s", name)
		}
		return "", fmt.Errorf("cluster %s: %w", name, err)
	}
	return dir, nil
}

// inspect asks the components of the given names, or all and the nodes.
func inspect(ctx context.Context, dir string, names ...string) (*Status, error) {
	var s state
	if err := readJSON(stateFile(dir), &s); err != nil {
		return nil, err
	}
	profile, err := ProfileNamed(s.Profile)
	if err != nil {
		return nil, err
	}
	var r runtimeState
	if err := readJSON(runtimeFile(dir), &r); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	status := &Status{
		Name: s.Name, Profile: s.Profile, Phase: string(s.Phase), Created: s.Created, Namespaced: s.Topology.Namespaced,
		Kubeconfig: kubeconfigFile(dir), Server: hostServer(s.APIPort), Folder: dir,
		OwnerPID: r.Owner.PID, OwnerAlive: r.Owner.Alive(), Problem: r.Error,
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, h := range s.Topology.Hosts {
		m := r.Machines[h.Name]
		wg.Go(func() {
			rows := inspectMachine(ctx, profile, s, i, m, names)
			mu.Lock()
			defer mu.Unlock()
			status.Machines = append(status.Machines, MachineStatus{
				Name: h.Name, Role: string(h.Role), IP: h.IP.String(),
				PID: m.PID, Running: status.OwnerAlive && (!s.Topology.Namespaced || m.Alive()), Restarts: m.Restarts,
			})
			status.Components = append(status.Components, rows...)
		})
	}
	wg.Wait()
	order := func(name string) int {
		return slices.IndexFunc(s.Topology.Hosts, func(h host) bool { return h.Name == name })
	}
	slices.SortStableFunc(status.Machines, func(a, b MachineStatus) int { return order(a.Name) - order(b.Name) })
	slices.SortStableFunc(status.Components, func(a, b ComponentStatus) int { return order(a.Machine) - order(b.Machine) })
	if len(names) == 0 && status.OwnerAlive {
		inspectNodes(ctx, s, status)
	}
	return status, nil
}

// inspectMachine asks one machine's processes.
func inspectMachine(ctx context.Context, p Profile, s state, i int, m machineState, names []string) []ComponentStatus {
	h := s.Topology.Hosts[i]
	var report machine.Report
	rerr := readJSON(reportOnHost(h), &report)
	proc := filepath.Join("/proc", strconv.Itoa(m.PID))
	probes := controlPlaneHealth(p, h)
	if h.Role == worker {
		probes = nodeHealth(p, s.Topology.of(controlPlane)[0], h, proc)
	}
	dial := probe.Dial(new(net.Dialer).DialContext)
	var hostPID map[int]int
	alive := true
	if s.Topology.Namespaced {
		if alive = m.Alive(); alive {
			ns, err := fabric.OfProcess(m.PID)
			if err != nil {
				return []ComponentStatus{{Machine: h.Name, Name: "machine", Why: err.Error()}}
			}
			defer ns.Close()
			dial = ns.Dial
			hostPID = process.Inside(m.PID)
		}
	}
	var wg sync.WaitGroup
	var rows []ComponentStatus
	for n, described := range s.Machines[i].Processes {
		if len(names) > 0 && !slices.Contains(names, described.Name) {
			continue
		}
		if described.Job && (!alive || rerr != nil) {
			continue // of interest only while it keeps others waiting
		}
		row := ComponentStatus{Machine: h.Name, Name: described.Name, Log: logOnHost(h, described.LogFile)}
		switch {
		case !alive && m.Error != "":
			row.Why = m.Error
		case !alive:
			row.Why = "the machine does not run"
		case rerr != nil || n >= len(report.Processes):
			row.Why = "not started yet"
		default:
			if row = row.filled(report.Processes[n], hostPID); row.Phase == string(machine.Done) {
				continue // an image that is imported
			}
			// With its machine, all of it was started again.
			row.Restarts += m.Restarts
		}
		rows = append(rows, row)
	}
	for n := range rows {
		row := &rows[n]
		if row.PID == 0 {
			continue
		}
		wg.Go(func() {
			question, ok := probes[row.Name]
			if !ok {
				row.Healthy = true // it runs, and has nothing to ask
				return
			}
			if err := question.Check(ctx, dial); err != nil {
				row.Why = err.Error()
				return
			}
			row.Healthy = true
		})
	}
	wg.Wait()
	return rows
}

func logOnHost(h host, file string) string {
	if h.Prefix != "" {
		return file
	}
	return h.file(file)
}

// filled adds what the machine's first process reports.
func (c ComponentStatus) filled(r machine.ProcessReport, hostPID map[int]int) ComponentStatus {
	c.Phase, c.Restarts, c.LastExit = string(r.Phase), r.Restarts, r.LastExit
	switch r.Phase {
	case machine.Running:
		c.PID, c.Since = r.PID, r.Since
		if hostPID != nil {
			c.PID = hostPID[r.PID]
		}
		if c.PID == 0 || !processRuns(c.PID) {
			c.PID, c.Why = 0, "the process is gone"
		}
	case machine.Waiting:
		c.Why = "waits for " + r.WaitingFor
	case machine.Paused:
		c.Why = "ended: " + r.LastExit
	case machine.Done:
	}
	return c
}

func processRuns(pid int) bool {
	_, err := process.Identify(pid)
	return err == nil
}

// inspectNodes adds what the API says of the nodes.
func inspectNodes(ctx context.Context, s state, status *Status) {
	if s.Nodes == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probe.Timeout+time.Second)
	defer cancel()
	ready := map[string]string{}
	api, err := newAPI(s)
	if err == nil {
		ready, err = api.nodeConditions(ctx)
	}
	for i := range status.Machines {
		m := &status.Machines[i]
		if m.Role != string(worker) {
			continue
		}
		row := ComponentStatus{Machine: m.Name, Name: "Node object"}
		switch why, known := ready[m.Name]; {
		case err != nil:
			row.Why = err.Error()
		case !known:
			row.Why = "not registered"
		case why != "":
			row.Why = why
		default:
			row.Healthy = true
		}
		status.Components = append(status.Components, row)
	}
}
