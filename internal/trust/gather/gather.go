// Package gather reads the facts that package trust judges: folders of certificates in
// the layouts of kubeadm, k3s, RKE2 and bulwark, kubeconfigs, listening ports and a
// cluster's API. It only reads, and judges nothing: what it may not see or cannot parse
// becomes a gap, never an absence.
//
// Of a private key it keeps the fingerprint of the public half and nothing else; the
// bytes are cleared as soon as that is known. Of a Secret it decodes tls.crt alone, and
// asks for a Secret only where it is told to.
package gather

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// Options say how to read. The zero value works.
type Options struct {
	// Machine is the name of the machine that absolute paths are of.
	Machine string
	// Timeout is how long a port may take for one answer.
	Timeout time.Duration
	// Parallel is how many ports or requests are asked at once.
	Parallel int
	// Secrets asks for every TLS Secret one by one, for the certificate in it.
	Secrets bool
	// Nodes asks API servers and kubelets at the addresses that the cluster tells. From
	// elsewhere these may be out of reach, or somebody else's.
	Nodes bool
	// Limit is how many files of one folder are read, at most.
	Limit int
	// Progress, if set, is told what is being read.
	Progress func(what string)
}

// The defaults of Options.
const (
	DefaultTimeout = 2 * time.Second
	defaultLimit   = 20_000
)

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// A Reader collects facts. Its methods may be called one after the other, not at once.
type Reader struct {
	opts Options

	mu    sync.Mutex
	facts trust.Facts
	seen  map[string]bool // files that were read
}

// New begins with nothing.
func New(opts Options) *Reader {
	return &Reader{opts: opts.withDefaults(), seen: map[string]bool{}}
}

// Facts returns what was read, in an order that does not depend on who answered first.
// The Reader must not be used again.
func (r *Reader) Facts(target string) *trust.Facts {
	f := &r.facts
	f.Target = target
	slices.SortStableFunc(f.Endpoints, func(a, b trust.Endpoint) int {
		return cmp.Or(strings.Compare(a.Machine, b.Machine), strings.Compare(a.Address, b.Address))
	})
	slices.SortStableFunc(f.Gaps, func(a, b trust.Gap) int {
		return cmp.Or(strings.Compare(a.What, b.What), strings.Compare(a.Reason, b.Reason))
	})
	f.Gaps = slices.Compact(f.Gaps)
	return f
}

// Empty reports whether nothing at all was found.
func (r *Reader) Empty() bool {
	f := &r.facts
	return len(f.Certificates)+len(f.Keys)+len(f.Kubeconfigs)+len(f.Endpoints)+len(f.Gaps) == 0 && f.Cluster == nil
}

func (r *Reader) gap(what, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts.Gaps = append(r.facts.Gaps, trust.Gap{What: what, Reason: reason})
}

// each runs do for every item, a few at a time, and returns when all are done.
func each[T any](ctx context.Context, parallel int, items []T, do func(context.Context, T)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() == nil {
				do(ctx, item)
			}
		})
	}
	wg.Wait()
}
