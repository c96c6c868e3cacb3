package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// A task is one thing to do that closes findings of several controls.
type task struct {
	what     string
	severity control.Severity
	base     control.Severity // of the worst control, before it was known who reaches what
	exposed  bool
	findings int
	places   []string // of the objects to change, the gravest first
	controls []string // the gravest first
	// worst is the control of the gravest finding, first the finding itself.
	worst *control.Control
	first *control.Finding
	// command mends all of it at once; empty where there is none.
	command string
}

// maxCommand is how long a command may be to stand in a list, in bytes.
const maxCommand = 160

// tasks groups the findings that decide a gate by what has to be done, and puts first what a
// person should do first: the gravest, then what is open to the outside, then what closes
// most.
func tasks(r *scan.Result) []*task {
	var out []*task
	byWhat := map[string]*task{}
	objects := map[*task]map[cluster.Ref][]*control.Finding{}
	for _, res := range r.Controls {
		for _, f := range res.Findings {
			if !f.Counts() {
				continue
			}
			what := todo(res.Control)
			t := byWhat[what]
			if t == nil {
				t = &task{what: what}
				byWhat[what], objects[t] = t, map[cluster.Ref][]*control.Finding{}
				out = append(out, t)
			}
			t.add(res, f)
			if objects[t][f.Object] == nil {
				t.places = append(t.places, f.Object.String())
			}
			objects[t][f.Object] = append(objects[t][f.Object], f)
		}
	}
	for _, t := range out {
		if all := objects[t][t.first.Object]; len(objects[t]) == 1 {
			t.command = together(all)
		}
	}
	slices.SortStableFunc(out, func(a, b *task) int {
		return cmp.Or(
			cmp.Compare(b.severity, a.severity), cmp.Compare(b.base, a.base), cmp.Compare(weight(b.exposed), weight(a.exposed)),
			cmp.Compare(b.findings, a.findings), strings.Compare(a.what, b.what),
		)
	})
	return out
}

// What a person is told to begin with, and what is worth a list of it.
const (
	fewTasks   = 5
	fewThemes  = 3
	fewObjects = 3
)

// doFirst are the few tasks that close most of what is grave, and how many findings there
// are in all. There is none where a list would be longer than what it sums up.
func doFirst(r *scan.Result) (few []*task, total int) {
	all, themes := tasks(r), 0
	for _, t := range all {
		total += t.findings
		themes += len(t.controls)
	}
	if themes <= fewThemes {
		return nil, total
	}
	return all[:min(len(all), fewTasks)], total
}

// where names the gravest objects to change, and how many more there are.
func (t *task) where() string {
	places := t.places[:min(len(t.places), fewObjects)]
	where := printable(strings.Join(places, ", "))
	if n := len(t.places) - len(places); n > 0 {
		where += fmt.Sprintf(" and %d more", n)
	}
	return where
}

// closes says what doing it is worth.
func (t *task) closes(total int) string {
	return fmt.Sprintf("closes %d of %s", t.findings, count(total, "finding"))
}

func weight(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (t *task) add(res *scan.ControlResult, f *control.Finding) {
	t.findings++
	s, base := res.SeverityOf(f), res.Control.Severity
	if c := cmp.Or(cmp.Compare(s, t.severity), cmp.Compare(base, t.base), cmp.Compare(weight(f.Exposed()), weight(t.exposed))); c > 0 {
		t.severity, t.base, t.exposed = s, base, f.Exposed()
		t.worst, t.first = res.Control, f
	}
	if n := len(t.controls); n == 0 || t.controls[n-1] != res.Control.ID {
		t.controls = append(t.controls, res.Control.ID)
	}
}

// together is one command that mends all findings of an object, or "".
func together(findings []*control.Finding) string {
	all := *findings[0]
	all.Changes = nil
	for _, f := range findings {
		if len(f.Changes) == 0 || f.Source.Line > 0 {
			return "" // by hand, or in a file
		}
		all.Changes = append(all.Changes, f.Changes...)
	}
	if cmd := patch(&all); len(cmd) <= maxCommand {
		return cmd
	}
	return ""
}

// next is what to type to go on with a task.
func (t *task) next() string {
	if t.command != "" {
		return t.command
	}
	return "bulwark explain " + t.worst.ID
}

// todo names what has to be done about a control's faults. Controls that are mended by
// the same work have the same name; a family without a line here is work of its own.
func todo(c *control.Control) string {
	family, name, _ := strings.Cut(c.ID, ".")
	switch {
	case (family == "pod" || family == "pss") && c.Severity >= control.High, c.ID == "workload.exposedescape", family == "storage":
		return "Take the node away from pods"
	case family == "pod" && name == "tokenmount", c.ID == "workload.takeover":
		family = "rbac"
	}
	if what, ok := todos[family]; ok {
		return what
	}
	return "Mend what is wrong with " + family
}

var todos = map[string]string{
	"pod":               "Confine containers",
	"workload":          "Mend how workloads are run",
	"rbac":              "Take away rights that are not needed",
	"secret":            "Move credentials out of sight",
	"network":           "Close the network between pods",
	"service":           "Close what is open to the outside",
	"ingress":           "Close what is open to the outside",
	"image":             "Pin images",
	"namespace":         "Refuse dangerous pods at admission",
	"admission":         "Refuse dangerous pods at admission",
	"apiserver":         "Start the control plane with safe flags",
	"controllermanager": "Start the control plane with safe flags",
	"scheduler":         "Start the control plane with safe flags",
	"etcd":              "Lock etcd",
	"listener":          "Encrypt and authenticate every port",
	"kubelet":           "Configure kubelets safely",
	"node":              "Bring nodes up to date",
	"file":              "Give files on machines back to root",
	"waiver":            "Renew or remove waivers",
	"pss":               "Confine containers",
	"audit":             "Record what matters",
	"authentication":    "Let in only who is known",
	"authorization":     "Let in only who is known",
	"encryption":        "Encrypt what is stored",
	"certificate":       "Renew certificates",
	"kubeproxy":         "Encrypt and authenticate every port",
	"aggregation":       "Verify the servers behind the API",
	"cloud":             "Close what the cloud opens",
	"hygiene":           "Keep workloads available",
}
