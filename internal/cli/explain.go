package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/policy/custom"
	"github.com/bulwark-k8s/bulwark/internal/standard"
)

func newExplain(streams genericiooptions.IOStreams) *cobra.Command {
	var own ownOptions
	cmd := &cobra.Command{
		Use:     "explain [ID]",
		GroupID: "look",
		Short:   "Say why a control exists, what an attacker gains, and how it is fixed",
		Long: `Explain prints the page of one control: why it exists, what evidence it looks at,
how to fix it and how to prove it. Without an ID it lists the catalogue.`,
		Example: `  bulwark explain
  bulwark explain pod.privileged
  bulwark explain shop.replicas --controls-dir ./controls`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return controlIDs(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				w := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
				for _, c := range allControls() {
					fmt.Fprintf(w, "%s\t%s\t%s\n", c.ID, c.Severity, c.Title)
				}
				return w.Flush()
			}
			if err := own.load(); err != nil {
				return err
			}
			c, ok := find(args[0], own.controls...)
			if !ok {
				return misuse(nearest(args[0]), "control %q: no such ID", args[0])
			}
			fmt.Fprintf(streams.Out, "%s  (%s, %s)\n%s\n\n%s", c.ID, c.Severity, origin(c), c.Title, c.Doc)
			if len(c.Refs) > 0 {
				var refs []string
				for _, r := range c.Refs {
					ref := r.String()
					if r.Beyond {
						ref += " (goes further)"
					}
					refs = append(refs, ref)
				}
				fmt.Fprintf(streams.Out, "\nKnown elsewhere as: %s\n", strings.Join(refs, "; "))
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&own.folders, "controls-dir", nil, "also the controls of this `folder`, repeatable")
	return cmd
}

// origin is the release that brought a control, or that it is nobody's but the reader's.
func origin(c *control.Control) string {
	if c.Since == custom.Since {
		return c.Since
	}
	return "since " + c.Since
}

// find returns a control of the catalogue, one that a standard brings, or one's own.
func find(id string, own ...*control.Control) (*control.Control, bool) {
	all := slices.Concat(allControls(), standard.PodSecurity(), own)
	i := slices.IndexFunc(all, func(c *control.Control) bool { return c.ID == id })
	if i < 0 {
		return nil, false
	}
	return all[i], true
}

// nearest suggests the controls that share a part of their ID with a mistyped one.
func nearest(id string) string {
	var near []string
	for part := range strings.SplitSeq(id, ".") {
		for _, c := range allControls() {
			if len(part) > 2 && strings.Contains(c.ID, part) && len(near) < 5 {
				near = append(near, c.ID)
			}
		}
	}
	if len(near) == 0 {
		return "`bulwark explain` lists them all"
	}
	return "did you mean " + strings.Join(near, ", ") + "?"
}
