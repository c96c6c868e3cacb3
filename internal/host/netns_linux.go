package host

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// A network is a network namespace that can be dialled from. Nil is the one that the
// program itself is in.
type network struct {
	jobs chan func()
	done sync.WaitGroup
}

// enter makes a network of /proc/PID/ns/net, with so many dials at a time. It refuses
// if that is no longer the namespace with the given identity: the process may have
// ended and its number be another's. The caller closes the network.
func enter(proc string, pid int, id string, concurrency int) (*network, error) {
	ns, err := openNS(proc, pid, "net", id)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	n := &network{jobs: make(chan func())}
	entered := make(chan error, concurrency)
	for range concurrency {
		n.done.Go(func() {
			// Never unlocked: a thread in a foreign namespace must not serve other
			// goroutines, and ends with this one.
			runtime.LockOSThread()
			err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			entered <- err
			if err != nil {
				return
			}
			for job := range n.jobs {
				job()
			}
		})
	}
	for range concurrency {
		err = cmp.Or(err, <-entered)
	}
	if err != nil {
		n.close()
		return nil, fmt.Errorf("entering network namespace %s: %w", id, err)
	}
	return n, nil
}

func (n *network) close() {
	if n != nil {
		close(n.jobs)
		n.done.Wait()
	}
}

// dial connects from inside the network. The address is an IP: a name would be looked
// up on another thread.
func (n *network) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	if n == nil {
		return d.DialContext(ctx, "tcp", addr)
	}
	type result struct {
		conn net.Conn
		err  error
	}
	answer := make(chan result, 1)
	job := func() {
		conn, err := d.DialContext(ctx, "tcp", addr)
		answer <- result{conn, err}
	}
	select {
	case n.jobs <- job:
		r := <-answer
		return r.conn, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// nodeName asks for the host name inside a process's UTS namespace.
func nodeName(proc string, pid int, id string) (string, error) {
	ns, err := openNS(proc, pid, "uts", id)
	if err != nil {
		return "", err
	}
	defer ns.Close()
	type result struct {
		name string
		err  error
	}
	answer := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked, as above
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWUTS); err != nil {
			answer <- result{err: fmt.Errorf("entering UTS namespace %s: %w", id, err)}
			return
		}
		var u unix.Utsname
		err := unix.Uname(&u)
		answer <- result{unix.ByteSliceToString(u.Nodename[:]), err}
	}()
	r := <-answer
	return r.name, r.err
}

// openNS opens a namespace and makes sure that it is the one meant.
func openNS(proc string, pid int, kind, id string) (*os.File, error) {
	f, err := os.Open(fmt.Sprintf("%s/%d/ns/%s", proc, pid, kind))
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, err
	}
	if got := fmt.Sprintf("%s:[%d]", kind, st.Ino); got != id {
		f.Close()
		return nil, fmt.Errorf("process %d: namespace is now %s, was %s", pid, got, id)
	}
	return f, nil
}
