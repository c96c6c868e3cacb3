package cli

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/signature"
	"github.com/bulwark-k8s/bulwark/internal/signature/pin"
)

// imagePinOptions are the flags of image pin.
type imagePinOptions struct {
	registry registryFlags
	policy   string
	write    bool
	check    bool
	streams  genericiooptions.IOStreams
}

func newImagePin(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imagePinOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "pin PATH…",
		Short: "Write digests into manifests where they name images by tags",
		Long: `Pin finds the images of containers and image volumes in manifests, asks their
registries which digest each tag names now, and shows as a diff how the files would say
so. A tag may be moved to another image by whoever may push; a digest may not.

Nothing is written without --write. Then only the references change, in their places:
comments, quotes and order stay, and each file is replaced whole. The diff on standard
output is the way back: patch -R -p0.

With --policy only images that are verified are pinned: what was verified is then what
runs.

Folders are searched for .yaml, .yml and .json files; templates are passed over, and
told. The exit code is 3 with --check if an image is not pinned, or one was refused, and
4 if a registry did not answer or a file could not be read.`,
		Example: `  # what would change
  bulwark image pin ./deploy

  # change it, and keep the way back
  bulwark image pin ./deploy --write >pin.diff

  # in a pipeline: every image has a digest, without asking registries
  bulwark image pin ./deploy --check`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misuse("see `"+cmd.CommandPath()+" --help`", "want files or folders")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.policy, "policy", "", "a `file` that says who must sign: pin what is verified only")
	f.BoolVar(&o.write, "write", false, "write the files")
	f.BoolVar(&o.check, "check", false, "ask nobody, and say only what has no digest")
	o.registry.add(cmd)
	return cmd
}

func (o *imagePinOptions) run(ctx context.Context, paths []string) error {
	if o.check && (o.write || o.policy != "") {
		return misuse("", "--check asks nobody and writes nothing: leave out --write and --policy")
	}
	digest, err := o.resolver(ctx)
	if err != nil {
		return err
	}
	files, err := manifestFiles(paths)
	if err != nil {
		return misuse("", "%w", err)
	}
	known := map[string]string{} // what each image is pinned to; empty: it stays
	code, found, changed := exitClean, 0, 0
	say := func(worse int, format string, args ...any) {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: "+format+"\n", args...)
		if code == exitClean || worse == exitBroken {
			code = worse
		}
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			say(exitIncomplete, "%v", err)
			continue
		}
		refs, err := pin.Refs(data)
		if err != nil {
			say(exitIncomplete, "%s: %s", clean(file), clean(err.Error()))
			continue
		}
		for _, r := range refs {
			if strings.Contains(r.Image, "@") {
				continue
			}
			found++
			if o.check {
				say(exitBroken, "%s:%d: image %s has no digest", clean(file), r.Line, clean(r.Image))
				continue
			}
			if _, ok := known[r.Image]; ok {
				continue
			}
			to, worse, err := digest(r.Image)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if known[r.Image] = to; err != nil {
				say(worse, "%s:%d: image %s stays as it is: %s", clean(file), r.Line, clean(r.Image), clean(err.Error()))
			}
		}
		if o.check {
			continue
		}
		out, changes, err := pin.Rewrite(data, func(image string) string { return known[image] })
		if err != nil {
			say(exitIncomplete, "%s: %s", clean(file), clean(err.Error()))
			continue
		}
		if err := pin.Diff(o.streams.Out, file, changes); err != nil {
			return fmt.Errorf("writing to standard output: %w", err)
		}
		changed += len(changes)
		if o.write && len(changes) > 0 && !bytes.Equal(out, data) {
			if err := rewriteFile(file, out); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	switch {
	case o.check && found == 0:
		fmt.Fprintf(o.streams.ErrOut, "bulwark: every image has a digest\n")
	case changed > 0 && !o.write:
		fmt.Fprintf(o.streams.ErrOut, "bulwark: nothing was written; --write does\n")
	}
	if code != exitClean {
		return &exitError{code: code}
	}
	return nil
}

// resolver returns what tells the digest of an image, or why not and how that ends.
func (o *imagePinOptions) resolver(ctx context.Context) (func(image string) (string, int, error), error) {
	registry, err := o.registry.open()
	if err != nil {
		return nil, err
	}
	if o.policy == "" {
		return func(image string) (string, int, error) {
			ctx, done := context.WithTimeout(ctx, o.registry.timeout)
			defer done()
			to, err := signature.Pin(ctx, registry, image)
			return to, exitIncomplete, err
		}, nil
	}
	policy, err := (&imageVerifyOptions{policy: o.policy, ct: true}).read()
	if err != nil {
		return nil, err
	}
	verifier := signature.New(policy, registry, signature.Options{Now: time.Now})
	return func(image string) (string, int, error) {
		ctx, done := context.WithTimeout(ctx, o.registry.timeout)
		defer done()
		v, err := verifier.Verify(ctx, image)
		switch {
		case err != nil:
			return "", exitIncomplete, err
		case v.Outcome == signature.Verified:
			return signature.WithDigest(image, v.Digest), exitClean, nil
		case v.Outcome == signature.Allowed:
			to, err := signature.Pin(ctx, registry, image)
			return to, exitIncomplete, err
		case v.Outcome == signature.Unknown:
			return "", exitIncomplete, fmt.Errorf("it could not be told who signed it: %s", strings.Join(v.Reasons, "; "))
		}
		return "", exitBroken, fmt.Errorf("it is refused: %s", strings.Join(v.Reasons, "; "))
	}, nil
}

// manifestFiles are the files that are named, and those below folders, in their order.
func manifestFiles(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, p)
			continue
		}
		err = filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rewriteFile replaces a manifest, and leaves who may read it as it was.
func rewriteFile(file string, data []byte) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if err := writeFile(file, data); err != nil {
		return err
	}
	return os.Chmod(file, info.Mode().Perm())
}
