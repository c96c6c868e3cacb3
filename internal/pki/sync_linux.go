package pki

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const canSyncTogether = true

// syncTogether makes everything last that was written to the file system of a
// folder.
func syncTogether(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
