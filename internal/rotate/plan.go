package rotate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Kind is what is replaced.
type Kind string

// The kinds.
const (
	ClusterCA    Kind = "ca"
	EtcdCA       Kind = "etcd-ca"
	FrontProxyCA Kind = "front-proxy-ca"
	SAKeys       Kind = "sa-keys"
)

// Kinds lists what can be replaced.
var Kinds = []Kind{ClusterCA, EtcdCA, FrontProxyCA, SAKeys}

// ParseKind reads a kind's name.
func ParseKind(s string) (Kind, error) {
	if k := Kind(s); slices.Contains(Kinds, k) {
		return k, nil
	}
	return "", fmt.Errorf("rotation %q: want one of %v", s, Kinds)
}

// String is what a kind is called in a sentence.
func (k Kind) String() string { return string(k) }

// PhaseName is one of the four.
type PhaseName string

// The phases, in their order. Until retire has begun, all can be undone.
const (
	Distribute PhaseName = "distribute" // everybody trusts the old and the new
	Reissue    PhaseName = "reissue"    // the new one has signed, and is accepted
	Switch     PhaseName = "switch"     // everybody shows the new one
	Retire     PhaseName = "retire"     // nobody trusts the old one
)

// Digest names content: SHA-256 in hexadecimal. The empty digest is no content:
// a file that is not there.
type Digest string

// DigestOf names data.
func DigestOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest(hex.EncodeToString(sum[:]))
}

// Action is what a step does.
type Action string

// The actions. The comment says which fields of a Step count besides Machine.
const (
	Write    Action = "write"    // File, From, To, Mode, and Also
	SetFlag  Action = "set flag" // Component, Flag, FlagFrom, FlagTo
	Leave    Action = "leave"    // new connections go to other apiservers
	Restart  Action = "restart"  // Components, in the order in which they are stopped; Files they read
	Healthy  Action = "wait"     // Components
	Join     Action = "join"     // the opposite of Leave
	Ask      Action = "verify"   // Ask
	Publish  Action = "publish"  // Object, Trust, Without: an object of the cluster carries these and not those
	Settle   Action = "settle"   // Wait: what is mounted into pods is refreshed, and read
	Outlive  Action = "outlive"  // Wait: tokens of the old key have ended
	Accounts Action = "tokens"   // Trust: keys that the API publishes; Signer: the key new tokens have
)

// Step is one thing to do on one machine, or, without one, in the cluster.
type Step struct {
	Do      Action `json:"do"`
	Machine string `json:"machine,omitempty"`

	File string      `json:"file,omitempty"`
	From Digest      `json:"from,omitempty"`
	To   Digest      `json:"to,omitempty"`
	Mode fs.FileMode `json:"mode,omitempty"`
	// Also are files that make sense only together with the first one: the key
	// of a certificate. All are made ready before the first is put in place, and
	// then put in place one right after the other, in this order.
	Also []Change `json:"also,omitempty"`

	Component string `json:"component,omitempty"`
	Flag      string `json:"flag,omitempty"`
	FlagFrom  string `json:"flagFrom,omitempty"`
	FlagTo    string `json:"flagTo,omitempty"`

	Components []string `json:"components,omitempty"`
	Files      []string `json:"files,omitempty"`

	Ask     *Question     `json:"ask,omitempty"`
	Object  string        `json:"object,omitempty"`
	Trust   Digest        `json:"trust,omitempty"`
	Without Digest        `json:"without,omitempty"`
	Signer  Digest        `json:"signer,omitempty"`
	Wait    time.Duration `json:"wait,omitempty"`
}

// Change is what a step does to one file.
type Change struct {
	File string      `json:"file"`
	From Digest      `json:"from,omitempty"`
	To   Digest      `json:"to,omitempty"`
	Mode fs.FileMode `json:"mode,omitempty"`
}

// Changes lists what a step does to files, in the order in which they are put
// in place.
func (s Step) Changes() []Change {
	if s.Do != Write {
		return nil
	}
	return append([]Change{{s.File, s.From, s.To, s.Mode}}, s.Also...)
}

// Question is a live handshake: a client with a certificate, or without one,
// dials a server, and both verify.
type Question struct {
	Server string `json:"server"` // a component, or etcd-peer
	// Trust is what the server's certificate must verify against: PEM.
	Trust Digest `json:"trust"`
	// Client is a certificate with its key, in PEM; empty for none.
	Client Digest `json:"client,omitempty"`
	Who    string `json:"who,omitempty"` // the client's name, for people
	// Proxy asks as the front proxy does: on behalf of somebody else.
	Proxy bool `json:"proxy,omitempty"`
	// Refused is whether the client must be turned away.
	Refused bool `json:"refused,omitempty"`
}

// Turn is what is done on one machine before the next one has its turn. It is
// repeated as a whole if it was interrupted.
type Turn struct {
	Machine string `json:"machine,omitempty"`
	Steps   []Step `json:"steps"`
}

// Phase is one of the four, with what there is to do.
type Phase struct {
	Name  PhaseName `json:"name"`
	Why   string    `json:"why"`
	Turns []Turn    `json:"turns"`
}

// Plan is a rotation, from beginning to end.
type Plan struct {
	Kind   Kind    `json:"kind"`
	Phases []Phase `json:"phases"`
	// Old and New are the two authorities' certificates, or public keys, in PEM.
	Old Digest `json:"old,omitempty"`
	New Digest `json:"new,omitempty"`
	// Notes are for people: what is not touched and must be.
	Notes []string `json:"notes,omitempty"`
}

// Final is every file's content when the plan has been carried out, by machine
// and file; the empty digest where there is none any more.
func (p Plan) Final() map[string]map[string]Digest {
	all := map[string]map[string]Digest{}
	p.changes(func(machine string, c Change) {
		if all[machine] == nil {
			all[machine] = map[string]Digest{}
		}
		all[machine][c.File] = c.To
	})
	return all
}

// Initial is every file's content before.
func (p Plan) Initial() map[string]map[string]Digest {
	all := map[string]map[string]Digest{}
	p.changes(func(machine string, c Change) {
		if all[machine] == nil {
			all[machine] = map[string]Digest{}
		}
		if _, seen := all[machine][c.File]; !seen {
			all[machine][c.File] = c.From
		}
	})
	return all
}

// changes visits what is done to files, in the order in which it is done.
func (p Plan) changes(visit func(machine string, c Change)) {
	for _, ph := range p.Phases {
		for _, t := range ph.Turns {
			for _, s := range t.Steps {
				for _, c := range s.Changes() {
					visit(s.Machine, c)
				}
			}
		}
	}
}

// Reverse is the plan that takes back the phases before a number, the last one
// first. Each is asked about in its turn: who shows the old one again, and, in
// the end, that nobody trusts the new one any more.
func (p Plan) Reverse(phases int) *Plan {
	back := &Plan{Kind: p.Kind, Old: p.New, New: p.Old}
	for _, ph := range slices.Backward(p.Phases[:phases]) {
		turns := undo(ph.Turns)
		switch ph.Name {
		case Switch:
			turns = append(turns, p.askBack(ph, func(s *Step) bool {
				switch s.Do {
				case Accounts:
					s.Signer = p.Old
				case Ask:
					s.Ask.Trust = p.Old
				default:
				}
				return s.Do != Publish
			})...)
		case Distribute:
			turns = append(turns, p.askBack(ph, func(s *Step) bool {
				s.Trust, s.Without = p.Old, p.New
				return s.Do == Publish || s.Do == Accounts
			})...)
		case Reissue: // it has changed nothing, and what it asked is true until distribute is undone
			turns = nil
		case Retire:
		}
		if len(turns) > 0 {
			back.Phases = append(back.Phases, Phase{Name: "undo-" + ph.Name, Why: undone[ph.Name], Turns: turns})
		}
	}
	return back
}

// undone is what holds when a phase is taken back.
var undone = map[PhaseName]string{
	Switch:     "everybody shows the old one again",
	Distribute: "nobody trusts the new one any more",
}

// askBack are the questions of a phase, turned round.
func (p Plan) askBack(ph Phase, turn func(*Step) bool) []Turn {
	var all []Turn
	for _, t := range ph.Turns {
		asks := Turn{Machine: t.Machine}
		for _, s := range t.Steps {
			switch s.Do {
			case Ask:
				q := *s.Ask
				s.Ask = &q
			case Publish, Accounts:
			default:
				continue
			}
			if turn(&s) {
				asks.Steps = append(asks.Steps, s)
			}
		}
		if len(asks.Steps) > 0 {
			all = append(all, asks)
		}
	}
	return all
}

// undo is the turns that take back what turns did: the same on the same
// machine, in the opposite order, with what was there before.
func undo(turns []Turn) []Turn {
	var back []Turn
	for _, t := range slices.Backward(turns) {
		u := Turn{Machine: t.Machine}
		for _, s := range t.Steps {
			switch s.Do {
			case Write:
				s.From, s.To = s.To, s.From
				s.Also = slices.Clone(s.Also)
				for i, c := range s.Also {
					s.Also[i].From, s.Also[i].To = c.To, c.From
				}
			case SetFlag:
				s.FlagFrom, s.FlagTo = s.FlagTo, s.FlagFrom
			case Leave, Restart, Healthy, Join:
			case Ask, Publish, Settle, Outlive, Accounts:
				continue // they asked for the new; health is asked for in any case
			}
			u.Steps = append(u.Steps, s)
		}
		if len(u.Steps) > 0 {
			back = append(back, u)
		}
	}
	return back
}

// Restarts counts how often each component is restarted, for people.
func (ph Phase) Restarts() map[string]int {
	n := map[string]int{}
	for _, t := range ph.Turns {
		for _, s := range t.Steps {
			if s.Do == Restart {
				for _, c := range s.Components {
					n[c]++
				}
			}
		}
	}
	return n
}

// Summary says in one line what a phase does.
func (ph Phase) Summary() string {
	written, asked := 0, 0
	for _, t := range ph.Turns {
		for _, s := range t.Steps {
			switch s.Do {
			case Write:
				written += len(s.Changes())
			case Ask, Publish, Accounts:
				asked++
			default:
			}
		}
	}
	var parts []string
	if written > 0 {
		parts = append(parts, fmt.Sprintf("%d files", written))
	}
	restarts := ph.Restarts()
	for _, c := range slices.Sorted(maps.Keys(restarts)) {
		parts = append(parts, fmt.Sprintf("restart %s ×%d", c, restarts[c]))
	}
	if asked > 0 {
		parts = append(parts, fmt.Sprintf("%d checks", asked))
	}
	return strings.Join(parts, ", ")
}

// String says what the step does, in words for the one who watches.
func (s Step) String() string {
	switch s.Do {
	case Write:
		if s.To == "" {
			return "remove " + s.File
		}
		var also []string
		for _, c := range s.Also {
			also = append(also, " and "+path.Base(c.File))
		}
		return "write " + s.File + strings.Join(also, "")
	case SetFlag:
		return fmt.Sprintf("%s: --%s=%s", s.Component, s.Flag, s.FlagTo)
	case Leave:
		return "send new connections to other apiservers"
	case Join:
		return "take connections again"
	case Restart:
		return "restart " + strings.Join(s.Components, ", ")
	case Healthy:
		return "wait for " + strings.Join(s.Components, ", ")
	case Ask:
		return s.Ask.String()
	case Publish:
		return s.Object + " carries what is trusted"
	case Settle:
		return fmt.Sprintf("wait until pods have read what is trusted (%s)", s.Wait)
	case Outlive:
		return fmt.Sprintf("tokens of the old key have ended (%s after the switch)", s.Wait)
	case Accounts:
		if s.Signer != "" {
			return "new tokens are signed by the new key"
		}
		return "the API publishes exactly the keys it trusts"
	}
	return string(s.Do)
}

// String says what is asked.
func (q Question) String() string {
	if q.Client == "" {
		return q.Server + " shows a certificate of the new authority"
	}
	verb := "accepts"
	if q.Refused {
		verb = "refuses"
	}
	return fmt.Sprintf("%s %s %s", q.Server, verb, q.Who)
}
