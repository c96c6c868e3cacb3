package report

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestTableFitsAndHidesNothing holds every width to two promises: no line is wider,
// and wrapping loses no character.
func TestTableFitsAndHidesNothing(t *testing.T) {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for seed := range uint64(100) {
		r := scatter(seed, 2)
		whole := string(render(t, "table", r, Options{All: true}))
		for _, width := range []int{80, 100, 133} {
			got := string(render(t, "table", r, Options{All: true, Width: width}))
			for line := range strings.Lines(got) {
				line = strings.TrimSuffix(line, "\n")
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("seed %d: a line has %d columns, want at most %d: %q", seed, n, width, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("seed %d: the line %q ends with spaces", seed, line)
				}
			}
			if squeeze(got) != squeeze(whole) {
				t.Errorf("seed %d, width %d: wrapping changed the text", seed, width)
			}
		}
		color := string(render(t, "table", r, Options{All: true, Color: true}))
		if escapes.ReplaceAllString(color, "") != whole {
			t.Errorf("seed %d: colour changed the text", seed)
		}
	}
}

// TestTableIsHarmless keeps a stranger's names from driving the terminal.
func TestTableIsHarmless(t *testing.T) {
	for seed := range uint64(100) {
		got := string(render(t, "table", scatter(seed, 3), Options{All: true}))
		if strings.ContainsAny(got, "\x1b\u202e") || !utf8.ValidString(got) {
			t.Errorf("seed %d: the table carries an escape sequence or broken text", seed)
		}
	}
}

func TestTableCutsLongThemes(t *testing.T) {
	got := string(render(t, "table", large(400), Options{Width: 100}))
	if n := strings.Count(got, "\n"); n > 25 {
		t.Errorf("400 findings of one control take %d lines:\n%s", n, got)
	}
	if !strings.Contains(got, "… and 150 more") {
		t.Errorf("the table does not say what it left out:\n%s", got)
	}
	if strings.Count(string(render(t, "table", large(400), Options{All: true})), "\n          team-") != 8 {
		t.Error("with All there must be a line for each of the 8 namespaces")
	}
}

func TestVerdict(t *testing.T) {
	broken := func(s control.Severity) *scan.ControlResult {
		return &scan.ControlResult{Control: &control.Control{ID: "a.b", Severity: s}, Outcome: control.Broken, Broken: 1}
	}
	unknown := &scan.ControlResult{Control: &control.Control{ID: "a.c"}, Unknown: 1}
	held := &scan.ControlResult{Control: &control.Control{ID: "a.d"}, Outcome: control.Holds}
	for name, tt := range map[string]struct {
		controls []*scan.ControlResult
		want     string
	}{
		"nothing":          {nil, "There was nothing to judge."},
		"all hold":         {[]*scan.ControlResult{held, held}, "All 2 controls that apply hold."},
		"one holds":        {[]*scan.ControlResult{held}, "The one control that applies holds."},
		"only unknown":     {[]*scan.ControlResult{unknown}, "Nothing could be told: what the controls need was not readable. 1 control could not tell."},
		"held and unknown": {[]*scan.ControlResult{held, unknown}, "Nothing was found broken, but not everything could be looked at: 1 control holds. 1 control could not tell."},
		"one low":          {[]*scan.ControlResult{broken(control.Low)}, "1 low control is broken: a layer of defence, or the sight of an attack, is missing."},
		"several": {
			[]*scan.ControlResult{broken(control.Critical), broken(control.High), broken(control.High), broken(control.Low)},
			"1 critical, 2 high and 1 low controls are broken: the cluster or a node is an attacker's in one step.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verdict(&scan.Result{Controls: tt.controls}); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestPlaceOf(t *testing.T) {
	for name, tt := range map[string]struct {
		ref         cluster.Ref
		place, word string
	}{
		"a workload":           {cluster.Ref{Kind: "Deployment", Namespace: "shop", Name: "cart"}, "namespace:shop", "deployment cart"},
		"a cluster-wide thing": {cluster.Ref{Kind: "ClusterRole", Name: "admin"}, "cluster", "clusterrole admin"},
		"a namespace itself":   {cluster.Ref{Kind: "Namespace", Name: "shop"}, "namespace:shop", "namespace shop"},
		"a node":               {cluster.Ref{Kind: "Node", Name: "n1"}, "machine:n1", "node n1"},
		"a file":               {cluster.FileRef("cp-1", "/etc/x"), "machine:cp-1", "file /etc/x"},
		"a process":            {cluster.Ref{Kind: "etcd", Name: "cp-1"}, "machine:cp-1", "etcd"},
		"a static pod":         {cluster.Ref{Kind: "etcd", Name: "kube-system/etcd-cp-1"}, "namespace:kube-system", "etcd kube-system/etcd-cp-1"},
		"flagz":                {cluster.Ref{Kind: "kube-apiserver", Name: "(the instance that answered)"}, "cluster", "kube-apiserver (the instance that answered)"},
	} {
		t.Run(name, func(t *testing.T) {
			if p, w := placeOf(tt.ref).key(), local(tt.ref); p != tt.place || w != tt.word {
				t.Errorf("got %q, %q, want %q, %q", p, w, tt.place, tt.word)
			}
		})
	}
}
