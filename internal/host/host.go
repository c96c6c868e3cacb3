package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/host/handshake"
)

// Options say how to read. The zero value reads the machine it runs on.
type Options struct {
	// Proc is where a proc file system is mounted; empty means /proc.
	Proc string
	// Name is the machine's host name; empty asks the system. A kubelet's
	// --hostname-override goes before it, because that is the Node's name.
	Name string
	// Inside chooses among the machines that run inside this one, such as kind's nodes.
	// It is asked once the processes and files of such a machine were looked at and
	// before its ports are. Nil leaves them all out.
	Inside func(*cluster.Machine) bool
	// Stored asks etcd how the objects are that an API server here is told to encrypt,
	// with that server's client certificate. Values are not kept.
	Stored bool
	// Timeout is how long a port may take for one answer, and five times as long for
	// all of them. Zero means two seconds.
	Timeout time.Duration
	// Concurrency is how many ports are asked at the same time. Zero means 8.
	Concurrency int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears what was left out and why. Nil means nobody does.
	Logger *slog.Logger
}

// Facts are what was found.
type Facts struct {
	// Machines are ordered by name, the one that Read runs on first.
	Machines []*cluster.Machine
	// Kubelets hold what configuration files and flags say together, one for each
	// kubelet that runs. An absent field means the kubelet's own default.
	Kubelets []*cluster.Kubelet
	// Configs are the configuration files of the API servers, without their keys.
	Configs []*cluster.Config
	// Gaps have a machine's name as their scope.
	Gaps []cluster.Gap
}

// Read looks at the machine. It returns an error only where nothing could be read at
// all; everything less is a gap. It ends soon after ctx does, with what it has.
func Read(ctx context.Context, opts Options) (*Facts, error) {
	if opts.Proc == "" {
		opts.Proc = "/proc"
	}
	if opts.Timeout == 0 {
		opts.Timeout = handshake.DefaultTimeout
	}
	if opts.Concurrency == 0 {
		opts.Concurrency = 8
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if opts.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("asking for the host name: %w", err)
		}
		opts.Name = name
	}
	return read(ctx, opts)
}

func (o *Options) validate() error {
	if o.Timeout < 0 {
		return fmt.Errorf("timeout %s: want more than 0", o.Timeout)
	}
	if o.Concurrency < 0 {
		return fmt.Errorf("concurrency %d: want more than 0", o.Concurrency)
	}
	return nil
}
