package custom

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// A Result is how a control did on its cases.
type Result struct {
	Control *Control
	Cases   []*Case
	// Broken and Held count subjects over all cases.
	Broken, Held int
}

// Failed reports whether a case failed, or one that is needed is missing.
func (r *Result) Failed() bool {
	return r.Missing() != "" || slices.ContainsFunc(r.Cases, func(c *Case) bool { return c.Err != nil || c.Want != c.Got })
}

// Missing says which cases a control still needs: a control that is never broken may be
// blind, and one that never holds may see ghosts.
func (r *Result) Missing() string {
	var what []string
	if r.Broken == 0 {
		what = append(what, "nothing is broken in them")
	}
	if r.Held == 0 {
		what = append(what, "nothing holds in them")
	}
	if len(r.Cases) == 0 {
		return "it has no cases: want testdata/" + r.Control.ID + "/*.txtar beside it"
	}
	return strings.Join(what, " and ")
}

// A Case is one archive: a sentence that says why it exists, the input (in/*.yaml) and the
// findings that are wanted.
type Case struct {
	Name, File string
	Want, Got  string
	Err        error

	archive *txtar.Archive // nil where it could not be run
}

// Test runs the cases of a control: testdata/ID/*.txtar beside its file.
func Test(c *Control) *Result {
	r := &Result{Control: c}
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(c.File), "testdata", c.ID, "*.txtar"))
	for _, file := range files {
		one := &Case{Name: strings.TrimSuffix(filepath.Base(file), ".txtar"), File: file}
		r.Cases = append(r.Cases, one)
		data, err := readFile(file)
		if err != nil {
			one.Err = err
			continue
		}
		var broken, held int
		broken, held, one.Err = one.run(c.Control, txtar.Parse(data))
		r.Broken, r.Held = r.Broken+broken, r.Held+held
	}
	return r
}

func (c *Case) run(one *control.Control, archive *txtar.Archive) (broken, held int, err error) {
	if len(bytes.TrimSpace(archive.Comment)) == 0 {
		return 0, 0, errors.New("the first line must say why the case exists")
	}
	live := slices.ContainsFunc(archive.Files, func(f txtar.File) bool { return f.Name == "live" })
	b := cluster.NewBuilder(c.Name, live)
	reader := manifest.NewReader(b, "")
	for _, f := range archive.Files {
		switch name, in := strings.CutPrefix(f.Name, "in/"); {
		case in:
			reader.Read(name, bytes.NewReader(f.Data))
		case f.Name == "want":
			c.Want = string(f.Data)
		case f.Name != "live":
			return 0, 0, fmt.Errorf("file %q: want in/*, live or want", f.Name)
		}
	}
	if out := reader.Outcome(); len(out.Problems) > 0 {
		return 0, 0, fmt.Errorf("in/%w", out.Problems[0])
	} else if len(out.Skipped) > 0 {
		return 0, 0, fmt.Errorf("in/%s:%d: %s", out.Skipped[0].File, out.Skipped[0].Line, out.Skipped[0].Why)
	}
	res := scan.Run(b.Snapshot(), []*control.Control{one}).Controls[0]
	c.Got, c.archive = lines(res), archive
	return res.Broken, res.Held, nil
}

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

// Update writes what the control found into the case.
func (c *Case) Update() error {
	if c.archive == nil || c.Want == c.Got {
		return nil
	}
	files := slices.DeleteFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	c.archive.Files = append(files, txtar.File{Name: "want", Data: []byte(c.Got)})
	if err := replace(c.File, txtar.Format(c.archive)); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	c.Want = c.Got
	return nil
}

// replace writes a file that appears whole or not at all.
func replace(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(mode(path)), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// mode is a file's own mode, or that of one that others may read.
func mode(path string) fs.FileMode {
	if info, err := os.Stat(path); err == nil {
		return info.Mode().Perm()
	}
	return 0o644
}

// Diff shows what a case wants and the control did not find (-), and the other way round (+).
func (c *Case) Diff() []string {
	want, got := strings.Split(strings.TrimSuffix(c.Want, "\n"), "\n"), strings.Split(strings.TrimSuffix(c.Got, "\n"), "\n")
	var out []string
	for _, line := range want {
		if line != "" && !slices.Contains(got, line) {
			out = append(out, "-"+line)
		}
	}
	for _, line := range got {
		if line != "" && !slices.Contains(want, line) {
			out = append(out, "+"+line)
		}
	}
	if len(out) == 0 {
		out = append(out, "the order of the findings differs")
	}
	return out
}
