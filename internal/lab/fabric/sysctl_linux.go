package fabric

import (
	"fmt"
	"os"
	"path/filepath"
)

// writeSysctl sets a value of the network namespace that the calling thread is
// in: the kernel answers /proc/sys/net for whoever opens it.
func writeSysctl(name, value string) error {
	file := filepath.Join("/proc/sys", name)
	if err := os.WriteFile(file, []byte(value), 0o644); err != nil { //nolint:gosec // a kernel file
		return fmt.Errorf("sysctl %s: %w", name, err)
	}
	return nil
}
