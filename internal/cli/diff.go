package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/compare"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// diffSchema names the shape of diff's JSON. docs/schema/diff-v1.json describes it.
const diffSchema = "bulwark.diff/v1"

func newDiff(streams genericiooptions.IOStreams) *cobra.Command {
	var output, failOn string
	cmd := &cobra.Command{
		Use:     "diff OLD.json NEW.json",
		GroupID: "look",
		Short:   "Say what changed between two scans",
		Long: `Diff compares two reports of bulwark scan -o json: which faults appeared, which are
gone, which changed, and which the newer scan did not look at again. A fault is the
same one if its control, object and path are; lines and wording do not matter.

Exit codes: 0 nothing came up, 3 something appeared or got graver at or above
--fail-on, 4 nothing did, as far as the newer scan could see.`,
		Example: `  bulwark scan -o json=monday.json
  bulwark scan -o json=friday.json
  bulwark diff monday.json friday.json
  bulwark diff monday.json friday.json -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return misuse("see `"+cmd.CommandPath()+" --help`", "diff: %d arguments, want an older and a newer report", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			var threshold control.Severity
			if failOn != "none" {
				var err error
				if threshold, err = control.ParseSeverity(failOn); err != nil {
					return misuse("", "--fail-on: %w, or none", err)
				}
			}
			if output != "text" && output != "json" {
				return misuse("", "--output: format %q: want text or json", output)
			}
			var reports [2]*compare.Report
			for i, file := range args {
				var err error
				if reports[i], err = readReport(file); err != nil {
					return err
				}
			}
			d := compare.Diff(reports[0], reports[1])
			show := diffText
			if output == "json" {
				show = diffJSON
			}
			if err := show(streams.Out, args, d); err != nil {
				return fmt.Errorf("diff: writing to standard output: %w", cause(err))
			}
			switch {
			case threshold > 0 && d.Worst() >= threshold:
				return &exitError{code: exitBroken}
			case !d.Complete || len(d.Unseen) > 0:
				return &exitError{code: exitIncomplete}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "text", "`format`: text or json")
	f.StringVar(&failOn, "fail-on", "medium", "the least severity that ends with exit code 3: critical, high, medium, low or none")
	complete(cmd, "output", "text", "json")
	complete(cmd, "fail-on", "critical", "high", "medium", "low", "none")
	return cmd
}

func diffText(w io.Writer, files []string, d *compare.Difference) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to %s\n\n", clean(files[0]), clean(files[1]))
	list := func(label string, all []scan.Past) {
		for _, p := range all {
			fmt.Fprintf(&b, "%-10s%-10s%s  %s: %s\n", label, strings.ToUpper(p.Severity.String()), clean(p.Control), clean(p.Object.String()), clean(p.Evidence))
		}
		if len(all) > 0 {
			b.WriteString("\n")
		}
	}
	list("APPEARED", d.Appeared)
	for _, c := range d.Changed {
		fmt.Fprintf(&b, "%-10s%-10s%s  %s: %s\n", "CHANGED", strings.ToUpper(c.Is.Severity.String()), clean(c.Is.Control), clean(c.Is.Object.String()), clean(c.Is.Evidence))
		fmt.Fprintf(&b, "%20s%s\n", "", clean(became(c)))
	}
	if len(d.Changed) > 0 {
		b.WriteString("\n")
	}
	list("GONE", d.Gone)
	list("UNSEEN", d.Unseen)
	fmt.Fprintf(&b, "%d appeared, %d changed, %d gone, %d not looked at again, %d the same\n", len(d.Appeared), len(d.Changed), len(d.Gone), len(d.Unseen), d.Same)
	if !d.Complete {
		b.WriteString("the newer scan could not tell everything\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// became says in what a fault changed.
func became(c compare.Change) string {
	switch {
	case c.Waived:
		return "it is waived now"
	case c.Reopened:
		return "it is no longer waived"
	case c.Was.Severity != c.Is.Severity:
		return "it was " + c.Was.Severity.String()
	}
	return "was: " + c.Was.Evidence
}

// clean keeps a stranger's text from driving the terminal.
func clean(text string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '�'
		}
		return c
	}, text)
}

// The structs below are docs/schema/diff-v1.json.
type (
	diffReport struct {
		Schema   string       `json:"schema"`
		Old      string       `json:"old"`
		New      string       `json:"new"`
		Complete bool         `json:"complete"`
		Same     int          `json:"same"`
		Appeared []diffFault  `json:"appeared"`
		Changed  []diffChange `json:"changed"`
		Gone     []diffFault  `json:"gone"`
		Unseen   []diffFault  `json:"unseen"`
	}
	diffFault struct {
		Fingerprint string     `json:"fingerprint"`
		Control     string     `json:"control"`
		Severity    string     `json:"severity"`
		Object      diffObject `json:"object"`
		Path        string     `json:"path,omitempty"`
		Evidence    string     `json:"evidence"`
	}
	diffObject struct {
		Kind      string `json:"kind"`
		Namespace string `json:"namespace,omitempty"`
		Machine   string `json:"machine,omitempty"`
		Name      string `json:"name"`
		Cluster   string `json:"cluster,omitempty"`
	}
	diffChange struct {
		How string     `json:"how"` // waived, reopened, severity, evidence
		Was *diffFault `json:"was,omitempty"`
		Is  diffFault  `json:"is"`
	}
)

func diffJSON(w io.Writer, files []string, d *compare.Difference) error {
	out := diffReport{
		Schema: diffSchema, Old: files[0], New: files[1], Complete: d.Complete, Same: d.Same,
		Appeared: faults(d.Appeared), Changed: []diffChange{}, Gone: faults(d.Gone), Unseen: faults(d.Unseen),
	}
	for _, c := range d.Changed {
		change := diffChange{How: "evidence", Is: faultJSON(c.Is)}
		switch {
		case c.Waived:
			change.How = "waived"
		case c.Reopened:
			change.How = "reopened"
		case c.Was.Severity != c.Is.Severity:
			change.How = "severity"
		}
		if c.Was.ID != "" {
			was := faultJSON(c.Was)
			change.Was = &was
		}
		out.Changed = append(out.Changed, change)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func faults(all []scan.Past) []diffFault {
	out := make([]diffFault, len(all))
	for i, p := range all {
		out[i] = faultJSON(p)
	}
	return out
}

func faultJSON(p scan.Past) diffFault {
	object := diffObject{Kind: p.Object.Kind, Namespace: p.Object.Namespace, Name: p.Object.Name, Cluster: p.Object.Cluster}
	if p.Object.OnMachine() {
		object.Namespace, object.Machine = "", p.Object.Namespace
	}
	return diffFault{p.ID, p.Control, p.Severity.String(), object, p.Path, p.Evidence}
}
