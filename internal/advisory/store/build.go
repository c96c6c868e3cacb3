package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
	"github.com/bulwark-k8s/bulwark/internal/advisory/table"
)

// An Input is a feed to build of.
type Input struct {
	Name string
	Kind feed.Kind
	// Path is the file, or the folder.
	Path string
	// Earlier is the file before this one, to be read where this one cannot; empty: none.
	Earlier string
	// URL and Fetched are for the manifest, Failed is why there is no newer one.
	URL     string
	Fetched time.Time
	Failed  string
	// AsOf is how new it is, for feeds that do not say so themselves; zero: not known.
	AsOf time.Time
}

// A built is a database in memory, ready to be written.
type built struct {
	manifest Manifest
	data     map[advisory.Key][]byte
}

// a staging collects what feeds say.
type staging struct {
	aliases    *aliases
	shards     map[advisory.Key]*shardInMaking
	details    map[string]advisory.Detail
	enrichment map[string]advisory.Enrichment
}

type shardInMaking struct {
	table *table.Builder
	info  advisory.ShardInfo
}

func newStaging() *staging {
	return &staging{newAliases(), map[advisory.Key]*shardInMaking{}, map[string]advisory.Detail{}, map[string]advisory.Enrichment{}}
}

// build reads the feeds. One that cannot be read is read as it was before; without that
// it is missing, and its source says so.
func build(ctx context.Context, inputs []Input, now time.Time) (*built, error) {
	if len(inputs) == 0 {
		return nil, errors.New("database: no feed to build it of")
	}
	inputs = slices.Clone(inputs)
	for {
		s, sources, bad, err := readAll(ctx, inputs)
		if err != nil {
			return nil, err
		}
		if bad < 0 {
			return s.finish(sources, now)
		}
		// What a damaged feed said before its damage is in the staging already: begin again.
		in := &inputs[bad]
		in.Failed = cmp.Or(in.Failed, sources[bad].Failed)
		in.Path, in.Earlier = in.Earlier, ""
	}
}

// readAll reads all feeds; bad is the first that could not be, -1 where there is none.
func readAll(ctx context.Context, inputs []Input) (s *staging, sources []Source, bad int, err error) {
	s = newStaging()
	for i, in := range inputs {
		source := Source{Name: in.Name, Kind: in.Kind, URL: in.URL, Fetched: in.Fetched.UTC().Truncate(time.Second), Failed: in.Failed}
		if in.Path != "" {
			if err := s.read(ctx, in, &source); err != nil {
				if ctx.Err() != nil {
					return nil, nil, 0, context.Cause(ctx)
				}
				source.Failed = err.Error()
				return nil, append(sources, source), i, nil
			}
		}
		sources = append(sources, source)
	}
	return s, sources, -1, nil
}

func (s *staging) read(ctx context.Context, in Input, source *Source) error {
	sum := make(chan error, 1)
	go func() { // beside the reading, which takes longer
		var err error
		source.SHA256, err = fileSum(in.Path)
		sum <- err
	}()
	skipped := map[string]*Skipped{}
	err := feed.Read(ctx, in.Kind, in.Path, func(p *feed.Part) error {
		if p.Modified.IsZero() {
			p.Modified = in.AsOf
		}
		s.take(p)
		source.Records += len(p.Entries) + len(p.Enrichments)
		if p.Modified.After(source.AsOf) {
			source.AsOf = p.Modified
		}
		for _, k := range p.Skipped {
			x := skipped[k.What]
			if x == nil {
				if len(skipped) == maxSkipped {
					k.What = "other reasons"
					if x = skipped[k.What]; x == nil {
						x = &Skipped{What: k.What, Example: k.Example}
						skipped[k.What] = x
					}
				} else {
					x = &Skipped{What: k.What, Example: k.Example}
					skipped[k.What] = x
				}
			}
			x.Count++
			x.Example = min(x.Example, k.Example) // whatever the order
		}
		return nil
	})
	if err := errors.Join(err, <-sum); err != nil {
		return err
	}
	if source.Records == 0 {
		return errors.New("there is no record in it")
	}
	for _, x := range skipped {
		source.Skipped = append(source.Skipped, *x)
	}
	slices.SortFunc(source.Skipped, func(a, b Skipped) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.What, b.What)) })
	return nil
}

// maxSkipped is how many kinds of skipped things are told apart.
const maxSkipped = 64

func (s *staging) take(p *feed.Part) {
	for _, a := range p.Aliases {
		s.aliases.join(a)
	}
	for i := range p.Entries {
		e := &p.Entries[i]
		shard := s.shards[e.Key]
		if shard == nil {
			shard = &shardInMaking{table.NewBuilder(e.Key), feed.Shard(e.Key)}
			s.shards[e.Key] = shard
		}
		shard.table.Add(e.Package, &e.Record)
		if !slices.Contains(shard.info.Sources, e.Record.Source) {
			shard.info.Sources = append(shard.info.Sources, e.Record.Source)
		}
		if p.Modified.After(shard.info.AsOf) {
			shard.info.AsOf = p.Modified
		}
	}
	for _, d := range p.Details {
		if old, ok := s.details[d.ID]; !ok || compareDetails(d.Detail, old) > 0 {
			s.details[d.ID] = d.Detail
		}
	}
	for _, e := range p.Enrichments {
		s.enrichment[e.ID] = join(s.enrichment[e.ID], e.Enrichment)
	}
}

// compareDetails prefers the detail that says more; of two that say as much it prefers
// one whatever the order in which they come.
func compareDetails(a, b advisory.Detail) int {
	return cmp.Or(len(a.Summary)-len(b.Summary), len(a.References)-len(b.References),
		strings.Compare(a.Summary, b.Summary), slices.Compare(a.References, b.References), a.Published.Compare(b.Published))
}

// join adds what is known of one vulnerability.
func join(a, b advisory.Enrichment) advisory.Enrichment {
	if a.Exploited.IsZero() || !b.Exploited.IsZero() && b.Exploited.Before(a.Exploited) {
		a.Exploited = b.Exploited
	}
	a.Ransomware = a.Ransomware || b.Ransomware
	if b.EPSS > a.EPSS {
		a.EPSS, a.Percentile = b.EPSS, b.Percentile
	}
	for _, c := range b.CVSS {
		if !slices.Contains(a.CVSS, c) {
			a.CVSS = append(slices.Clip(a.CVSS), c)
		}
	}
	return a
}

// finish makes the tables, with all processors.
func (s *staging) finish(sources []Source, now time.Time) (*built, error) {
	s.aliases.close()
	enrichment := make(map[string]advisory.Enrichment, len(s.enrichment))
	for id, e := range s.enrichment {
		if len(e.CVSS) > 0 { // by the canonical name, under which findings are
			canonical := s.aliases.group(id)[0]
			enrichment[canonical] = join(enrichment[canonical], advisory.Enrichment{CVSS: e.CVSS})
			e.CVSS = nil
		}
		if !e.Exploited.IsZero() || e.EPSS > 0 {
			enrichment[id] = join(enrichment[id], e)
		}
	}

	b := &built{manifest: Manifest{Schema: Schema, Built: now, Sources: sources}, data: map[advisory.Key][]byte{}}
	var mu sync.Mutex
	var failed error
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	put := func(key advisory.Key, entries int, make func() ([]byte, error)) {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			data, err := make()
			if err == nil {
				err = b.add(&mu, key, entries, data)
			}
			if err != nil {
				mu.Lock()
				failed = errors.Join(failed, fmt.Errorf("table %s: %w", key, err))
				mu.Unlock()
			}
		})
	}
	put(keyDetails, len(s.details), func() ([]byte, error) { return table.Details(s.details) })
	put(keyEnrichment, len(enrichment), func() ([]byte, error) { return table.Enrichments(enrichment) })
	for key, shard := range s.shards {
		put(key, 0, func() ([]byte, error) { return shard.table.Bytes(shard.info, s.aliases.group) })
	}
	wait.Wait()
	return b, failed
}

// add takes a finished table.
func (b *built) add(mu sync.Locker, key advisory.Key, entries int, data []byte) error {
	sum := sha256.Sum256(data)
	t := Table{Key: key, File: fileOf(key), Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), Entries: entries}
	if key != keyDetails && key != keyEnrichment {
		shard, err := table.NewShard(data)
		if err != nil {
			return err
		}
		info := shard.Info()
		t.Info = &info
	}
	mu.Lock()
	defer mu.Unlock()
	b.manifest.Tables = append(b.manifest.Tables, t)
	b.data[key] = data
	return nil
}

// fileSum is the checksum of a file; empty for a folder.
func fileSum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Build makes a database of local feeds and puts it into a folder, instead of the one
// that is there.
func Build(ctx context.Context, dir string, inputs []Input, o Options) (*Manifest, error) {
	b, err := build(ctx, inputs, o.Now)
	if err != nil {
		return nil, err
	}
	for _, s := range b.manifest.Sources {
		if s.Failed != "" { // whoever names a file wants it read
			return nil, fmt.Errorf("feed %s: %s", s.Name, s.Failed)
		}
	}
	if err := b.write(ctx, dir, o); err != nil {
		return nil, err
	}
	return &b.manifest, nil
}

// OSVInputs are the feeds in a folder with the layout of the OSV bucket, ECOSYSTEM/all.zip:
// one for each ecosystem. Any other path is one feed.
func OSVInputs(location string) ([]Input, error) {
	info, err := os.Stat(location)
	if err != nil {
		return nil, err
	}
	var inputs []Input
	if info.IsDir() {
		found, err := filepath.Glob(filepath.Join(location, "*", "all.zip"))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			inputs = append(inputs, Input{Name: "osv " + filepath.Base(filepath.Dir(f)), Kind: feed.KindOSV, Path: f})
		}
	}
	if len(inputs) == 0 {
		inputs = []Input{{Name: "osv " + filepath.Base(location), Kind: feed.KindOSV, Path: location}}
	}
	return inputs, nil
}
