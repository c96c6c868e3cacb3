package show

import (
	"fmt"
	"io"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// maxBundles is how many lines of one kind are shown.
const maxBundles = 200

// WriteDiff writes what changed, alike changes in one line.
func WriteDiff(w io.Writer, was, is string, d *segment.Difference, o Options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to %s, by policy\n", printable(was), printable(is))
	part := func(label, code string, changes []segment.Change) {
		bundles := segment.Bundles(changes)
		if len(bundles) == 0 {
			return
		}
		b.WriteByte('\n')
		for i, bundle := range bundles {
			if i == maxBundles {
				fmt.Fprintf(&b, "%-9s%d more lines: -o json has them all\n", "", len(bundles)-i)
				break
			}
			text := fmt.Sprintf("%s to %s: %s", list(bundle.From), list(bundle.To), portText(bundle.Ports))
			if bundle.New {
				text += " (" + map[string]string{"GAINED": "new", "LOST": "gone", "UNCLEAR": "new or gone"}[label] + ")"
			}
			fmt.Fprintf(&b, "%s%s\n", o.paint(code, fmt.Sprintf("%-9s", label)), wrap(printable(text), o.width(), 9))
		}
	}
	part("GAINED", "1;33", d.Gained)
	part("LOST", "1;32", d.Lost)
	part("UNCLEAR", "1;35", d.Unclear)
	for _, one := range []struct {
		label string
		names []string
	}{{"new", d.Appeared}, {"gone", d.Gone}} {
		if len(one.names) > 0 {
			fmt.Fprintf(&b, "\n%s: %s\n", one.label, wrap(printable(list(one.names)), o.width(), 2))
		}
	}
	fmt.Fprintf(&b, "\n%d gained, %d lost, %d unclear, %d of %s the same\n", len(d.Gained), len(d.Lost), len(d.Unclear), d.Same, count(d.Pairs, "pair"))
	if d.Untold > 0 {
		fmt.Fprintf(&b, "of %s not everything could be told\n", count(d.Untold, "pair"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// DiffSchema names the shape of the JSON. docs/schema/net-diff-v1.json describes it.
const DiffSchema = "bulwark.net-diff/v1"

type (
	differenceJSON struct {
		Schema   string       `json:"schema"`
		Old      string       `json:"old"`
		New      string       `json:"new"`
		Pairs    int          `json:"pairs"`
		Same     int          `json:"same"`
		Untold   int          `json:"untold"`
		Gained   []changeJSON `json:"gained"`
		Lost     []changeJSON `json:"lost"`
		Unclear  []changeJSON `json:"unclear"`
		Appeared []string     `json:"appeared"`
		Gone     []string     `json:"gone"`
	}
	changeJSON struct {
		From  string      `json:"from"`
		To    string      `json:"to"`
		Ports []portsJSON `json:"ports"`
		New   bool        `json:"new,omitempty"`
	}
)

// WriteDiffJSON writes every change by itself.
func WriteDiffJSON(w io.Writer, was, is string, d *segment.Difference) error {
	changes := func(all []segment.Change) []changeJSON {
		out := make([]changeJSON, len(all))
		for i, c := range all {
			out[i] = changeJSON{c.From, c.To, ports(c.Ports), c.New}
		}
		return out
	}
	return writeJSON(w, differenceJSON{
		DiffSchema, was, is, d.Pairs, d.Same, d.Untold, changes(d.Gained), changes(d.Lost), changes(d.Unclear),
		append([]string{}, d.Appeared...), append([]string{}, d.Gone...),
	})
}
