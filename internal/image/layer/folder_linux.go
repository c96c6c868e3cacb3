package layer

import (
	"os"

	"golang.org/x/sys/unix"
)

// capabilities gives a file's own, as the kernel keeps them; empty without.
func capabilities(f *os.File) string {
	var b [64]byte
	n, err := unix.Fgetxattr(int(f.Fd()), "security.capability", b[:])
	if err != nil {
		return ""
	}
	return string(b[:n])
}
