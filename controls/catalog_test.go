package controls

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/apiconfig"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

var update = flag.Bool("update", false, "rewrite want and fixed in the cases")

// TestCatalogIsFresh fails when a folder was added or renamed without `make generate`.
func TestCatalogIsFresh(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "run", "./gen", "-check").CombinedOutput()
	if err != nil {
		t.Fatalf("%s", out)
	}
}

// TestCatalog is the only harness: it holds every control to the same promises.
func TestCatalog(t *testing.T) {
	for _, c := range All() {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			if err := c.Validate(); err != nil {
				t.Error(err)
			}
			folder := strings.ReplaceAll(c.ID, ".", "/")
			if _, err := os.Stat(filepath.Join(folder, "doc.md")); err != nil {
				t.Errorf("ID %s: its folder must be controls/%s", c.ID, folder)
			}
			cases, _ := filepath.Glob(filepath.Join(folder, "testdata", "*.txtar"))
			var broken, held int
			for _, file := range cases {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
					b, h := runCase(t, c, file)
					broken, held = broken+b, held+h
				})
			}
			if broken == 0 || held == 0 {
				t.Errorf("cases in controls/%s/testdata: %d broken and %d held, want at least one of each", folder, broken, held)
			}
		})
	}
}

// TestFoldersAreControls: no folder with a page is forgotten, as one without a row in
// its family's table would be.
func TestFoldersAreControls(t *testing.T) {
	pages, err := filepath.Glob("*/*/doc.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		id := strings.ReplaceAll(filepath.ToSlash(filepath.Dir(page)), "/", ".")
		if _, ok := Find(id); !ok {
			t.Errorf("%s: no control has the ID %s", page, id)
		}
	}
	if n := len(All()); n != len(pages) {
		t.Errorf("%d controls and %d pages", n, len(pages))
	}
}

// runCase checks one archive: a sentence, in/*, and what is wanted.
func runCase(t *testing.T, c *control.Control, file string) (broken, held int) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(archive.Comment)) == "" {
		t.Errorf("%s: the first line must say why the case exists", file)
	}
	inputs := map[string][]byte{}
	var around surroundings
	var want string
	fixedWant := map[string]string{}
	for _, f := range archive.Files {
		switch {
		case strings.HasPrefix(f.Name, "in/"):
			inputs[strings.TrimPrefix(f.Name, "in/")] = f.Data
		case strings.HasPrefix(f.Name, "fixed/"):
			fixedWant[strings.TrimPrefix(f.Name, "fixed/")] = string(f.Data)
		case f.Name == "live":
			around.live = true
		case f.Name == "version":
			around.version = strings.TrimSpace(string(f.Data))
		case f.Name == "gaps":
			around.gaps = string(f.Data)
		case f.Name == "want":
			want = string(f.Data)
		default:
			t.Fatalf("%s: file %q: want in/*, fixed/*, live, version, gaps or want", file, f.Name)
		}
	}

	res := judge(t, c, inputs, around)
	got := lines(res)
	if diff := cmp.Diff(got, lines(judge(t, c, asked(t, c, inputs), around))); diff != "" {
		t.Errorf("its verdicts rest on facts that Over and With do not name (-with them +without):\n%s", diff)
	}

	// Fixing closes the finding, and fixing twice equals fixing once.
	fixed := map[string][]byte{}
	for name, data := range inputs {
		fixed[name] = mend(t, data, res)
	}
	after := judge(t, c, fixed, around)
	for _, f := range after.Findings {
		if f.Outcome == control.Broken && len(f.Changes) > 0 {
			t.Errorf("still broken after its fix: %s", f)
		}
	}
	fixedGot := map[string]string{}
	for name, data := range fixed {
		if again := mend(t, data, after); string(again) != string(data) {
			t.Errorf("%s: fixing twice differs from fixing once:\n%s", name, cmp.Diff(string(data), string(again)))
		}
		if slices.ContainsFunc(res.Findings, func(f *control.Finding) bool { return f.Source.Origin == name && len(f.Changes) > 0 }) {
			fixedGot[name] = string(data)
		}
	}

	if *update {
		files := slices.DeleteFunc(archive.Files, func(f txtar.File) bool {
			return f.Name == "want" || strings.HasPrefix(f.Name, "fixed/")
		})
		files = append(files, txtar.File{Name: "want", Data: []byte(got)})
		for _, name := range slices.Sorted(maps.Keys(fixedGot)) {
			files = append(files, txtar.File{Name: "fixed/" + name, Data: []byte(fixedGot[name])})
		}
		archive.Files = files
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return res.Broken, res.Held
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(fixedWant, fixedGot); diff != "" {
		t.Errorf("fixed manifests (-want +got):\n%s", diff)
	}
	return res.Broken, res.Held
}

// surroundings are what a case says of its cluster beside the objects: that it is a
// running one, its API server's version, and what could not be read.
type surroundings struct {
	live          bool
	version, gaps string
}

// judge reads the inputs and runs the control alone.
func judge(t *testing.T, c *control.Control, inputs map[string][]byte, around surroundings) *scan.ControlResult {
	t.Helper()
	b := cluster.NewBuilder("case", around.live)
	b.SetVersion(around.version)
	r := manifest.NewReader(b, "")
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		r.Read(name, strings.NewReader(string(inputs[name])))
	}
	if out := r.Outcome(); len(out.Problems)+len(out.Skipped) > 0 {
		t.Fatalf("reading the case: %v %v", out.Problems, out.Skipped)
	}
	for line := range strings.Lines(around.gaps) {
		where, reason, _ := strings.Cut(strings.TrimSpace(line), ": ")
		need, scope, _ := strings.Cut(where, " ")
		b.Gap(cluster.Gap{Need: cluster.Need(need), Scope: scope, Reason: reason})
	}
	s := b.Snapshot()
	res := scan.Run(s, []*control.Control{c})
	carried(t, s, c, res)
	return res.Controls[0]
}

// asked leaves out the objects that a scan with this control alone would not ask for.
func asked(t *testing.T, c *control.Control, inputs map[string][]byte) map[string][]byte {
	t.Helper()
	needs := scan.Needs([]*control.Control{c})
	out := map[string][]byte{}
	for name, data := range inputs {
		var docs []string
		for doc := range strings.SplitSeq(string(data), "\n---\n") {
			var m struct{ APIVersion, Kind string }
			if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
				t.Fatal(err)
			}
			gv, err := schema.ParseGroupVersion(m.APIVersion)
			if err != nil {
				t.Fatal(err)
			}
			need, _ := meta.UnsafeGuessKindToResource(gv.WithKind(m.Kind))
			if !slices.Contains(objects, cluster.Need(need.GroupResource().String())) || slices.Contains(needs, cluster.Need(need.GroupResource().String())) {
				docs = append(docs, doc)
			}
		}
		out[name] = []byte(strings.Join(docs, "\n---\n"))
	}
	return out
}

// objects are the kinds of objects that any control asks for.
var objects = slices.DeleteFunc(scan.Needs(All()), func(n cluster.Need) bool { return !n.IsObject() })

// lines are a result's findings as a case writes them; unknown ones begin with "? ".
func lines(res *scan.ControlResult) string {
	var b strings.Builder
	for _, f := range res.Findings {
		if f.Outcome == control.Unknown {
			b.WriteString("? ")
		}
		fmt.Fprintln(&b, f)
	}
	if len(res.Findings) == 0 && res.Outcome == control.Unknown {
		fmt.Fprintln(&b, "?", res.Reason)
	}
	return b.String()
}

// mend applies the findings' changes to the documents of one file.
func mend(t *testing.T, data []byte, res *scan.ControlResult) []byte {
	t.Helper()
	if apiconfig.IsABAC(data) {
		return data // an object a line; mended by hand
	}
	var docs []string
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatal(err)
		}
		meta, _ := m["metadata"].(map[string]any)
		if meta["ownerReferences"] != nil {
			continue // its controller makes it anew from the mended template
		}
		for _, f := range res.Findings {
			namespace, _ := meta["namespace"].(string)
			if m["kind"] == f.Object.Kind && meta["name"] == f.Object.Name && namespace == f.Object.Namespace {
				if err := control.Apply(m, f.Changes); err != nil {
					t.Errorf("%s: applying its fix: %v", f, err)
				}
			}
		}
		out, err := yaml.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(out))
	}
	return []byte(strings.Join(docs, "---\n"))
}

// TestSelect keeps gates from staying open by a typing mistake.
func TestSelect(t *testing.T) {
	all, optional := len(All()), 0
	for _, c := range All() {
		if strings.HasPrefix(c.ID, "hygiene.") {
			optional++
		}
	}
	if with, err := Select([]string{"pod"}, "hygiene"); err != nil || !slices.ContainsFunc(with, func(c *control.Control) bool { return strings.HasPrefix(c.ID, "hygiene.") }) {
		t.Errorf("a family beside others is not taken in: %v", err)
	}
	if _, err := Select(nil, "hygienic"); err == nil {
		t.Error("a family that does not exist is taken")
	}
	for name, tt := range map[string]struct {
		patterns []string
		want     func(n int) bool
		wantErr  string
	}{
		"nothing named is everything but hygiene": {nil, func(n int) bool { return n == all-optional }, ""},
		"hygiene by name":                         {[]string{"hygiene"}, func(n int) bool { return n == optional && n > 0 }, ""},
		"one by ID":                               {[]string{"pod.hostnetwork"}, func(n int) bool { return n == 1 }, ""},
		"a family":                                {[]string{"pod"}, func(n int) bool { return n >= 1 && n < all }, ""},
		"all but one":                             {[]string{"-pod.hostnetwork"}, func(n int) bool { return n == all-optional-1 }, ""},
		"a family but one":                        {[]string{"pod", "-pod.hostnetwork"}, func(n int) bool { return n < all-1 }, ""},
		"a name that does not exist":              {[]string{"pod.hostnetwrok"}, nil, `control "pod.hostnetwrok": no such ID or family`},
		"an exclusion with a mistake":             {[]string{"-pdo"}, nil, `control "pdo": no such ID or family`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Select(tt.patterns)
			if tt.wantErr != "" {
				if err == nil || err.Error() != tt.wantErr {
					t.Fatalf("error is %v, want %s", err, tt.wantErr)
				}
				return
			}
			if err != nil || !tt.want(len(got)) {
				t.Errorf("%d of %d controls, error %v", len(got), all, err)
			}
		})
	}
}

// TestReference keeps docs/controls.md, the printed catalogue, as the folders say.
func TestReference(t *testing.T) {
	const path = "../docs/controls.md"
	var b strings.Builder
	b.WriteString("# Controls\n\nWritten by `go test ./controls -update` from the catalogue; `bulwark explain ID` prints a\ncontrol's whole page. *Reads* is what the control asks the cluster for; what may not be\nread makes it unknown. [What is left out, and why](left-out.md).\n\n")
	b.WriteString("| control | severity | the fault | reads | known elsewhere as |\n|---|---|---|---|---|\n")
	for _, c := range All() {
		var needs, refs []string
		for rest := c.Needs(); len(rest) > 0; {
			if n := len(cluster.Workloads); len(rest) >= n && slices.Equal(rest[:n], cluster.Workloads) {
				needs, rest = append(needs, "all workloads"), rest[n:]
				continue
			}
			needs, rest = append(needs, string(rest[0])), rest[1:]
		}
		for _, r := range c.Refs {
			refs = append(refs, known(r))
		}
		fmt.Fprintf(&b, "| [%s](../controls/%s/doc.md) | %s | %s | %s | %s |\n", c.ID, strings.ReplaceAll(c.ID, ".", "/"), c.Severity, c.Title, strings.Join(needs, ", "), strings.Join(refs, "; "))
	}
	same(t, path, b.String())
}
