//go:build unix

package layer

import (
	"io/fs"
	"os"
	"syscall"
)

// openFlags keep a pipe that took a file's place since it was listed from holding the
// scan for ever.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOFOLLOW

// identify fills in whose the file is, and gives what tells it from others where it has
// several links.
func identify(info fs.FileInfo, f *File) (id [2]uint64, several bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return id, false
	}
	f.UID, f.GID = int(st.Uid), int(st.Gid)
	return [2]uint64{uint64(st.Dev), st.Ino}, st.Nlink > 1 //nolint:unconvert,nolintlint // Dev's type differs among systems
}
