package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Options say what cluster is wanted. The zero value is one hardened node as
// root, and a hardened control plane otherwise.
type Options struct {
	Name    string // "default"
	Profile string // "hardened"
	// Nodes is how many; nil is the default for the user: 1 as root, else 0.
	Nodes         *int
	ControlPlanes int // 1 or 3
	// APIPort is the port on the host's loopback address; 0 is 6443 or, if that
	// is taken, any free one.
	APIPort int
	// Components is the folder with the binaries; empty looks for it.
	Components string
	// StateDir is the folder that clusters have their folders in; empty is
	// the user's.
	StateDir string
	Timeout  time.Duration // 3m
	// KeepOnFailure leaves what there is for somebody to look at.
	KeepOnFailure bool
}

// Environment is what a caller knows of the process it is in.
type Environment struct {
	// Root is whether namespaces can be made.
	Root bool
	// Executable is this program, which starts itself as owner and in machines.
	Executable string
	// Getenv reads the environment.
	Getenv func(string) string
}

// hinted is an error with the next step.
type hinted struct {
	error
	hint string
}

// Hint is printed after the error.
func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

func withHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// A cluster's name becomes a folder, a control group and part of a context's
// name, so it is what a DNS label may be, and short.
var nameSyntax = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

func checkName(name string) error {
	if !nameSyntax.MatchString(name) {
		return fmt.Errorf("cluster name %q: want up to 32 lower-case letters, digits and hyphens", name)
	}
	return nil
}

func (o Options) withDefaults(env Environment) (Options, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Profile == "" {
		o.Profile = Profiles[0].Name
	}
	if o.ControlPlanes == 0 {
		o.ControlPlanes = 1
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Nodes == nil {
		nodes := 0
		if env.Root {
			nodes = 1
		}
		o.Nodes = &nodes
	}
	var err error
	o.StateDir, err = StateDir(o.StateDir, env)
	return o, err
}

// Defaults that help texts name too.
const (
	DefaultName    = "default"
	DefaultTimeout = 3 * time.Minute
)

// Validate refuses what could never come up. Defaults are filled in first, so
// the zero value is valid.
func (o Options) Validate(env Environment) error {
	o, err := o.withDefaults(env)
	if err != nil {
		return err
	}
	return o.validate(env)
}

func (o Options) validate(env Environment) error {
	if err := checkName(o.Name); err != nil {
		return err
	}
	if _, err := ProfileNamed(o.Profile); err != nil {
		return err
	}
	if o.ControlPlanes != 1 && o.ControlPlanes != maxControlPlanes {
		return fmt.Errorf("control planes: %d is not 1 or %d", o.ControlPlanes, maxControlPlanes)
	}
	if *o.Nodes < 0 || *o.Nodes > maxNodes {
		return fmt.Errorf("nodes: %d is not between 0 and %d", *o.Nodes, maxNodes)
	}
	if *o.Nodes > 0 && !env.Root {
		return withHint(fmt.Errorf("nodes: %d asked for, but nodes need root", *o.Nodes), "use sudo, or --nodes 0")
	}
	if o.APIPort < 0 || o.APIPort > 65535 {
		return fmt.Errorf("API port %d: not a port", o.APIPort)
	}
	if o.Timeout < 0 {
		return fmt.Errorf("timeout %s: not a duration to wait", o.Timeout)
	}
	return nil
}

// defaultStateDir is below the place where a user's programs keep state.
const defaultStateDir = "bulwark/lab"

// StateDir is the folder that clusters have their folders in.
func StateDir(set string, env Environment) (string, error) {
	switch {
	case set != "":
		return filepath.Abs(set)
	case env.Root:
		return filepath.Join("/var/lib", defaultStateDir), nil
	}
	if state := env.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, defaultStateDir), nil
	}
	home := env.Getenv("HOME")
	if home == "" {
		return "", withHint(errors.New("state folder: neither XDG_STATE_HOME nor HOME is set"), "name one with --state-dir")
	}
	return filepath.Join(home, ".local", "state", defaultStateDir), nil
}

// components is the folder with the binaries that a cluster is made of.
type components string

func (c components) path(name string) string { return filepath.Join(string(c), name) }

var (
	controlPlaneComponents = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}
	nodePrograms           = []string{"containerd", "containerd-shim-runc-v2", "ctr", "runc", "kubelet", "kube-proxy", "lab-net"}
	nodeFiles              = []string{"cni/ptp", "cni/loopback", "cni/host-local", "cni/portmap", "images"}
	// optionalComponents are shown inside machines where they exist.
	optionalComponents = []string{"kubectl", "etcdctl", "crictl"}
)

// findComponents looks where the user said, then beside the program, then
// where the build puts them.
func findComponents(o Options, env Environment) (components, error) {
	var tried []string
	for _, dir := range []string{o.Components, env.Getenv("BULWARK_LAB"), filepath.Join(filepath.Dir(env.Executable), "lab"), "bin/lab"} {
		if dir == "" {
			continue
		}
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		tried = append(tried, dir)
		if _, err := os.Stat(dir); err == nil || dir == o.Components {
			return components(dir), components(dir).check(*o.Nodes > 0)
		}
	}
	return "", withHint(fmt.Errorf("kubernetes components: none in %v", tried), "make lab")
}

func (c components) check(nodes bool) error {
	want := controlPlaneComponents
	if nodes {
		want = slices.Concat(want, nodePrograms, nodeFiles)
	}
	for _, name := range want {
		if _, err := os.Stat(c.path(name)); err != nil {
			return withHint(fmt.Errorf("kubernetes components: no %s in %s", name, string(c)), "make lab")
		}
	}
	return nil
}
