package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/segment/show"
)

func newNetDiff(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &netOptions{kube: kubeFlags, streams: streams}
	var output, failOn string
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say which connections a change of policies opens or closes",
		Long: `Diff compares what policies allow in two states, each a folder, a file, a chart or a
snapshot: between workloads, which are the same ones if their kinds and names are, and
with everybody outside. It is about what is allowed, not about how it is written:
splitting a policy in two is no change.

Exit codes: 0 nothing was gained, 3 a connection was gained (or what --fail-on says),
4 none was, as far as could be told.`,
		Example: `  # in a pull request: what the branch opens
  git worktree add /tmp/main main
  bulwark net diff /tmp/main/deploy ./deploy

  # a cluster, then and now
  bulwark snapshot -o now.gz
  bulwark net diff then.gz now.gz -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return misuse("see `"+cmd.CommandPath()+" --help`", "diff: %d arguments, want an older and a newer state", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.color = colour(cmd, streams.Out)
			return o.diff(cmd.Context(), args, output, failOn)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "text", "`format`: text or json")
	f.StringVar(&failOn, "fail-on", "gained", "what ends with exit code 3: gained, lost, any or none")
	complete(cmd, "output", "text", "json")
	complete(cmd, "fail-on", "gained", "lost", "any", "none")
	o.addFlags(cmd, false)
	return cmd
}

func (o *netOptions) diff(ctx context.Context, args []string, output, failOn string) error {
	fails := map[string]func(*segment.Difference) bool{
		"gained": func(d *segment.Difference) bool { return len(d.Gained) > 0 },
		"lost":   func(d *segment.Difference) bool { return len(d.Lost) > 0 },
		"any":    func(d *segment.Difference) bool { return len(d.Gained)+len(d.Lost) > 0 },
		"none":   func(*segment.Difference) bool { return false },
	}[failOn]
	switch {
	case fails == nil:
		return misuse("", "--fail-on: %q: want gained, lost, any or none", failOn)
	case output != "text" && output != "json":
		return misuse("", "--output: format %q: want text or json", output)
	}
	var in [2]*netInput
	for i, path := range args {
		var err error
		if in[i], err = o.read(ctx, []string{path}); err != nil {
			return err
		}
	}
	d := segment.Diff(in[0].View, in[1].View)
	err := o.write(func(w io.Writer) error {
		if output == "json" {
			return show.WriteDiffJSON(w, args[0], args[1], d)
		}
		return show.WriteDiff(w, args[0], args[1], d, o.shown())
	})
	switch {
	case err != nil:
		return err
	case fails(d):
		return &exitError{code: exitBroken}
	}
	in[1].incomplete = in[1].incomplete || in[0].incomplete
	return in[1].exit(d.Untold > 0)
}
