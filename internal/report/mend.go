package report

import (
	"strings"
	"sync"

	"github.com/bulwark-k8s/bulwark/internal/control"
)

// A mending is how a fault is put right: by the changes of the finding, as a command
// where the object is in a cluster, or by hand.
type mending struct {
	// Command makes the changes in a running cluster; empty where no patch can.
	Command string
	// Hand says what to do where there are no changes, in a sentence of the control's page.
	Hand string
}

// mend says how a finding is put right. Every fault has one of the three: changes, a
// command that makes them, or words.
func mend(c *control.Control, f *control.Finding) mending {
	if f.Outcome != control.Broken {
		return mending{}
	}
	if len(f.Changes) > 0 {
		return mending{Command: patch(f)}
	}
	hand, ok := hands.Load(c)
	if !ok {
		hand = or(sentence(c.Section("Fix")), "see `bulwark explain "+c.ID+"`")
		hands.Store(c, hand)
	}
	return mending{Hand: hand.(string)}
}

// hands are what the controls say in words, each worked out once: *control.Control to string.
var hands sync.Map

// maxHand bounds what a page's first sentence may take, in bytes.
const maxHand = 300

// sentence is the first sentence of a text, on one line.
func sentence(text string) string {
	text, _, _ = strings.Cut(text, "\n\n")
	text = strings.Join(strings.Fields(text), " ")
	for i := 0; i+1 < len(text); i++ {
		if text[i] == '.' && text[i+1] == ' ' && !strings.HasSuffix(text[:i+1], "e.g.") && strings.Count(text[:i], "`")%2 == 0 {
			text = text[:i+1]
			break
		}
	}
	if len(text) > maxHand {
		return strings.ToValidUTF8(text[:maxHand], "") + "…"
	}
	return text
}

// edits are a finding's changes as text, one each.
func edits(f *control.Finding) []string {
	out := make([]string, len(f.Changes))
	for i, c := range f.Changes {
		out[i] = c.String()
	}
	return out
}

// seen is a lookup as one line: the command, and on which machine.
func (l lookup) String() string {
	if l.On != "" && l.Command != "" {
		return "on " + l.On + ": " + l.Command
	}
	return l.Command
}

// reachText is what moved a finding's severity, in words.
func reachText(f *control.Finding) string {
	parts := make([]string, len(f.Reach))
	for i, r := range f.Reach {
		parts[i] = r.Text
	}
	return strings.Join(parts, "; ")
}

// waiverText says who answers for a finding: "it measures …; owner observability, until 2027-03-31".
func waiverText(w *control.Waiver) string {
	return w.Reason + "; owner " + w.Owner + ", until " + w.Until
}

// standing says how a finding stands in a gate: "waived", "known", "new" where there is
// a baseline, and nothing otherwise.
func standing(f *control.Finding, baseline bool) string {
	switch {
	case f.Waiver != nil:
		return "waived"
	case f.Outcome != control.Broken || !baseline:
		return ""
	case f.Known:
		return "known"
	}
	return "new"
}
