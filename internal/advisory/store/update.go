package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/table"
)

// Official stands for the official addresses among the mirrors.
const Official = "official"

// UpdateOptions are for bringing a database up to date.
type UpdateOptions struct {
	Options
	// Feeds are those to fetch. What the database has of others it keeps.
	Feeds []Feed
	// Mirrors are addresses that have the feeds by their Path, in the order in which they
	// are tried; Official stands for the official ones. None: the official ones.
	Mirrors []string
	// Client makes the requests; nil: one that goes by the environment's proxies.
	Client *http.Client
	// Progress is told of each feed when it is done; nil: nobody is. It is called by one
	// at a time.
	Progress func(name string, changed bool, err error)

	// For tests; zero: what is usual.
	pause, stall time.Duration
	limit        int64
}

// parallel is how many feeds are fetched at a time.
const parallel = 4

// Update fetches what has changed and builds the database anew of it. A feed that cannot
// be fetched keeps what it had last, and its source says why; an error is returned where
// nothing at all is there to build of.
func Update(ctx context.Context, dir string, o UpdateOptions) (*Manifest, error) {
	if len(o.Feeds) == 0 {
		return nil, errors.New("update: no feed is asked for")
	}
	for _, m := range o.Mirrors {
		if u, err := url.Parse(m); m != Official && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("mirror %q: want an address that begins with https://", redacted(m))
		}
	}
	feeds := filepath.Join(dir, "feeds")
	if err := os.MkdirAll(feeds, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(feeds, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	inputs, changed := fetchAll(ctx, feeds, &o)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	set, have := there(dir)
	if have != nil && !changed && settled(have, inputs) {
		return refresh(ctx, dir, set, have, inputs, o.Options)
	}
	if len(inputs) == 0 {
		return nil, errors.New("update: none of the feeds is there")
	}
	if err := allFailed(inputs); err != nil {
		return nil, err
	}
	b, err := build(ctx, inputs, o.Now)
	if err != nil {
		return nil, err
	}
	discard(feeds, o.Feeds, inputs, b.manifest.Sources)
	if have != nil {
		if err := b.carry(set, have); err != nil {
			return nil, err
		}
	}
	if err := b.write(ctx, dir, o.Options); err != nil {
		return nil, err
	}
	return &b.manifest, nil
}

// allFailed is an error where nothing could be fetched: then a database is as old as it
// was, and must not look newer.
func allFailed(inputs []Input) error {
	var failed error
	for _, in := range inputs {
		if in.Failed == "" {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %s", in.Name, in.Failed))
	}
	return failed
}

// discard puts the file before in the place of one that could not be read, and forgets
// what the server said of it, so that it is fetched again.
func discard(dir string, feeds []Feed, inputs []Input, sources []Source) {
	d := &downloader{dir: dir}
	for i := range feeds {
		if in := inputs[i]; in.Path == "" || in.Failed != "" || sources[i].Failed == "" {
			continue
		}
		f := &feeds[i]
		os.Remove(d.state(f))
		if os.Rename(d.path(f, ".earlier"), d.path(f, "")) != nil {
			os.Remove(d.path(f, ""))
		}
	}
}

// there is the set that counts, and its manifest; nil where there is none to be read.
func there(dir string) (string, *Manifest) {
	set, err := current(dir)
	if err != nil {
		return "", nil
	}
	m, _, err := readManifest(set)
	if err != nil {
		return "", nil
	}
	return set, m
}

// fetchAll brings the files of all feeds up to date. Feeds that need not be there and are
// not are taken out of the options.
func fetchAll(ctx context.Context, dir string, o *UpdateOptions) (inputs []Input, anyChanged bool) {
	d := &downloader{
		client: o.Client, dir: dir, now: o.Now.UTC().Truncate(time.Second),
		pause: cmp.Or(o.pause, time.Second), stall: cmp.Or(o.stall, maxStall), limit: cmp.Or(o.limit, maxDownload),
	}
	if d.client == nil {
		transport, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			transport = &http.Transport{Proxy: http.ProxyFromEnvironment}
		}
		d.client = &http.Client{Transport: transport.Clone(), CheckRedirect: onlySecure}
	}
	inputs = make([]Input, len(o.Feeds))
	absent := make([]bool, len(o.Feeds))
	var mu sync.Mutex
	var wait sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i := range o.Feeds {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			f := &o.Feeds[i]
			changed, k, err := d.fetch(ctx, f, addresses(f, o.Mirrors))
			in := Input{Name: f.Name, Kind: f.Kind, URL: cmp.Or(k.URL, f.URL), Fetched: k.Fetched, AsOf: k.asOf()}
			if err != nil {
				in.Failed = err.Error()
			}
			for p, to := range map[string]*string{d.path(f, ""): &in.Path, d.path(f, ".earlier"): &in.Earlier} {
				if _, err := os.Stat(p); err == nil {
					*to = p
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if f.Maybe && in.Path == "" && errors.Is(err, errNotThere) {
				absent[i] = true
				return
			}
			inputs[i] = in
			anyChanged = anyChanged || changed
			if o.Progress != nil {
				o.Progress(f.Name, changed, err)
			}
		})
	}
	wait.Wait()
	var feeds []Feed
	var there []Input
	for i := range inputs {
		if !absent[i] {
			feeds, there = append(feeds, o.Feeds[i]), append(there, inputs[i])
		}
	}
	o.Feeds = feeds
	return there, anyChanged
}

func addresses(f *Feed, mirrors []string) []string {
	if len(mirrors) == 0 {
		return []string{f.URL}
	}
	var all []string
	for _, m := range mirrors {
		if m == Official {
			all = append(all, f.URL)
		} else {
			all = append(all, strings.TrimSuffix(m, "/")+"/"+strings.ReplaceAll(f.Path, " ", "%20"))
		}
	}
	return all
}

// settled reports whether a database was built of just these files.
func settled(have *Manifest, inputs []Input) bool {
	for _, in := range inputs {
		i := slices.IndexFunc(have.Sources, func(s Source) bool { return s.Name == in.Name })
		if i < 0 || in.Failed != "" || have.Sources[i].Failed != "" || in.Path == "" {
			return false
		}
		if sum, err := fileSum(in.Path); err != nil || sum != have.Sources[i].SHA256 {
			return false
		}
	}
	return true
}

// refresh says that a database is as new as it can be: the tables stay, the manifest gets
// the time.
func refresh(ctx context.Context, dir, set string, have *Manifest, inputs []Input, o Options) (*Manifest, error) {
	b := &built{manifest: *have, data: map[advisory.Key][]byte{}}
	b.manifest.Built = o.Now
	b.manifest.Sources = slices.Clone(have.Sources)
	for i := range b.manifest.Sources {
		for _, in := range inputs {
			if s := &b.manifest.Sources[i]; s.Name == in.Name {
				s.Fetched = in.Fetched
			}
		}
	}
	for _, t := range have.Tables {
		data, err := os.ReadFile(filepath.Join(set, t.File))
		if err != nil {
			return nil, err
		}
		b.data[t.Key] = data
	}
	if err := b.write(ctx, dir, o); err != nil {
		return nil, err
	}
	return &b.manifest, nil
}

// carry takes what the database had and the new one has not: of feeds that were not
// asked for, or that could not be had and were not kept.
func (b *built) carry(set string, have *Manifest) error {
	carried := false
	var mu sync.Mutex
	for _, t := range have.Tables {
		if _, ok := b.data[t.Key]; ok || t.Info == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(set, t.File))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := b.add(&mu, t.Key, 0, data); err != nil {
			return fmt.Errorf("%s: %w", t.File, err)
		}
		carried = true
	}
	for _, s := range have.Sources {
		i := slices.IndexFunc(b.manifest.Sources, func(n Source) bool { return n.Name == s.Name })
		switch {
		case i < 0:
			b.manifest.Sources = append(b.manifest.Sources, s)
			carried = true
		case b.manifest.Sources[i].Failed != "" && b.manifest.Sources[i].Records == 0:
			// What is carried is of the source as it was; why it is not newer stays said.
			s.Failed = b.manifest.Sources[i].Failed
			b.manifest.Sources[i] = s
			carried = true
		}
	}
	if !carried {
		return nil
	}
	return b.carryBooks(set, have)
}

// carryBooks adds the details and enrichments that only the database before has.
func (b *built) carryBooks(set string, have *Manifest) error {
	details, enrichment := map[string]advisory.Detail{}, map[string]advisory.Enrichment{}
	for _, key := range []advisory.Key{keyDetails, keyEnrichment} {
		var sources [][]byte
		if t, ok := have.table(key); ok {
			if data, err := os.ReadFile(filepath.Join(set, t.File)); err == nil {
				sources = append(sources, data)
			}
		}
		for _, data := range append(sources, b.data[key]) { // the new one last: it counts
			book, err := table.NewBook(data)
			if err != nil {
				return fmt.Errorf("table %s: %w", key, err)
			}
			for name, err := range book.Names {
				if err == nil && key == keyDetails {
					details[name], err = book.Detail(name)
				} else if err == nil {
					enrichment[name], err = book.Enrichment(name)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	b.manifest.Tables = slices.DeleteFunc(b.manifest.Tables, func(t Table) bool { return t.Info == nil })
	var mu sync.Mutex
	data, err := table.Details(details)
	if err == nil {
		err = b.add(&mu, keyDetails, len(details), data)
	}
	if err != nil {
		return err
	}
	if data, err = table.Enrichments(enrichment); err != nil {
		return err
	}
	return b.add(&mu, keyEnrichment, len(enrichment), data)
}
