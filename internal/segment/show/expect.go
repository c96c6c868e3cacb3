package show

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment/expect"
)

// A Suite is a file of expectations and how they went.
type Suite struct {
	File    string
	Target  string
	Results []expect.Result
	Took    time.Duration
}

// Count is how many tests have each outcome.
func (s *Suite) Count() (passed, failed, unknown int) {
	for _, r := range s.Results {
		switch r.Outcome {
		case expect.Passed:
			passed++
		case expect.Failed:
			failed++
		case expect.Unknown:
			unknown++
		}
	}
	return passed, failed, unknown
}

// WriteSuite writes the outcomes: those that passed on a line, the others with whom they
// are about and why.
func WriteSuite(w io.Writer, s *Suite, o Options) error {
	var b strings.Builder
	for _, r := range s.Results {
		const indent = 9
		code := map[expect.Outcome]string{expect.Passed: "32", expect.Failed: "1;31", expect.Unknown: "1;35"}[r.Outcome]
		word := map[expect.Outcome]string{expect.Passed: "ok", expect.Failed: "FAILED", expect.Unknown: "UNKNOWN"}[r.Outcome]
		fmt.Fprintf(&b, "%s%s\n", o.paint(code, fmt.Sprintf("%-*s", indent, word)), wrap(printable(r.Test.Title()), o.width(), indent))
		for _, line := range against(r) {
			fmt.Fprintf(&b, "%*s%s\n", indent, "", wrap(line, o.width(), indent+2))
		}
	}
	passed, failed, unknown := s.Count()
	fmt.Fprintf(&b, "\n%s: %d passed, %d failed, %d unknown\n", count(len(s.Results), "test"), passed, failed, unknown)
	_, err := io.WriteString(w, b.String())
	return err
}

// against says in lines why a test did not pass.
func against(r expect.Result) []string {
	var out []string
	if r.Reason != "" {
		out = append(out, printable(r.Reason))
	}
	for _, a := range r.Against {
		out = append(out, printable(fmt.Sprintf("%s to %s is %s on %s: %s", a.From, a.To, a.Verdict, portText(a.Ports), because(a.Answer))))
	}
	if r.More > 0 {
		out = append(out, fmt.Sprintf("and %d more of %s", r.More, count(r.Pairs, "pair")))
	}
	return out
}

// because is why an answer is what it is, in a line: the end that refuses, or both.
func because(a network.Answer) string {
	switch {
	case a.Reason != "":
		return a.Reason
	case a.Verdict != network.Allowed && a.Egress.Verdict == network.Allowed:
		return "in: " + a.Ingress.Reason
	case a.Verdict != network.Allowed && a.Ingress.Verdict == network.Allowed:
		return "out: " + a.Egress.Reason
	}
	return "out: " + a.Egress.Reason + "; in: " + a.Ingress.Reason
}

// SuiteSchema names the shape of the JSON. docs/schema/net-results-v1.json describes it.
const SuiteSchema = "bulwark.net-results/v1"

type (
	suiteJSON struct {
		Schema  string     `json:"schema"`
		Passed  int        `json:"passed"`
		Failed  int        `json:"failed"`
		Unknown int        `json:"unknown"`
		Tests   []testJSON `json:"tests"`
	}
	testJSON struct {
		Name    string        `json:"name"`
		File    string        `json:"file"`
		Line    int           `json:"line"`
		Outcome string        `json:"outcome"`
		Pairs   int           `json:"pairs"`
		Reason  string        `json:"reason,omitempty"`
		Against []againstJSON `json:"against"`
		More    int           `json:"more,omitempty"`
	}
	againstJSON struct {
		From    string      `json:"from"`
		To      string      `json:"to"`
		Ports   []portsJSON `json:"ports"`
		Verdict string      `json:"verdict"`
		Reason  string      `json:"reason"`
	}
)

// WriteSuiteJSON writes the same for programs.
func WriteSuiteJSON(w io.Writer, s *Suite) error {
	out := suiteJSON{Schema: SuiteSchema, Tests: []testJSON{}}
	out.Passed, out.Failed, out.Unknown = s.Count()
	for _, r := range s.Results {
		t := testJSON{r.Test.Title(), s.File, r.Test.Line, r.Outcome.String(), r.Pairs, r.Reason, []againstJSON{}, r.More}
		for _, a := range r.Against {
			t.Against = append(t.Against, againstJSON{a.From, a.To, ports(a.Ports), a.Verdict.String(), because(a.Answer)})
		}
		out.Tests = append(out.Tests, t)
	}
	return writeJSON(w, out)
}

type (
	junitSuites struct {
		XMLName xml.Name   `xml:"testsuites"`
		Suite   junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string     `xml:"name,attr"`
		Class   string     `xml:"classname,attr"`
		File    string     `xml:"file,attr"`
		Line    int        `xml:"line,attr"`
		Failure *junitText `xml:"failure"`
		Error   *junitText `xml:"error"`
	}
	junitText struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteSuiteJUnit writes the outcomes as pipelines read them: what failed as a failure,
// what is unknown as an error.
func WriteSuiteJUnit(w io.Writer, s *Suite) error {
	_, failed, unknown := s.Count()
	suite := junitSuite{
		Name: "bulwark net test " + printable(s.Target), Tests: len(s.Results), Failures: failed, Errors: unknown,
		Time: fmt.Sprintf("%.3f", s.Took.Seconds()),
	}
	for _, r := range s.Results {
		c := junitCase{Name: printable(r.Test.Title()), Class: "net", File: printable(s.File), Line: r.Test.Line}
		if lines := against(r); len(lines) > 0 {
			text := &junitText{lines[0], strings.Join(lines, "\n")}
			if r.Outcome == expect.Failed {
				c.Failure = text
			} else {
				c.Error = text
			}
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suite: suite}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
