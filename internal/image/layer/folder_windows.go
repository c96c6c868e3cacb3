package layer

import (
	"io/fs"
	"os"
)

const openFlags = os.O_RDONLY

func identify(fs.FileInfo, *File) (id [2]uint64, several bool) { return id, false }
