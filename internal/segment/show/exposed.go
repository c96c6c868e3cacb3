package show

import (
	"fmt"
	"io"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// WriteExposed writes the doors with what policies say behind each, and what pods reach of
// the cluster itself.
func WriteExposed(w io.Writer, x *segment.Exposure, o Options) error {
	var b strings.Builder
	b.WriteString(o.paint("1", "FROM OUTSIDE OF THE CLUSTER") + "\n")
	if len(x.Doors) == 0 {
		b.WriteString("  no Service, Ingress, route or port of a node leads in\n")
	}
	for _, d := range x.Doors {
		by := d.By.String()
		if strings.EqualFold(d.By.Kind, d.How) {
			by = d.By.Namespace + "/" + d.By.Name
		}
		text := fmt.Sprintf("%s  %s  %s", d.How, by, d.Ports)
		if d.At != "" {
			text += "  at " + d.At
		}
		if len(d.Limits) > 0 {
			text += "  from " + list(d.Limits) + " alone"
		}
		fmt.Fprintf(&b, "  %s\n", wrap(printable(text), o.width(), 6))
		if len(d.Behind) == 0 {
			b.WriteString("      nobody is behind it\n")
		}
		for _, w := range d.Behind {
			text := w.Workload + ": " + w.Reason
			if w.Part {
				text += " (not from everywhere, or not to all of its pods)"
			}
			fmt.Fprintf(&b, "      %s%s\n", o.verdict(w.Verdict), wrap(printable(text), o.width(), 15))
		}
	}
	b.WriteString("\n" + o.paint("1", "FROM PODS") + "\n")
	for _, t := range x.Targets {
		fmt.Fprintf(&b, "  %s\n", wrap(printable(strings.TrimRight(t.Name+"  "+t.At, " ")), o.width(), 6))
		total := len(t.Allowed) + len(t.Denied) + len(t.Unknown)
		for _, part := range []struct {
			v     network.Verdict
			names []string
		}{{network.Allowed, t.Allowed}, {network.Unknown, t.Unknown}, {network.Denied, t.Denied}} {
			if len(part.names) == 0 {
				continue
			}
			text := fmt.Sprintf("%d of %s: %s", len(part.names), count(total, "workload"), list(part.names))
			if len(part.names) == total {
				text = "all of " + count(total, "workload")
			}
			fmt.Fprintf(&b, "      %s%s\n", o.verdict(part.v), wrap(printable(text), o.width(), 15))
		}
		if total == 0 {
			b.WriteString("      there are no pods\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// ExposedSchema names the shape of the JSON. docs/schema/net-exposed-v1.json describes it.
const ExposedSchema = "bulwark.net-exposed/v1"

type (
	exposedJSON struct {
		Schema  string       `json:"schema"`
		Network string       `json:"network"`
		Doors   []doorJSON   `json:"doors"`
		Targets []targetJSON `json:"targets"`
	}
	doorJSON struct {
		How    string       `json:"how"`
		By     string       `json:"by"`
		At     string       `json:"at,omitempty"`
		Ports  string       `json:"ports"`
		Limits []string     `json:"limits,omitempty"`
		Behind []behindJSON `json:"behind"`
	}
	behindJSON struct {
		Workload string `json:"workload"`
		Verdict  string `json:"verdict"`
		Part     bool   `json:"part,omitempty"`
		Reason   string `json:"reason"`
	}
	targetJSON struct {
		Name    string   `json:"name"`
		At      string   `json:"at,omitempty"`
		Allowed []string `json:"allowed"`
		Denied  []string `json:"denied"`
		Unknown []string `json:"unknown"`
	}
)

// WriteExposedJSON writes the same for programs.
func WriteExposedJSON(w io.Writer, profile string, x *segment.Exposure) error {
	out := exposedJSON{Schema: ExposedSchema, Network: profile, Doors: []doorJSON{}, Targets: []targetJSON{}}
	for _, d := range x.Doors {
		one := doorJSON{d.How, d.By.String(), d.At, d.Ports, d.Limits, []behindJSON{}}
		for _, b := range d.Behind {
			one.Behind = append(one.Behind, behindJSON{b.Workload, b.Verdict.String(), b.Part, b.Reason})
		}
		out.Doors = append(out.Doors, one)
	}
	for _, t := range x.Targets {
		out.Targets = append(out.Targets, targetJSON{t.Name, t.At, append([]string{}, t.Allowed...), append([]string{}, t.Denied...), append([]string{}, t.Unknown...)})
	}
	return writeJSON(w, out)
}

// Untold reports whether something of an exposure cannot be told.
func Untold(x *segment.Exposure) bool {
	for _, d := range x.Doors {
		for _, b := range d.Behind {
			if b.Verdict == network.Unknown {
				return true
			}
		}
	}
	for _, t := range x.Targets {
		if len(t.Unknown) > 0 {
			return true
		}
	}
	return false
}
