// Package cli is the face that people type at: flags become options, options go to a
// verb, and what comes back goes to stdout, with the talk on stderr and the outcome
// in the exit code. It is one of the two places that introduce adapters to verbs.
//
// The rules of its words: no capital initials and no full stops in messages; errors
// as "bulwark: error: …" and the next step as "bulwark: hint: …".
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// The exit codes, equal for every format.
const (
	exitClean      = 0
	exitFailed     = 1 // it could not run
	exitMisuse     = 2 // wrong flags or arguments
	exitBroken     = 3 // something is broken at or above --fail-on
	exitIncomplete = 4 // nothing is broken, but something is unknown
)

// An exitError ends the program with a code. With a nil err it does so silently: the
// report has said it all.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func (e *exitError) Hint() string { return e.hint }

// misuse is an error of the one who typed.
func misuse(hint, format string, args ...any) error {
	return &exitError{code: exitMisuse, err: fmt.Errorf(format, args...), hint: hint}
}

// Main runs the program and returns its exit code. args[0] is the program's name,
// which decides whether it speaks as a kubectl plugin.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	streams := genericiooptions.IOStreams{In: stdin, Out: stdout, ErrOut: stderr}
	root := newRoot(filepath.Base(args[0]), streams)
	root.SetArgs(args[1:])
	if filepath.Base(args[0]) == "kubectl_complete-bulwark" {
		// kubectl asks a program of this name what can follow `kubectl bulwark`.
		root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, args[1:]...))
	}
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return finish(ctx, root.ExecuteContext(ctx), stderr)
}

// finish prints an error, and the hint that any error of its chain carries.
func finish(ctx context.Context, err error, stderr io.Writer) int {
	if err == nil {
		return exitClean
	}
	code := exitFailed
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(stderr, "bulwark: error: %s\n", err)
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) && hinter.Hint() != "" {
		fmt.Fprintf(stderr, "bulwark: hint: %s\n", hinter.Hint())
	}
	return code
}

// Command returns the commands as they are, for what makes pages of them. Nothing that
// they print is seen.
func Command() *cobra.Command {
	root := newRoot("bulwark", genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: io.Discard})
	root.InitDefaultCompletionCmd()
	return root
}

func newRoot(program string, streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:   "bulwark",
		Short: "Find every way into a Kubernetes cluster, close it, prove that it is closed",
		Long: `Bulwark finds every way into a Kubernetes cluster, closes them, proves on the
running cluster that they are closed, and keeps watch.

It talks to the cluster and to what you configured, to nothing else. It never
prints or stores a secret's value.

Exit codes: 0 clean, 1 could not run, 2 misuse, 3 broken at or above --fail-on,
4 incomplete (something could not be told).`,
		Example: `  bulwark scan                        # the cluster of the current context
  bulwark scan ./manifests            # files before they are applied
  bulwark scan -o html=report.html    # a page to read and hand on
  bulwark explain pod.privileged      # why a control exists and how to fix it
  bulwark up                          # a real, secured cluster on this machine`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	if strings.HasPrefix(program, "kubectl-") {
		// kubectl's own way to let a plugin's help read "kubectl bulwark".
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl bulwark"}
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return misuse("see `"+cmd.CommandPath()+" --help`", "%w", err)
	})
	root.PersistentFlags().Bool("no-color", false, "print without colours (also: NO_COLOR)")

	// kubectl's flags, with its names and defaults.
	kubeFlags := genericclioptions.NewConfigFlags(true)
	root.AddGroup(
		&cobra.Group{ID: "look", Title: "Look:"},
		&cobra.Group{ID: "ask", Title: "Ask who may do what:"},
		&cobra.Group{ID: groupPKI, Title: "Certificates:"},
		&cobra.Group{ID: "lab", Title: "Lab, a real cluster on this machine:"},
	)
	root.AddCommand(
		newScan(kubeFlags, streams),
		newDiff(streams),
		newNet(kubeFlags, streams),
		newImage(streams),
		newSnapshot(kubeFlags, streams),
		newExplain(streams),
		newControls(streams),
		newRole(streams),
		newCan(kubeFlags, streams),
		newWho(kubeFlags, streams),
		newRights(kubeFlags, streams),
		newPKI(kubeFlags, streams),
		newUp(streams),
		newDown(streams),
		newStatus(streams),
		newEnter(streams),
		newVersion(streams),
		newHostFacts(streams),
	)
	root.AddCommand(newRender(streams))
	root.AddCommand(newLabInternal(streams)...)
	root.SuggestionsMinimumDistance = 2
	return root
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see `" + cmd.CommandPath() + " --help`"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean `" + cmd.CommandPath() + " " + near[0] + "`?"
	}
	return misuse(hint, "command %q: no such command", args[0])
}

// complete offers a flag's possible values to the shell. The flag exists, so there is
// no error to have.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// colour reports whether stdout takes colours: a terminal, and nobody said no.
func colour(cmd *cobra.Command, out io.Writer) bool {
	if no, _ := cmd.Flags().GetBool("no-color"); no || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, tty := terminal(out)
	return tty
}
