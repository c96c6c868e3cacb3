// Package machine is the inside of a lab machine: the root file system it
// sees, and the first process that starts, watches and buries all others.
//
// A machine is described by a [Spec], which is data. The package knows nothing
// of Kubernetes: a process is a path with arguments, and what it waits for is
// a [Condition].
package machine

import (
	"time"

	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
)

// Spec is all that a machine's first process needs.
type Spec struct {
	Name string `json:"name"`
	// Root is the file system to build and move into. Without one the machine
	// has no namespaces of its own and its processes run in the caller's.
	Root *Root `json:"root,omitempty"`
	// Processes are started at once, each when its conditions hold.
	Processes []Process `json:"processes"`
	// ReportFile is where the state of the processes is kept, as seen by the
	// first process: written anew, atomically, on every change.
	ReportFile string `json:"reportFile"`
}

// Root says what a machine's file system is made of. Paths on the left of
// maps are inside the machine, paths on the right on the host.
type Root struct {
	// Dir is an empty folder on the host. The new root is mounted on it, in
	// the machine's mount namespace alone.
	Dir string `json:"dir"`
	// Writable and ReadOnly are folders or files bound from the host.
	Writable map[string]string `json:"writable"`
	ReadOnly map[string]string `json:"readOnly"`
	// Links are symbolic links inside, by where they are.
	Links map[string]string `json:"links"`
	// Sysctls are machine-wide values that programs inside want to see or set.
	// Each becomes a private file over the one in /proc/sys, so that reading
	// and writing work and the host's own value never changes.
	Sysctls map[string]string `json:"sysctls"`
	// NetSysctls are values of the machine's own network namespace, really set.
	NetSysctls map[string]string `json:"netSysctls"`
}

// Process is a program that is kept running.
type Process struct {
	Name string   `json:"name"`
	Path string   `json:"path"`
	Args []string `json:"args"`
	// Env is added to what the first process got itself.
	Env     []string `json:"env,omitempty"`
	LogFile string   `json:"logFile"`
	// Job marks a program that is done when it has exited with zero.
	Job bool `json:"job,omitempty"`
	// After are the conditions to start under, at the first start and at
	// every other.
	After []Condition `json:"after,omitempty"`
}

// Condition is something to wait for: a job of this machine that is done, or a
// probe that holds. Exactly one is set.
type Condition struct {
	Job   string       `json:"job,omitempty"`
	Probe *probe.Probe `json:"probe,omitempty"`
}

// Phase is where a process is in its life.
type Phase string

// A process waits, runs, and either is done (jobs) or is started again after
// a pause.
const (
	Waiting Phase = "waiting"
	Running Phase = "running"
	Paused  Phase = "paused"
	Done    Phase = "done"
)

// Report is the state of a machine's processes.
type Report struct {
	Processes []ProcessReport `json:"processes"`
}

// ProcessReport is the state of one.
type ProcessReport struct {
	Name  string `json:"name"`
	Phase Phase  `json:"phase"`
	// PID is in the machine's own numbering.
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	// LastExit says how it ended the last time, if it ever did.
	LastExit string `json:"lastExit,omitempty"`
	// WaitingFor says which condition does not hold yet.
	WaitingFor string `json:"waitingFor,omitempty"`
}
