//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateChannels = flag.Bool("update-channels", false, "rewrite the tables of docs/channels.md")

// TestMatrixDocument: docs/channels.md says what the matrix tries.
func TestMatrixDocument(t *testing.T) {
	const file = "../../docs/channels.md"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, written := string(raw), map[string]string{}
	for name, table := range map[string]string{"channels": channelTable(), "tried": triedTable(), "others": othersTable(), "ports": portTable()} {
		t.Logf("%s\n\n%s", name, table)
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		head, rest, found := strings.Cut(doc, begin)
		old, tail, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("%s: no table between %q and %q", file, begin, end)
		}
		written[name] = old
		doc = head + begin + table + end + tail
		if diff := cmp.Diff(old, table); diff != "" && !*updateChannels {
			t.Errorf("%s: the table of %s is not what is tried (-written +tried; -update-channels rewrites it):\n%s", file, name, diff)
		}
	}
	if *updateChannels {
		if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// table writes Markdown, with columns of one width where that helps the eye.
func table(head []string, rows [][]string) string {
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for i := range width {
		if width[i] > 70 {
			width[i] = 3
		}
	}
	var b strings.Builder
	line := func(row []string, fill string) {
		b.WriteString("|")
		for i, cell := range row {
			fmt.Fprintf(&b, " %s%s |", cell, strings.Repeat(fill, max(0, width[i]-len([]rune(cell)))))
		}
		b.WriteString("\n")
	}
	line(head, " ")
	line(make([]string, len(head)), "-")
	for _, row := range rows {
		line(row, " ")
	}
	return b.String()
}

// authority names the one that both ends trust, or each its own.
func authority(c channel) string {
	server := map[string]string{"ca": "the cluster's", "etcd/ca": "etcd's"}[c.ca]
	switch {
	case c.unix != "":
		return "none"
	case c.as.file == frontProxy.file:
		return server + " for the server, the front proxy's for the client"
	}
	return server
}

func channelTable() string {
	var rows [][]string
	for _, c := range channels {
		p := c.paper
		rows = append(rows, []string{c.name, p.protocol, p.server, p.client, authority(c), p.authorized, p.lost})
	}
	return table([]string{"channel", "protocol", "the server proves itself with", "the client with", "authority", "what it may do is decided by", "an attacker in that place can no longer"}, rows)
}

// both says what a cell ends with on the two clusters, in one word where they agree.
func both(w wants, hardenedOnly bool) string {
	if w.weak == "" || w.weak == w.hardened || hardenedOnly {
		return string(w.hardened)
	}
	return fmt.Sprintf("%s; **weak: %s**", w.hardened, w.weak)
}

func triedTable() string {
	var rows [][]string
	for _, c := range channels {
		var what []string
		for _, r := range c.business {
			what = append(what, r.what)
		}
		rows = append(rows, []string{
			c.name, strings.Join(what, ", "),
			both(c.works, c.hardenedOnly), both(c.without, c.hardenedOnly), both(c.stranger, c.hardenedOnly),
		})
	}
	return table([]string{"channel", "what the client asks for", "with its certificate", "without", "with one of another authority"}, rows)
}

func othersTable() string {
	var rows [][]string
	for _, c := range channels {
		for _, o := range c.others {
			rows = append(rows, []string{c.name, o.as.who, o.ask.what, both(o.ends, c.hardenedOnly)})
		}
	}
	return table([]string{"channel", "who comes instead", "and", "ends with"}, rows)
}

func portTable() string {
	var rows [][]string
	for _, profile := range []string{"hardened", "weak"} {
		for _, l := range listeners[profile] {
			port := fmt.Sprint(l.port)
			if l.port == 0 {
				port = "any"
			}
			paths := strings.Fields(l.answers)
			if !slices.Contains(paths, "nothing") {
				paths = strings.Fields("`" + strings.Join(paths, "` `") + "`")
			}
			rows = append(rows, []string{profile, l.on, l.component, port, l.bound, l.speaks, l.client, strings.Join(paths, " "), l.why})
		}
	}
	return table([]string{"profile", "on", "component", "port", "bound to", "speaks", "client certificate", "answers anyone", "why that is so"}, rows)
}
