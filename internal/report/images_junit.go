package report

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/control"
)

// An image is a test suite, a package a test case: one that has vulnerabilities failed,
// one that could not be assessed is an error, as what is unknown is in writeJUnit.
func writeImagesJUnit(w io.Writer, r *Images, _ Options) error {
	out := junitSuites{Name: "bulwark image scan", Time: strconv.FormatFloat(r.Took.Seconds(), 'f', 3, 64)}
	for _, i := range r.Images {
		s := suiteOfImage(i)
		s.Timestamp = strings.TrimSuffix(utc(r.Started), "Z")
		out.Tests += s.Tests
		out.Failed += s.Failed
		out.Errors += s.Errors
		out.Suites = append(out.Suites, s)
	}
	b := bufio.NewWriter(w)
	if _, err := b.WriteString(xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(b)
	e.Indent("", " ")
	if err := e.Encode(out); err != nil {
		return err
	}
	if err := b.WriteByte('\n'); err != nil {
		return err
	}
	return b.Flush()
}

func suiteOfImage(i *ScannedImage) junitSuite {
	name := printable(i.Name)
	s := junitSuite{Name: name, Time: "0.000"}
	fail := func(title, message, text string) {
		s.Failed++
		s.Cases = append(s.Cases, junitCase{Name: title, Class: name, Time: "0.000", Failure: &junitMessage{Message: message, Type: "vulnerable", Text: text}})
	}
	unknown := func(title, message string) {
		s.Errors++
		s.Cases = append(s.Cases, junitCase{Name: title, Class: name, Time: "0.000", Error: &junitMessage{Message: message, Type: "not assessed"}})
	}
	if i.Err != nil {
		unknown("reading the image", printable(i.Err.Error()))
		s.Tests = len(s.Cases)
		return s
	}
	s.Properties = []junitProperty{{"digest", i.Image.Digest}, {"packages", strconv.Itoa(len(i.Image.Packages))}, {"set aside", strconv.Itoa(len(i.SetAside))}}
	for _, b := range bundles(i.Result) {
		var lines []string
		for _, f := range b.Findings {
			line := fmt.Sprintf("%s (%s)", strings.Join(f.IDs, ", "), f.Severity)
			if len(f.FixedIn) > 0 {
				line += ", fixed in " + strings.Join(f.FixedIn, " and ")
			}
			if !f.Exploited.IsZero() {
				line += ", known to be exploited"
			}
			lines = append(lines, printable(line+": "+f.Why))
		}
		what := "vulnerabilities"
		if len(b.Findings) == 1 {
			what = "vulnerability"
		}
		fail(printable(b.Name+" "+b.Version), fmt.Sprintf("%d %s, the worst %s", len(b.Findings), what, b.Worst), strings.Join(lines, "\n"))
	}
	for _, g := range i.NotAssessed {
		unknown(printable(strings.TrimSpace(fmt.Sprintf("%d %s not assessed", g.Packages, g.Type))), printable(g.Reason+" "+names(g.Names)))
	}
	if i.Built != nil {
		for _, res := range i.Built.Controls {
			switch res.Outcome {
			case control.Broken:
				var lines []string
				for _, f := range res.Findings {
					lines = append(lines, printable(evidenceOf(f.Path, f.Got, f.Want, f.Reason)))
				}
				fail(res.Control.ID, res.Control.Title, strings.Join(lines, "\n"))
			case control.Holds:
				s.Cases = append(s.Cases, junitCase{Name: res.Control.ID, Class: name, Time: "0.000"})
			case control.Unknown, control.NotApplicable, control.Waived:
			}
		}
	}
	if len(s.Cases) == 0 { // a suite without a case reads as one that did not run
		s.Cases = append(s.Cases, junitCase{Name: "no known vulnerability", Class: name, Time: "0.000"})
	}
	s.Tests = len(s.Cases)
	return s
}
