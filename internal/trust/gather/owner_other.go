//go:build !unix

package gather

import (
	"io/fs"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// fileOf keeps what the system tells: no owner and no mode that would mean anything.
func fileOf(fs.FileInfo) *trust.File { return nil }
