package lab

import "time"

// HiddenCommand is the subcommand under which this program starts itself: as
// HiddenCommand owner --dir DIR, and in each machine as HiddenCommand machine.
const HiddenCommand = "lab-internal"

// Cluster is what a caller learns of a cluster that is up.
type Cluster struct {
	Name       string
	Profile    Profile
	Kubeconfig string
	APIPort    int
	Namespaced bool
}

// Progress is told what `up` has finished, and how long after its beginning.
type Progress func(step string, after time.Duration)
