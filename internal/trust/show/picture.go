package show

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// A picture is a drawing of channels, in user units of its view box.
type picture struct {
	W, H   int
	Title  string
	Desc   string
	Frames []box
	Boxes  []box
	Edges  []edge
	States []stateKey
}

// A box is one who talks; a frame holds boxes.
type box struct {
	X, Y, W, H int
	Name       string
	Sub        []string
	Low        bool // a frame whose name stands at its foot
}

// An edge is a channel, drawn.
type edge struct {
	Class string // of the state
	Seen  bool
	Path  string
	// The label's middle.
	LX, LY, LW int
	State, CA  string
	Broken     bool
	Tip        string
}

// A stateKey is one line of the legend.
type stateKey struct{ Class, Name, Meaning string }

var stateKeys = []stateKey{
	{"mutual", string(trust.Mutual), "both sides show a certificate that the other verifies"},
	{"server", string(trust.ServerOnly), "only the server does; the client brings a token or nothing"},
	{"unverified", string(trust.Unverified), "whoever sits between can read and change it"},
	{"plain", string(trust.Plaintext), "anybody on the way reads it"},
	{"untold", string(trust.Untold), "not enough was read to tell"},
}

func stateClass(s trust.State) string {
	for _, k := range stateKeys {
		if k.Name == string(s) {
			return k.Class
		}
	}
	return "untold"
}

// shortState is a state as it fits on a label.
func shortState(s trust.State) string {
	if s == trust.Unverified {
		return "not verified"
	}
	return string(s)
}

// Places of the boxes. The API server is in the middle, because everybody talks to it.
var boxes = map[string]box{
	"kube-scheduler":          {X: 366, Y: 74, W: 196, H: 58},
	"kube-controller-manager": {X: 598, Y: 74, W: 236, H: 58},
	"kube-apiserver":          {X: 366, Y: 246, W: 468, H: 84},
	"etcd":                    {X: 1000, Y: 246, W: 176, H: 84},
	trust.People:              {X: 24, Y: 246, W: 176, H: 84},
	"kubelet":                 {X: 366, Y: 526, W: 196, H: 58},
	"kube-proxy":              {X: 578, Y: 526, W: 124, H: 58},
	trust.Pods:                {X: 718, Y: 526, W: 116, H: 58},
	trust.Webhooks:            {X: 1000, Y: 430, W: 176, H: 68},
	trust.Aggregated:          {X: 1000, Y: 570, W: 176, H: 68},
}

// A route is how a channel is drawn: its path, and where its label stands.
type route struct {
	path   string
	lx, ly int
	lw     int
}

var routes = map[[2]string]route{
	{"kube-scheduler", "kube-apiserver"}:          {"M464 132V242", 464, 186, 148},
	{"kube-controller-manager", "kube-apiserver"}: {"M716 132V242", 716, 186, 148},
	{"kube-apiserver", "etcd"}:                    {"M834 288H996", 916, 250, 148},
	{"etcd", "etcd"}:                              {"M1040 246V186H1136V242", 1088, 166, 148},
	{trust.People, "kube-apiserver"}:              {"M200 288H362", 281, 250, 148},
	{"kubelet", "kube-apiserver"}:                 {"M420 526V334", 420, 390, 136},
	{"kube-apiserver", "kubelet"}:                 {"M530 330V522", 530, 450, 136},
	{"kube-proxy", "kube-apiserver"}:              {"M640 526V334", 640, 390, 136},
	{trust.Pods, "kube-apiserver"}:                {"M776 526V334", 776, 450, 136},
	{"kube-apiserver", trust.Webhooks}:            {"M834 310H930V464H996", 1088, 404, 176},
	{"kube-apiserver", trust.Aggregated}:          {"M834 322H906V604H996", 1088, 544, 176},
}

// draw makes the picture of a result, or nil where there is nothing to draw.
func draw(r *trust.Result) *picture {
	if len(r.Channels) == 0 {
		return nil
	}
	p := &picture{W: 1200, H: 650, Title: "Who talks to whom in " + printable(r.Target)}
	var desc []string
	present := map[string]bool{}
	var loose []trust.Channel
	for _, c := range r.Channels {
		desc = append(desc, printable(sentence(c)))
		to, ok := routes[[2]string{c.From, c.To}]
		if !ok {
			loose = append(loose, c)
			continue
		}
		present[c.From], present[c.To] = true, true
		p.Edges = append(p.Edges, edgeOf(c, to))
	}
	p.Desc = strings.Join(desc, " ")
	for _, name := range []string{"kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd", trust.People, "kubelet", "kube-proxy", trust.Pods, trust.Webhooks, trust.Aggregated} {
		if present[name] {
			p.Boxes = append(p.Boxes, p.box(name, r))
		}
	}
	if present["kube-scheduler"] || present["kube-controller-manager"] {
		p.Frames = append(p.Frames, box{X: 340, Y: 22, W: 520, H: 330, Name: "Control plane", Sub: machines(r.Boxes["kube-apiserver"], "")})
	}
	if present["kubelet"] || present["kube-proxy"] {
		p.Frames = append(p.Frames, box{X: 340, Y: 500, W: 520, H: 124, Low: true, Name: "Nodes", Sub: machines(r.Boxes["kubelet"], "")})
	}
	p.loose(loose, len(p.Boxes) > 0)
	for _, k := range stateKeys {
		if slices.ContainsFunc(p.Edges, func(e edge) bool { return e.Class == k.Class }) {
			p.States = append(p.States, k)
		}
	}
	return p
}

// loose draws ports that were asked about by themselves, below each other.
func (p *picture) loose(channels []trust.Channel, below bool) {
	const most = 20
	if len(channels) == 0 {
		return
	}
	y := 30
	if below {
		y = p.H + 30
	}
	shown := channels[:min(most, len(channels))]
	p.Boxes = append(p.Boxes, box{X: 24, Y: y, W: 176, H: 74*len(shown) - 16, Name: "Anybody", Sub: []string{"who reaches the port"}})
	for i, c := range shown {
		top := y + 74*i
		p.Boxes = append(p.Boxes, box{X: 700, Y: top, W: 476, H: 58, Name: clip(c.To, 44), Sub: []string{clip(c.Server, 60)}})
		p.Edges = append(p.Edges, edgeOf(c, route{fmt.Sprintf("M200 %dH696", top+29), 450, top + 29, 190}))
	}
	p.H = y + 74*len(shown) + 10
}

func edgeOf(c trust.Channel, to route) edge {
	e := edge{
		Class: stateClass(c.State), Seen: c.Seen, Path: to.path, LX: to.lx, LY: to.ly, LW: to.lw,
		State: shortState(c.State), Broken: c.Broken != "", Tip: printable(sentence(c)),
	}
	switch {
	case c.State == trust.Untold:
	case c.CA != "" && c.State == trust.Unverified:
		e.CA = "client: " + clip(c.CA, to.lw/7-6)
	case c.CA != "":
		e.CA = "CA " + clip(c.CA, to.lw/7-2)
	}
	if e.CA == "" && c.State == trust.ServerOnly {
		e.CA = clip(c.Client, to.lw/7-2)
	}
	return e
}

// sentence is a channel in words.
func sentence(c trust.Channel) string {
	s := fmt.Sprintf("%s to %s: %s. Client: %s. Server: %s.", c.From, c.To, c.State, c.Client, c.Server)
	if c.CA != "" {
		s += " CA: " + c.CA + "."
	}
	if !c.Seen && c.State != trust.Untold {
		s += " From files and flags, not seen on a port."
	}
	if c.Broken != "" {
		s += " Broken: " + c.Broken + "."
	}
	return s
}

func (p *picture) box(name string, r *trust.Result) box {
	b := boxes[name]
	b.Name = name
	switch name {
	case "kube-apiserver":
		b.Sub = []string{"everybody talks to it"}
	case "kube-scheduler":
		b.Sub = []string{"binds pods to nodes"}
	case "kube-controller-manager":
		b.Sub = []string{"makes what was asked for"}
	case "etcd":
		b.Sub = machines(r.Boxes["etcd"], "holds all state")
	case trust.People:
		b.Name = "People"
		b.Sub = machines(r.Boxes[trust.People], "")
	case "kubelet":
		b.Sub = []string{"runs pods"}
	case "kube-proxy":
		b.Sub = []string{"routes services"}
	case trust.Pods:
		b.Name, b.Sub = "Pods", []string{"with a token"}
	case trust.Webhooks:
		b.Name, b.Sub = "Webhooks", machines(r.Boxes[name], "")
	case trust.Aggregated:
		b.Name, b.Sub = "Aggregated APIs", machines(r.Boxes[name], "")
	}
	return b
}

// machines are names in few lines.
func machines(names []string, otherwise string) []string {
	switch {
	case len(names) == 0 && otherwise == "":
		return nil
	case len(names) == 0:
		return []string{otherwise}
	case len(names) <= 2:
		return each(names, func(s string) string { return clip(s, 24) })
	}
	return []string{clip(names[0], 24), fmt.Sprintf("and %d more", len(names)-1)}
}

// clip shortens a name, and says so with an ellipsis.
func clip(s string, most int) string {
	s = printable(s)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:max(1, most-1)])) + "…"
}
