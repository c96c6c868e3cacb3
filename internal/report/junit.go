package report

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// A control is a test suite, a thing that it judged a test case. Broken is a failure;
// unknown is an error and not a skip, since dashboards show a skip as if it were fine.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Name    string       `xml:"name,attr"`
		Tests   int          `xml:"tests,attr"`
		Failed  int          `xml:"failures,attr"`
		Errors  int          `xml:"errors,attr"`
		Skipped int          `xml:"skipped,attr"`
		Time    string       `xml:"time,attr"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failed     int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr,omitempty"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Line    int           `xml:"line,attr,omitempty"`
		Failure *junitMessage `xml:"failure"`
		Error   *junitMessage `xml:"error"`
		Skipped *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",cdata"`
	}
)

func writeJUnit(w io.Writer, r *scan.Result, o Options) error {
	b := bufio.NewWriter(w)
	if _, err := b.WriteString(xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(b)
	e.Indent("", " ")
	if err := e.Encode(toJUnit(r, o)); err != nil {
		return err
	}
	if err := b.WriteByte('\n'); err != nil {
		return err
	}
	return b.Flush()
}

func toJUnit(r *scan.Result, o Options) junitSuites {
	out := junitSuites{Name: printable("bulwark scan " + r.Target), Time: strconv.FormatFloat(r.Took.Seconds(), 'f', 3, 64)}
	spots := locate(r, o)
	add := func(s junitSuite) {
		s.Time = "0"
		if !r.Started.IsZero() {
			s.Timestamp = r.Started.UTC().Format("2006-01-02T15:04:05")
		}
		for i := range s.Cases {
			c := &s.Cases[i]
			c.Class, c.Time = s.Name, "0"
			s.Tests++
			switch {
			case c.Failure != nil:
				s.Failed++
			case c.Error != nil:
				s.Errors++
			case c.Skipped != nil:
				s.Skipped++
			}
		}
		out.Tests += s.Tests
		out.Failed += s.Failed
		out.Errors += s.Errors
		out.Skipped += s.Skipped
		out.Suites = append(out.Suites, s)
	}
	if r.Standard != nil {
		add(standardJUnit(r.Standard))
	}
	for _, res := range r.Controls {
		add(suiteJUnit(res, spots, o.Dir))
	}
	var unread []junitCase
	for _, b := range blinds(r) {
		if len(b.controls) == 0 {
			unread = append(unread, junitCase{
				Name:  printable(strings.Join(b.needs, ", ")),
				Error: &junitMessage{Message: printable(b.reason), Type: control.Unknown.String()},
			})
		}
	}
	if len(unread) > 0 {
		add(junitSuite{Name: "not read", Cases: unread})
	}
	return out
}

// standardJUnit is a standard as a suite: an item is a case. One that no control answers
// is skipped, and says why.
func standardJUnit(s *scan.StandardResult) junitSuite {
	out := junitSuite{Name: s.ID, Properties: []junitProperty{{"title", s.Title}, {"coverage", coverage(s)}}}
	for _, i := range s.Items {
		c := junitCase{Name: printable(i.Number + " " + i.Title)}
		message := &junitMessage{Message: printable(itemSays(i))}
		switch {
		case !i.Covered, i.Outcome == control.NotApplicable:
			c.Skipped = message
		case i.Outcome == control.Broken:
			c.Failure = message
		case i.Outcome == control.Unknown:
			c.Error = message
		}
		out.Cases = append(out.Cases, c)
	}
	return out
}

func suiteJUnit(res *scan.ControlResult, spots map[*control.Finding]spot, dir string) junitSuite {
	c := res.Control
	s := junitSuite{Name: c.ID, Properties: []junitProperty{{"title", printable(c.Title)}, {"severity", c.Severity.String()}}}
	for _, ref := range c.Refs {
		s.Properties = append(s.Properties, junitProperty{"reference", printable(ref.String())})
	}
	type about struct {
		object  cluster.Ref
		outcome control.Outcome
		counts  bool
	}
	var order []about
	same := map[about][]*control.Finding{} // what is said of one thing
	for _, f := range res.Findings {
		k := about{f.Object, f.Outcome, f.Counts()}
		if same[k] == nil {
			order = append(order, k)
		}
		same[k] = append(same[k], f)
	}
	for _, k := range order {
		s.Cases = append(s.Cases, caseJUnit(res, same[k], spots, dir))
	}
	switch {
	case res.Outcome == control.NotApplicable:
		s.Cases = append(s.Cases, junitCase{Name: "everything", Skipped: &junitMessage{Message: printable(or(res.Reason, "no reason was given"))}})
	case res.Outcome == control.Unknown && len(res.Findings) == 0:
		s.Cases = append(s.Cases, junitCase{
			Name:  "everything",
			Error: &junitMessage{Message: printable(or(res.Reason, "no reason was given")), Type: control.Unknown.String()},
		})
	case res.Held > 0 || len(res.Findings) == 0:
		// What holds is counted and has no names.
		name := count(res.Held, "object")
		if len(res.Findings) > 0 {
			name = strings.Replace(name, " ", " other ", 1)
		}
		s.Cases = append(s.Cases, junitCase{Name: name})
	}
	return s
}

// caseJUnit is what one control says of one thing.
func caseJUnit(res *scan.ControlResult, findings []*control.Finding, spots map[*control.Finding]spot, dir string) junitCase {
	c, f := res.Control, findings[0]
	out := junitCase{Name: printable(f.Object.String()), File: printable(fileOf(f.Source, dir))}
	if out.File != "" {
		out.Line = spots[f].line
	}
	var text []string
	for _, f := range findings {
		line := printable(f.Evidence())
		if at := fileLine(f, spots[f], dir); at != "" {
			line = printable(at) + ": " + line
		}
		text = append(text, line)
		for _, r := range f.Reach {
			text = append(text, "  reach: "+printable(r.Text))
		}
		if l := look(f); l.Command != "" {
			text = append(text, "  show: "+printable(l.String()))
		}
		for _, change := range edits(f) {
			text = append(text, "  fix: "+printable(change))
		}
		switch m := mend(c, f); {
		case m.Command != "":
			text = append(text, "  fix: "+printable(m.Command))
		case m.Hand != "":
			text = append(text, "  fix by hand: "+printable(m.Hand))
		}
		if f.Waiver != nil {
			text = append(text, "  waived: "+printable(waiverText(f.Waiver)))
		}
	}
	message := printable(f.Evidence())
	if n := len(findings) - 1; n > 0 {
		message += fmt.Sprintf(" (and %d more)", n)
	}
	switch {
	case f.Counts():
		text = append(text, "bulwark explain "+c.ID+" says why it matters")
		out.Failure = &junitMessage{message, res.SeverityOf(f).String(), "\n" + strings.Join(text, "\n") + "\n"}
	case f.Waiver != nil:
		out.Skipped = &junitMessage{Message: "waived: " + printable(waiverText(f.Waiver)), Text: "\n" + strings.Join(text, "\n") + "\n"}
	case f.Outcome == control.Broken:
		out.Skipped = &junitMessage{Message: "known in the baseline: " + message, Text: "\n" + strings.Join(text, "\n") + "\n"}
	default:
		out.Error = &junitMessage{message, control.Unknown.String(), "\n" + strings.Join(text, "\n") + "\n"}
	}
	return out
}
