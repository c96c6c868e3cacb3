package feed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// Debian reads the JSON of Debian's security tracker, as it is or compressed, a source
// package at a time: https://security-tracker.debian.org/tracker/data/json. How its states
// read is in the tracker's lib/python/security_db.py.
func Debian(ctx context.Context, location string, sink Sink) error {
	return each(ctx, &debianFile{location: location}, debianPackage, sink)
}

// debianReleases are the keys of codenames. What is not released yet is found by its
// codename, which is all that os-release has, and by the number that it will have.
var debianReleases = map[string][]string{
	"wheezy": {"7"}, "jessie": {"8"}, "stretch": {"9"}, "buster": {"10"}, "bullseye": {"11"},
	"bookworm": {"12"}, "trixie": {"13"}, "forky": {"forky", "14"}, "duke": {"duke", "15"}, "sid": {"sid"},
}

// debianFile has one document for each source package.
type debianFile struct{ location string }

func (*debianFile) close() {}

func (d *debianFile) each(ctx context.Context, yield func(string, func() ([]byte, error)) error) error {
	f, err := os.Open(d.location)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := unpacked(f)
	if err != nil {
		return fmt.Errorf("%s: %w", d.location, err)
	}
	defer in.Close()
	return members(ctx, in, yield)
}

// members goes through the members of one large JSON object.
func members(ctx context.Context, in io.Reader, yield func(string, func() ([]byte, error)) error) error {
	guard := &guarded{r: bufio.NewReaderSize(in, 256<<10)}
	dec := json.NewDecoder(guard)
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("want a JSON object: %w", errors.Join(err, errNotObject))
	}
	for count := 0; dec.More(); count++ {
		if count == maxDocuments {
			return errTooMuch
		}
		t, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return errNotObject
		}
		var raw json.RawMessage
		guard.begin()
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("%.100q: %w", name, err)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := yield(name, func() ([]byte, error) { return raw, nil }); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // what was cut off is not whole
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

var errNotObject = errors.New("it is none")

// guarded is a reader that ends when one value takes more than a document may.
type guarded struct {
	r    io.Reader
	left int64
	all  int64
}

func (g *guarded) begin() { g.left = maxDocument }

func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	g.all += int64(n)
	if g.left -= int64(n); g.left < -maxDocument || g.all > maxTotal {
		return 0, errTooMuch
	}
	return n, err
}

type debianIssue struct {
	Description string
	Releases    map[string]struct {
		Status, Urgency, NoDSA string
		Fixed                  string `json:"fixed_version"`
		Reason                 string `json:"nodsa_reason"`
	}
}

// debianPackage reads what the tracker has of one source package.
func debianPackage(name string, data []byte) *Part {
	p := &Part{}
	var issues map[string]debianIssue
	if err := json.Unmarshal(data, &issues); err != nil {
		p.skip(name, "no package of the tracker: %v", err)
		return p
	}
	for id, issue := range issues {
		if id == "" || name == "" {
			p.skip(name, "an issue without a name")
			continue
		}
		told := false
		for codename, r := range issue.Releases {
			numbers := debianReleases[codename]
			if len(numbers) == 0 {
				p.skip(id, "release %q", codename)
				continue
			}
			record := advisory.Record{ID: id, IDs: [][]string{{id}}, Source: "debian", Severity: severityOf(r.Urgency)}
			switch r.Status {
			case "resolved":
				switch r.Fixed {
				case "":
					p.skip(id, "resolved, without a version")
					continue
				case "0":
					record.State = advisory.NotAffected
				default:
					record.State, record.Ranges = advisory.Fixed, []advisory.Range{{Fixed: r.Fixed}}
				}
			case "open":
				record.State = debianOpen(r.Urgency, r.Reason, r.NoDSA)
			case "undetermined":
				record.State = advisory.UnderInvestigation
			default:
				p.skip(id, "status %q", r.Status)
				continue
			}
			told = true
			for _, number := range numbers {
				p.Entries = append(p.Entries, Entry{advisory.Key("deb/debian/" + number), name, record})
			}
		}
		if told && issue.Description != "" {
			p.Details = append(p.Details, DetailOf{id, advisory.Detail{
				Summary:    summary(issue.Description),
				References: []string{"https://security-tracker.debian.org/tracker/" + id},
			}})
		}
	}
	return p
}

// debianOpen is the state of what is not fixed.
func debianOpen(urgency, reason, nodsa string) advisory.State {
	switch {
	case urgency == "unimportant", urgency == "end-of-life", reason == "ignored":
		return advisory.WontFix
	case reason == "postponed", reason != "", strings.TrimSpace(nodsa) != "":
		return advisory.Deferred // no advisory of its own; with the next point release, perhaps
	}
	return advisory.Affected
}
