package machine

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

// Machine is a running first process, as its parent sees it.
type Machine struct {
	*Child

	spec *os.File
}

// namespaces are a machine's own. It has no user namespace: root inside is
// root outside, since nodes need what only that gives.
const namespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS |
	syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET

// thisProgram is what runs now, even if another has been put in its place.
const thisProgram = "/proc/self/exe"

// Boot starts a machine's first process: this program with args, in namespaces
// of its own, waiting for its description. It dies with this process. The
// caller sets up the network and then calls Describe.
func Boot(s *Supervisor, args, env []string, log *os.File) (*Machine, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		w.Close()
		return nil, err
	}
	defer null.Close()
	child, err := s.Start(thisProgram, args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd(), r.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags: namespaces,
			Pdeathsig:  syscall.SIGKILL,
			Setsid:     true,
		},
	})
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("starting a first process: %w", err)
	}
	return &Machine{Child: child, spec: w}, nil
}

// Describe hands the machine its description, which starts it.
func (m *Machine) Describe(spec Spec) error {
	err := json.NewEncoder(m.spec).Encode(spec)
	if cerr := m.spec.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("describing machine %s: %w", spec.Name, err)
	}
	return nil
}
