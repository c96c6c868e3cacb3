// Command dist makes what a release hands out: man pages, shell completions, and for
// each platform an archive, with their checksums and the manifest by which krew finds
// them. It publishes nothing. The same source and time give the same bytes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

// options say what to make; what is empty is not made.
type options struct {
	man, completions, archives string // folders

	source    string // the module's root
	version   string
	platforms []platform
	url       string // below which an archive can be had, after its version
	time      time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "dist: error: %s\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	var platforms string
	var unix int64
	f := flag.NewFlagSet("dist", flag.ContinueOnError)
	f.StringVar(&o.man, "man", "", "write man pages into this `folder`")
	f.StringVar(&o.completions, "completions", "", "write shell completions into this `folder`")
	f.StringVar(&o.archives, "archives", "", "write archives, checksums and the krew manifest into this `folder`")
	f.StringVar(&o.source, "source", "..", "the `folder` of the source")
	f.StringVar(&o.version, "version", "", "the release, as v1.2.3")
	f.StringVar(&platforms, "platforms", defaultPlatforms, "the `list` of platforms")
	f.StringVar(&o.url, "url", "https://github.com/bulwark-k8s/bulwark/releases/download", "where releases will lie")
	f.Int64Var(&unix, "time", 0, "when the source was last changed, in `seconds` since 1970")
	if err := f.Parse(args); err != nil {
		return err
	}
	o.time = time.Unix(unix, 0).UTC()
	for p := range strings.SplitSeq(platforms, ",") {
		goos, arch, ok := strings.Cut(p, "/")
		if !ok {
			return fmt.Errorf("-platforms: %q, want os/arch", p)
		}
		o.platforms = append(o.platforms, platform{goos, arch})
	}
	if o.man != "" {
		if err := manPages(o.man, o.version, o.time); err != nil {
			return fmt.Errorf("man pages: %w", err)
		}
	}
	if o.completions != "" {
		if err := completions(o.completions); err != nil {
			return fmt.Errorf("completions: %w", err)
		}
	}
	if o.archives != "" {
		return release(ctx, o)
	}
	return nil
}
