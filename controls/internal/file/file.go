// Package file says who besides its user can get at a file of a machine. It looks at
// what stat(2) said and at no contents.
package file

import (
	"fmt"
	"slices"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Open reports whether group or others may do anything with the file. Bits behind a
// folder that lets neither through do not count.
func Open(f cluster.File) bool { return f.Mode&0o077 != 0 && !f.Shielded }

// Stranger names the file's owner where that is neither root nor the user as whom the
// component that uses the file runs, or returns "".
func Stranger(m *cluster.Machine, f cluster.File) string {
	if f.UID == 0 || slices.ContainsFunc(m.Processes, func(p cluster.Process) bool {
		return p.Component == f.UsedBy && p.UID == f.UID
	}) {
		return ""
	}
	return fmt.Sprintf("uid %d", f.UID)
}
