package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/lab/fabric"
)

// controlSocket is where the owner takes orders about its balancer. It is for
// the user who owns the cluster, and for nobody else.
const controlSocket = "owner.sock"

// An order is one line of JSON, answered by one. What a connection has closed
// is opened again when the connection ends, however it ends: whoever restarts a
// server and dies leaves no server left out.
type order struct {
	// Do is drain, join, hold or release.
	Do      string `json:"do"`
	Machine string `json:"machine"`
}

type answer struct {
	Error string `json:"error,omitempty"`
}

// socketPath reaches a socket in a folder whose path may be longer than a
// socket's may be. The folder stays open for as long as the path is used.
func socketPath(dir string) (string, *os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd())), controlSocket), f, nil
}

// takeOrders serves the control socket until ctx is done.
func (o *owner) takeOrders(ctx context.Context, b *fabric.Balancer, backends map[string]string) error {
	path, folder, err := socketPath(o.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	_ = os.Remove(path) // of an owner before this one
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go obey(ctx, conn, b, backends)
	}
}

// obey carries out the orders of one connection.
func obey(ctx context.Context, conn net.Conn, b *fabric.Balancer, backends map[string]string) {
	defer conn.Close()
	closed := map[order]func(){}
	defer func() {
		for _, open := range closed {
			open()
		}
	}()
	out := json.NewEncoder(conn)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		var got order
		var reply answer
		backend, known := "", false
		if err := json.Unmarshal(lines.Bytes(), &got); err == nil {
			backend, known = backends[got.Machine]
		}
		begin, end := order{"drain", backend}, order{"hold", backend}
		switch {
		case !known:
			reply.Error = fmt.Sprintf("machine %q has no apiserver", got.Machine)
		case got.Do == "drain" && closed[begin] == nil:
			closed[begin] = b.Drain(backend)
		case got.Do == "hold" && closed[end] == nil:
			limit, cancel := context.WithTimeout(ctx, holdPatience)
			closed[end] = b.Hold(limit, backend)
			cancel()
		case got.Do == "join" && closed[begin] != nil:
			closed[begin]()
			delete(closed, begin)
		case got.Do == "release" && closed[end] != nil:
			closed[end]()
			delete(closed, end)
		}
		if out.Encode(reply) != nil {
			return
		}
	}
}

// holdPatience is how long a busy backend is waited for to fall silent.
const holdPatience = 2 * time.Second

// controller is the other end of the control socket.
type controller struct {
	conn net.Conn
	in   *json.Decoder
}

func dialOwner(ctx context.Context, dir string) (*controller, error) {
	path, folder, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("asking the cluster's owner process: %w", err)
	}
	return &controller{conn, json.NewDecoder(conn)}, nil
}

func (c *controller) order(do, machine string) error {
	if err := json.NewEncoder(c.conn).Encode(order{do, machine}); err != nil {
		return fmt.Errorf("asking the cluster's owner process: %w", err)
	}
	var reply answer
	if err := c.in.Decode(&reply); err != nil {
		return fmt.Errorf("asking the cluster's owner process: %w", err)
	}
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	return nil
}

func (c *controller) Close() error { return c.conn.Close() }
