package show

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// How much the table shows unless all is asked for.
const (
	fewLines        = 5
	fewCertificates = 40
	fewIdentities   = 40
)

// ANSI styles, from the eight colours that every theme keeps legible.
const (
	bold, dim, red, green, yellow, cyan = "1", "2", "31", "32", "33", "36"
)

var severityStyle = map[trust.Severity]string{
	trust.Critical: bold + ";" + red, trust.High: red, trust.Medium: yellow, trust.Low: cyan, trust.Note: dim,
}

var stateStyle = map[trust.State]string{
	trust.Mutual: green, trust.ServerOnly: yellow, trust.Unverified: red, trust.Plaintext: bold + ";" + red, trust.Untold: dim,
}

type table struct {
	*bufio.Writer
	Options
}

func writeTable(w io.Writer, r *trust.Result, o Options) error {
	t := &table{bufio.NewWriter(w), o}
	t.head(r)
	t.identities(r)
	t.channels(r)
	t.authorities(r)
	t.certificates(r)
	t.ports(r)
	t.findings(r)
	t.unknown(r)
	return t.Flush()
}

func (t *table) style(style, text string) string {
	if !t.Color || style == "" || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (t *table) line(text string) { _, _ = t.WriteString(strings.TrimRight(text, " ") + "\n") }

// hang writes lead and then text, wrapped into a column of its own. Lead may hold styles;
// width is how wide it looks.
func (t *table) hang(lead string, width int, style, text string) {
	text = printable(text)
	room := t.Width - width
	if t.Width == 0 || room < 20 {
		t.line(lead + t.style(style, text))
		return
	}
	for first := true; first || text != ""; first = false {
		cut := text
		if utf8.RuneCountInString(cut) > room {
			r := []rune(cut)[:room]
			cut = string(r)
			if i := strings.LastIndex(cut, " "); i > room/3 {
				cut = cut[:i]
			}
		}
		t.line(lead + t.style(style, cut))
		text = strings.TrimLeft(text[len(cut):], " ")
		lead = strings.Repeat(" ", width)
	}
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

func (t *table) title(text, more string) {
	t.line("")
	t.line(t.style(bold, text) + t.style(dim, more))
}

func (t *table) head(r *trust.Result) {
	head := t.style(bold, printable(r.Target))
	if r.ClusterVersion != "" {
		head += " Kubernetes " + printable(r.ClusterVersion)
	}
	t.line(head + t.style(dim, "  "+r.At.UTC().Format("2006-01-02 15:04 UTC")))
	t.line(t.style(dim, "looked at "+looked(r)))
	style := bold
	if worst, any := r.Worst(); (!any || worst == trust.Note) && !r.Incomplete() {
		style += ";" + green
	}
	t.line(t.style(style, verdict(r)))
}

func (t *table) identities(r *trust.Result) {
	if len(r.Identities) == 0 {
		return
	}
	t.title("IDENTITIES", "  who the certificates are, and what they may do")
	shown := r.Identities
	if !t.All && len(shown) > fewIdentities {
		shown = shown[:fewIdentities]
	}
	realm, name, until := 0, 0, 10
	for _, id := range shown {
		realm = max(realm, len(id.Realm))
		name = max(name, min(46, utf8.RuneCountInString(printable(who(id)))))
	}
	for _, id := range shown {
		end := "-"
		if !id.Expires.IsZero() {
			end = id.Expires.UTC().Format("2006-01-02")
		}
		style := ""
		switch {
		case id.Everything:
			style = red
		case id.Unknown:
			style = dim
		}
		label := printable(who(id))
		lead := "  " + t.style(dim, pad(string(id.Realm), realm)) + "  "
		width := 2 + realm + 2 + name + 2 + until + 2
		if utf8.RuneCountInString(label) > name {
			t.line(lead + label)
			lead = strings.Repeat(" ", 2+realm+2+name) + "  " + pad(end, until) + "  "
		} else {
			lead += t.style(bold, pad(label, name)) + "  " + t.style(dim, pad(end, until)) + "  "
		}
		for i, may := range id.May {
			if i > 0 {
				lead = strings.Repeat(" ", width)
			}
			t.hang(lead, width, style, may)
		}
		if t.All {
			for _, p := range id.Places {
				t.hang(strings.Repeat(" ", width), width, dim, "at "+p)
			}
		}
	}
	t.more(len(r.Identities)-len(shown), "identity")
}

func (t *table) more(n int, noun string) {
	if n > 0 {
		t.line(t.style(dim, "  and "+count(n, "more "+noun)+"; --all shows them"))
	}
}

func (t *table) channels(r *trust.Result) {
	if len(r.Channels) == 0 {
		return
	}
	t.title("CHANNELS", "  who talks to whom, and how each side proves who it is")
	width := 0
	for _, c := range r.Channels {
		width = max(width, utf8.RuneCountInString(printable(c.From+" → "+c.To)))
	}
	for _, c := range r.Channels {
		text := "client: " + c.Client + "; server: " + c.Server
		if c.CA != "" {
			text += "; CA " + c.CA
		}
		if !c.Seen && c.State != trust.Untold {
			text += " (from files and flags, not seen on a port)"
		}
		if c.Broken != "" {
			text += "; broken: " + c.Broken
		}
		lead := "  " + pad(printable(c.From+" → "+c.To), width) + "  " + t.style(stateStyle[c.State], pad(string(c.State), 24)) + "  "
		t.hang(lead, 2+width+2+24+2, "", text)
	}
}

func (t *table) authorities(r *trust.Result) {
	if len(r.Authorities) == 0 {
		return
	}
	t.title("AUTHORITIES", "  who signs, and who believes them")
	name := 0
	shown := r.Authorities
	if !t.All && len(shown) > fewIdentities {
		shown = shown[:fewIdentities]
	}
	for _, a := range shown {
		name = max(name, min(32, utf8.RuneCountInString(printable(a.Name))))
	}
	for _, a := range shown {
		text := fmt.Sprintf("signed %d; ", a.Signed)
		if len(a.BelievedBy) == 0 {
			text += "believed by nobody that was read"
		} else {
			text += "believed by " + few(a.BelievedBy, 4)
		}
		if len(a.Keys) > 0 {
			text += "; key at " + few(a.Keys, 2)
			if a.Encrypted {
				text += " (encrypted)"
			}
		}
		lead := "  " + t.style(bold, pad(printable(a.Name), name)) + "  " + t.style(dim, a.Expires.UTC().Format("2006-01-02")) + "  "
		t.hang(lead, 2+max(name, utf8.RuneCountInString(printable(a.Name)))+14, "", text)
	}
	t.more(len(r.Authorities)-len(shown), "authority")
}

// few joins the first of a list.
func few(list []string, most int) string {
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

func (t *table) certificates(r *trust.Result) {
	if len(r.Certificates) == 0 {
		return
	}
	t.title("CERTIFICATES", "  authorities first, then what ends first")
	shown := r.Certificates
	if !t.All && len(shown) > fewCertificates {
		shown = shown[:fewCertificates]
	}
	place := 0
	for _, c := range shown {
		place = max(place, min(56, utf8.RuneCountInString(where(c))))
	}
	for _, c := range shown {
		left := fmt.Sprintf("%d days", c.Days)
		style := dim
		switch {
		case c.Days < 0:
			left, style = "ended", red
		case c.Days <= int(r.Within.Hours()/24):
			style = yellow
		}
		signer := "self"
		switch {
		case len(c.Chain) > 0:
			signer = c.Chain[0]
		case c.Subject != c.Issuer:
			signer = "? " + c.Issuer
		}
		mode := ""
		if f := c.Places[0].File; f != nil {
			mode = fmt.Sprintf(", %04o %s", f.Mode.Perm(), f.Owner)
		}
		label := where(c)
		lead := "  " + pad(label, place) + "  " + t.style(style, pad(left, 10)) + "  "
		width := 2 + max(place, utf8.RuneCountInString(label)) + 2 + 10 + 2
		text := c.Subject
		if c.Purpose != "" {
			text = c.Purpose + ": " + text
		}
		t.hang(lead, width, "", fmt.Sprintf("%s; %s, by %s%s", text, c.Key, signer, mode))
		if t.All {
			t.details(c, width)
		}
	}
	t.more(len(r.Certificates)-len(shown), "certificate")
}

// where is a certificate's first place, and how many others there are.
func where(c trust.View) string {
	at := c.Places[0]
	text := at.Name
	if at.Origin == trust.InCluster && at.Detail != "" {
		text += " " + at.Detail
	}
	if at.Machine != "" {
		text = at.Machine + ":" + text
	}
	if n := len(c.Places) - 1; n > 0 {
		text += fmt.Sprintf(" +%d", n)
	}
	return printable(text)
}

func (t *table) details(c trust.View, width int) {
	lead := strings.Repeat(" ", width)
	put := func(name string, values []string) {
		if len(values) > 0 {
			t.hang(lead, width, dim, name+" "+strings.Join(values, ", "))
		}
	}
	put("names", c.Names)
	put("usages", c.Usages)
	chain := c.Chain
	if !c.Complete {
		chain = append(append([]string{}, chain...), "? "+c.Issuer)
	}
	put("signed by", chain)
	put("trusted by", c.TrustedBy)
	put("signature", []string{c.Signature})
	put("sha256", []string{c.Fingerprint})
	for _, p := range c.Places[1:] {
		mode := ""
		if p.File != nil {
			mode = fmt.Sprintf(", %04o %s:%s", p.File.Mode.Perm(), p.File.Owner, p.File.Group)
		}
		put("also at", []string{strings.TrimPrefix(p.Machine+":", ":") + p.String() + mode})
	}
}

// ports say how each port answered, where it did.
func (t *table) ports(r *trust.Result) {
	answered := slices.DeleteFunc(slices.Clone(r.Endpoints), func(e trust.Endpoint) bool { return e.Unknown != "" })
	if len(answered) == 0 {
		return
	}
	t.title("PORTS", "  how they answered")
	shown := answered
	if !t.All && len(shown) > fewCertificates {
		shown = shown[:fewCertificates]
	}
	width := 0
	for _, e := range shown {
		width = max(width, utf8.RuneCountInString(port(e)))
	}
	for _, e := range shown {
		t.hang("  "+pad(port(e), width)+"  ", 2+width+2, "", answer(e))
	}
	t.more(len(answered)-len(shown), "port")
}

// port is an endpoint's address and who listens there.
func port(e trust.Endpoint) string {
	text := e.Address
	if e.Component != "" {
		text += " (" + e.Component + ")"
	}
	return printable(text)
}

// answer is how an endpoint answered, in words.
func answer(e trust.Endpoint) string {
	if e.Plain || e.TLS == nil {
		return "plain text, no TLS"
	}
	out := []string{strings.Join(e.TLS.Versions, ", "), "client certificate " + e.TLS.ClientCert}
	if e.TLS.ClientCert == "none" {
		out[1] = "no client certificate asked for"
	}
	if e.TLS.PostQuantum {
		out = append(out, "X25519MLKEM768")
	} else {
		out = append(out, "no post-quantum key exchange")
	}
	if n := len(e.TLS.WeakCiphers); n > 0 {
		out = append(out, count(n, "weak suite"))
	}
	return strings.Join(out, "; ")
}

func (t *table) findings(r *trust.Result) {
	wrong := groups(r.Findings, func(f trust.Finding) bool { return !f.Unknown })
	if len(wrong) == 0 {
		return
	}
	t.title("FINDINGS", "  worst first")
	for _, g := range wrong {
		lead := "  " + t.style(severityStyle[g.Severity], pad(strings.ToUpper(g.Severity.String()), 9)) + " " + t.style(bold, pad(g.Kind.ID, 22)) + " "
		t.hang(lead, 2+9+1+22+1, "", g.Kind.Title)
		findings, more := g.Findings, 0
		if !t.All && len(findings) > fewLines+1 {
			findings, more = findings[:fewLines], len(findings)-fewLines
		}
		for i, f := range findings {
			subject := f.Subject
			if f.Machine != "" {
				subject += " on " + f.Machine
			}
			t.hang(strings.Repeat(" ", 12), 12, "", subject+": "+f.Evidence)
			if i+1 == len(findings) || findings[i+1].Fix != f.Fix {
				t.hang(strings.Repeat(" ", 12)+t.style(cyan, "fix: "), 17, "", f.Fix)
			}
		}
		if more > 0 {
			t.line(t.style(dim, fmt.Sprintf("            and %d more; --all shows them", more)))
		}
	}
}

func (t *table) unknown(r *trust.Result) {
	unknown := groups(r.Findings, func(f trust.Finding) bool { return f.Unknown })
	if len(unknown)+len(r.Gaps) == 0 {
		return
	}
	t.title("UNKNOWN", "  what could not be told; none of it counts as passed")
	n := 0
	put := func(what, why string) {
		if n++; t.All || n <= 4*fewLines {
			t.hang("  ", 2, "", what+": "+why)
		}
	}
	for _, g := range unknown {
		for _, f := range g.Findings {
			put(f.Subject, f.Evidence)
		}
	}
	for _, g := range r.Gaps {
		put(g.What, g.Reason)
	}
	if !t.All {
		t.more(n-4*fewLines, "thing")
	}
}
