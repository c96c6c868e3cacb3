package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace in which sockets can be opened. A socket
// stays in the namespace it was opened in, wherever it is used.
type Namespace struct {
	work chan func()
	path string
}

// NewNamespace makes an empty network namespace that lives as long as this
// process, or until Close.
func NewNamespace() (*Namespace, error) {
	return start(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		return nil
	})
}

// OfProcess returns the network namespace that a process is in.
func OfProcess(pid int) (*Namespace, error) {
	return start(func() error {
		file, err := os.Open(filepathOf(pid))
		if err != nil {
			return fmt.Errorf("opening a network namespace: %w", err)
		}
		defer file.Close()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace of process %d: %w", pid, err)
		}
		return nil
	})
}

func filepathOf(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/ns/net" }

// start gives the namespace a thread of its own. The thread is never unlocked,
// so the runtime ends it with its goroutine and no other code can land on it.
func start(enter func() error) (*Namespace, error) {
	n := &Namespace{work: make(chan func())}
	entered := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := enter()
		n.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		entered <- err
		if err != nil {
			return
		}
		for f := range n.work {
			f()
		}
	}()
	if err := <-entered; err != nil {
		return nil, err
	}
	return n, nil
}

// Do runs f on the namespace's thread. f must not start goroutines that open
// sockets: they would be outside.
func (n *Namespace) Do(f func() error) error {
	result := make(chan error)
	n.work <- func() { result <- f() }
	return <-result
}

// Close gives the thread back. The namespace goes when nothing else is in it.
func (n *Namespace) Close() { close(n.work) }

// Dial connects from inside the namespace to a literal address. It has the
// shape of net.Dialer.DialContext. Only the making of the socket is on the
// namespace's thread; the waiting is not, so that one dead backend does not
// hold up the others.
func (n *Namespace) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(host).To4()
	if ip == nil {
		return nil, fmt.Errorf("address %s: want an IPv4 address", address)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", address, err)
	}
	if network != "tcp" && network != "tcp4" {
		return dialer.DialContext(ctx, network, address)
	}
	var fd int
	if err := n.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	conn, err := connect(ctx, fd, &unix.SockaddrInet4{Port: int(number), Addr: [4]byte(ip)})
	if err != nil {
		return nil, err
	}
	if err := noticeDeath(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// deadAfter bounds how long a connection outlives the machine at its end.
const deadAfter = 5 * time.Second

// noticeDeath has a connection end soon after the machine at its other end
// does. A namespace that goes says no goodbye, and without this the connection
// would stand until somebody's patience ends.
func noticeDeath(conn net.Conn) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	if err := tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: deadAfter / 2, Interval: time.Second, Count: 3}); err != nil {
		return err
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
	})
	return errors.Join(err, os.NewSyscallError("setsockopt", serr))
}

// connect completes a non-blocking connect on fd, which it owns.
func connect(ctx context.Context, fd int, to *unix.SockaddrInet4) (net.Conn, error) {
	err := unix.Connect(fd, to)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return nil, errors.Join(os.NewSyscallError("connect", err), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "lab")
	defer file.Close() // FileConn has its own copy
	if err != nil {
		if err := connected(ctx, file); err != nil {
			return nil, err
		}
	}
	return net.FileConn(file)
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

// connected waits until the connection stands or is refused.
func connected(ctx context.Context, file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetDeadline(past) })
	defer stop()
	var outcome error
	err = raw.Write(func(fd uintptr) bool {
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			outcome = os.NewSyscallError("getsockopt", err)
			return true
		case errno != 0:
			outcome = os.NewSyscallError("connect", syscall.Errno(errno))
			return true
		}
		// No error yet: it stands if it has a peer.
		_, err = unix.Getpeername(int(fd))
		return err == nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return outcome
}

// Listen opens a listener inside the namespace.
func (n *Namespace) Listen(address string) (net.Listener, error) {
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(context.Background(), "tcp4", address)
		return err
	})
	return l, err
}
