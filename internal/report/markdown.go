package report

import (
	"html"
	"html/template"
	"regexp"
	"strings"
)

var (
	// Links go to the web alone: no javascript:, no data:, no files.
	mdLink   = regexp.MustCompile(`\[([^\[\]]+)\]\((https?://[^\s()"'<>]+)\)`)
	mdStrong = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	mdBullet = regexp.MustCompile(`^\s{0,3}[-*] +`)
	mdNumber = regexp.MustCompile(`^\s{0,3}[0-9]+[.)] +`)
)

// markdown renders the small Markdown of a control's doc: paragraphs, lists, fenced
// code, inline code, strong words and links to the web. Everything else is text. The
// source is escaped before anything is marked up, so no tag in it survives.
func markdown(src string) template.HTML {
	m := &mdWriter{}
	lines := strings.Split(strings.ReplaceAll(src, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			m.close()
			var code []string
			for i++; i < len(lines) && !strings.HasPrefix(strings.TrimSpace(lines[i]), "```"); i++ {
				code = append(code, lines[i])
			}
			m.out.WriteString("<pre><code>" + html.EscapeString(strings.Join(code, "\n")) + "</code></pre>\n")
		case strings.TrimSpace(line) == "":
			m.blank = true
		case mdBullet.MatchString(line):
			m.item("ul", mdBullet.ReplaceAllString(line, ""))
		case mdNumber.MatchString(line):
			m.item("ol", mdNumber.ReplaceAllString(line, ""))
		default:
			m.text(line)
		}
	}
	m.close()
	return template.HTML(m.out.String()) //nolint:gosec // every part was escaped above
}

// An mdWriter gathers the lines of the paragraph or item it is in.
type mdWriter struct {
	out   strings.Builder
	list  string   // "ul" or "ol" while in a list
	lines []string // of the open paragraph or item
	blank bool     // a blank line came since
}

func (m *mdWriter) text(line string) {
	if m.blank && (m.list == "" || !strings.HasPrefix(line, " ")) {
		m.close()
	}
	m.blank = false
	m.lines = append(m.lines, strings.TrimSpace(line))
}

func (m *mdWriter) item(list, line string) {
	m.flush()
	if m.list != list {
		m.close()
		m.out.WriteString("<" + list + ">\n")
		m.list = list
	}
	m.blank = false
	m.lines = []string{strings.TrimSpace(line)}
}

func (m *mdWriter) flush() {
	if len(m.lines) == 0 {
		return
	}
	tag := "p"
	if m.list != "" {
		tag = "li"
	}
	m.out.WriteString("<" + tag + ">" + inline(strings.Join(m.lines, "\n"), words) + "</" + tag + ">\n")
	m.lines = nil
}

func (m *mdWriter) close() {
	m.flush()
	if m.list != "" {
		m.out.WriteString("</" + m.list + ">\n")
		m.list = ""
	}
	m.blank = false
}

// inline marks up one paragraph. Code spans are cut out first: nothing in them is
// markup. The text between them is marked up by words.
func inline(text string, words func(string) string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "`")
		code, after, closed := strings.Cut(rest, "`")
		if !ok || !closed {
			b.WriteString(words(text))
			return b.String()
		}
		b.WriteString(words(before))
		b.WriteString("<code>" + html.EscapeString(code) + "</code>")
		text = after
	}
}

// ticks marks up the code spans of a sentence that may quote a stranger, who is not
// given links.
func ticks(text string) template.HTML {
	return template.HTML(inline(printable(text), html.EscapeString)) //nolint:gosec // every part is escaped
}

// words marks up links and, apart from them, strong words, so that the two never cross.
func words(text string) string {
	text = html.EscapeString(text)
	var b strings.Builder
	at := 0
	for _, m := range mdLink.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(strong(text[at:m[0]]))
		b.WriteString(`<a href="` + text[m[4]:m[5]] + `" rel="noopener noreferrer">` + strong(text[m[2]:m[3]]) + "</a>")
		at = m[1]
	}
	b.WriteString(strong(text[at:]))
	return b.String()
}

func strong(text string) string { return mdStrong.ReplaceAllString(text, "<strong>$1</strong>") }
