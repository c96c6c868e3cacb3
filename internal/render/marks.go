package render

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// A rendered line does not tell which line of the template made it. So the chart is
// rendered a second time with marks in its templates, each of which says the line that
// it stands on. What is scanned is the first, untouched text; the second one only
// tells where its lines come from.
//
// Marks are put into a file's own text, before what it inserts, and not into what it
// defines: that is handed to functions which would cut and compare the marks too.

// The characters around a mark are of the private use area, which no manifest uses.
const (
	markStart = "\ue0b0"
	markEnd   = "\ue0b1"
)

var markPattern = regexp.MustCompile(markStart + `(\d+)` + markEnd)

// marks renders the chart with marks. Without an answer, places makes do.
func marks(ch *chart.Chart, values chartutil.Values) map[string]string {
	var walk func(*chart.Chart)
	walk = func(ch *chart.Chart) {
		for i, t := range ch.Templates {
			marked := *t
			// A copy, because an alias shares the templates of what it stands for.
			if !strings.HasPrefix(path.Base(t.Name), "_") && !strings.Contains(string(t.Data), markStart) {
				if text, err := mark(t.Name, string(t.Data)); err == nil {
					marked.Data = []byte(text)
				}
			}
			ch.Templates[i] = &marked
		}
		for _, sub := range ch.Dependencies() {
			walk(sub)
		}
	}
	walk(ch)
	texts, err := engine.Render(ch, values)
	if err != nil {
		return nil
	}
	return texts
}

// mark returns a template with a mark at the start of each of its own lines, and before
// everything that it inserts.
func mark(name, text string) (string, error) {
	t := parse.New(name)
	t.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := t.Parse(text, "", "", trees); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, defined := range slices.Sorted(maps.Keys(trees)) {
		if tree := trees[defined]; defined != name && tree.Root != nil {
			fmt.Fprintf(&b, "{{define %q}}%s{{end}}", defined, tree.Root)
		}
	}
	if tree := trees[name]; tree != nil && tree.Root != nil {
		m := marker{text: text}
		m.list(tree.Root)
		b.WriteString(tree.Root.String())
	}
	return b.String(), nil
}

type marker struct{ text string }

func (m marker) line(pos parse.Pos) int {
	return 1 + strings.Count(m.text[:min(int(pos), len(m.text))], "\n")
}

func markOf(line int) []byte { return []byte(markStart + strconv.Itoa(line) + markEnd) }

func (m marker) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	var nodes []parse.Node
	before := func(pos parse.Pos) {
		nodes = append(nodes, &parse.TextNode{NodeType: parse.NodeText, Pos: pos, Text: markOf(m.line(pos))})
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			line := m.line(n.Pos)
			text := markOf(line)
			for part := range strings.Lines(string(n.Text)) {
				text = append(text, part...)
				if strings.HasSuffix(part, "\n") {
					line++
					text = append(text, markOf(line)...)
				}
			}
			n.Text = text
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 { // an assignment inserts nothing
				before(n.Pos)
			}
		case *parse.TemplateNode:
			before(n.Pos)
		case *parse.IfNode:
			m.list(n.List)
			m.list(n.ElseList)
		case *parse.RangeNode:
			m.list(n.List)
			m.list(n.ElseList)
		case *parse.WithNode:
			m.list(n.List)
			m.list(n.ElseList)
		}
		nodes = append(nodes, n)
	}
	l.Nodes = nodes
}

// places tells for each line of a rendered text the line of its template, and the
// column where that line's text begins: of the marks around, the last one before the
// text. Where the marks changed how the text breaks into lines, the file is all that
// is known.
func places(text, marked, template string) [][2]int {
	source := strings.Split(template, "\n")
	markedLines := strings.Split(marked, "\n")
	out := make([][2]int, strings.Count(text, "\n")+1)
	known := len(markedLines) == len(out)
	at := 1
	for i := range out {
		here := at
		if known {
			here, at = place(markedLines[i], at)
		}
		out[i] = [2]int{here, 1}
		if here <= len(source) {
			line := source[here-1]
			out[i][1] += utf8.RuneCountInString(line[:len(line)-len(strings.TrimLeft(line, " \t"))])
		}
	}
	return out
}

// place returns the mark in force where a line's text begins, and at its end.
func place(line string, at int) (here, end int) {
	began := false
	for line != "" {
		if m := markPattern.FindStringSubmatch(line); m != nil && strings.HasPrefix(line, m[0]) {
			at, _ = strconv.Atoi(m[1])
			line = line[len(m[0]):]
			continue
		}
		c, n := utf8.DecodeRuneInString(line)
		if !began && !unicode.IsSpace(c) {
			here, began = at, true
		}
		line = line[n:]
		if next := strings.Index(line, markStart); began && next >= 0 {
			line = line[next:]
		} else if began {
			break
		}
	}
	if !began {
		here = at
	}
	return here, max(at, 1)
}
