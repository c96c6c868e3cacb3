package feed

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Kind is a format of feeds.
type Kind string

// The kinds.
const (
	KindOSV    Kind = "osv"
	KindSecDB  Kind = "secdb"
	KindDebian Kind = "debian"
	KindCSAF   Kind = "csaf"
	KindKEV    Kind = "kev"
	KindEPSS   Kind = "epss"
)

var readers = map[Kind]func(context.Context, string, Sink) error{
	KindOSV: OSV, KindSecDB: SecDB, KindDebian: Debian, KindCSAF: CSAF, KindKEV: KEV, KindEPSS: EPSS,
}

// Read reads a feed of a kind: a file, or a folder where the kind has one.
func Read(ctx context.Context, kind Kind, location string, sink Sink) error {
	read := readers[kind]
	if read == nil {
		var known []string
		for k := range readers {
			known = append(known, string(k))
		}
		slices.Sort(known)
		return fmt.Errorf("feed %q: want one of %s", kind, strings.Join(known, ", "))
	}
	return read(ctx, location, sink)
}
