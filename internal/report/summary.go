package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// verdict says in one or two sentences how the cluster stands: what is broken, what
// that means to an attacker, and what could not be told.
func verdict(r *scan.Result) string {
	c := r.Count()
	var parts []string
	for _, s := range control.Severities() {
		if n := c.Broken[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	broken, unknown, held := c.Outcomes[control.Broken], c.Outcomes[control.Unknown], c.Outcomes[control.Holds]
	var b strings.Builder
	switch {
	case broken > 0:
		verb := "controls are"
		if broken == 1 {
			verb = "control is"
		}
		fmt.Fprintf(&b, "%s %s broken: %s.", and(parts), verb, meaning[r.Worst()])
	case held > 0 && c.Incomplete:
		fmt.Fprintf(&b, "Nothing was found broken, but not everything could be looked at: %s.", holds(held))
	case held > 0:
		if held == 1 {
			b.WriteString("The one control that applies holds.")
		} else {
			fmt.Fprintf(&b, "All %d controls that apply hold.", held)
		}
	case c.Waived > 0 && !c.Incomplete:
		b.WriteString("Nothing is broken beyond what is waived.")
	case c.Incomplete:
		b.WriteString("Nothing could be told: what the controls need was not readable.")
	default:
		b.WriteString("There was nothing to judge.")
	}
	if unknown > 0 {
		fmt.Fprintf(&b, " %s could not tell.", count(unknown, "control"))
	}
	if c.Waived > 0 {
		fmt.Fprintf(&b, " %s waived.", are(c.Waived, "finding"))
	}
	if base := r.Baseline; base != nil {
		fmt.Fprintf(&b, " Against %s, %s new, %d known, %d fixed.", printable(base.Name), are(base.New, "finding"), base.Known, len(base.Fixed))
		if n := len(base.Unseen); n > 0 {
			fmt.Fprintf(&b, " %s not looked at this time.", was(n, "finding"))
		}
	}
	return b.String()
}

// are is a number of things that are something: "1 finding is", "2 findings are".
func are(n int, noun string) string {
	if n == 1 {
		return count(n, noun) + " is"
	}
	return count(n, noun) + " are"
}

func was(n int, noun string) string {
	if n == 1 {
		return count(n, noun) + " was"
	}
	return count(n, noun) + " were"
}

// meaning says what the worst broken control gives to an attacker, in the words that
// define the severities.
var meaning = map[control.Severity]string{
	control.Critical: "the cluster or a node is an attacker's in one step",
	control.High:     "one more weakness and the cluster or a node is an attacker's",
	control.Medium:   "a break-in would reach further than it must",
	control.Low:      "a layer of defence, or the sight of an attack, is missing",
}

func holds(n int) string {
	if n == 1 {
		return "1 control holds"
	}
	return fmt.Sprintf("%d controls hold", n)
}

// totals is the result in one line: "1 critical, 2 high broken; 12 hold; 7 unknown".
func totals(r *scan.Result) string {
	c := r.Count()
	var broken []string
	for _, s := range control.Severities() {
		if n := c.Broken[s]; n > 0 {
			broken = append(broken, fmt.Sprintf("%d %s", n, s))
		}
	}
	parts := []string{"nothing broken"}
	if len(broken) > 0 {
		parts[0] = strings.Join(broken, ", ") + " broken"
	}
	if n := c.Outcomes[control.Waived]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d waived", n))
	}
	parts = append(parts, fmt.Sprintf("%d hold", c.Outcomes[control.Holds]))
	parts = append(parts, fmt.Sprintf("%d unknown", c.Outcomes[control.Unknown]))
	parts = append(parts, fmt.Sprintf("%d not applicable", c.Outcomes[control.NotApplicable]))
	return strings.Join(parts, "; ")
}

// A place is where a thing is: a namespace, a machine, or the cluster as a whole.
type place struct {
	cluster string // where there are several
	kind    placeKind
	name    string
}

type placeKind int

// The order in which places are shown.
const (
	wholeCluster placeKind = iota
	namespace
	machine
)

func (k placeKind) String() string {
	return map[placeKind]string{wholeCluster: "cluster", namespace: "namespace", machine: "machine"}[k]
}

func (p place) String() string {
	switch {
	case p.kind == wholeCluster && p.cluster != "":
		return p.cluster
	case p.kind == wholeCluster:
		return "cluster"
	case p.cluster != "":
		return p.cluster + ": " + p.name
	}
	return p.name
}

// key tells a namespace from a machine of the same name.
func (p place) key() string {
	key := strings.TrimSuffix(p.kind.String()+":"+p.name, ":")
	if p.cluster != "" {
		key = p.cluster + "/" + key
	}
	return key
}

func (p place) compare(o place) int {
	return cmp.Or(strings.Compare(p.cluster, o.cluster), cmp.Compare(p.kind, o.kind), strings.Compare(p.name, o.name))
}

// components are the kinds of Refs that name a running component. Its name is its
// machine, or namespace/name of the static pod it was read from.
var components = map[string]bool{
	"kube-apiserver": true, "kube-controller-manager": true, "kube-scheduler": true,
	"etcd": true, "kubelet": true, "kube-proxy": true, "containerd": true,
}

// placeOf returns where a thing is.
func placeOf(r cluster.Ref) place {
	p := within(r)
	p.cluster = r.Cluster
	return p
}

// within is a thing's place as its cluster knows it.
func within(r cluster.Ref) place {
	switch {
	case r.OnMachine():
		return place{kind: machine, name: r.Namespace}
	case components[strings.ToLower(r.Kind)]:
		if ns, _, ok := strings.Cut(r.Name, "/"); ok {
			return place{kind: namespace, name: ns}
		}
		if strings.HasPrefix(r.Name, "(") {
			return place{}
		}
		return place{kind: machine, name: r.Name}
	case r.Kind == "Node" || r.Kind == "Machine":
		return place{kind: machine, name: r.Name}
	case r.Kind == "Namespace":
		return place{kind: namespace, name: r.Name}
	case r.Namespace != "":
		return place{kind: namespace, name: r.Namespace}
	}
	return place{}
}

// local is a thing's name where its place is known: "deployment cart".
func local(r cluster.Ref) string {
	kind := strings.ToLower(r.Kind)
	switch p := placeOf(r); {
	case r.OnMachine():
		return kind + " " + r.Name
	case components[kind] && p.kind == machine:
		return kind
	}
	r.Namespace, r.Cluster = "", ""
	return r.String()
}

// A blind is one reason why something could not be told, with everything it hit.
type blind struct {
	reason string
	// needs are the facts that were missing, "pods of shop"; none where a single
	// subject could not be judged.
	needs    []string
	controls []*scan.ControlResult
	// findings are the subjects that it kept from being judged.
	findings []*control.Finding
}

// blinds groups what is Unknown by its reason, the reason that hits most controls
// first. A gap that no control ran into comes last: it still makes the scan incomplete.
func blinds(r *scan.Result) []*blind {
	type text struct{ cluster, text string }
	textOf := func(g cluster.Gap) text { return text{g.Cluster, g.String()} }
	byText := map[text]cluster.Gap{}
	byNeed := map[cluster.Gap]bool{}
	for _, g := range r.Gaps {
		byText[textOf(g)] = g
		byNeed[cluster.Gap{Need: g.Need, Reason: g.Reason, Cluster: g.Cluster}] = true
	}
	var out []*blind
	byReason := map[string]*blind{}
	hit := map[text]bool{}
	add := func(reason string, need string, res *scan.ControlResult, f *control.Finding) {
		b := byReason[reason]
		if b == nil {
			b = &blind{reason: reason}
			byReason[reason] = b
			out = append(out, b)
		}
		if need != "" && !slices.Contains(b.needs, need) {
			b.needs = append(b.needs, need)
		}
		if res != nil && (len(b.controls) == 0 || b.controls[len(b.controls)-1] != res) {
			b.controls = append(b.controls, res)
		}
		if f != nil {
			b.findings = append(b.findings, f)
		}
	}
	for _, res := range r.Controls {
		if res.Outcome == control.Unknown && len(res.Findings) == 0 {
			if g, ok := byText[text{"", res.Reason}]; ok {
				hit[textOf(g)] = true
				add(g.Reason, needOf(g), res, nil)
			} else {
				add(cmp.Or(res.Reason, "no reason was given"), "", res, nil)
			}
		}
		for _, f := range res.Findings {
			if f.Outcome != control.Unknown {
				continue
			}
			if g, ok := byText[text{f.Object.Cluster, f.Reason}]; ok {
				hit[textOf(g)] = true
				if f.Object.IsCluster() { // no subject of the control
					add(g.Reason, needOf(g), res, nil)
				} else {
					add(g.Reason, needOf(g), res, f)
				}
				continue
			}
			// Where the subjects themselves could not be read, the finding's object
			// is the need, and its name the scope.
			g := cluster.Gap{Need: cluster.Need(f.Object.Kind), Scope: f.Object.Name, Reason: f.Reason, Cluster: f.Object.Cluster}
			if byNeed[cluster.Gap{Need: g.Need, Reason: g.Reason, Cluster: g.Cluster}] {
				if g.Scope == "(all)" {
					g.Scope = ""
				}
				hit[textOf(g)] = true
				add(g.Reason, needOf(g), res, nil)
				continue
			}
			add(cmp.Or(f.Evidence(), "no reason was given"), "", res, f)
		}
	}
	for _, g := range r.Gaps {
		if !hit[textOf(g)] {
			add(g.Reason, needOf(g), nil, nil)
		}
	}
	slices.SortStableFunc(out, func(a, b *blind) int { return cmp.Compare(len(b.controls), len(a.controls)) })
	return out
}

func needOf(g cluster.Gap) string {
	if g.Cluster != "" {
		if g.Need == cluster.Input && g.Scope == g.Cluster {
			return "cluster " + g.Cluster
		}
		in := g.Cluster
		g.Cluster = ""
		return needOf(g) + " in " + in
	}
	name := needNames[g.Need]
	if name == "" {
		name, _, _ = strings.Cut(string(g.Need), ".")
	}
	if g.Scope != "" {
		return name + " of " + g.Scope
	}
	return name
}

var needNames = map[cluster.Need]string{
	cluster.APIServerFlags:         "kube-apiserver's flags",
	cluster.ControllerManagerFlags: "kube-controller-manager's flags",
	cluster.SchedulerFlags:         "kube-scheduler's flags",
	cluster.EtcdFlags:              "etcd's flags",
	cluster.ProxyFlags:             "kube-proxy's settings",
	cluster.KubeletConfig:          "kubelet configurations",
	cluster.HostFiles:              "files on machines",
	cluster.Listeners:              "listening ports",
	cluster.Images:                 "contents of images",
}

// A kindCount is how many objects of one kind were looked at.
type kindCount struct {
	Kind  string
	Count int
}

// kinds lists what was looked at, the most numerous first, and how many in all.
func kinds(r *scan.Result) (list []kindCount, total int) {
	for _, k := range slices.Sorted(maps.Keys(r.Objects)) {
		list = append(list, kindCount{k, r.Objects[k]})
		total += r.Objects[k]
	}
	slices.SortStableFunc(list, func(a, b kindCount) int { return cmp.Compare(b.Count, a.Count) })
	return list, total
}

// lookedAt is what was looked at in a line: "31 objects: 12 pods, 9 services, 3 kinds more".
func lookedAt(r *scan.Result, most int) string {
	list, total := kinds(r)
	if total == 0 {
		return "no objects"
	}
	var parts []string
	for i, k := range list {
		if i == most && len(list) > most+1 {
			parts = append(parts, fmt.Sprintf("and %d kinds more", len(list)-most))
			break
		}
		parts = append(parts, count(k.Count, strings.ToLower(k.Kind)))
	}
	return count(total, "object") + ": " + strings.Join(parts, ", ")
}

// foreign is what was met and no control knows, in a line: "3 objects of kinds that are
// not known: 2 Certificate of cert-manager.io/v1, 1 Issuer of cert-manager.io/v1".
func foreign(r *scan.Result, most int) string {
	list, total := kinds(&scan.Result{Objects: r.Foreign})
	if total == 0 {
		return ""
	}
	var parts []string
	for i, k := range list {
		if i == most && len(list) > most+1 {
			parts = append(parts, fmt.Sprintf("and %d kinds more", len(list)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%d %s", k.Count, k.Kind))
	}
	return count(total, "object") + " of kinds that are not known: " + strings.Join(parts, ", ")
}

// clusters says of each of several clusters what was looked at, or why nothing was.
func clusters(r *scan.Result) []clusterView {
	out := make([]clusterView, len(r.Clusters))
	for i, c := range r.Clusters {
		out[i] = clusterView{
			Name: printable(c.Name), Version: printable(c.Version), Fault: printable(c.Fault),
			Looked: printable(lookedAt(&scan.Result{Objects: c.Objects}, 3)),
		}
	}
	return out
}

type clusterView struct{ Name, Version, Looked, Fault string }

// String is what was looked at in a line.
func (v clusterView) String() string {
	switch {
	case v.Fault != "":
		return "not read: " + v.Fault
	case v.Version != "":
		return "Kubernetes " + v.Version + ", " + v.Looked
	}
	return v.Looked
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun = plural(noun)
	}
	return fmt.Sprintf("%d %s", n, noun)
}

func plural(noun string) string {
	switch {
	case strings.HasSuffix(noun, "ss"), strings.HasSuffix(noun, "ch"), strings.HasSuffix(noun, "x"):
		return noun + "es"
	case strings.HasSuffix(noun, "s"): // endpoints
		return noun
	case strings.HasSuffix(noun, "ey"), strings.HasSuffix(noun, "ay"):
		return noun + "s"
	case strings.HasSuffix(noun, "y"):
		return strings.TrimSuffix(noun, "y") + "ies"
	}
	return noun + "s"
}

// and joins parts as in speech: "1 critical, 2 high and 3 low".
func and(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

// took is a duration for people.
func took(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// printable makes a stranger's text harmless to a terminal and to the eye: control
// characters, escape sequences and marks that reverse the writing direction are
// spelled out, line breaks become spaces.
func printable(s string) string {
	clean := true
	for _, c := range s {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case c == '\n' || c == '\t' || c == '\r':
			b.WriteByte(' ')
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, c)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
		i += n
	}
	return b.String()
}
