package lab

import (
	"errors"
	"fmt"
	"net"

	"github.com/bulwark-k8s/bulwark/internal/lab/fabric"
)

// Open gives access to a cluster that runs. Who changes something asks for it
// alone: then nobody else who asks gets in, and `down` waits its turn.
func Open(name, stateDir string, alone bool, env Environment) (_ *Access, err error) {
	dir, err := existing(name, stateDir, env)
	if err != nil {
		return nil, err
	}
	a := &Access{Folder: dir, Kubeconfig: kubeconfigFile(dir)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if alone {
		held, err := lock(dir, false)
		if err != nil {
			return nil, err
		}
		a.close = append(a.close, held.Close)
	}
	var s state
	var r runtimeState
	if err := errors.Join(readJSON(stateFile(dir), &s), readJSON(runtimeFile(dir), &r)); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	if a.Profile, err = ProfileNamed(s.Profile); err != nil {
		return nil, err
	}
	a.API = hostServer(s.APIPort)
	for _, h := range s.Topology.of(controlPlane) {
		scheme := "https://"
		if a.Profile.Etcd.Plaintext {
			scheme = "http://"
		}
		c := ControlPlane{Name: h.Name, APIServer: h.apiServer(), Etcd: scheme + h.address(h.Ports.Etcd), Dial: new(net.Dialer).DialContext, host: h}
		if s.Topology.Namespaced {
			m, ok := r.Machines[h.Name]
			if !ok || !m.Alive() {
				return nil, withHint(fmt.Errorf("machine %s: does not run", h.Name), "bulwark status --name %s", name)
			}
			ns, err := fabric.OfProcess(m.PID)
			if err != nil {
				return nil, err
			}
			a.close = append(a.close, func() error { ns.Close(); return nil })
			c.Dial = ns.Dial
		}
		a.ControlPlanes = append(a.ControlPlanes, c)
	}
	return a, nil
}

// Close gives everything back.
func (a *Access) Close() error {
	var errs []error
	for _, f := range a.close {
		errs = append(errs, f())
	}
	a.close = nil
	return errors.Join(errs...)
}
