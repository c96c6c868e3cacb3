package report

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// csvColumns are a promise: new ones are added at the end.
var csvColumns = []string{
	"control", "severity", "outcome", "title", "kind", "namespace", "machine", "name", "path", "got", "want", "reason",
	"file", "line", "column", "pods", "fix", "references",
	"show", "fix command", "reach", "standing", "waiver", "fingerprint", "items", "cluster",
}

// writeCSV writes one row for each finding, and one for what could not be told at all.
func writeCSV(w io.Writer, r *scan.Result, o Options) error {
	b := bufio.NewWriter(w)
	row := func(cells ...string) {
		for i, c := range cells {
			if i > 0 {
				_ = b.WriteByte(',') // the Writer keeps the first error
			}
			_, _ = b.WriteString(cell(c))
		}
		_, _ = b.WriteString("\r\n")
	}
	row(csvColumns...)
	spots := locate(r, o)
	for _, res := range r.Controls {
		c := res.Control
		refs := make([]string, len(c.Refs))
		for i, ref := range c.Refs {
			refs[i] = ref.String()
		}
		items := itemsOf(r, c.ID)
		put := func(f *control.Finding) {
			object, at := objectJSON(f.Object), spots[f]
			m, waiver := mend(c, f), ""
			if f.Waiver != nil {
				waiver = waiverText(f.Waiver)
			}
			file, line, column := fileOf(f.Source, o.Dir), "", ""
			if file != "" {
				line, column = strconv.Itoa(at.line), strconv.Itoa(at.column)
			}
			row(c.ID, res.SeverityOf(f).String(), outcomeNames[f.Outcome], c.Title, object.Kind, object.Namespace, object.Machine, object.Name,
				f.Path, f.Got, f.Want, f.Reason, file, line, column, strconv.Itoa(f.Pods), or(strings.Join(edits(f), "; "), m.Hand), strings.Join(refs, "; "),
				look(f).String(), m.Command, reachText(f), standing(f, r.Baseline != nil), waiver, f.ID, strings.Join(items, "; "), object.Cluster)
		}
		for _, f := range res.Findings {
			put(f)
		}
		if res.Outcome == control.Unknown && len(res.Findings) == 0 {
			put(&control.Finding{Reason: or(res.Reason, "no reason was given")})
		}
	}
	for _, blind := range blinds(r) {
		if len(blind.controls) == 0 {
			cells := make([]string, len(csvColumns))
			cells[2], cells[3], cells[11] = outcomeNames[control.Unknown], "not read: "+strings.Join(blind.needs, ", "), blind.reason
			row(cells...)
		}
	}
	return b.Flush()
}

// cell is a quoted cell that no spreadsheet takes for a formula. It is quoted always,
// since where a comma is the decimal sign programs also cut at semicolons.
func cell(text string) string {
	clean := printable(text)
	if first := strings.TrimLeft(clean, " "); first != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(first)[0]) || strings.HasPrefix(text, "\t") || strings.HasPrefix(text, "\r") {
		clean = "'" + clean
	}
	return `"` + strings.ReplaceAll(clean, `"`, `""`) + `"`
}
