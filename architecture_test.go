// Package bulwark_test holds the house to its own rules.
package bulwark_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bulwark-k8s/bulwark"

// A rule forbids imports to some packages, and says why.
type rule struct {
	packages  []string // prefixes below the module
	forbidden []string // prefixes
	reason    string
}

var core = []string{"/internal/cluster", "/internal/control", "/internal/scan", "/internal/reach", "/internal/waiver", "/internal/compare", "/internal/podsec", "/internal/standard", "/internal/authz", "/internal/network", "/internal/segment", "/internal/flow", "/internal/rights", "/internal/apiresource", "/controls/"}

var rules = []rule{
	{core, []string{"k8s.io/client-go", "k8s.io/cli-runtime"}, "the core sees facts, never a client: read in internal/kube"},
	{core, []string{"os", "os/exec", "io/fs", "net/http", "syscall"}, "the core opens nothing and asks nobody: read in an adapter and add the fact to internal/cluster"},
	{
		core,
		[]string{module + "/internal/kube", module + "/internal/manifest", module + "/internal/host", module + "/internal/report", module + "/internal/lab", module + "/internal/cli"},
		"arrows run down only: adapters and faces know the core, not the other way round",
	},
	{[]string{"/internal/cluster"}, []string{module}, "cluster is the ground floor"},
	{[]string{"/internal/control"}, []string{module + "/internal/scan", module + "/controls"}, "a control does not know who runs it"},
	{
		[]string{"/internal/kube", "/internal/manifest", "/internal/host", "/internal/nodes", "/internal/snapshot"},
		[]string{module + "/internal/control", module + "/internal/scan", module + "/controls", module + "/internal/report"},
		"adapters bring facts and do not judge them",
	},
	{
		[]string{"/internal/report"},
		[]string{module + "/internal/kube", module + "/internal/manifest", module + "/internal/host", module + "/internal/cli", module + "/controls"},
		"a format sees the result, not how it came to be",
	},
	{[]string{"/internal/render"}, []string{module}, "a chart's template sees nothing of ours, and neither does what renders it"},
	{[]string{"/internal/pki"}, []string{module}, "pki makes certificates and kubeconfigs; what they are for is its caller's business"},
	{[]string{"/internal/trust/show"}, []string{module + "/internal/trust/gather", "k8s.io/client-go", "net/http", "os"}, "a report sees the verdict, not how it came to be"},
	{[]string{"/internal/trust/gather"}, []string{module + "/internal/trust/show"}, "reading does not know how it is shown"},
	{[]string{"/internal", "/controls"}, []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}, "flags belong to internal/cli"},
	{[]string{"/internal/advisory"}, []string{module + "/internal/image", module + "/internal/match"}, "what is known of a vulnerability does not depend on who has it"},
	{[]string{"/internal/image"}, []string{module + "/internal/advisory", module + "/internal/match", "k8s.io/"}, "an image is a fact; what is wrong with it, and where it runs, is somebody else's business"},
	{[]string{"/internal/match", "/internal/vex"}, []string{"os", "net/http", "k8s.io/", "github.com/google/go-containerregistry"}, "matching opens nothing and asks nobody: it is given an image and a database"},
	{[]string{"/internal/signature"}, []string{"k8s.io/", module + "/internal/match", module + "/internal/advisory"}, "the verifier is used by admission too: it knows images and keys only"},
	{[]string{"/"}, []string{"k8s.io/kubernetes"}, "the Kubernetes monolith stays in lab/"},
}

type pkg struct {
	ImportPath, Dir string
	Imports         []string
	GoFiles         []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func below(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

func TestArrowsRunDown(t *testing.T) {
	for _, p := range packages(t) {
		local := strings.TrimPrefix(p.ImportPath, module)
		for _, r := range rules {
			if !slices.ContainsFunc(r.packages, func(prefix string) bool { return below(local, prefix) }) || below(local, "/internal/cli") || local == "/controls/gen" {
				continue
			}
			for _, i := range p.Imports {
				self := strings.Split(strings.TrimPrefix(local, "/"), "/")
				if len(self) > 1 && below(i, module+"/"+self[0]+"/"+self[1]) {
					continue // a package may have rooms of its own
				}
				if slices.ContainsFunc(r.forbidden, func(prefix string) bool { return below(i, prefix) }) {
					t.Errorf("%s imports %s: %s", local, i, r.reason)
				}
			}
		}
	}
}

// TestPackagesAreExplained: every package says what it holds.
func TestPackagesAreExplained(t *testing.T) {
	for _, p := range packages(t) {
		documented := false
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || file.Doc != nil && len(strings.Fields((&ast.CommentGroup{List: file.Doc.List}).Text())) > 3
		}
		if len(p.GoFiles) > 0 && !documented {
			t.Errorf("%s has no package comment: say what it holds and what it refuses to know", p.ImportPath)
		}
	}
}

// TestArchitectureIsTold: docs/architecture.md names every folder, and only such that exist.
func TestArchitectureIsTold(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, pattern := range []string{"cmd/*", "internal/*", "controls", "lab", "packaging", "tools", "docs"} {
		found, _ := filepath.Glob(pattern)
		folders = append(folders, found...)
	}
	for _, f := range folders {
		if !strings.Contains(string(text), "| `"+f+"` |") {
			t.Errorf("docs/architecture.md does not name %s in its table", f)
		}
	}
	for line := range strings.Lines(string(text)) {
		if folder, ok := strings.CutPrefix(line, "| `"); ok {
			folder, _, _ = strings.Cut(folder, "`")
			if _, err := os.Stat(folder); err != nil {
				t.Errorf("docs/architecture.md names %s, which is gone", folder)
			}
		}
	}
}
