// Command probe is what tests run inside pods: a server to reach, and the means
// to try things. Each subcommand says in one line what happened and exits with 0
// only if it succeeded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

const usage = `usage:
  probe serve [ADDR:]PORT            answer HTTP, and echo UDP, until stopped
  probe get [--timeout 2s] URL       fetch; prints status and body, fails from 400 on
  probe dial [--timeout 2s] [--udp] HOST:PORT
                                     connect; with --udp send and wait for the echo
  probe sweep [--timeout 2s] TCP/HOST:PORT,UDP/HOST:PORT,...
                                     try them all at once; prints "yes" or "no" and
                                     the target, one a line, in the order given
  probe sleep [DURATION]             wait, for ever by default
  probe id                           print user, groups, capabilities, seccomp mode
  probe cat FILE                     print a file`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "probe: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("probe "+args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is reported once, by main
	timeout := flags.Duration("timeout", 2*time.Second, "how long to try")
	udp := flags.Bool("udp", false, "use UDP")
	operand, err := parse(flags, args[1:])
	if err != nil {
		return err
	}
	switch args[0] {
	case "serve":
		return serve(ctx, operand, out)
	case "get":
		ctx, cancel := context.WithTimeout(ctx, *timeout)
		defer cancel()
		return get(ctx, operand, out)
	case "dial":
		ctx, cancel := context.WithTimeout(ctx, *timeout)
		defer cancel()
		return dial(ctx, operand, *udp, out)
	case "sweep":
		return sweep(ctx, strings.Split(operand, ","), *timeout, out)
	case "sleep":
		return sleep(ctx, operand)
	case "id":
		return id(out)
	case "cat":
		return cat(operand, out)
	}
	return fmt.Errorf("%s: no such subcommand\n%s", args[0], usage)
}

// parse accepts the one operand before, between or after the flags, as people
// type it.
func parse(flags *flag.FlagSet, args []string) (operand string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return "", err
		}
		if flags.NArg() == 0 {
			return operand, nil
		}
		if operand != "" {
			return "", fmt.Errorf("%s: more than one operand", flags.Arg(0))
		}
		operand, args = flags.Arg(0), flags.Args()[1:]
	}
}

// serve answers every request with the server's and the client's address, which
// tells who was reached and how the client looked from there.
func serve(ctx context.Context, addr string, out io.Writer) error {
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	packets, err := config.ListenPacket(ctx, "udp", addr)
	if err != nil {
		listener.Close()
		return err
	}
	host, _ := os.Hostname()
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "host %s client %s path %s\n", host, r.RemoteAddr, r.URL.Path) //nolint:gosec // plain text for tests
		}),
	}
	context.AfterFunc(ctx, func() {
		_ = packets.Close()
		// A fresh context: the one at hand has ended, and that is why we are here.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(grace)
	})
	go echo(packets)
	fmt.Fprintln(out, "listening on", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// echo sends every datagram back until the connection is closed.
func echo(packets net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := packets.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = packets.WriteTo(buffer[:n], from)
	}
}

func get(ctx context.Context, url string, out io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // reaching what it is told to is its purpose
	if err != nil {
		return err
	}
	var client http.Client              // the context holds the timeout
	response, err := client.Do(request) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Fprintln(out, response.Status)
	if _, err := io.Copy(out, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

func dial(ctx context.Context, addr string, udp bool, out io.Writer) error {
	network := "tcp"
	if udp {
		network = "udp"
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if udp { // nothing is known of the other end before it answers
		deadline, _ := ctx.Deadline()
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("probe")); err != nil {
			return err
		}
		if _, err := conn.Read(make([]byte, 16)); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "connected", conn.LocalAddr(), "to", conn.RemoteAddr())
	return nil
}

// sweep dials every target. Who is refused knows at once, who is dropped by a policy
// waits for the timeout; a datagram is sent three times, because one may be lost.
func sweep(ctx context.Context, targets []string, timeout time.Duration, out io.Writer) error {
	reached := make([]bool, len(targets))
	var all sync.WaitGroup
	for i, target := range targets {
		protocol, addr, ok := strings.Cut(target, "/")
		if !ok || protocol != "TCP" && protocol != "UDP" {
			return fmt.Errorf("%s: want TCP/HOST:PORT or UDP/HOST:PORT", target)
		}
		tries := 1
		if protocol == "UDP" {
			tries = 3
		}
		all.Go(func() {
			for range tries {
				ctx, cancel := context.WithTimeout(ctx, timeout/time.Duration(tries))
				err := dial(ctx, addr, protocol == "UDP", io.Discard)
				cancel()
				if reached[i] = err == nil; reached[i] {
					return
				}
			}
		})
	}
	all.Wait()
	for i, target := range targets {
		answer := "no"
		if reached[i] {
			answer = "yes"
		}
		fmt.Fprintln(out, answer, target)
	}
	return nil
}

func sleep(ctx context.Context, duration string) error {
	if duration == "" {
		<-ctx.Done()
		return nil
	}
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return nil
}

// id prints what the kernel lets this process do.
func id(out io.Writer) error {
	groups, err := os.Getgroups()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "uid=%d gid=%d groups=%v\n", os.Geteuid(), os.Getegid(), groups)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "CapEff", "CapBnd", "NoNewPrivs", "Seccomp":
			fmt.Fprint(out, line)
		}
	}
	return nil
}

func cat(name string, out io.Writer) error {
	file, err := os.Open(name) //nolint:gosec // reading what it is told to is its purpose
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(out, file)
	return err
}
