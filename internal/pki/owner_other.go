//go:build !unix

package pki

import (
	"io/fs"
	"os"
)

// keepOwner does nothing where files have no owner in Unix' sense.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
