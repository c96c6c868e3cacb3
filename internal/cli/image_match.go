package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/store"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
	"github.com/bulwark-k8s/bulwark/internal/vex"
	"github.com/bulwark-k8s/bulwark/internal/waiver"
)

// matchOptions are the flags of whatever looks for vulnerabilities.
type matchOptions struct {
	db        string
	maxAge    time.Duration
	fixedOnly bool
	vex       []string
	config    string
}

func (o *matchOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.db, "db", "", "the `folder` of the database (default in the user's cache)")
	f.DurationVar(&o.maxAge, "max-db-age", 0, "how old the database may be: older, and it does not run, such as 72h (default any age, which is told)")
	f.BoolVar(&o.fixedOnly, "fixed-only", false, "set aside what has no fix")
	f.StringArrayVar(&o.vex, "vex", nil, "a `file` of statements on what matters (OpenVEX, CycloneDX, CSAF), repeatable")
}

// databaseFolder is where the database is, unless a flag says otherwise.
func databaseFolder(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", misuse("say where with --db", "database: %w", err)
	}
	return filepath.Join(base, "bulwark", "db"), nil
}

// Vulnerabilities are what is known, and what somebody has said about it.
type vulnerabilities struct {
	*store.Database
	options match.Options
	ignores *waiver.Ignores
	said    []string
}

// oldDatabase is the age from which on a database's age is told.
const oldDatabase = 7 * 24 * time.Hour

// open opens the database. Without one nothing can be assessed, which is told and no
// error: how an image is built can be judged all the same.
func (o *matchOptions) open(now time.Time) (*vulnerabilities, error) {
	v := &vulnerabilities{options: match.Options{Now: now, FixedOnly: o.fixedOnly}}
	var documents []*vex.Document
	for _, file := range o.vex {
		data, err := readBounded(file, vex.MaxSize)
		if err != nil {
			return nil, fmt.Errorf("--vex %s: %w", file, cause(err))
		}
		d, err := vex.Parse(file, data)
		if err != nil {
			return nil, fmt.Errorf("--vex %w", err)
		}
		documents = append(documents, d)
	}
	if len(documents) > 0 {
		v.options.Judges = append(v.options.Judges, vex.NewSet(documents...))
	}
	stands := &stand{known: func(string) bool { return true }}
	if err := stands.readFiles(o.config, nil); err != nil {
		return nil, err
	}
	v.ignores = waiver.NewIgnores(stands.vulnerabilities, now)
	v.options.Judges = append(v.options.Judges, v.ignores)
	dir, err := databaseFolder(o.db)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(dir)
	switch {
	case errors.Is(err, store.ErrNone) && o.db == "" && o.maxAge == 0:
		v.said = append(v.said, "there is no database of vulnerabilities, so nothing is assessed: `bulwark image db update` makes one")
		return v, nil
	case err != nil:
		return nil, err
	}
	v.Database = db
	built := db.Manifest().Built
	switch age := now.Sub(built); {
	case o.maxAge > 0 && age > o.maxAge:
		return nil, errors.Join(&exitError{
			code: exitFailed, err: fmt.Errorf("database: built %s, older than --max-db-age %s", built.UTC().Format(time.DateOnly), o.maxAge),
			hint: "bring it up to date: `bulwark image db update` or `bulwark image db import FILE`",
		}, db.Close())
	case age > oldDatabase:
		v.said = append(v.said, fmt.Sprintf("the database was built on %s, %d days ago", built.UTC().Format(time.DateOnly), int(age.Hours()/24)))
	}
	return v, nil
}

// match says what an image has.
func (v *vulnerabilities) match(img *image.Image) (*match.Result, error) {
	var db advisory.Database = noData{}
	if v.Database != nil {
		db = v.Database
	}
	r, err := match.Image(db, img, v.options)
	if err == nil {
		v.ignores.Scanned(img)
	}
	return r, err
}

// notes are what the reader should know besides, once every image was matched.
func (v *vulnerabilities) notes() []string {
	out := slices.Clone(v.said)
	for _, f := range v.ignores.Faults() {
		out = append(out, fmt.Sprintf("%s: %s (%s)", f.Entry.Source, f.Because, f.Control.ID))
	}
	return out
}

// worst is the gravest fault of the entries that let vulnerabilities stand.
func (v *vulnerabilities) worst() control.Severity {
	var worst control.Severity
	for _, f := range v.ignores.Faults() {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Close gives the database back.
func (v *vulnerabilities) Close() error {
	if v.Database == nil {
		return nil
	}
	return v.Database.Close()
}

// noData is the database of who has none.
type noData struct{}

func (noData) Shard(advisory.Key) (advisory.Shard, bool, error) { return nil, false, nil }

func (noData) Enrichment(string) (advisory.Enrichment, error) { return advisory.Enrichment{}, nil }

func (noData) Detail(string) (advisory.Detail, error) { return advisory.Detail{}, nil }
