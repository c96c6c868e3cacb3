package cli

import (
	"strings"
	"unicode/utf8"
)

// A grid is rows of cells in columns. The last column is wrapped to the width, at spaces,
// below itself; with width 0 nothing is wrapped. What others wrote in it cannot move
// the cursor.
type grid struct {
	indent string
	// first is the least width of the first column.
	first int
	rows  [][]string
}

func (g *grid) add(cells ...string) { g.rows = append(g.rows, cells) }

func (g *grid) write(b *strings.Builder, width int) {
	var widths []int
	if g.first > 0 {
		widths = []int{g.first}
	}
	for _, row := range g.rows {
		for i, cell := range row[:len(row)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(clean(cell)))
		}
	}
	left := utf8.RuneCountInString(g.indent)
	for _, w := range widths {
		left += w + 2
	}
	for _, row := range g.rows {
		line := g.indent
		for i, w := range widths {
			cell := ""
			if i < len(row)-1 {
				cell = clean(row[i])
			}
			line += cell + strings.Repeat(" ", w-utf8.RuneCountInString(cell)+2)
		}
		for i, part := range wrap(clean(row[len(row)-1]), width-left) {
			if i > 0 {
				line = strings.Repeat(" ", left)
			}
			b.WriteString(strings.TrimRight(line+part, " ") + "\n")
		}
	}
}

// wrap breaks a text at spaces into lines of the width, where that leaves room for words.
func wrap(text string, width int) []string {
	const least = 20
	if width < least || utf8.RuneCountInString(text) <= width {
		return []string{text}
	}
	var lines []string
	line, length := "", 0
	for word := range strings.SplitSeq(text, " ") {
		n := utf8.RuneCountInString(word)
		if line != "" && length+1+n > width {
			lines = append(lines, line)
			line, length = "", 0
		}
		if line != "" {
			line, length = line+" ", length+1
		}
		line, length = line+word, length+n
	}
	return append(lines, line)
}

// notes adds texts below a label that is said once.
func (g *grid) notes(label string, texts []string) {
	for _, text := range texts {
		g.add(label, text)
		label = ""
	}
}
