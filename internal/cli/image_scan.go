package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
	"github.com/bulwark-k8s/bulwark/internal/match/facts"
	"github.com/bulwark-k8s/bulwark/internal/report"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// imageScanOptions are the flags of image scan.
type imageScanOptions struct {
	imageOptions
	matchOptions

	outputs []string
	failOn  []string
	all     bool
	color   bool
}

func newImageScan(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageScanOptions{imageOptions: imageOptions{streams: streams}}
	cmd := &cobra.Command{
		Use:   "scan IMAGE…",
		Short: "Say which known vulnerabilities images have, and what to do about them",
		Long: `Scan says which known vulnerabilities are in images and how to be rid of most of them
at once, and what is wrong with how the images are built.

` + imageRefs + `

What is known comes from the database on this machine: make it with ` + "`bulwark image db\nupdate`, or carry it in with `bulwark image db import`" + `. Nobody is asked but the
registries that are named.

The distributor's word on its own packages comes first; vulnerable Go code that is not
in the binary is set aside. What nobody has data for is not assessed, never clean: the
exit code is then 4, unless something is at or above --fail-on, which is 3.`,
		Example: `  # an image of a registry
  bulwark image scan registry.example/shop/front:1.4

  # in a pipeline, before the push: only what is grave or exploited fails
  docker save shop/front | bulwark image scan - --fail-on high,kev -o table -o sarif=front.sarif

  # every archive of a folder into one page
  bulwark image scan images/*.tar -o html=images.html

  # a bill of materials; only what has a fix; with the maintainers' VEX
  bulwark image scan front.cdx.json --fixed-only --vex front.openvex.json`,
		Args: someImages(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.color = colour(cmd, streams.Out)
			return o.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.outputs, "output", "o", nil, "`format` or format=file, repeatable: "+strings.Join(report.ImageFormatNames(), ", ")+" (default table)")
	f.StringSliceVar(&o.failOn, "fail-on", []string{"medium"}, "what ends with exit code 3: the least severity (critical, high, medium, low) or none, and kev for what is known to be exploited; what nobody has rated counts as medium")
	f.BoolVar(&o.all, "all", false, "show every finding, with its evidence")
	o.imageOptions.addFlags(f)
	o.matchOptions.addFlags(f)
	complete(cmd, "output", report.ImageFormatNames()...)
	complete(cmd, "fail-on", "critical", "high", "medium", "low", "none", "kev")
	return cmd
}

// A threshold is what ends with exit code 3.
type threshold struct {
	severity  advisory.Severity // Unrated: no severity does
	exploited bool
}

func parseThreshold(words []string) (threshold, error) {
	var t threshold
	none := false
	for _, w := range words {
		var s advisory.Severity
		switch err := s.UnmarshalText([]byte(strings.ToLower(w))); {
		case strings.EqualFold(w, "kev"):
			t.exploited = true
		case strings.EqualFold(w, "none"):
			none = true
		case err != nil || s < advisory.Low:
			return t, misuse("", "--fail-on: %q: want critical, high, medium, low, none or kev", w)
		case t.severity == advisory.Unrated || s < t.severity:
			t.severity = s
		}
	}
	if none && t.severity != advisory.Unrated {
		return t, misuse("", "--fail-on: none goes with no severity")
	}
	return t, nil
}

// crossed reports whether an image has something at or above the threshold.
func (t threshold) crossed(i *report.ScannedImage) bool {
	if i.Result == nil {
		return false
	}
	found := slices.ContainsFunc(i.Findings, func(f match.Finding) bool {
		severity := f.Severity
		if severity == advisory.Unrated { // nobody has said that it is less
			severity = advisory.Medium
		}
		return t.severity != advisory.Unrated && severity >= t.severity || t.exploited && !f.Exploited.IsZero()
	})
	if found || t.severity == advisory.Unrated || i.Built == nil {
		return found
	}
	return i.Built.Gate() >= t.least()
}

// least is the threshold in the catalogue's words.
func (t threshold) least() control.Severity {
	s, err := control.ParseSeverity(t.severity.String())
	if err != nil {
		return control.Low // which is what is less than low, too
	}
	return s
}

func (o *imageScanOptions) run(ctx context.Context, refs []string) error {
	outputs, err := parseOutputs(o.outputs, report.ImageFormatNames(), report.FindImageFormat)
	if err != nil {
		return err
	}
	limit, err := parseThreshold(o.failOn)
	if err != nil {
		return err
	}
	for _, out := range outputs {
		if out.format.Single && len(refs) > 1 {
			return misuse("give it one image, or scan them one by one", "--output: %s is a document on one image, and there are %d", out.format.Name, len(refs))
		}
	}
	started := time.Now()
	db, err := o.open(started)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only read
	chosen, err := controls.Select([]string{"image"})
	if err != nil {
		return err
	}
	p := startProgress(o.streams.ErrOut)
	defer p.end()
	out := &report.Images{Version: version(), Started: started}
	for _, ref := range refs {
		i, err := o.one(ctx, ref, db, chosen, p, started)
		if err != nil {
			return err
		}
		out.Images = append(out.Images, i)
	}
	if only := out.Images[0]; len(refs) == 1 && only.Err != nil {
		return only.Err // a report on nothing says no more
	}
	out.Notes = db.notes()
	out.Took = time.Since(started)
	p.end()
	options := report.Options{All: o.all}
	shown := options
	shown.Color = o.color
	shown.Width, _ = terminal(o.streams.Out)
	err = writeOutputs(o.streams, outputs, func(w io.Writer, f report.ImageFormat, toFile bool) error {
		if toFile {
			return f.Write(w, out, options)
		}
		return f.Write(w, out, shown)
	})
	if err != nil {
		return err
	}
	return o.outcome(out, limit, db.worst())
}

// outcome is the exit code. What lets vulnerabilities stand counts by its own faults.
func (o *imageScanOptions) outcome(r *report.Images, limit threshold, stands control.Severity) error {
	failed, incomplete := 0, false
	broken := limit.severity != advisory.Unrated && stands >= limit.least()
	for _, i := range r.Images {
		if i.Err != nil {
			fmt.Fprintf(o.streams.ErrOut, "bulwark: error: %s\n", i.Err)
			failed++
			continue
		}
		incomplete = incomplete || len(i.NotAssessed) > 0
		broken = broken || limit.crossed(i)
	}
	switch {
	case failed == len(r.Images):
		return &exitError{code: exitFailed}
	case broken:
		return &exitError{code: exitBroken}
	case incomplete || failed > 0:
		return &exitError{code: exitIncomplete}
	}
	return nil
}

// one scans an image. What cannot be read is told of the image; an error ends the run.
func (o *imageScanOptions) one(ctx context.Context, ref string, db *vulnerabilities, chosen []*control.Control, p *progress, now time.Time) (*report.ScannedImage, error) {
	img, err := o.read(ctx, ref, p)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return &report.ScannedImage{Name: ref, Err: err}, nil //nolint:nilerr // the report tells it
	}
	r, err := db.match(img)
	if err != nil {
		return nil, err
	}
	return &report.ScannedImage{Name: img.Name, Result: r, Remedies: match.Remedies(r), Built: built(img, chosen, now)}, nil
}

// built is what the catalogue says of how an image is built.
func built(img *image.Image, chosen []*control.Control, now time.Time) *scan.Result {
	b := cluster.NewBuilder(img.Name, false)
	b.AddImage(facts.Of(img, nil, now))
	return scan.Run(b.Snapshot(), chosen)
}
