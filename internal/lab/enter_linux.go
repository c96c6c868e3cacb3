package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter runs a command inside a machine, with everything a process of that
// machine sees.
func Enter(ctx context.Context, c Command, env Environment) error {
	name, machineName := c.Cluster, c.Machine
	dir, err := existing(name, c.StateDir, env)
	if err != nil {
		return err
	}
	var s state
	if err := readJSON(stateFile(dir), &s); err != nil {
		return fmt.Errorf("cluster %s: %w", name, err)
	}
	var names []string
	var found *host
	for _, h := range s.Topology.Hosts {
		names = append(names, h.Name)
		if h.Name == machineName {
			found = &h
		}
	}
	if found == nil {
		return withHint(fmt.Errorf("machine %s: not in cluster %s", machineName, name), "its machines are %s", strings.Join(names, ", "))
	}
	if !s.Topology.Namespaced {
		return withHint(fmt.Errorf("machine %s: has no namespaces of its own, since the cluster was made without root", machineName),
			"its files are in %s", found.Dir)
	}
	var r runtimeState
	if err := readJSON(runtimeFile(dir), &r); err != nil {
		return fmt.Errorf("cluster %s: %w", name, err)
	}
	m, ok := r.Machines[machineName]
	if !ok || !m.Alive() {
		return withHint(fmt.Errorf("machine %s: does not run", machineName), "bulwark status --name %s", name)
	}
	if len(c.Args) == 0 {
		c.Args = []string{"/bin/sh"}
	}
	return runInside(ctx, m.PID, c, environmentInside(*found, dir, env))
}

func environmentInside(h host, dir string, env Environment) []string {
	vars := machineEnvironment(dir)
	if h.Role == controlPlane {
		vars = append(vars, "KUBECONFIG="+kubernetesDir+"/admin.conf")
	}
	if term := env.Getenv("TERM"); term != "" {
		vars = append(vars, "TERM="+term)
	}
	return vars
}

// runInside starts the command from a thread that has entered the machine's
// namespaces; a child is born where its thread is. The thread is given up
// afterwards, since it cannot find the way back.
func runInside(ctx context.Context, pid int, c Command, vars []string) error {
	name := c.Machine
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := enterNamespaces(pid); err != nil {
			result <- fmt.Errorf("machine %s: %w", name, err)
			return
		}
		path, err := lookPath(c.Args[0])
		if err != nil {
			result <- fmt.Errorf("machine %s: %w", name, err)
			return
		}
		cmd := &exec.Cmd{Path: path, Args: c.Args, Env: vars, Dir: "/", Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr}
		err = cmd.Start()
		if err == nil {
			// Killed with us, however we go; that promise is this thread's.
			stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
			err = cmd.Wait()
			stop()
		}
		result <- err
	}()
	err := <-result
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code := exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			code = 128 + int(status.Signal())
		}
		return ExitError{Machine: name, Code: code}
	}
	return err
}

func enterNamespaces(pid int) error {
	// A thread that shares its root and working folder with others cannot
	// change its mounts.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("preparing to enter: %w", err)
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid), "ns")
	// All are opened before the first is entered: after the mounts, /proc is
	// another one.
	kinds := []string{"pid", "net", "ipc", "uts", "mnt"}
	var open []*os.File
	for _, kind := range kinds {
		f, err := os.Open(filepath.Join(proc, kind))
		if err != nil {
			return fmt.Errorf("opening its namespaces: %w", err)
		}
		defer f.Close()
		open = append(open, f)
	}
	for i, f := range open {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("entering its %s namespace: %w", kinds[i], err)
		}
	}
	return nil
}

// lookPath is exec.LookPath with the machine's PATH, on the machine's files.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("command %s: %w", name, fs.ErrNotExist)
}
