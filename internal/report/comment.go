package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// A comment under a pull request is refused beyond 65,536 characters. Ours ends
// before, whatever was found, and says what it leaves out.
const (
	maxComment     = 60_000
	maxCommentRows = 20 // findings of one control
	maxCommentCell = 300
	commentTail    = 1_000 // kept free for the last words
)

// writeMarkdown writes GitHub's and GitLab's Markdown. Text from the cluster stands in
// <code> with its punctuation spelled as entities: it can be no markup, and no name in
// it mentions a person or an issue.
func writeMarkdown(w io.Writer, r *scan.Result, o Options) error {
	_, err := io.WriteString(w, comment(r, o))
	return err
}

func comment(r *scan.Result, o Options) string {
	var b strings.Builder
	_, headline := headline(r)
	fmt.Fprintf(&b, "### Bulwark: %s\n\n%s\n\n%s; looked at %s.\n", headline, entities(verdict(r)), totals(r), code(lookedAt(r, 3)))
	spots := locate(r, o)
	for i, c := range clusters(r) {
		if i == 0 {
			b.WriteString("\n")
		}
		if i < maxCommentRows {
			fmt.Fprintf(&b, "- %s: %s\n", code(c.Name), entities(c.String()))
		}
	}
	b.WriteString(commentStandard(r.Standard))

	left, leftFindings := 0, 0
	for _, res := range r.Controls {
		if res.Outcome != control.Broken {
			continue
		}
		part, findings := commentTheme(res, spots, o)
		if findings == 0 {
			continue // all of it is known
		}
		if left > 0 || b.Len()+len(part) > maxComment-commentTail {
			left++
			leftFindings += findings
			continue
		}
		b.WriteString(part)
	}
	if part := commentWaived(r); b.Len()+len(part) <= maxComment-commentTail {
		b.WriteString(part)
	}
	part, more := commentUnknown(r)
	if b.Len()+len(part) <= maxComment-commentTail {
		b.WriteString(part)
	} else {
		more = true
	}
	b.WriteString("\n")
	if left > 0 {
		fmt.Fprintf(&b, "**Left out for want of room: %s with %s.** ", count(left, "broken control"), count(leftFindings, "finding"))
	}
	if more {
		b.WriteString("**What could not be told is not all here.** ")
	}
	if left > 0 || more {
		b.WriteString("`bulwark scan -o html` and `-o json` show everything. ")
	}
	if r.Worst() > 0 {
		b.WriteString("`bulwark explain CONTROL` says why it matters and how it is fixed.")
	}
	return strings.TrimRight(b.String(), " \n") + "\n"
}

// commentStandard is a standard's items that are broken or unknown, folded.
func commentStandard(s *scan.StandardResult) string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary><b>%s</b>: %s</summary>\n\n| item | what it asks | answer |\n|---|---|---|\n", entities(s.Title), coverage(s))
	rows, more := 0, 0
	for _, group := range itemOrder {
		for _, i := range s.Items {
			switch {
			case itemOutcome(i) != group.outcome || !group.always:
			case rows == 2*maxCommentRows:
				more++
			default:
				rows++
				fmt.Fprintf(&b, "| %s | %s | %s |\n", code(i.Number), entities(i.Title), code(group.label+": "+itemSays(i)))
			}
		}
	}
	if more > 0 {
		fmt.Fprintf(&b, "\nand %d more\n", more)
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// commentTheme is one broken control, folded, and the number of its findings.
func commentTheme(res *scan.ControlResult, spots map[*control.Finding]spot, o Options) (string, int) {
	var b strings.Builder
	c := res.Control
	fmt.Fprintf(&b, "\n<details><summary><b>%s</b> %s: %s (%s)</summary>\n\n", strings.ToUpper(res.Severity().String()), code(c.ID), entities(c.Title), count(res.Broken, "object"))
	b.WriteString("| where | object | evidence | show | fix |\n|---|---|---|---|---|\n")
	findings := 0
	for _, f := range res.Findings {
		if !shown(f, o) {
			continue
		}
		if findings++; findings > maxCommentRows {
			continue
		}
		where := fileLine(f, spots[f], o.Dir)
		if where == "" {
			where = placeOf(f.Object).String()
		}
		evidence, m := f.Evidence(), mend(c, f)
		if len(f.Reach) > 0 {
			evidence += "; " + reachText(f)
		}
		fix := code(strings.Join(edits(f), "; "))
		if m.Command != "" && f.Source.Line == 0 {
			fix = code(m.Command)
		}
		if m.Hand != "" {
			fix = entities("by hand: " + m.Hand)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(where), code(local(f.Object)), code(evidence), code(look(f).String()), fix)
	}
	if more := findings - maxCommentRows; more > 0 {
		fmt.Fprintf(&b, "\nand %d more\n", more)
	}
	if len(c.Refs) > 0 {
		refs := make([]string, len(c.Refs))
		for i, ref := range c.Refs {
			refs[i] = ref.String()
		}
		fmt.Fprintf(&b, "\nReferences: %s\n", entities(strings.Join(refs, "; ")))
	}
	b.WriteString("\n</details>\n")
	return b.String(), findings
}

// commentWaived is what somebody answers for, one line for each waiver.
func commentWaived(r *scan.Result) string {
	groups := waivers(r)
	if len(groups) == 0 {
		return ""
	}
	var b strings.Builder
	total := 0
	for i, g := range groups {
		if total += g.findings; i < maxCommentRows {
			fmt.Fprintf(&b, "- %s %s: %s\n", code(g.control), count(g.findings, "finding"), entities(waiverText(g.waiver)))
		}
	}
	if more := len(groups) - maxCommentRows; more > 0 {
		fmt.Fprintf(&b, "- and %d more waivers\n", more)
	}
	return fmt.Sprintf("\n<details><summary><b>WAIVED</b>: %s</summary>\n\n%s\n</details>\n", count(total, "finding"), b.String())
}

// commentUnknown is what could not be told, and whether some of it is left out.
func commentUnknown(r *scan.Result) (string, bool) {
	groups := blinds(r)
	if len(groups) == 0 {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary><b>UNKNOWN</b>: %s, so the scan is not complete</summary>\n\n", count(len(groups), "thing")+" could not be told")
	for i, g := range groups {
		if i == maxCommentRows {
			fmt.Fprintf(&b, "- and %d more\n", len(groups)-i)
			break
		}
		text := g.reason
		if len(g.needs) > 0 {
			text = names(g.needs) + ": " + text
		}
		if n := len(g.controls); n > 0 {
			text = count(n, "control") + ": " + text
		}
		fmt.Fprintf(&b, "- %s\n", code(text))
	}
	b.WriteString("\n</details>\n")
	return b.String(), len(groups) > maxCommentRows
}

// code is a stranger's text as code, cut where it is long.
func code(text string) string {
	text = printable(text)
	if runes := []rune(text); len(runes) > maxCommentCell {
		text = string(runes[:maxCommentCell]) + "…"
	}
	if strings.TrimSpace(text) == "" {
		return ""
	}
	return "<code>" + entities(text) + "</code>"
}

// entities spells out every character that Markdown, HTML or a table could take for
// its own.
func entities(text string) string {
	text = printable(text)
	var b strings.Builder
	for i, c := range text {
		switch {
		case strings.ContainsRune("<>&\"'`|*_~[](){}\\!#@$^+=", c),
			c == ':' && strings.HasPrefix(text[i:], "://"),
			c == '.' && i >= 3 && strings.EqualFold(text[i-3:i], "www"):
			fmt.Fprintf(&b, "&#%d;", c)
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
