package lab

import "time"

// phase is how far a cluster has come.
type phase string

const (
	starting phase = "starting"
	ready    phase = "ready"
	failed   phase = "failed"
)

// Status is how a cluster is. Its JSON form is what `status -o json` prints.
type Status struct {
	Name       string            `json:"name"`
	Profile    string            `json:"profile"`
	Phase      string            `json:"phase"`
	Created    time.Time         `json:"created"`
	Namespaced bool              `json:"namespaced"`
	Kubeconfig string            `json:"kubeconfig"`
	Server     string            `json:"server"`
	Folder     string            `json:"folder"`
	OwnerPID   int               `json:"ownerPID"`
	OwnerAlive bool              `json:"ownerAlive"`
	Problem    string            `json:"problem,omitempty"`
	Machines   []MachineStatus   `json:"machines"`
	Components []ComponentStatus `json:"components"`
}

// MachineStatus is how a machine is.
type MachineStatus struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	IP       string `json:"ip"`
	PID      int    `json:"pid,omitempty"` // its first process, as the host numbers it
	Running  bool   `json:"running"`
	Restarts int    `json:"restarts"`
}

// ComponentStatus is how a component is. Healthy means that it was asked and
// answered, and where it has nothing to ask, that it runs.
type ComponentStatus struct {
	Machine  string    `json:"machine"`
	Name     string    `json:"name"`
	Phase    string    `json:"phase,omitempty"`
	PID      int       `json:"pid,omitempty"` // as the host numbers it
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"lastExit,omitempty"`
	Healthy  bool      `json:"healthy"`
	Why      string    `json:"why,omitempty"` // why not
	Log      string    `json:"log,omitempty"`
}

// Healthy reports whether everything is.
func (s *Status) Healthy() bool {
	if !s.OwnerAlive || s.Phase != string(ready) {
		return false
	}
	for _, c := range s.Components {
		if !c.Healthy {
			return false
		}
	}
	return true
}
