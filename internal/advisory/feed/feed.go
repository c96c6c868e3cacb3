// Package feed reads what others publish of vulnerabilities: OSV records, the security
// databases of Alpine, Wolfi and Chainguard, Debian's tracker, CSAF documents of Red Hat
// and Ubuntu, the catalogue of known exploited vulnerabilities, and EPSS. Each reader has
// a file of its own and hands on parts, in no order: what cannot be understood is in them
// too, as something skipped, so that it can be said.
//
// It reads files. How they get here is store's business, and so is what becomes of the
// parts.
package feed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// A Part is what one document of a feed says.
type Part struct {
	// Modified is when the document last changed; zero where it does not say.
	Modified time.Time
	Entries  []Entry
	// Aliases are sets of names, each of one and the same vulnerability.
	Aliases [][]string
	Details []DetailOf
	// Enrichments may name a vulnerability again; what they say is joined.
	Enrichments []EnrichmentOf
	Skipped     []Skip
}

// An Entry is a record of one package of one shard. The groups of its IDs have one name
// each or more, whatever the document says: they are not complete.
type Entry struct {
	Key     advisory.Key
	Package string
	Record  advisory.Record
}

// A DetailOf is a detail of one advisory.
type DetailOf struct {
	ID string
	advisory.Detail
}

// An EnrichmentOf is what is known of one vulnerability.
type EnrichmentOf struct {
	ID string
	advisory.Enrichment
}

// A Skip is something that a reader did not take.
type Skip struct {
	// What is the kind, the same for all of a kind: "ecosystem Hex".
	What string
	// Example is one of them: a document's name, an advisory's ID.
	Example string
}

func (p *Part) skip(example, format string, args ...any) {
	p.Skipped = append(p.Skipped, Skip{fmt.Sprintf(format, args...), example})
}

// A Sink takes parts, one at a time. Its error ends the reading.
type Sink func(*Part) error

// Shard says what shards of a key are like, whoever feeds them.
func Shard(key advisory.Key) advisory.ShardInfo {
	info := advisory.ShardInfo{Key: key}
	kind, distro, _ := strings.Cut(string(key), "/")
	distro, _, _ = strings.Cut(distro, "/")
	switch kind {
	case "deb":
		// Trackers of source packages that list what has no fix.
		info.BySource, info.Comprehensive, info.Unfixed = true, true, true
	case "apk":
		info.BySource = true // origins; only what was fixed
	case "rpm":
		switch distro {
		case "redhat":
			info.Comprehensive, info.Unfixed = true, true
		case "azurelinux", "mariner":
			info.BySource, info.Comprehensive, info.Unfixed = true, true, true
		case "almalinux": // errata name binary packages
		default: // Rocky's, SUSE's, openEuler's and Mageia's name source packages
			info.BySource = true
		}
	default:
		info.Unfixed = true
	}
	return info
}

// Limits of what is read. They are far above any feed, and below what would hurt.
const (
	maxDocument  = 128 << 20 // bytes of one document; Red Hat's on the kernel have 30 MB
	maxDocuments = 4 << 20
	maxTotal     = 64 << 30 // bytes of all documents of a feed, unpacked
	maxSummary   = 240      // bytes of a summary
	maxLinks     = 6        // references of an advisory
	maxGroups    = 4096     // vulnerabilities of one advisory; kernel updates have many hundreds
)

// A source has the documents of a feed.
type source interface {
	// each goes through them. The function that reads one may be called by anybody,
	// once, until close.
	each(ctx context.Context, yield func(name string, read func() ([]byte, error)) error) error
	close()
}

// each parses documents with all processors and hands what comes of them to the sink,
// one after the other.
func each(ctx context.Context, docs source, parse func(name string, data []byte) *Part, sink Sink) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type job struct {
		name string
		read func() ([]byte, error)
	}
	jobs, results := make(chan []job), make(chan []*Part)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for batch := range jobs {
				parts := make([]*Part, 0, len(batch))
				for _, j := range batch {
					data, err := j.read()
					if err != nil {
						p := &Part{}
						p.skip(j.name, "unreadable: %v", err)
						parts = append(parts, p)
						continue
					}
					parts = append(parts, parse(j.name, data))
				}
				select {
				case results <- parts:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		var batch []job
		send := func() error {
			select {
			case jobs <- batch:
				batch = nil
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		err := docs.each(ctx, func(name string, read func() ([]byte, error)) error {
			if batch = append(batch, job{name, read}); len(batch) < 64 {
				return nil
			}
			return send()
		})
		if err == nil && len(batch) > 0 {
			err = send()
		}
		if err != nil {
			cancel(err)
		}
		close(jobs)
		workers.Wait()
		docs.close()
		close(results)
	}()
	for parts := range results {
		for _, p := range parts {
			if err := sink(p); err != nil {
				cancel(err)
				for range results { // until the workers have seen it
				}
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

var errTooMuch = errors.New("more than a feed has: it is damaged, or not what it says")

// summary shortens a text to its first line and sentence.
func summary(text string) string {
	text = strings.TrimLeft(text, " \t\r\n#")
	if line, _, ok := strings.Cut(text, "\n"); ok {
		text = line
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxSummary {
		return text
	}
	if at := strings.LastIndex(text[:maxSummary], ". "); at > maxSummary/4 {
		return text[:at+1]
	}
	cut := text[:maxSummary-len("…")]
	if at := strings.LastIndexByte(cut, ' '); at > maxSummary/2 {
		cut = cut[:at]
	}
	return strings.ToValidUTF8(cut, "") + "…"
}

// timestamp reads a time; zero where there is none to read.
func timestamp(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}
