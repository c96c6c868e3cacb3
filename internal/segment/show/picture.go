package show

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// What a picture shows at most, so that it can be read and a browser opens it at once.
const (
	maxBands = 64
	maxTips  = 900
	maxNotes = 8
)

// Style is what the classes of a picture look like. It follows the reader's choice of
// light or dark, and no state is told by its colour alone.
const Style = `.net-text{font:13px ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif;fill:#16202c}
.net-soft{fill:#566172}.net-head{font-size:19px;font-weight:650}.net-small{font-size:12px}
.net-back{fill:#fff}.net-line{stroke:#dfe3e8;stroke-width:1;fill:none}.net-frame{stroke:#c6ccd4;stroke-width:1;fill:none}
.net-open{fill:#c43c1c}.net-part{fill:#e3a52b}.net-closed{fill:#1c7048}.net-unknown{fill:#8d7bb0}.net-nobody{fill:#c6ccd4}
.net-hit{fill:#000;fill-opacity:0}.net-hit:hover{fill-opacity:.12}
@media (prefers-color-scheme:dark){.net-text{fill:#e6ebf1}.net-soft{fill:#98a5b5}.net-back{fill:#151c25}.net-line{stroke:#26303c}.net-frame{stroke:#3a4756}
.net-open{fill:#ff8a63}.net-part{fill:#e8c25a}.net-closed{fill:#3f9d6c}.net-unknown{fill:#bba9de}.net-nobody{fill:#3a4756}.net-hit{fill:#fff}}
`

// WriteSVG draws a grid as a picture that stands by itself.
func WriteSVG(w io.Writer, title string, g *segment.Grid) error {
	p := newPicture(g)
	const head = 64
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="t d">`, p.w, p.h+head, p.w, p.h+head)
	fmt.Fprintf(&b, "\n<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n<style>%s</style>\n", text(title), text(p.desc), Style)
	fmt.Fprintf(&b, `<rect class="net-back" width="100%%" height="100%%"/><text class="net-text net-head" x="24" y="36">%s</text>`, text(shorten(title, (p.w-48)/12))) // 12 units a character of 19
	fmt.Fprintf(&b, `<text class="net-text net-soft" x="24" y="56">from the row, to the column, by policy</text>`)
	fmt.Fprintf(&b, "\n<g transform=\"translate(0 %d)\">\n", head)
	p.draw(&b)
	b.WriteString("</g>\n</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Inline is the same picture as a part of a page that has Style.
func Inline(g *segment.Grid) string {
	p := newPicture(g)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`, p.w, p.h, p.w, p.h, text(p.desc))
	b.WriteByte('\n')
	p.draw(&b)
	b.WriteString("</svg>\n")
	return b.String()
}

// A picture is a grid with places.
type picture struct {
	grid  *segment.Grid
	bands []segment.Band
	more  int // units that are not drawn
	size  int // of a cell
	left  int // where the cells begin
	top   int
	w, h  int
	desc  string
	notes []string // a line each, below
}

func newPicture(g *segment.Grid) *picture {
	p := &picture{grid: g, bands: g.Alike(), size: 26}
	if len(p.bands) > maxBands {
		// The largest ones; outside is a unit of its own and stays.
		keep := slices.Clone(p.bands)
		slices.SortStableFunc(keep, func(a, b segment.Band) int { return p.weight(b) - p.weight(a) })
		for _, b := range keep[maxBands:] {
			p.more += len(b)
		}
		keep = keep[:maxBands]
		slices.SortFunc(keep, func(a, b segment.Band) int { return a[0] - b[0] })
		p.bands = keep
	}
	if len(p.bands) > 24 {
		p.size = 18
	}
	longest := 0
	for _, b := range p.bands {
		longest = max(longest, utf8.RuneCountInString(p.label(b)))
	}
	// 7.6 units a character of 13; the heads of columns lean by 60 degrees.
	p.left = 24 + longest*76/10 + 12
	p.top = 10 + longest*76*87/1000 + 8
	n := len(p.bands) * p.size
	p.w = max(p.left+n+longest*38/10+36, 640)
	p.h = p.top + n + 24 + 30
	p.annotate()
	p.h += noteHeight * len(p.notes)
	count := map[segment.State]int{}
	for _, i := range p.bands {
		for _, j := range p.bands {
			count[p.grid.Within(i, j).State]++
		}
	}
	p.desc = fmt.Sprintf("A grid of %d rows and columns: %d cells are open, %d in part, %d closed, %d unknown.",
		len(p.bands), count[segment.Open], count[segment.Part], count[segment.Closed], count[segment.Untold])
	return p
}

const noteHeight = 18

// annotate names those that share a band, and counts those that have none.
func (p *picture) annotate() {
	for _, b := range p.bands {
		if len(b) == 1 {
			continue
		}
		if len(p.notes) == maxNotes {
			p.notes = append(p.notes, "and more that are exactly alike")
			break
		}
		var names []string
		for _, i := range b[1:] {
			names = append(names, p.grid.Units[i].String())
		}
		line := p.label(b) + ", exactly alike: " + strings.Join(names, ", ")
		p.notes = append(p.notes, shorten(line, (p.w-48)*10/66)) // 6.6 units a character of 12
	}
	if len(p.notes) > 0 {
		p.notes = append(p.notes, "where such a row meets its own column, the cell is between two of them")
	}
	if p.more > 0 {
		p.notes = append(p.notes, fmt.Sprintf("%d smaller ones are not drawn", p.more))
	}
}

func (p *picture) weight(b segment.Band) int {
	n := 0
	for _, i := range b {
		if p.grid.Units[i].Kind == segment.Internet {
			return 1 << 30
		}
		n += p.grid.Units[i].Pods
	}
	return n
}

// label is a band's name, short enough to stand beside the grid.
func (p *picture) label(b segment.Band) string {
	const most = 34
	name := []rune(p.grid.Units[b[0]].String())
	if len(name) > most {
		name = append(name[:most-1], '…')
	}
	if len(b) > 1 {
		return fmt.Sprintf("%s +%d", string(name), len(b)-1)
	}
	return string(name)
}

// marks is what each state looks like, as a path within a cell of the size 10.
var marks = []struct {
	state segment.State
	path  string // from the cell's corner, relative
	name  string
}{
	{segment.Open, "m1 1h8v8h-8z", "open: every pod, every port"},
	{segment.Part, "m1 1h8l-8 8z", "in part"},
	{segment.Closed, "m3.8 3.8h2.4v2.4h-2.4z", "closed"},
	{segment.Untold, "m1 4h8v2h-8z", "unknown"},
	{segment.Nobody, "m4.6 4.6h.8v.8h-.8z", "no pods"},
}

func (p *picture) draw(b *strings.Builder) {
	n, size := len(p.bands), p.size
	side := n * size
	for i, band := range p.bands {
		at := i*size + size/2
		name := text(p.label(band))
		fmt.Fprintf(b, `<text class="net-text" x="%d" y="%d" text-anchor="end">%s</text>`, p.left-10, p.top+at+4, name)
		fmt.Fprintf(b, `<text class="net-text" transform="translate(%d %d) rotate(-60)">%s</text>`, p.left+at+4, p.top-8, name)
		b.WriteByte('\n')
	}
	var lines strings.Builder
	for i := 1; i < n; i++ {
		fmt.Fprintf(&lines, "M%d %dh%dM%d %dv%d", p.left, p.top+i*size, side, p.left+i*size, p.top, side)
	}
	fmt.Fprintf(b, `<path class="net-line" d="%s"/><rect class="net-frame" x="%d" y="%d" width="%d" height="%d" rx="4"/>`, lines.String(), p.left, p.top, side, side)
	b.WriteByte('\n')

	scale := float64(size) / 10
	tips := 0
	var tip strings.Builder
	for _, m := range marks {
		var d strings.Builder
		for i, from := range p.bands {
			for j, to := range p.bands {
				c := p.grid.Within(from, to)
				if c.State != m.state {
					continue
				}
				fmt.Fprintf(&d, "M%d %d%s", j*10, i*10, m.path)
				if (c.State == segment.Part || c.Untold) && tips < maxTips {
					tips++
					fmt.Fprintf(&tip, `<rect class="net-hit" x="%d" y="%d" width="%d" height="%d"><title>%s to %s: %s</title></rect>`,
						p.left+j*size, p.top+i*size, size, size, text(p.label(from)), text(p.label(to)), text(shorten(c.Text(), 300)))
					tip.WriteByte('\n')
				}
			}
		}
		if d.Len() > 0 {
			fmt.Fprintf(b, `<path class="net-%s" transform="translate(%d %d) scale(%g)" d="%s"/>`, m.state, p.left, p.top, scale, d.String())
			b.WriteByte('\n')
		}
	}
	b.WriteString(tip.String())
	p.legend(b, p.top+side+34)
}

func (p *picture) legend(b *strings.Builder, y int) {
	x := 24
	for _, m := range marks {
		fmt.Fprintf(b, `<path class="net-%s" transform="translate(%d %d) scale(1.4)" d="%s"/><text class="net-text net-soft" x="%d" y="%d">%s</text>`, m.state, x, y-12, strings.Replace(m.path, "m", "M", 1), x+20, y, m.name)
		x += 20 + len(m.name)*75/10 + 18
	}
	b.WriteByte('\n')
	for i, note := range p.notes {
		fmt.Fprintf(b, `<text class="net-text net-soft net-small" x="24" y="%d">%s</text>`, y+22+noteHeight*i, text(note))
		b.WriteByte('\n')
	}
}

// text makes a stranger's text one of a document.
func text(s string) string { return html.EscapeString(printable(s)) }

// printable keeps control characters out, which neither documents nor terminals take.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
