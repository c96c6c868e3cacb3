package cli

import (
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/image/sbom"
)

func newImageSBOM(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageOptions{streams: streams}
	var outputs []string
	cmd := &cobra.Command{
		Use:   "sbom IMAGE",
		Short: "Write what is inside an image as a bill of materials",
		Long: `Sbom writes what is inside an image: its packages, each with the layer that brought
it and the package of the operating system that owns it, the distribution and its end
of life, and what in it gives an attacker more than it had.

` + imageRefs + `

A scan of the bill gives the same findings as a scan of the image.`,
		Example: `  # what is in an image of a registry
  bulwark image sbom registry.example/shop/front:1.4 > front.cdx.json

  # as SPDX, of an archive, for another architecture
  bulwark image sbom -o spdx-json=front.spdx.json --platform linux/arm64 front.tar.gz

  # one format from another
  bulwark image sbom -o spdx-json front.cdx.json`,
		Args: someImages(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			formats, err := parseOutputs(outputs, sbom.Names(), sbom.Find)
			if err != nil {
				return err
			}
			p := startProgress(streams.ErrOut)
			defer p.end()
			img, err := o.read(cmd.Context(), args[0], p)
			if err != nil {
				return err
			}
			p.end()
			err = writeOutputs(streams, formats, func(w io.Writer, f sbom.Format, _ bool) error { return sbom.Write(w, img, f) })
			if err == nil && len(img.Gaps) > 0 {
				untold(streams.ErrOut, img)
				return &exitError{code: exitIncomplete}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&outputs, "output", "o", nil, "`format` or format=file, repeatable: cyclonedx-json, spdx-json (default cyclonedx-json)")
	o.addFlags(f)
	complete(cmd, "output", sbom.Names()...)
	return cmd
}
