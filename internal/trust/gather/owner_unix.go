//go:build unix

package gather

import (
	"io/fs"
	"os/user"
	"strconv"
	"sync"
	"syscall"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

var names sync.Map

// fileOf keeps what stat(2) says.
func fileOf(info fs.FileInfo) *trust.File {
	f := &trust.File{Mode: info.Mode(), UID: -1, GID: -1}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		f.UID, f.GID = int(st.Uid), int(st.Gid)
		f.Owner = name("u", f.UID, func(id string) (string, error) {
			u, err := user.LookupId(id)
			if err != nil {
				return "", err
			}
			return u.Username, nil
		})
		f.Group = name("g", f.GID, func(id string) (string, error) {
			g, err := user.LookupGroupId(id)
			if err != nil {
				return "", err
			}
			return g.Name, nil
		})
	}
	return f
}

func name(kind string, id int, lookup func(string) (string, error)) string {
	number := strconv.Itoa(id)
	if v, ok := names.Load(kind + number); ok {
		return v.(string)
	}
	text, err := lookup(number)
	if err != nil {
		text = number
	}
	names.Store(kind+number, text)
	return text
}
