package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/policy"
	"github.com/bulwark-k8s/bulwark/internal/policy/custom"
)

func newControls(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "controls",
		GroupID: "look",
		Short:   "List controls; write and test your own in CEL",
		Long: `Controls lists the catalogue, and helps with controls of your own: each is a
ValidatingAdmissionPolicy in a file, with its title and severity in annotations and
its cases in testdata beside it. docs/custom-controls.md has the format.`,
		Example: `  bulwark controls new shop.replicas
  bulwark controls test ./controls
  bulwark scan ./deploy --controls-dir ./controls`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newControlsList(streams), newControlsTest(streams), newControlsNew(streams))
	return cmd
}

func newControlsList(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "list [DIR…]",
		Short: "List the controls of folders, or of the catalogue",
		Example: `  bulwark controls list
  bulwark controls list ./controls`,
		RunE: func(_ *cobra.Command, folders []string) error {
			w := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
			if len(folders) == 0 {
				for _, c := range controls.All() {
					fmt.Fprintf(w, "%s\t%s\t%s\n", c.ID, c.Severity, c.Title)
				}
			}
			for _, folder := range folders {
				found, faults := custom.Load(folder, policy.Stored())
				if len(faults) > 0 {
					return misuse("", "%w", errors.Join(faults...))
				}
				for _, c := range found {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s:%d\n", c.ID, c.Severity, c.Title, c.File, c.Line)
				}
			}
			return w.Flush()
		},
	}
}

func newControlsTest(streams genericiooptions.IOStreams) *cobra.Command {
	var update, verbose bool
	var kubernetes string
	cmd := &cobra.Command{
		Use:   "test [DIR…]",
		Short: "Compile the controls of folders and run their cases",
		Long: `Test compiles every control of the folders (default: this one) as the API server
does, and runs its cases: testdata/ID/*.txtar beside its file. A case is a sentence
that says why it exists, objects in in/*.yaml, and the findings that are wanted.
Every control needs a case in which something is broken and one in which something
holds.

Exit codes: 0 all is well, 2 a control does not compile, 3 a case failed or is
missing.`,
		Example: `  bulwark controls test ./controls
  bulwark controls test ./controls -v

  # write what was found into the cases, then read what it wrote
  bulwark controls test ./controls --update

  # would the API server of an older cluster take them as policies?
  bulwark controls test ./controls --kubernetes-version 1.31`,
		RunE: func(_ *cobra.Command, folders []string) error {
			language := policy.Stored()
			if kubernetes != "" {
				v, err := utilversion.ParseGeneric(kubernetes)
				if err != nil || v.LessThan(utilversion.MajorMinor(1, 25)) || v.Minor() > policy.Newest.Minor() || v.Major() != 1 {
					return misuse("", "--kubernetes-version: %q: want 1.25 to %s", kubernetes, policy.Newest)
				}
				language = policy.ForNew(utilversion.MajorMinor(1, v.Minor()))
			}
			if len(folders) == 0 {
				folders = []string{"."}
			}
			t := &controlsTest{streams: streams, update: update, verbose: verbose}
			return t.run(folders, language)
		},
	}
	cmd.Flags().BoolVar(&update, "update", false, "write what was found into the cases")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "name every case")
	cmd.Flags().StringVar(&kubernetes, "kubernetes-version", "", "compile as an API server of this `version` takes new policies (default: every library up to "+policy.Newest.String()+")")
	return cmd
}

// A controlsTest is a run of cases. It speaks as go test does.
type controlsTest struct {
	streams         genericiooptions.IOStreams
	update, verbose bool
}

func (t *controlsTest) run(folders []string, language policy.Language) error {
	var all []*custom.Control
	var faults []error
	for _, folder := range folders {
		found, bad := custom.Load(folder, language)
		all, faults = append(all, found...), append(faults, bad...)
	}
	for _, c := range all {
		if _, ok := controls.Find(c.ID); ok {
			faults = append(faults, &custom.Fault{File: c.File, Line: c.Line, Err: fmt.Errorf("control %s: the catalogue has one of this ID", c.ID)})
		}
	}
	if len(faults) > 0 {
		return misuse("docs/custom-controls.md has the format", "%w", errors.Join(faults...))
	}
	if len(all) == 0 {
		return misuse("begin one with `bulwark controls new family.name`", "%s: there is no control in it", strings.Join(folders, " "))
	}
	failed := 0
	for _, c := range all {
		r := custom.Test(c)
		if t.update {
			for _, one := range r.Cases {
				if err := one.Update(); err != nil {
					return err
				}
			}
		}
		t.say(r)
		if r.Failed() {
			failed++
		}
	}
	if failed > 0 {
		fmt.Fprintf(t.streams.Out, "FAIL: %d of %d controls\n", failed, len(all))
		return &exitError{code: exitBroken}
	}
	return nil
}

func (t *controlsTest) say(r *custom.Result) {
	out := t.streams.Out
	for _, c := range r.Cases {
		switch {
		case c.Err != nil:
			fmt.Fprintf(out, "--- FAIL: %s/%s\n    %s: %v\n", r.Control.ID, c.Name, c.File, c.Err)
		case c.Want != c.Got:
			fmt.Fprintf(out, "--- FAIL: %s/%s\n    %s: findings (-want +got)\n", r.Control.ID, c.Name, c.File)
			for _, line := range c.Diff() {
				fmt.Fprintf(out, "    %s\n", line)
			}
		case t.verbose:
			fmt.Fprintf(out, "--- PASS: %s/%s\n", r.Control.ID, c.Name)
		}
	}
	if !r.Failed() {
		fmt.Fprintf(out, "ok    %s  %d cases: %d broken, %d held\n", r.Control.ID, len(r.Cases), r.Broken, r.Held)
		return
	}
	if missing := r.Missing(); missing != "" {
		fmt.Fprintf(out, "    %s\n", missing)
	}
	fmt.Fprintf(out, "FAIL  %s  %s\n", r.Control.ID, r.Control.File)
}

func newControlsNew(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "new ID [DIR]",
		Short: "Begin a control of your own, with a case that is broken and one that holds",
		Example: `  bulwark controls new shop.replicas ./controls
  bulwark controls test ./controls`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			id, folder := args[0], "."
			if len(args) > 1 {
				folder = args[1]
			}
			if !custom.IsID(id) {
				return misuse("", "ID %q: want family.name in lower case", id)
			}
			if _, ok := controls.Find(id); ok {
				return misuse("", "control %q: the catalogue has one of this ID", id)
			}
			for _, f := range custom.Skeleton(id) {
				path := filepath.Join(folder, filepath.FromSlash(f.Path))
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					return cause(err)
				}
				if err := create(path, f.Text); err != nil {
					if errors.Is(err, fs.ErrExist) {
						return misuse("", "%s: the file exists", path)
					}
					return fmt.Errorf("%s: %w", path, cause(err))
				}
				fmt.Fprintf(streams.ErrOut, "bulwark: wrote %s\n", path)
			}
			return nil
		},
	}
}

// create writes a file that others may read and that did not exist.
func create(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
