package feed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// EPSS reads the daily scores of the exploit prediction scoring system, as CSV, compressed
// or not: https://www.first.org/epss/data_stats.
func EPSS(ctx context.Context, location string, sink Sink) error {
	f, err := os.Open(location)
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := unpacked(f)
	if err != nil {
		return fmt.Errorf("%s: %w", location, err)
	}
	defer in.Close()
	if err := epssScores(ctx, io.LimitReader(in, maxDocument), sink); err != nil {
		return fmt.Errorf("%s: %w", location, err)
	}
	return nil
}

// epssScores reads a comment with the date, a heading, and a line for each CVE.
func epssScores(ctx context.Context, in io.Reader, sink Sink) error {
	const heading = "cve,epss,percentile"
	lines := bufio.NewScanner(in)
	p := &Part{}
	headed := false
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "":
			continue
		case !headed && line[0] == '#':
			for field := range strings.SplitSeq(line[1:], ",") {
				if day, ok := strings.CutPrefix(field, "score_date:"); ok {
					p.Modified = scoreDate(day)
				}
			}
			continue
		case !headed:
			if line != heading {
				return fmt.Errorf("its first line is not %q", heading)
			}
			headed = true
			continue
		}
		e, err := epssScore(line)
		if err != nil {
			p.skip(fmt.Sprintf("%.40q", line), "a line without a CVE and two probabilities")
			continue
		}
		if p.Enrichments = append(p.Enrichments, e); len(p.Enrichments) == 4096 {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if err := sink(p); err != nil {
				return err
			}
			p = &Part{Modified: p.Modified}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !headed {
		return errors.New("there is no table in it")
	}
	return sink(p)
}

// scoreDate reads "2025-08-25T12:55:00Z", and "+0000" in place of the Z.
func scoreDate(s string) time.Time {
	if day, ok := strings.CutSuffix(s, "+0000"); ok {
		s = day + "Z"
	}
	return timestamp(s)
}

func epssScore(line string) (EnrichmentOf, error) {
	id, rest, _ := strings.Cut(line, ",")
	score, percentile, _ := strings.Cut(rest, ",")
	e, err := strconv.ParseFloat(score, 32)
	q, err2 := strconv.ParseFloat(percentile, 32)
	if err := errors.Join(err, err2); err != nil {
		return EnrichmentOf{}, err
	}
	if !strings.HasPrefix(id, "CVE-") || len(id) > 32 || !(e >= 0 && e <= 1 && q >= 0 && q <= 1) {
		return EnrichmentOf{}, errors.New("no score")
	}
	return EnrichmentOf{id, advisory.Enrichment{EPSS: float32(e), Percentile: float32(q)}}, nil
}
