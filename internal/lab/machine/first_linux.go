package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// specFD is where a machine's first process finds its Spec. The parent writes
// it when the network is there, so reading it is also the waiting.
const specFD = 3

// First is the life of a machine's first process: read the spec, build and
// enter the root, run the processes until told to stop. It returns when all
// have stopped; the kernel then ends whatever else is in the machine.
func First(ctx context.Context, log *slog.Logger) error {
	pipe := os.NewFile(specFD, "spec")
	data, err := io.ReadAll(pipe)
	if err != nil {
		return fmt.Errorf("reading the machine's description: %w", err)
	}
	if err := pipe.Close(); err != nil {
		return fmt.Errorf("reading the machine's description: %w", err)
	}
	var spec Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return fmt.Errorf("reading the machine's description: %w", err)
	}
	if spec.Root == nil {
		return fmt.Errorf("machine %s: no root file system described", spec.Name)
	}
	if err := unix.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("machine %s: setting the host name: %w", spec.Name, err)
	}
	if err := spec.Root.build(); err != nil {
		return fmt.Errorf("machine %s: building its root: %w", spec.Name, err)
	}
	if err := spec.Root.enter(); err != nil {
		return fmt.Errorf("machine %s: %w", spec.Name, err)
	}
	ctx, cancel := Stopped(ctx)
	defer cancel()
	NewSupervisor(log).Run(ctx, spec.Processes, spec.ReportFile)
	return nil
}
