package cli

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// newImage groups what is asked of container images.
func newImage(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		GroupID: "look",
		Short:   "Say what is inside an image, what is wrong with it, and who signed it",
		Long: `Image tells of container images what is inside them, which known vulnerabilities
they have, and whether they are what was signed.

It reads registries, archives, layouts, stores of container engines, folders and
bills of materials, and asks nobody but the registry that is named. What is known of
vulnerabilities comes from a database on this machine, which ` + "`bulwark image db`" + ` makes.`,
		Example: `  bulwark image db update                               # what is known, once a day
  bulwark image scan registry.example/shop/front:1.4    # what is wrong, what to do first
  bulwark image sbom registry.example/shop/front:1.4    # what is inside
  bulwark image verify registry.example/shop/front:1.4 --key cosign.pub
  bulwark image pin ./deploy                            # digests in the place of tags`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImagePin(streams), newImageVerify(streams), newImageScan(streams), newImageSBOM(streams), newImageDB(streams))
	return cmd
}
