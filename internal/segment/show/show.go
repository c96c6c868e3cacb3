// Package show writes what internal/segment found: as text for a terminal of any width, as
// JSON, CSV and JSON lines for programs, as JUnit for pipelines, and as a picture.
package show

import (
	"encoding/json"
	"io"
)

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
