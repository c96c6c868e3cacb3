package show

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

var (
	//go:embed ui/page.html
	pageSource string
	//go:embed ui/picture.html
	pictureSource string
	//go:embed ui/style.css
	pageStyle string

	pageTemplate = template.Must(template.Must(template.New("page").Funcs(template.FuncMap{
		"add":    func(a, b int) int { return a + b },
		"middle": func(x, w int) int { return x + w/2 },
		"left":   func(x, w int) int { return x - w/2 },
		"join":   strings.Join,
		"p":      printable,
		"keys": func() []string {
			return each(stateKeys, func(k stateKey) string { return k.Class })
		},
		// line is the baseline of one of n+1 lines that stand in the middle of a box.
		"line": func(y, h, n, i int) int {
			const lead = 18
			return y + h/2 + 5 - n*lead/2 + i*lead
		},
	}).Parse(pageSource)).Parse(pictureSource))
)

// What the page shows of long lists, so that a browser opens it at once. The JSON report
// has everything.
const (
	maxRows     = 400
	maxFindings = 100 // of one kind
)

// The structs below are what ui/page.html shows.
type (
	page struct {
		CSP                      string
		Style                    template.HTML
		Target, Version, Bulwark string
		When, WhenISO            string
		Tone, Headline, Looked   string
		Tiles                    []tile
		Picture                  *picture
		Channels                 []channelRow
		Themes                   []theme
		Notes                    []theme
		Unknown                  []unknownRow
		UnknownMore              int
		Identities               []identityRow
		IdentitiesMore           int
		Authorities              []trust.Authority
		Certificates             []certificateRow
		CertificatesMore         int
	}
	tile struct {
		Name   string
		Count  int
		Anchor string
	}
	channelRow struct {
		trust.Channel
		Class string
	}
	theme struct {
		ID, Title, Severity, Why, Fix string
		Rows                          []findingRow
		More                          int
	}
	findingRow  struct{ Subject, Machine, Evidence, Fix string }
	unknownRow  struct{ What, Why string }
	identityRow struct {
		Realm, User, Groups, Credential, Expires string
		May, Places                              []string
		Everything, Unknown                      bool
	}
	certificateRow struct {
		Place, Purpose, Subject, Key, Signer, Ends, Left, LeftClass, Mode string
		Names, Usages, Chain, Trusted, Places                             []string
		Authority                                                         bool
		Fingerprint                                                       string
	}
)

func writeHTML(w io.Writer, r *trust.Result, o Options) error {
	b := bufio.NewWriter(w)
	if err := pageTemplate.Execute(b, newPage(r, o)); err != nil {
		return err
	}
	return b.Flush()
}

func newPage(r *trust.Result, o Options) *page {
	sum := sha256.Sum256([]byte(pageStyle))
	p := &page{
		// The page needs no network and no script; were a stranger's text ever to become
		// markup, it could load and run nothing.
		CSP:    fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'", base64.StdEncoding.EncodeToString(sum[:])),
		Style:  template.HTML("<style>" + pageStyle + "</style>"), //nolint:gosec // our own file
		Target: printable(r.Target), Version: printable(r.ClusterVersion), Bulwark: printable(o.Version),
		When: r.At.UTC().Format("2 January 2006, 15:04 UTC"), WhenISO: stamp(r.At),
		Looked: looked(r), Picture: draw(r), Authorities: r.Authorities,
	}
	p.Tone, p.Headline = headline(r)
	by, unknown := tally(r)
	for _, s := range trust.Severities() {
		anchor := "findings"
		if s == trust.Note {
			anchor = "notes"
		}
		p.Tiles = append(p.Tiles, tile{s.String(), by[s], anchor})
	}
	p.Tiles = append(p.Tiles, tile{"unknown", unknown, "unknown"})
	for _, c := range r.Channels {
		p.Channels = append(p.Channels, channelRow{c, stateClass(c.State)})
	}
	for _, g := range groups(r.Findings, func(f trust.Finding) bool { return !f.Unknown }) {
		t := newTheme(g)
		if g.Severity == trust.Note {
			p.Notes = append(p.Notes, t)
		} else {
			p.Themes = append(p.Themes, t)
		}
	}
	p.unknown(r)
	p.identities(r)
	p.certificates(r)
	return p
}

// headline is the verdict in a few words, and the tone to say it in.
func headline(r *trust.Result) (tone, text string) {
	worst, any := r.Worst()
	switch {
	case any && worst == trust.Critical:
		return "critical", "A channel stands open"
	case any && worst == trust.High:
		return "high", "Trust can be broken"
	case any && worst == trust.Medium:
		return "medium", "Trust holds, with weak spots"
	case any && worst == trust.Low:
		return "low", "Trust holds, nearly clean"
	case r.Incomplete():
		return "unknown", "Nothing wrong in what could be seen"
	case len(r.Certificates)+len(r.Endpoints)+r.Kubeconfigs == 0:
		return "unknown", "There was nothing to judge"
	}
	return "holds", "Every identity is who it should be"
}

func newTheme(g group) theme {
	t := theme{ID: g.Kind.ID, Title: g.Kind.Title, Severity: g.Severity.String(), Why: g.Kind.Why, Fix: g.Kind.Fix}
	if !slices.ContainsFunc(g.Findings, func(f trust.Finding) bool { return f.Fix != g.Findings[0].Fix }) {
		t.Fix = printable(g.Findings[0].Fix)
	}
	for i, f := range g.Findings {
		if i == maxFindings {
			t.More = len(g.Findings) - i
			break
		}
		row := findingRow{Subject: printable(f.Subject), Machine: printable(f.Machine), Evidence: printable(f.Evidence)}
		if printable(f.Fix) != t.Fix {
			row.Fix = printable(f.Fix)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (p *page) unknown(r *trust.Result) {
	put := func(what, why string) {
		if len(p.Unknown) == maxRows {
			p.UnknownMore++
			return
		}
		p.Unknown = append(p.Unknown, unknownRow{printable(what), printable(why)})
	}
	for _, f := range r.Findings {
		if f.Unknown {
			put(f.Subject, f.Evidence)
		}
	}
	for _, g := range r.Gaps {
		put(g.What, g.Reason)
	}
}

func (p *page) identities(r *trust.Result) {
	for i, id := range r.Identities {
		if i == maxRows {
			p.IdentitiesMore = len(r.Identities) - i
			return
		}
		row := identityRow{
			Realm: string(id.Realm), User: printable(id.User), Groups: printable(strings.Join(id.Groups, ", ")), Credential: printable(id.Credential),
			May: each(id.May, printable), Places: each(id.Places, printable), Everything: id.Everything, Unknown: id.Unknown,
		}
		if !id.Expires.IsZero() {
			row.Expires = id.Expires.UTC().Format("2006-01-02")
		}
		p.Identities = append(p.Identities, row)
	}
}

func (p *page) certificates(r *trust.Result) {
	for i, c := range r.Certificates {
		if i == maxRows {
			p.CertificatesMore = len(r.Certificates) - i
			return
		}
		row := certificateRow{
			Place: where(c), Purpose: c.Purpose, Subject: printable(c.Subject), Key: c.Key + ", " + c.Signature, Ends: c.NotAfter.UTC().Format("2006-01-02"),
			Left: count(c.Days, "day"), Authority: c.Authority, Fingerprint: c.Fingerprint,
			Names: each(c.Names, printable), Usages: c.Usages, Chain: each(c.Chain, printable), Trusted: each(c.TrustedBy, printable),
		}
		switch {
		case c.Days < 0:
			row.Left, row.LeftClass = "ended", "high"
		case c.Days <= int(r.Within.Hours()/24):
			row.LeftClass = "medium"
		}
		switch {
		case len(c.Chain) > 0:
			row.Signer = printable(c.Chain[0])
		case c.Subject == c.Issuer:
			row.Signer = "itself"
		default:
			row.Signer = printable(c.Issuer) + " (not read)"
		}
		for _, at := range c.Places {
			text := at.String()
			if at.Machine != "" {
				text += " on " + at.Machine
			}
			if at.File != nil {
				text += fmt.Sprintf(", %04o %s:%s", at.File.Mode.Perm(), at.File.Owner, at.File.Group)
			}
			row.Places = append(row.Places, printable(text))
		}
		p.Certificates = append(p.Certificates, row)
	}
}
