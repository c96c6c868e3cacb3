// Package report shows a scan's Result: one file of this package for each format, one
// entry in Formats. A format reads a Result and writes bytes; it knows nothing of how
// the scan was made, of the terminal it is shown on, or of exit codes.
package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/scan"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// Options are what a format may be told.
type Options struct {
	// Color allows ANSI colours in formats for people.
	Color bool
	// Width is the terminal's width in columns; 0 where there is none.
	Width int
	// All shows what holds and what is not applicable too.
	All bool
	// Locate finds a finding's field in the file that its object was read from; nil
	// where no file was read.
	Locate func(src cluster.Source, path string) (line, column int, ok bool)
	// Text returns a line of the file that an object was read from, without its end; nil
	// where no file was read.
	Text func(src cluster.Source, line int) (string, bool)
	// Networks are what policies let through in each cluster that was read; only the page
	// shows them.
	Networks []Network
	// Images are what was found in the images that run; nil where nobody looked. The table
	// and the page say what to do about them; every format has the controls' findings.
	Images *Images
	// Dir is the folder that files are told from where their paths are absolute.
	Dir string
}

// A Network is what policies let through in one cluster.
type Network struct {
	Cluster string // where there are several
	Grid    *segment.Grid
}

// A Format writes a Result in one way.
type Format struct {
	Name  string // as given to -o
	About string // one line for --help
	Write func(io.Writer, *scan.Result, Options) error
}

// Formats lists every format, the default first.
func Formats() []Format {
	return []Format{
		{"table", "themes worst first, for a terminal", writeTable},
		{"json", "everything, see docs/report.md for the schema", writeJSON},
		{"html", "one self-contained page for people", writeHTML},
		{"markdown", "a comment under a pull request", writeMarkdown},
		{"sarif", "for code scanning, with file and line", writeSARIF},
		{"junit", "for the test results of a pipeline", writeJUnit},
		{"csv", "one finding a row, for spreadsheets", writeCSV},
		{"jsonl", "one JSON object a line, for streams and logs", writeJSONLines},
		{"policyreport", "PolicyReport objects (wgpolicyk8s.io/v1alpha2) as YAML", writePolicyReports},
		{"openreports", "Report objects (openreports.io/v1alpha1) as YAML", writeOpenReports},
	}
}

// Names are the formats' names, for help and completion.
func Names() []string {
	var names []string
	for _, f := range Formats() {
		names = append(names, f.Name)
	}
	return names
}

// Find returns the format with a name.
func Find(name string) (Format, error) {
	for _, f := range Formats() {
		if f.Name == name {
			return f, nil
		}
	}
	return Format{}, fmt.Errorf("format %q: want %s", name, strings.Join(Names(), ", "))
}
