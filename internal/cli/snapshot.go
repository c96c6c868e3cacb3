package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/snapshot"
)

const snapshotFile = "bulwark-snapshot.gz"

func newSnapshot(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &scanOptions{kube: kubeFlags, streams: streams}
	var out string
	cmd := &cobra.Command{
		Use:     "snapshot [PATH…]",
		GroupID: "look",
		Short:   "Write what a scan would read into one file, to be scanned elsewhere",
		Long: `Snapshot reads what a scan would read and writes it into one file. Scanned
anywhere, also without a network, the file gives what a scan would have given here.

The file holds no value of a Secret or ConfigMap, which are never read, and none of
an environment variable; arguments and headers that look like credentials are taken
out. What else stands in pod specs and annotations is in it, so only its owner may
read it.`,
		Example: `  # on the site
  bulwark snapshot -o site.gz

  # elsewhere
  bulwark snapshot show site.gz
  bulwark scan site.gz -o html=site.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.snapshot(cmd.Context(), args, out)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&out, "output", "o", snapshotFile, "the `file` to write")
	f.BoolVar(&o.host, "host", false, "also read the machine this runs on (best as root)")
	addConfig(f, &o.stand.config)
	kubeFlags.AddFlags(f)
	cmd.AddCommand(newSnapshotShow(streams))
	return cmd
}

func newSnapshotShow(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "Say what a snapshot's file holds",
		Example: "  bulwark snapshot show site.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			f, size, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			h, err := snapshot.ReadHeader(f, size)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			showSnapshot(streams.Out, h)
			return nil
		},
	}
}

func (o *scanOptions) snapshot(ctx context.Context, paths []string, out string) error {
	var err error
	if o.workloads, err = readWorkloads(o.stand.config, paths); err != nil {
		return err
	}
	p := startProgress(o.streams.ErrOut)
	defer p.end()
	taken := time.Now()
	s, err := o.read(ctx, paths, p)
	if err != nil {
		return err
	}
	p.say("writing %s", out)
	var buf bytes.Buffer
	if err := snapshot.Write(&buf, s, snapshot.Options{
		Bulwark: version(), Taken: taken, Pod: controls.RedactPod, Args: controls.RedactArgs, Settings: controls.RedactSettings,
	}); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := writeFile(out, buf.Bytes()); err != nil {
		return fmt.Errorf("snapshot %s: %w", out, err)
	}
	h, err := snapshot.ReadHeader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", out, err)
	}
	p.end()
	showSnapshot(o.streams.Out, h)
	fmt.Fprintf(o.streams.ErrOut, "bulwark: wrote %s\n", out)
	return nil
}

func showSnapshot(w io.Writer, h snapshot.Header) {
	what := "files"
	if h.Live {
		what = "cluster"
	}
	fmt.Fprintf(w, "%s %s %s\ntaken %s by bulwark %s\n", what, printable(h.Cluster), printable(h.Version), h.Taken.Format(time.RFC3339), printable(h.Bulwark))
	fmt.Fprintln(w, "\nholds")
	for _, kind := range slices.Sorted(maps.Keys(h.Counts)) {
		fmt.Fprintf(w, "%8d  %s\n", h.Counts[kind], printable(kind))
	}
	if len(h.Foreign) > 0 {
		fmt.Fprintln(w, "\nmet, of kinds that no control knows, and left out")
		for _, kind := range slices.Sorted(maps.Keys(h.Foreign)) {
			fmt.Fprintf(w, "%8d  %s\n", h.Foreign[kind], printable(kind))
		}
	}
	if len(h.Gaps) > 0 {
		fmt.Fprintln(w, "\ncould not be read")
		for _, g := range h.Gaps {
			fmt.Fprintf(w, "  %s\n", printable(g.String()))
		}
	}
	fmt.Fprintln(w, "\nleft out")
	for _, l := range h.LeftOut {
		fmt.Fprintf(w, "  %s\n", printable(l))
	}
}

// printable keeps what a file says of itself from moving the cursor.
func printable(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, []byte(s)))
}

func openFile(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, cause(err))
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("%s: %w", path, cause(err))
	}
	return f, info.Size(), nil
}

// snapshotHeader reads what a path that is a snapshot's file says of itself, and reports
// whether it is one.
func snapshotHeader(path string) (h snapshot.Header, is bool, err error) {
	f, size, err := snapshotIn(path)
	if f == nil {
		return h, false, err
	}
	defer f.Close()
	if h, err = snapshot.ReadHeader(f, size); err != nil {
		err = fmt.Errorf("snapshot %s: %w", path, err)
	}
	return h, true, err
}

// readSnapshot reads a path that is a snapshot's file, and reports whether it is one.
func readSnapshot(path string, workloads []cluster.CustomKind) (*cluster.Snapshot, bool, error) {
	f, size, err := snapshotIn(path)
	if f == nil {
		return nil, false, err
	}
	defer f.Close()
	s, _, err := snapshot.Read(f, size, workloads...)
	if err != nil {
		return nil, true, fmt.Errorf("snapshot %s: %w", path, err)
	}
	return s, true, nil
}

// snapshotIn opens a path that is a snapshot's file, at its beginning; nil where it is
// something else.
func snapshotIn(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, nil //nolint:nilerr // whoever reads it says what is wrong
	}
	f, size, err := openFile(path)
	if err != nil {
		return nil, 0, nil //nolint:nilerr // likewise
	}
	start := make([]byte, 512)
	n, _ := io.ReadFull(f, start)
	if !snapshot.Is(start[:n]) {
		f.Close()
		return nil, 0, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("%s: %w", path, cause(err))
	}
	return f, size, nil
}
