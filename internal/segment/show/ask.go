package show

import (
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
)

// Options say how text is laid out.
type Options struct {
	Width int // of the terminal; 0 is no terminal
	Color bool
}

func (o Options) width() int {
	if o.Width == 0 {
		return 120
	}
	return o.Width
}

func (o Options) paint(code, text string) string {
	if !o.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// verdictWidth is that of a verdict's column.
const verdictWidth = 9

func (o Options) verdict(v network.Verdict) string {
	text := fmt.Sprintf("%-*s", verdictWidth, strings.ToUpper(v.String()))
	return o.paint(map[network.Verdict]string{network.Allowed: "1;33", network.Denied: "1;32", network.Unknown: "1;35"}[v], text)
}

// wrap writes text in lines of the width, those after the first one indented.
func wrap(text string, width, indent int) string {
	if width-indent < 24 {
		width = indent + 24
	}
	var b strings.Builder
	at := indent
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// maxPairs is how many pairs are shown one after the other.
const maxPairs = 400

// WriteAnswer writes what was asked of pairs: one with every reason, many as a list.
func WriteAnswer(w io.Writer, pairs []segment.Pair, o Options) error {
	var b strings.Builder
	if len(pairs) == 1 {
		writePair(&b, pairs[0], o)
	} else {
		writePairs(&b, pairs, o)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writePair(b *strings.Builder, p segment.Pair, o Options) {
	fmt.Fprintf(b, "%s to %s, by policy\n", o.paint("1", printable(p.From.Label)), o.paint("1", printable(p.To.Label)))
	if len(p.Why) == 0 {
		b.WriteString("\nthere is no port to ask about\n")
	}
	for _, r := range p.Why {
		const indent = verdictWidth
		fmt.Fprintf(b, "\n%s%s\n", o.verdict(r.Verdict), wrap(portText(r.Ports), o.width(), indent))
		line := func(lead, text string) {
			fmt.Fprintf(b, "  %-7s%s\n", lead, wrap(printable(text), o.width(), indent))
		}
		a := r.Answer
		if told(p.From, a.From) || told(p.To, a.To) {
			text := fmt.Sprintf("%s to %s", a.From, a.To)
			if a.Port != 0 && len(r.Ports) == 1 && r.Ports[0].First == r.Ports[0].Last {
				text += fmt.Sprintf(", %s %d", r.Ports[0].Protocol, a.Port)
			}
			line("as", text)
		}
		if a.Reason != "" {
			line("", a.Reason)
		}
		if a.Egress.Reason != "" {
			line("out", sideText(a.Egress))
		}
		if a.Ingress.Reason != "" {
			line("in", sideText(a.Ingress))
		}
		if !p.Mixed.Intersect(r.Ports).Empty() || a.Mixed {
			line("", "not everybody of the one and of the other: this is the pair that is let through most")
		}
	}
}

// told reports whether an answer is about somebody else than the place by its own name.
func told(p segment.Place, name string) bool {
	return name != "" && (len(p.Ends) != 1 || p.Ends[0].String() != name)
}

// sideText is one end's reason, with what isolates it where that is not the reason itself.
func sideText(s network.Side) string {
	text := s.Verdict.String() + ": " + s.Reason
	if s.By != nil && len(s.Isolating) > 0 {
		var others []string
		for _, r := range s.Isolating {
			if r != s.By.Policy {
				others = append(others, r.Name)
			}
		}
		if len(others) > 0 {
			text += "; also isolated by " + strings.Join(others, ", ")
		}
	}
	return text
}

// portText is a set of ports; the rest of a set that is nearly everything is said as what
// it is without.
func portText(s network.PortSet) string {
	if rest := network.AllPorts.Minus(s); len(s) > 3 && len(rest) <= 4 && !rest.Empty() {
		return "all ports but " + rest.String()
	}
	return s.String()
}

func writePairs(b *strings.Builder, pairs []segment.Pair, o Options) {
	if len(pairs) == 0 {
		b.WriteString("there is nobody at one of the ends\n")
		return
	}
	from, to := len("FROM"), len("TO")
	shown := pairs[:min(len(pairs), maxPairs)]
	for _, p := range shown {
		from, to = max(from, len([]rune(printable(p.From.Label)))), max(to, len([]rune(printable(p.To.Label))))
	}
	limit := max((o.width()-24)/2, 16)
	from, to = min(from, limit), min(to, limit)
	fmt.Fprintf(b, "%s\n", o.paint("1", fmt.Sprintf("%-*s  %-*s  %s", from, "FROM", to, "TO", "BY POLICY")))
	for _, p := range shown {
		text := connectionText(p.Connections)
		fmt.Fprintf(b, "%-*s  %-*s  %s\n", from, cut(printable(p.From.Label), from), to, cut(printable(p.To.Label), to), wrap(text, o.width(), from+to+4))
	}
	if more := len(pairs) - len(shown); more > 0 {
		fmt.Fprintf(b, "and %d more pairs: -o json has them all\n", more)
	}
}

func connectionText(c network.Connections) string {
	switch {
	case c.Unknown.Empty() && c.Denied.Empty():
		return "allowed: " + portText(c.Allowed)
	case c.Unknown.Empty() && c.Allowed.Empty():
		return "denied"
	case c.Allowed.Empty() && c.Denied.Empty():
		return "unknown"
	}
	var parts []string
	if !c.Allowed.Empty() {
		parts = append(parts, "allowed: "+portText(c.Allowed))
	}
	if !c.Unknown.Empty() {
		parts = append(parts, "unknown: "+portText(c.Unknown))
	}
	return strings.Join(parts, "; ")
}

// cut shortens a name from its middle, since both its ends say who it is.
func cut(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	head := (width - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(width-1-head):])
}

// AnswerSchema names the shape of the JSON. docs/schema/net-v1.json describes it.
const AnswerSchema = "bulwark.net/v1"

type (
	answerJSON struct {
		Schema  string     `json:"schema"`
		Network string     `json:"network"`
		Answers []pairJSON `json:"answers"`
	}
	pairJSON struct {
		From    string       `json:"from"`
		To      string       `json:"to"`
		Allowed []portsJSON  `json:"allowed"`
		Denied  []portsJSON  `json:"denied"`
		Unknown []portsJSON  `json:"unknown"`
		Mixed   []portsJSON  `json:"mixed"`
		Why     []reasonJSON `json:"why"`
	}
	portsJSON struct {
		Protocol corev1.Protocol `json:"protocol"`
		First    int32           `json:"first"`
		Last     int32           `json:"last"`
	}
	reasonJSON struct {
		Verdict string      `json:"verdict"`
		Ports   []portsJSON `json:"ports"`
		From    string      `json:"from,omitempty"`
		To      string      `json:"to,omitempty"`
		Port    int32       `json:"port,omitempty"`
		Reason  string      `json:"reason,omitempty"`
		Egress  sideJSON    `json:"egress"`
		Ingress sideJSON    `json:"ingress"`
	}
	sideJSON struct {
		Verdict   string   `json:"verdict"`
		Reason    string   `json:"reason,omitempty"`
		Isolating []string `json:"isolating,omitempty"`
		Rule      string   `json:"rule,omitempty"`
	}
)

func ports(s network.PortSet) []portsJSON {
	out := make([]portsJSON, len(s))
	for i, p := range s {
		out[i] = portsJSON{p.Protocol, p.First, p.Last}
	}
	return out
}

func sideOf(s network.Side) sideJSON {
	out := sideJSON{Verdict: s.Verdict.String(), Reason: s.Reason}
	for _, r := range s.Isolating {
		out.Isolating = append(out.Isolating, r.String())
	}
	if s.By != nil {
		out.Rule = s.By.String()
	}
	return out
}

// WriteAnswerJSON writes the same for programs.
func WriteAnswerJSON(w io.Writer, profile string, pairs []segment.Pair) error {
	out := answerJSON{Schema: AnswerSchema, Network: profile, Answers: make([]pairJSON, len(pairs))}
	for i, p := range pairs {
		c := p.Connections
		one := pairJSON{From: p.From.Label, To: p.To.Label, Allowed: ports(c.Allowed), Denied: ports(c.Denied), Unknown: ports(c.Unknown), Mixed: ports(p.Mixed), Why: []reasonJSON{}}
		for _, r := range p.Why {
			a := r.Answer
			one.Why = append(one.Why, reasonJSON{r.Verdict.String(), ports(r.Ports), a.From, a.To, a.Port, a.Reason, sideOf(a.Egress), sideOf(a.Ingress)})
		}
		out.Answers[i] = one
	}
	return writeJSON(w, out)
}

// Incomplete reports whether something that was asked cannot be told.
func Incomplete(pairs []segment.Pair) bool {
	return slices.ContainsFunc(pairs, func(p segment.Pair) bool { return !p.Connections.Unknown.Empty() })
}

// WriteAround writes what places reach and what reaches them, each way gathered by ports.
func WriteAround(w io.Writer, name string, pairs []segment.Pair, of map[string]bool, o Options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, by policy\n", o.paint("1", printable(name)))
	for _, out := range []bool{true, false} {
		head := "IT IS REACHED BY"
		if out {
			head = "IT REACHES"
		}
		fmt.Fprintf(&b, "\n%s\n", o.paint("1", head))
		type group struct {
			text  string
			names []string
		}
		var groups []*group
		byText := map[string]*group{}
		for _, p := range pairs {
			other := p.To.Label
			if !out {
				other = p.From.Label
			}
			if of[p.From.Label] != out {
				continue
			}
			text := connectionText(p.Connections)
			if byText[text] == nil {
				byText[text] = &group{text: text}
				groups = append(groups, byText[text])
			}
			byText[text].names = append(byText[text].names, printable(other))
		}
		slices.SortStableFunc(groups, func(a, b *group) int {
			if (a.text == "denied") != (b.text == "denied") {
				return map[bool]int{true: 1, false: -1}[a.text == "denied"]
			}
			return len(a.names) - len(b.names)
		})
		for _, g := range groups {
			slices.Sort(g.names)
			names := slices.Compact(g.names)
			text := g.text
			switch {
			case text == "denied":
				fmt.Fprintf(&b, "  denied: %s\n", count(len(names), "other"))
				continue
			case len(names) > 12:
				names = append(slices.Clone(names[:10]), fmt.Sprintf("and %d more", len(names)-10))
			}
			fmt.Fprintf(&b, "  %s\n    %s\n", wrap(text, o.width(), 2), wrap(strings.Join(names, ", "), o.width(), 4))
		}
		if len(groups) == 0 {
			b.WriteString("  there is nobody else\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
