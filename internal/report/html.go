package report

import (
	"io"

	"github.com/bulwark-k8s/bulwark/internal/scan"
)

func writeHTML(w io.Writer, r *scan.Result, o Options) error { return writeTable(w, r, o) }
