package cli

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// run is the program as its users start it.
func run() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(Main(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"bulwark":                  run,
		"kubectl-bulwark":          run,
		"kubectl_complete-bulwark": run,
	})
}

// TestStories runs testdata/*.txtar: one story a file.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			// No story may find the cluster of whoever runs it.
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("KUBECONFIG", "")
			env.Setenv("XDG_STATE_HOME", env.WorkDir)
			return nil
		},
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"signed-images": signedImages,
			// code CODE COMMAND…: the command ends with exactly this exit code.
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if err != nil {
					got = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if got != args[0] {
					ts.Fatalf("%s: exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
				}
			},
		},
	})
}

// TestEveryCommandHelps: a command says what it does, shows an example, and every
// flag has its own words.
func TestEveryCommandHelps(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			if c.Short == "" || c.Example == "" {
				t.Errorf("%s: want Short and Example", c.CommandPath())
			}
			if strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: Short ends with a full stop", c.CommandPath())
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot("bulwark", genericiooptions.NewTestIOStreamsDiscard()))
}
