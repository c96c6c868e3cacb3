package feed

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
)

// KEV reads the catalogue of known exploited vulnerabilities, as JSON:
// https://www.cisa.gov/known-exploited-vulnerabilities-catalog.
func KEV(_ context.Context, location string, sink Sink) error {
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
	data, err := limited(in)
	if err != nil {
		return fmt.Errorf("%s: %w", location, err)
	}
	p, err := kevCatalogue(data)
	if err != nil {
		return fmt.Errorf("%s: %w", location, err)
	}
	return sink(p)
}

func kevCatalogue(data []byte) (*Part, error) {
	var catalogue struct {
		DateReleased    string
		Vulnerabilities []struct {
			CVEID, DateAdded, KnownRansomwareCampaignUse string
		}
	}
	if err := json.Unmarshal(data, &catalogue); err != nil {
		return nil, fmt.Errorf("no catalogue: %w", err)
	}
	p := &Part{Modified: timestamp(catalogue.DateReleased)}
	for _, v := range catalogue.Vulnerabilities {
		added, err := time.Parse(time.DateOnly, v.DateAdded)
		if !strings.HasPrefix(v.CVEID, "CVE-") || err != nil || added.Year() < 1999 {
			p.skip(v.CVEID, "an entry without a CVE and a day")
			continue
		}
		p.Enrichments = append(p.Enrichments, EnrichmentOf{v.CVEID, advisory.Enrichment{
			Exploited: added, Ransomware: v.KnownRansomwareCampaignUse == "Known",
		}})
	}
	return p, nil
}
