package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
	"github.com/bulwark-k8s/bulwark/internal/advisory/store"
)

// imageDB are the flags of the commands on the database.
type imageDB struct {
	streams    genericiooptions.IOStreams
	dir        string
	signKey    string
	key        string
	allowOlder bool
	shards     []string
	plainHTTP  bool
}

func newImageDB(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "db",
		Short: "Make, fetch, carry and check the database of vulnerabilities",
		Long: `The database says which versions of which packages have which vulnerabilities. It
is made on this machine of what distributions and ecosystems publish, or taken from
somebody who made it: out of one file, or from a registry. No other command
contacts a feed, and none needs the database but those that look for
vulnerabilities.

It is a folder of tables, one for each ecosystem and each release of a
distribution, that any number of processes read at once while it is replaced as a
whole. The same feeds make the same bytes.`,
		Example: `  bulwark image db update                     # from the official feeds
  bulwark image db status                     # what there is, and how old
  bulwark image db export -o vulndb.tar.zst   # for a site without a network
  bulwark image db import vulndb.tar.zst`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newImageDBUpdate(streams), newImageDBBuild(streams), newImageDBStatus(streams), newImageDBVerify(streams),
		newImageDBExport(streams), newImageDBImport(streams), newImageDBPush(streams), newImageDBPull(streams),
	)
	return cmd
}

// folder adds the flag that all have.
func (o *imageDB) folder(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.dir, "db", "", "the `folder` of the database (default in the user's cache)")
}

func (o *imageDB) signing(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.signKey, "sign-key", "", "sign with the private key in this `file`: PEM, ed25519 or ECDSA")
}

// taking adds the flags of what takes over a database that somebody else made.
func (o *imageDB) taking(cmd *cobra.Command) {
	o.checking(cmd)
	cmd.Flags().BoolVar(&o.allowOlder, "allow-older", false, "take it even if it is older than the one that is there")
}

func (o *imageDB) checking(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.key, "key", "", "the public key in this `file` must have signed it: PEM, ed25519 or ECDSA, as cosign's")
}

func (o *imageDB) choosing(cmd *cobra.Command, verb string) {
	cmd.Flags().StringSliceVar(&o.shards, "shard", nil, verb+" only this `shard` or all below it, such as npm, deb/debian/12 or apk; repeatable")
}

func (o *imageDB) secure(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.plainHTTP, "plain-http", false, "talk to the registry without TLS")
}

// options reads the keys.
func (o *imageDB) options() (store.Options, error) {
	opts := store.Options{Now: time.Now(), AllowOlder: o.allowOlder}
	var err error
	if opts.Sign, err = readKey(o.signKey, "--sign-key", store.ParsePrivateKey); err != nil {
		return opts, err
	}
	opts.Key, err = readKey(o.key, "--key", store.ParsePublicKey)
	return opts, err
}

// readKey reads the key in a file; nothing without one.
func readKey[K any](file, flag string, parse func([]byte) (K, error)) (key K, err error) {
	if file == "" {
		return key, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return key, misuse("", "%s %s: %w", flag, file, cause(err))
	}
	if key, err = parse(data); err != nil {
		return key, &exitError{code: exitMisuse, err: fmt.Errorf("%s %s: %w", flag, file, err), hint: hintOf(err)}
	}
	return key, nil
}

func newImageDBBuild(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageDB{streams: streams}
	var osv, ubuntu, secdb, debian, redhat, kev, epss []string
	cmd := &cobra.Command{
		Use:   "build --osv DIR [--secdb DIR]…",
		Short: "Make the database of feeds that are on this machine",
		Long: `Build makes the database of files that were brought here by other means, instead
of the one that is there. Nothing is fetched. What cannot be understood is
counted; ` + "`bulwark image db status --skipped`" + ` tells what it was.

Files may be compressed with gzip or zstd, and folders and archives (zip, tar) of
documents are read as a whole.`,
		Example: `  bulwark image db build --osv ./osv          # ./osv/Go/all.zip, ./osv/npm/all.zip, …
  bulwark image db build --osv ./osv --secdb ./secdb --debian tracker.json \
      --redhat csaf_vex.tar.zst --kev kev.json --epss epss.csv.gz --sign-key db.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var inputs []store.Input
			for _, location := range append(slices.Clip(osv), ubuntu...) {
				found, err := store.OSVInputs(location)
				if err != nil {
					return misuse("want a folder with ECOSYSTEM/all.zip in it, a zip, or a folder of records", "--osv %s: %w", location, cause(err))
				}
				inputs = append(inputs, found...)
			}
			for _, more := range []struct {
				flag  string
				kind  feed.Kind
				paths []string
			}{{"secdb", feed.KindSecDB, secdb}, {"debian", feed.KindDebian, debian}, {"redhat", feed.KindCSAF, redhat}, {"kev", feed.KindKEV, kev}, {"epss", feed.KindEPSS, epss}} {
				for _, path := range more.paths {
					if _, err := os.Stat(path); err != nil {
						return misuse("", "--%s %s: %w", more.flag, path, cause(err))
					}
					inputs = append(inputs, store.Input{Name: more.flag + " " + filepath.Base(path), Kind: more.kind, Path: path})
				}
			}
			if len(inputs) == 0 {
				return misuse("bulwark image db build --osv DIR", "build: of which feeds?")
			}
			opts, dir, err := o.prepare()
			if err != nil {
				return err
			}
			opts.AllowOlder = true // whoever builds it knows of what
			m, err := store.Build(cmd.Context(), dir, inputs, opts)
			if err != nil {
				return err
			}
			return o.summary(dir, m)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&osv, "osv", nil, "OSV records: a `folder` in the layout of the OSV bucket, an archive, a folder of records or one record; repeatable")
	f.StringArrayVar(&secdb, "secdb", nil, "security databases of Alpine, Wolfi and Chainguard: a `file`, folder or archive; repeatable")
	f.StringArrayVar(&debian, "debian", nil, "the `file` of Debian's security tracker")
	f.StringArrayVar(&redhat, "redhat", nil, "Red Hat's CSAF VEX documents: a `file`, folder or archive; repeatable")
	f.StringArrayVar(&ubuntu, "ubuntu", nil, "Ubuntu's OSV records: a `file`, folder or archive; repeatable")
	f.StringArrayVar(&kev, "kev", nil, "the `file` of CISA's known exploited vulnerabilities")
	f.StringArrayVar(&epss, "epss", nil, "the `file` of EPSS scores")
	o.folder(cmd)
	o.signing(cmd)
	return cmd
}

// prepare reads what all commands that change the database need.
func (o *imageDB) prepare() (store.Options, string, error) {
	opts, err := o.options()
	if err != nil {
		return opts, "", err
	}
	dir, err := databaseFolder(o.dir)
	return opts, dir, err
}

// summary tells what there is now.
func (o *imageDB) summary(dir string, m *store.Manifest) error {
	records, size, shards := 0, int64(0), 0
	for _, t := range m.Tables {
		size += t.Size
		if t.Info != nil {
			records += t.Info.Records
			shards++
		}
	}
	fmt.Fprintf(o.streams.Out, "%s: %s with %s, %s\n", dir, count(shards, "shard"), count(records, "record"), bytesText(size))
	skipped, failed := 0, 0
	for _, s := range m.Sources {
		for _, k := range s.Skipped {
			skipped += k.Count
		}
		if s.Failed != "" {
			failed++
		}
	}
	if skipped > 0 {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: not understood, or of nothing that is looked for: %s; `bulwark image db status --skipped` lists them\n", entries(skipped))
	}
	if failed > 0 {
		return &exitError{code: exitIncomplete, err: fmt.Errorf("%d of %s could not be read anew", failed, count(len(m.Sources), "feed")), hint: "`bulwark image db status` tells which, and how old what they had is"}
	}
	return nil
}

// entries is a number of them.
func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// bytesText is a size for people.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f kB", float64(n)/(1<<10))
}

func newImageDBUpdate(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageDB{streams: streams}
	var from, only []string
	var list bool
	cmd := &cobra.Command{
		Use:   "update [--from URL]… [--only FEED]…",
		Short: "Fetch what the feeds have changed, and make the database anew",
		Long: `Update fetches what has changed since the last time, and makes the database of it.
A download that is interrupted goes on where it was. Proxies are those of the
environment (HTTPS_PROXY, NO_PROXY).

A feed that cannot be fetched keeps what it had, and ` + "`status`" + ` says how old that is;
the exit code is 4 then. If none can be, the database stays as it is.

A mirror has the feeds at the paths that --list shows. Where --from is given,
nobody else is asked; --from official is where everybody gets them.`,
		Example: `  bulwark image db update
  bulwark image db update --only go --only npm --only debian
  bulwark image db update --from https://mirror.example.com/vulndb --from official
  bulwark image db update --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			feeds, err := chosenFeeds(only)
			if err != nil {
				return err
			}
			if list {
				return listFeeds(streams.Out, feeds)
			}
			opts, dir, err := o.prepare()
			if err != nil {
				return err
			}
			m, err := store.Update(cmd.Context(), dir, store.UpdateOptions{
				Options: opts, Feeds: feeds, Mirrors: from,
				Progress: func(name string, changed bool, err error) {
					switch {
					case err != nil:
						fmt.Fprintf(streams.ErrOut, "bulwark: %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "))
					case changed:
						fmt.Fprintf(streams.ErrOut, "bulwark: %s: fetched\n", name)
					default:
						fmt.Fprintf(streams.ErrOut, "bulwark: %s: as before\n", name)
					}
				},
			})
			if err != nil {
				return &exitError{code: exitFailed, err: err, hint: hintOf(err)}
			}
			return o.summary(dir, m)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&from, "from", nil, "the `address` of a mirror, or official; repeatable, tried in order")
	f.StringSliceVar(&only, "only", nil, "only the `feed` of this name, or those whose names have it as a word: go, debian, alpine; repeatable")
	f.BoolVar(&list, "list", false, "list the feeds, their addresses and their paths on a mirror, and stop")
	o.folder(cmd)
	o.signing(cmd)
	return cmd
}

// chosenFeeds are those whose names have one of the words.
func chosenFeeds(only []string) ([]store.Feed, error) {
	all := store.Feeds()
	if len(only) == 0 {
		return all, nil
	}
	var chosen []store.Feed
	for _, word := range only {
		before := len(chosen)
		for _, f := range all {
			name := strings.ToLower(f.Name)
			if name == strings.ToLower(word) || slices.Contains(strings.Fields(name), strings.ToLower(word)) || strings.TrimPrefix(name, "osv ") == strings.ToLower(word) {
				chosen = append(chosen, f)
			}
		}
		if len(chosen) == before {
			return nil, misuse("`bulwark image db update --list` lists them", "--only %s: there is no such feed", word)
		}
	}
	slices.SortFunc(chosen, func(a, b store.Feed) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(chosen), nil
}

func listFeeds(out io.Writer, feeds []store.Feed) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FEED\tPATH ON A MIRROR\tOFFICIAL")
	for _, f := range feeds {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Name, f.Path, f.URL)
	}
	return w.Flush()
}

func newImageDBExport(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageDB{streams: streams}
	var file string
	cmd := &cobra.Command{
		Use:   "export -o FILE",
		Short: "Write the database, or some shards of it, as one file",
		Long: `Export writes the database as one file, with its signature, for a site without a
network; - is standard output. The same database makes the same file.`,
		Example: `  bulwark image db export -o vulndb.tar.zst
  bulwark image db export --shard deb/debian/12 --shard go -o small.tar.zst`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return misuse("bulwark image db export -o vulndb.tar.zst", "export: to which file?")
			}
			dir, err := databaseFolder(o.dir)
			if err != nil {
				return err
			}
			if file == "-" {
				return store.Export(cmd.Context(), dir, streams.Out, o.shards)
			}
			err = replaceFile(file, func(w io.Writer) error { return store.Export(cmd.Context(), dir, w, o.shards) })
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			fmt.Fprintf(streams.ErrOut, "bulwark: wrote %s\n", file)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "the `file` to write; - is standard output")
	o.folder(cmd)
	o.choosing(cmd, "write")
	return cmd
}

// oneArgument wants exactly one, and says what it is for.
func oneArgument(hint, question string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return misuse(hint, "%s", question)
		case 1:
			return nil
		}
		return misuse(hint, "%q: one is enough", args[1])
	}
}

func newImageDBImport(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageDB{streams: streams}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Take over a database from a file that export wrote",
		Long: `Import reads the file, checks every table against the manifest, and the manifest
against the key if one is given, and only then puts it in the place of the
database that is there. - is standard input. A database that is older than the one
that is there is refused.`,
		Example: `  bulwark image db import vulndb.tar.zst --key db.pub`,
		Args:    oneArgument("bulwark image db import vulndb.tar.zst", "import: which file?"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, dir, err := o.prepare()
			if err != nil {
				return err
			}
			in := streams.In
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], cause(err))
				}
				defer f.Close()
				in = f
			}
			m, err := store.Import(cmd.Context(), dir, in, opts)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return o.summary(dir, m)
		},
	}
	o.folder(cmd)
	o.taking(cmd)
	return cmd
}

func newImageDBPush(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageDB{streams: streams}
	cmd := &cobra.Command{
		Use:   "push REF",
		Short: "Send the database to a registry",
		Long: `Push sends the database to any OCI registry, with one layer for each table: a table
that has not changed is not sent again. It prints the digest. Credentials are
those of docker login.`,
		Example: `  bulwark image db push registry.example.com/security/vulndb:v1`,
		Args:    oneArgument("bulwark image db push HOST/REPOSITORY:TAG", "push: to which reference?"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := databaseFolder(o.dir)
			if err != nil {
				return err
			}
			digest, err := store.Push(cmd.Context(), dir, args[0], store.RegistryOptions{PlainHTTP: o.plainHTTP})
			if err != nil {
				return err
			}
			fmt.Fprintln(streams.Out, digest)
			return nil
		},
	}
	o.folder(cmd)
	o.secure(cmd)
	return cmd
}

func newImageDBPull(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageDB{streams: streams}
	cmd := &cobra.Command{
		Use:   "pull REF",
		Short: "Take over a database from a registry",
		Long: `Pull fetches the tables that are not here yet, checks them as import does, and puts
the database in the place of the one that is there. With --shard only those
shards are fetched, and there will be no others.`,
		Example: `  bulwark image db pull registry.example.com/security/vulndb:v1 --key db.pub
  bulwark image db pull registry.example.com/security/vulndb:v1 --shard deb/debian/12 --shard go`,
		Args: oneArgument("bulwark image db pull HOST/REPOSITORY:TAG", "pull: which reference?"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, dir, err := o.prepare()
			if err != nil {
				return err
			}
			m, fetched, err := store.Pull(cmd.Context(), dir, args[0], store.RegistryOptions{Options: opts, Shards: o.shards, PlainHTTP: o.plainHTTP})
			if err != nil {
				return err
			}
			fmt.Fprintf(streams.ErrOut, "bulwark: fetched %s of %d\n", count(fetched, "table"), len(m.Tables))
			return o.summary(dir, m)
		},
	}
	o.folder(cmd)
	o.taking(cmd)
	o.choosing(cmd, "fetch")
	o.secure(cmd)
	return cmd
}

func newImageDBVerify(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageDB{streams: streams}
	cmd := &cobra.Command{
		Use:   "verify [--key FILE]",
		Short: "Check every byte of the database, and who signed it",
		Long: `Verify reads all of the database: the manifest's signature, if a key is given, each
table's checksum, and each record. Exit codes: 0 all is well, 1 it is not, 4 some of
its tables are not here.`,
		Example: `  bulwark image db verify --key db.pub`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, dir, err := o.prepare()
			if err != nil {
				return err
			}
			m, missing, err := store.Verify(cmd.Context(), dir, opts.Key)
			if err != nil {
				return err
			}
			signed := "; whether it is signed was not asked"
			if opts.Key != nil {
				signed = ", signed by " + o.key
			}
			fmt.Fprintf(streams.Out, "%s: %s sound%s\n", dir, count(len(m.Tables)-len(missing), "table"), signed)
			if len(missing) > 0 {
				return &exitError{code: exitIncomplete, err: fmt.Errorf("%s not here", isAre(len(missing), "table")), hint: "only some shards were exported or pulled"}
			}
			return nil
		},
	}
	o.folder(cmd)
	o.checking(cmd)
	return cmd
}

// isAre is a number with its noun and its verb.
func isAre(n int, noun string) string {
	if n == 1 {
		return count(n, noun) + " is"
	}
	return count(n, noun) + " are"
}

func newImageDBStatus(streams genericiooptions.IOStreams) *cobra.Command {
	o := &imageDB{streams: streams}
	var outputs []string
	var skipped bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what the database has, and how old it is",
		Long: `Status lists the shards with the newest date in each, and the feeds that they were
made of. Exit codes: 0 all feeds were read, 4 some could not be: what they had is
as old as the list says.`,
		Example: `  bulwark image db status
  bulwark image db status --skipped           # what was not understood
  bulwark image db status -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names := []string{"table", "json"}
			outs, err := parseOutputs(outputs, names, func(name string) (string, error) {
				if !slices.Contains(names, name) {
					return "", fmt.Errorf("%q: want table or json", name)
				}
				return name, nil
			})
			if err != nil {
				return err
			}
			dir, err := databaseFolder(o.dir)
			if err != nil {
				return err
			}
			db, err := store.Open(dir)
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }() // it was only read
			s := statusOf(dir, db, time.Now())
			err = writeOutputs(streams, outs, func(w io.Writer, format string, _ bool) error {
				if format == "json" {
					e := json.NewEncoder(w)
					e.SetIndent("", "  ")
					return e.Encode(s)
				}
				return s.table(w, skipped)
			})
			if err != nil {
				return err
			}
			if slices.ContainsFunc(s.Sources, func(x store.Source) bool { return x.Failed != "" }) {
				return &exitError{code: exitIncomplete}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&outputs, "output", "o", nil, "the report's `format`: table, json; FORMAT=FILE writes a file; repeatable")
	cmd.Flags().BoolVar(&skipped, "skipped", false, "list what was not understood")
	complete(cmd, "output", "table", "json")
	o.folder(cmd)
	return cmd
}

// A databaseStatus is what status tells.
type databaseStatus struct {
	Schema  string         `json:"schema"`
	Folder  string         `json:"folder"`
	Built   time.Time      `json:"built"`
	AgeDays int            `json:"ageDays"`
	Shards  []shardStatus  `json:"shards"`
	Sources []store.Source `json:"sources"`

	now time.Time
}

type shardStatus struct {
	advisory.ShardInfo
	Size int64 `json:"size"`
	// Here is false for shards that were not exported or pulled.
	Here bool `json:"here"`
}

func statusOf(dir string, db *store.Database, now time.Time) *databaseStatus {
	m := db.Manifest()
	s := &databaseStatus{Schema: "bulwark.vulndb/v1", Folder: dir, Built: m.Built, AgeDays: days(now.Sub(m.Built)), Shards: []shardStatus{}, Sources: m.Sources, now: now}
	for _, t := range m.Tables {
		if t.Info != nil {
			s.Shards = append(s.Shards, shardStatus{*t.Info, t.Size, !db.Missing(t.Key)})
		}
	}
	return s
}

func days(d time.Duration) int { return int(max(0, d) / (24 * time.Hour)) }

// age is a date with how long ago it was.
func (s *databaseStatus) age(t time.Time) string {
	if t.IsZero() {
		return "not told"
	}
	return t.UTC().Format(time.DateOnly) + ", " + count(days(s.now.Sub(t)), "day")
}

func (s *databaseStatus) table(out io.Writer, skipped bool) error {
	fmt.Fprintf(out, "%s, built %s ago\n\n", s.Folder, count(s.AgeDays, "day"))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SHARD\tRECORDS\tSIZE\tNEWEST\tOF")
	for _, x := range s.Shards {
		newest := s.age(x.AsOf)
		if !x.Here {
			newest = "not here"
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", x.Key, x.Records, bytesText(x.Size), newest, strings.Join(x.Sources, ", "))
	}
	fmt.Fprintln(w, "\t\t\t\t")
	fmt.Fprintln(w, "FEED\tRECORDS\tNOT TAKEN\tNEWEST\tFETCHED")
	for _, x := range s.Sources {
		n := 0
		for _, k := range x.Skipped {
			n += k.Count
		}
		fetched := "-"
		if !x.Fetched.IsZero() {
			fetched = s.age(x.Fetched)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", x.Name, x.Records, n, s.age(x.AsOf), fetched)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, x := range s.Sources {
		if x.Failed != "" {
			fmt.Fprintf(out, "\n%s could not be read anew: %s\n", x.Name, strings.ReplaceAll(x.Failed, "\n", "; "))
		}
	}
	if !skipped {
		return nil
	}
	fmt.Fprintln(out, "\nNot taken:")
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, x := range s.Sources {
		for _, k := range x.Skipped {
			fmt.Fprintf(w, "%s\t%d\t%s\tsuch as %s\n", x.Name, k.Count, k.What, k.Example)
		}
	}
	return w.Flush()
}
