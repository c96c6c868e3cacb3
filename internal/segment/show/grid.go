package show

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// signs are a cell's state on a terminal.
var signs = map[segment.State]string{
	segment.Open: "■", segment.Part: "◪", segment.Closed: "·", segment.Untold: "?", segment.Nobody: " ",
}

var stateColors = map[segment.State]string{
	segment.Open: "31", segment.Part: "33", segment.Closed: "32", segment.Untold: "35", segment.Nobody: "2",
}

// maxTableBands is how many rows the table shows: more are for a file.
const maxTableBands = 120

// WriteGrid writes a grid as a table: rows with names and numbers, columns with numbers.
// Where the columns do not fit, they follow below in blocks.
func WriteGrid(w io.Writer, title string, g *segment.Grid, o Options) error {
	var b strings.Builder
	bands := g.Alike()
	more := 0
	if len(bands) > maxTableBands {
		more = len(bands) - maxTableBands
		bands = bands[:maxTableBands]
	}
	fmt.Fprintf(&b, "%s\n", o.paint("1", printable(title)))
	b.WriteString("from the row, to the column, by policy\n")
	digits := len(strconv.Itoa(len(bands)))
	name := 0
	for _, band := range bands {
		name = max(name, len([]rune(printable(g.Label(band)))))
	}
	name = min(name, max(o.width()/3, 24))
	wide := digits + 1
	per := max((o.width()-digits-1-name-1)/wide, 4)
	// Several units that are alike have no cell of their own on the diagonal.
	own := false
	for _, band := range bands {
		own = own || len(band) > 1
	}
	if own {
		per = max(per-(len("itself")+2)/wide-1, 4)
	}
	for start := 0; start < len(bands); start += per {
		columns := bands[start:min(start+per, len(bands))]
		fmt.Fprintf(&b, "\n%*s", digits+1+name, "")
		if own {
			b.WriteString("  itself")
		}
		for j := range columns {
			fmt.Fprintf(&b, "%*d", wide, start+j+1)
		}
		b.WriteByte('\n')
		for i, from := range bands {
			fmt.Fprintf(&b, "%*d %-*s", digits, i+1, name, cut(printable(g.Label(from)), name))
			if own {
				fmt.Fprintf(&b, "  %s%s", o.sign(g.At(from[0], from[0])), "     ")
			}
			var line strings.Builder
			for _, to := range columns {
				line.WriteString(strings.Repeat(" ", wide-1) + o.sign(g.Within(from, to)))
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	b.WriteString("\n")
	for i, m := range marks {
		if m.state == segment.Nobody {
			continue
		}
		if i > 0 {
			b.WriteString("   ")
		}
		b.WriteString(o.paint(stateColors[m.state], signs[m.state]) + " " + m.name)
	}
	b.WriteString("\n")
	if own {
		b.WriteString(wrap("alike in every way, and so one row; where it meets its own column, between two of them:", o.width(), 0) + "\n")
		writeAlike(&b, g, bands, o)
	}
	if more > 0 {
		fmt.Fprintf(&b, "%d more rows are not shown: -o csv and -o json have them all\n", more)
	}
	writeParts(&b, g, bands, o)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeAlike names who is in each row of several.
func writeAlike(b *strings.Builder, g *segment.Grid, bands []segment.Band, o Options) {
	for _, band := range bands {
		if len(band) < 2 {
			continue
		}
		names := make([]string, len(band))
		for i, at := range band {
			names[i] = printable(g.Units[at].String())
		}
		fmt.Fprintf(b, "  %s\n", wrap(fmt.Sprintf("%s: %s", printable(g.Label(band)), list(names[1:])), o.width(), 4))
	}
}

func (o Options) sign(c *segment.Cell) string {
	text := signs[c.State]
	if c.Untold && c.State == segment.Part {
		text = "◩"
	}
	return o.paint(stateColors[c.State], text)
}

// maxParts is how many cells are told in words below the table.
const maxParts = 40

// writeParts tells the ports of cells that are open in part.
func writeParts(b *strings.Builder, g *segment.Grid, bands []segment.Band, o Options) {
	n := 0
	for _, from := range bands {
		for _, to := range bands {
			c := g.Within(from, to)
			if c.State != segment.Part {
				continue
			}
			n++
			if n == 1 {
				b.WriteString("\n" + o.paint("1", "IN PART") + "\n")
			}
			if n <= maxParts {
				text := fmt.Sprintf("%s to %s: %s", g.Label(from), g.Label(to), strings.TrimPrefix(c.Text(), "part: "))
				fmt.Fprintf(b, "  %s\n", wrap(shorten(printable(text), 400), o.width(), 4))
			}
		}
	}
	if n > maxParts {
		fmt.Fprintf(b, "  and %d more: -o json has them all\n", n-maxParts)
	}
}

// WriteGridCSV writes one line for each cell.
func WriteGridCSV(w io.Writer, g *segment.Grid) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"from", "to", "state", "unknown", "pairs", "pairs_reaching", "ports"}); err != nil {
		return err
	}
	for i, from := range g.Units {
		for j, to := range g.Units {
			c := g.At(i, j)
			if from.Kind == segment.Internet && to.Kind == segment.Internet {
				continue
			}
			ports := ""
			if !c.Ports.Empty() {
				ports = c.Ports.String()
			}
			if err := out.Write([]string{
				plain(from.String()), plain(to.String()), c.State.String(), strconv.FormatBool(c.Untold),
				strconv.FormatInt(c.Pairs, 10), strconv.FormatInt(c.Reach, 10), ports,
			}); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// plain keeps a spreadsheet from taking a name for a formula.
func plain(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// GridSchema names the shape of the JSON. docs/schema/net-matrix-v1.json describes it.
const GridSchema = "bulwark.net-matrix/v1"

type cellJSON struct {
	From    int         `json:"from"`
	To      int         `json:"to"`
	State   string      `json:"state"`
	Unknown bool        `json:"unknown"`
	Pairs   int64       `json:"pairs"`
	Reach   int64       `json:"pairsReaching"`
	Ports   []portsJSON `json:"ports"`
}

// WriteGridJSON writes the units and, by their places, the cells that have pods: one a
// line, since a thousand units have a million.
func WriteGridJSON(w io.Writer, profile string, g *segment.Grid) error {
	b := bufio.NewWriterSize(w, 256<<10)
	line := func(lead string, v any) error {
		text, err := json.Marshal(v)
		if err == nil {
			_, err = b.WriteString(lead + string(text))
		}
		return err
	}
	if err := line("{\n  \"schema\": \""+GridSchema+"\",\n  \"network\": ", profile); err != nil {
		return err
	}
	lead := ",\n  \"units\": [\n    "
	for _, u := range g.Units {
		if err := line(lead, u); err != nil {
			return err
		}
		lead = ",\n    "
	}
	lead = "\n  ],\n  \"cells\": [\n    "
	for i := range g.Units {
		for j := range g.Units {
			c := g.At(i, j)
			if c.State == segment.Nobody {
				continue
			}
			if err := line(lead, cellJSON{i, j, c.State.String(), c.Untold, c.Pairs, c.Reach, ports(c.Ports)}); err != nil {
				return err
			}
			lead = ",\n    "
		}
	}
	if !strings.HasPrefix(lead, ",") { // no cell came
		if _, err := b.WriteString("\n  ],\n  \"cells\": ["); err != nil {
			return err
		}
	}
	if _, err := b.WriteString("\n  ]\n}\n"); err != nil {
		return err
	}
	return b.Flush()
}

type connectionsJSON struct {
	Allowed []portsJSON `json:"allowed"`
	Denied  []portsJSON `json:"denied"`
	Unknown []portsJSON `json:"unknown"`
}

// WriteLines writes one JSON line for each ordered pair of workloads, and for each port
// where some are given.
func WriteLines(w io.Writer, v *segment.View, only []segment.Port) error {
	b := bufio.NewWriterSize(w, 256<<10)
	names := map[string][]byte{}
	name := func(s string) []byte {
		if names[s] == nil {
			names[s], _ = json.Marshal(s) // a text has no error to have
		}
		return names[s]
	}
	kinds := map[int32][]byte{}
	err := v.Lines(func(l segment.Line) error {
		if len(only) == 0 {
			if kinds[l.Kind] == nil {
				c := l.Connections
				text, err := json.Marshal(connectionsJSON{ports(c.Allowed), ports(c.Denied), ports(c.Unknown)})
				if err != nil {
					return err
				}
				kinds[l.Kind] = text[1 : len(text)-1]
			}
			mixed := []byte("[]")
			if !l.Mixed.Empty() {
				var err error
				if mixed, err = json.Marshal(ports(l.Mixed)); err != nil {
					return err
				}
			}
			_, err := fmt.Fprintf(b, "{\"from\":%s,\"to\":%s,%s,\"mixed\":%s}\n", name(l.From), name(l.To), kinds[l.Kind], mixed)
			return err
		}
		for _, p := range only {
			mixed := ""
			if l.Mixed.Has(p.Protocol, p.Number) {
				mixed = `,"mixed":true`
			}
			if _, err := fmt.Fprintf(b, "{\"from\":%s,\"to\":%s,\"protocol\":%q,\"port\":%d,\"verdict\":%q%s}\n", name(l.From), name(l.To), p.Protocol, p.Number, l.Connections.Of(p.Protocol, p.Number), mixed); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.Flush()
}

// WriteOverview says how the namespaces stand: who gets in from where, and out to where.
func WriteOverview(w io.Writer, head string, g *segment.Grid, policies map[string]int, profile network.Profile, o Options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", wrap(printable(head), o.width(), 0))
	if profile.Enforced == network.No {
		b.WriteString(o.paint("1;31", "the network "+profile.Name+" enforces no policies: whatever they say, everything is open") + "\n")
	}
	bands := g.Alike()
	rows := [][]string{{"NAMESPACE", "PODS", "POLICIES", "WITHIN", "IN: OTHERS", "OUTSIDE", "OUT: OTHERS", "OUTSIDE"}}
	outside := len(g.Units) - 1
	var naked, leaky []string
	for _, band := range bands {
		i := band[0]
		u := g.Units[i]
		if u.Kind == segment.Internet || u.Pods == 0 {
			continue
		}
		pods, count := 0, 0
		for _, k := range band {
			pods += g.Units[k].Pods
			count += policies[g.Units[k].Name]
		}
		rows = append(rows, []string{
			printable(g.Label(band)), strconv.Itoa(pods), strconv.Itoa(count), word(g.At(i, i)),
			others(g, i, false), word(g.At(outside, i)), others(g, i, true), word(g.At(i, outside)),
		})
		if g.At(outside, i).State == segment.Open {
			naked = append(naked, g.Label(band))
		}
		if g.At(i, outside).State == segment.Open {
			leaky = append(leaky, g.Label(band))
		}
	}
	if len(rows) == 1 {
		b.WriteString("\nthere are no pods that policies reach\n")
		_, err := io.WriteString(w, b.String())
		return err
	}
	b.WriteByte('\n')
	if o.width() < 100 {
		for i, r := range rows {
			rows[i] = append(r[:2:2], r[3:]...) // without the policies
		}
	}
	columns(&b, rows, o)
	if len(rows)-1 < len(g.Units)-1 {
		b.WriteString("\nalike in every way:\n")
		writeAlike(&b, g, bands, o)
	}
	if len(naked) > 0 {
		fmt.Fprintf(&b, "\n%s\n", wrap(fmt.Sprintf("nothing keeps connections from anywhere out of %s", printable(list(naked))), o.width(), 2))
	}
	if len(leaky) > 0 {
		fmt.Fprintf(&b, "%s%s\n", map[bool]string{true: "\n", false: ""}[len(naked) == 0], wrap(fmt.Sprintf("nothing keeps pods from the internet in %s", printable(list(leaky))), o.width(), 2))
	}
	b.WriteString("\nnext: bulwark net matrix, bulwark net exposed, bulwark net suggest\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func list(names []string) string {
	if len(names) > 8 {
		names = append(names[:7:7], fmt.Sprintf("and %d more", len(names)-7))
	}
	return strings.Join(names, ", ")
}

// word is a cell's state in a column.
func word(c *segment.Cell) string {
	switch c.State {
	case segment.Nobody:
		return "-"
	case segment.Untold:
		return "?"
	case segment.Closed, segment.Part, segment.Open:
	}
	return c.State.String()
}

// others sums up a unit's cells with all the others: "12 open, 3 part".
func others(g *segment.Grid, i int, out bool) string {
	n := map[segment.State]int{}
	total := 0
	for j, u := range g.Units {
		if j == i || u.Kind == segment.Internet || u.Pods == 0 {
			continue
		}
		c := g.At(j, i)
		if out {
			c = g.At(i, j)
		}
		n[c.State]++
		total++
	}
	var parts []string
	switch {
	case total == 0:
		return "-"
	case n[segment.Closed] == total:
		return "closed"
	}
	for _, s := range []segment.State{segment.Open, segment.Part, segment.Untold} {
		if n[s] > 0 {
			name := s.String()
			if s == segment.Untold {
				name = "?"
			}
			parts = append(parts, fmt.Sprintf("%d %s", n[s], name))
		}
	}
	return strings.Join(parts, ", ")
}

// columns writes rows in columns as wide as they need to be; the first gives way where the
// width is not enough.
func columns(b *strings.Builder, rows [][]string, o Options) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, text := range r {
			width[i] = max(width[i], len([]rune(text)))
		}
	}
	total := 0
	for _, n := range width {
		total += n + 2
	}
	if over := total - 2 - o.width(); over > 0 {
		width[0] = max(width[0]-over, 12)
	}
	for k, r := range rows {
		line := ""
		for i, text := range r {
			text = cut(text, width[i])
			pad := strings.Repeat(" ", width[i]-len([]rune(text)))
			if i > 0 {
				line += "  "
			}
			if _, err := strconv.Atoi(text); err == nil {
				line += pad + text
			} else {
				line += text + pad
			}
		}
		line = strings.TrimRight(line, " ")
		if k == 0 {
			line = o.paint("1", line)
		}
		b.WriteString(line + "\n")
	}
}
