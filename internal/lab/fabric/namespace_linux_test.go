package fabric

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
}

// interfaces lists what the test's own namespace, the host's, has.
func interfaces(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}

// A machine on the bridge is reached from inside and not from the host, and
// the host's interfaces are what they were.
func TestABridgeJoinsAMachineAndNotTheHost(t *testing.T) {
	needRoot(t)
	before := interfaces(t)
	bridge, err := NewBridge(netip.MustParsePrefix("10.201.0.1/24"))
	if err != nil {
		t.Fatal(err)
	}
	defer bridge.Close()

	machine := exec.Command("/bin/sleep", "60")
	machine.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = machine.Process.Kill()
		_ = machine.Wait()
	}()
	address := netip.MustParseAddr("10.201.0.9")
	if err := bridge.Join(machine.Process.Pid, "m-1", address); err != nil {
		t.Fatal(err)
	}
	inside, err := OfProcess(machine.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	l, err := inside.Listen("10.201.0.9:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "hello")
			conn.Close()
		}
	}()

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := bridge.Dial(ctx, "tcp", "10.201.0.9:8080")
	if err != nil {
		t.Fatalf("from the bridge: %v", err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}

	if _, err := bridge.Dial(ctx, "tcp", "10.201.0.9:9"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v, want that it is refused", err)
	}
	short, cancelShort := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancelShort()
	if _, err := bridge.Dial(short, "tcp", "10.201.0.77:80"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody there: %v, want that the time is over", err)
	}
	if _, err := bridge.Dial(ctx, "tcp", "localhost:80"); err == nil {
		t.Error("a name was dialled")
	}

	// The same machine again, as after a crash: the old port gives way.
	if err := bridge.Join(machine.Process.Pid, "m-1", address); err != nil {
		t.Errorf("joining again: %v", err)
	}
	after := interfaces(t)
	if len(after) != len(before) {
		t.Errorf("the host's interfaces were %v and are %v", before, after)
	}
}
