// Package packaging_test tries what other programs read of this repository as they
// would use it.
package packaging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	careless = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {hostPID: true, containers: [{name: c, image: c:1}]}\n"
	harmless = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\ndata: {colour: blue}\n"
)

// bulwark builds the program, once, and returns its folder.
func bulwark(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var built = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs("../bin/packaging")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "bulwark"), "./cmd/bulwark") //nolint:noctx // it outlives the test that asks first
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return dir, nil
})

func load(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// folder is a folder with one file of Kubernetes and what else lies about.
func folder(t *testing.T, manifest string) string {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "app.yaml"), manifest)
	put(t, filepath.Join(dir, "settings.yaml"), "colour: blue\n")
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs a program in a folder and returns its exit code.
func run(t *testing.T, dir string, env []string, name string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, slices.Concat(os.Environ(), []string{"PATH=" + bulwark(t) + ":" + os.Getenv("PATH")}, env)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func TestPreCommitHook(t *testing.T) {
	var hooks []struct {
		ID, Name, Entry, Language, Files string
		Args                             []string
		PassFilenames                    *bool `json:"pass_filenames"`
	}
	load(t, "../.pre-commit-hooks.yaml", &hooks)
	if len(hooks) != 1 || hooks[0].ID != "bulwark" || hooks[0].Language != "golang" || hooks[0].PassFilenames == nil || *hooks[0].PassFilenames {
		t.Fatalf("the hooks are %+v", hooks)
	}
	files := regexp.MustCompile(hooks[0].Files)
	for name, want := range map[string]bool{"deploy/app.yaml": true, "a.yml": true, "a.json": true, "chart/templates/_helpers.tpl": true, "main.go": false, "yaml.md": false} {
		if files.MatchString(name) != want {
			t.Errorf("a change of %s runs the hook: %t, want %t", name, !want, want)
		}
	}
	words := append(strings.Fields(hooks[0].Entry), hooks[0].Args...)
	for manifest, want := range map[string]int{careless: 3, harmless: 0, harmless + "---\nkind: [": 4} {
		if got, out := run(t, folder(t, manifest), nil, filepath.Join(bulwark(t), words[0]), words[1:]...); got != want {
			t.Errorf("%q ends with %d, want %d:\n%s", manifest, got, want, out)
		}
	}
}

type action struct {
	Inputs  map[string]struct{ Description string }
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			Name, ID, Shell, Run string
			Env                  map[string]string
		}
	}
}

var expression = regexp.MustCompile(`\$\{\{ *([\w.-]+) *\}\}`)

// TestActionIsWhole: what is used is declared, what is declared is used, and no input is
// written into a script, where it could be more than a text.
func TestActionIsWhole(t *testing.T) {
	var a action
	load(t, "../action.yml", &a)
	if a.Runs.Using != "composite" || len(a.Runs.Steps) != 2 {
		t.Fatalf("it is %+v", a.Runs)
	}
	used := map[string]bool{}
	for _, s := range a.Runs.Steps {
		if expression.MatchString(s.Run) || s.Shell != "bash" {
			t.Errorf("step %s: want bash without expressions in the script", s.Name)
		}
		script := strings.NewReplacer(`"`, "", "$GITHUB_ACTION_PATH", "..").Replace(s.Run)
		if info, err := os.Stat(script); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("step %s: %s cannot be run: %v", s.Name, script, err)
		}
		text, _ := os.ReadFile(script)
		for name, value := range s.Env {
			used[strings.TrimPrefix(expression.FindStringSubmatch(value)[1], "inputs.")] = true
			if !bytes.Contains(text, []byte(name)) {
				t.Errorf("step %s: the script does not use %s", s.Name, name)
			}
		}
		if code, out := run(t, ".", nil, "bash", "-n", script); code != 0 {
			t.Error(out)
		}
	}
	for name := range used {
		if _, ok := a.Inputs[name]; !ok {
			t.Errorf("input %s is used and not declared", name)
		}
	}
	for name, in := range a.Inputs {
		if !used[name] || in.Description == "" {
			t.Errorf("input %s: want a use and a description", name)
		}
	}
	for name, out := range a.Outputs {
		if want := "${{ steps.scan.outputs." + name + " }}"; out.Value != want {
			t.Errorf("output %s is %s, want %s", name, out.Value, want)
		}
	}
}

// TestActionScans runs the step as a job does.
func TestActionScans(t *testing.T) {
	script, _ := filepath.Abs("github/scan.sh")
	for _, c := range []struct {
		name, manifest, failOn, args string
		want                         int
	}{
		{"broken", careless, "medium", "", 3},
		{"below the gate", careless, "none", "", 0},
		{"with arguments", careless, "medium", "--controls\npod.hostnetwork\n", 0},
		{"not an argument", careless, "medium", "--controls=$(touch ran)", 2},
		{"nothing broken", harmless, "medium", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, c.manifest)
			output, summary := filepath.Join(dir, "output"), filepath.Join(dir, "summary")
			code, out := run(t, dir, []string{
				"GITHUB_OUTPUT=" + output, "GITHUB_STEP_SUMMARY=" + summary,
				"BULWARK_PATH=app.yaml", "BULWARK_FAIL_ON=" + c.failOn, "BULWARK_ARGS=" + c.args, "BULWARK_SARIF=found.sarif",
			}, script)
			if code != c.want {
				t.Fatalf("it ends with %d, want %d:\n%s", code, c.want, out)
			}
			said, _ := os.ReadFile(output)
			if !strings.Contains(string(said), "exit-code="+string(rune('0'+c.want))+"\n") {
				t.Errorf("the outputs are %s", said)
			}
			if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
				t.Error("an argument was run")
			}
			if c.want == 2 {
				return
			}
			sarif, err := os.ReadFile(filepath.Join(dir, "found.sarif"))
			if err != nil || !json.Valid(sarif) || !strings.Contains(string(said), "sarif=found.sarif\n") {
				t.Errorf("there is no SARIF: %v; the outputs are %s", err, said)
			}
			if page, _ := os.ReadFile(summary); len(page) == 0 {
				t.Error("the job's page is empty")
			}
		})
	}
}

// releases lays out a release as it will lie on the server.
func releases(t *testing.T, sum string) (url string) {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, "v1.2.3")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	name := "bulwark_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"
	if code, out := run(t, at, nil, "tar", "-czf", name, "-C", bulwark(t), "bulwark"); code != 0 {
		t.Fatal(out)
	}
	if code, out := run(t, at, nil, "sh", "-c", "sha256sum "+name+sum+" >checksums.txt"); code != 0 {
		t.Fatal(out)
	}
	return "file://" + dir
}

// falsified makes of a line of sha256sum that of another file.
const falsified = " | sed s/^./x/"

func TestActionInstalls(t *testing.T) {
	script, _ := filepath.Abs("github/install.sh")
	for name, c := range map[string]struct {
		sum  string
		want int
	}{"a release": {"", 0}, "another checksum": {falsified, 1}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			arch := map[string]string{"amd64": "X64", "arm64": "ARM64"}[runtime.GOARCH]
			code, out := run(t, dir, []string{
				"RUNNER_TEMP=" + dir, "RUNNER_OS=Linux", "RUNNER_ARCH=" + arch, "GITHUB_PATH=" + filepath.Join(dir, "path"),
				"BULWARK_VERSION=v1.2.3", "BULWARK_RELEASES=" + releases(t, c.sum),
			}, script)
			path, _ := os.ReadFile(filepath.Join(dir, "path"))
			_, err := os.Stat(filepath.Join(strings.TrimSpace(string(path)), "bulwark"))
			if code != c.want || (len(path) > 0 && err == nil) != (c.want == 0) {
				t.Errorf("it ends with %d, the path is %q (%v):\n%s", code, path, err, out)
			}
		})
	}
}

// TestGitLab runs the job's script as a runner does, line by line, until one fails.
func TestGitLab(t *testing.T) {
	text, err := os.ReadFile("gitlab/bulwark.gitlab-ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(text), "\n---\n")
	if !ok {
		t.Fatal("the inputs are not a document of their own")
	}
	var spec struct {
		Spec struct {
			Inputs map[string]*struct{ Default *string }
		}
	}
	if err := yaml.Unmarshal([]byte(head), &spec); err != nil {
		t.Fatal(err)
	}
	set := map[string]string{"image": "any", "version": "v1.2.3", "releases": releases(t, "")}
	used := map[string]bool{}
	body = regexp.MustCompile(`\$\[\[ inputs\.([\w-]+) \]\]`).ReplaceAllStringFunc(body, func(s string) string {
		name := strings.TrimSuffix(strings.TrimPrefix(s, "$[[ inputs."), " ]]")
		used[name] = true
		in := spec.Spec.Inputs[name]
		switch {
		case in == nil:
			t.Errorf("input %s is not declared", name)
		case set[name] != "":
			return set[name]
		case in.Default != nil:
			return *in.Default
		default:
			t.Errorf("input %s has no default", name)
		}
		return ""
	})
	if len(used) != len(spec.Spec.Inputs) {
		t.Errorf("%v of %v are used", used, spec.Spec.Inputs)
	}
	var jobs map[string]struct {
		Variables map[string]string
		Script    []string
		Artifacts struct {
			When    string
			Reports map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(body), &jobs); err != nil {
		t.Fatal(err)
	}
	job := jobs["bulwark"]
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the job is for linux/amd64")
	}
	for manifest, want := range map[string]int{careless: 3, harmless: 0} {
		dir := folder(t, manifest)
		env := []string{"TMPDIR=" + t.TempDir()}
		for name, value := range job.Variables {
			env = append(env, name+"="+value)
		}
		code, out := run(t, dir, env, "sh", "-ec", strings.Join(job.Script, "\n"))
		if code != want {
			t.Errorf("the job ends with %d, want %d:\n%s", code, want, out)
		}
		if _, err := os.Stat(filepath.Join(dir, job.Artifacts.Reports["junit"])); err != nil || job.Artifacts.When != "always" {
			t.Errorf("the report is not kept: %v", err)
		}
	}
}
