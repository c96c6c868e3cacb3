package feed_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
)

// read reads a feed and returns what it says, a line each.
func read(tb testing.TB, kind feed.Kind, location string) []string {
	tb.Helper()
	var lines []string
	err := feed.Read(tb.Context(), kind, location, func(p *feed.Part) error {
		for i := range p.Entries {
			lines = append(lines, line(&p.Entries[i]))
		}
		for _, a := range p.Aliases {
			if len(a) > 1 {
				lines = append(lines, "alias "+strings.Join(a, " "))
			}
		}
		for _, e := range p.Enrichments {
			text := "enrich " + e.ID
			if !e.Exploited.IsZero() {
				text += fmt.Sprintf(" exploited %s %v", e.Exploited.Format("2006-01-02"), e.Ransomware)
			}
			if e.EPSS > 0 {
				text += fmt.Sprintf(" epss %g %g", e.EPSS, e.Percentile)
			}
			if len(e.CVSS) > 0 {
				text += " " + strings.Join(e.CVSS, " ")
			}
			lines = append(lines, text)
		}
		for _, s := range p.Skipped {
			lines = append(lines, fmt.Sprintf("skip %s: %s", filepath.Base(s.Example), s.What))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

func line(e *feed.Entry) string {
	r := &e.Record
	var ids, ranges []string
	for _, g := range r.IDs {
		ids = append(ids, strings.Join(g, "="))
	}
	for _, x := range r.Ranges {
		text := "[" + x.Introduced + ","
		if x.LastAffected != "" {
			text += x.LastAffected + "]"
		} else {
			text += x.Fixed + ")"
		}
		ranges = append(ranges, text)
	}
	text := fmt.Sprintf("%s %s %s %s %s %s", e.Key, e.Package, r.ID, strings.Join(ids, ","), r.State, r.Severity)
	for _, more := range [][]string{ranges, r.Versions, r.CVSS, r.Only.Arch} {
		if len(more) > 0 {
			text += " " + strings.Join(more, " ")
		}
	}
	if r.Only.Module != "" {
		text += " module " + r.Only.Module
	}
	if r.Only.Source {
		text += " source"
	}
	for _, i := range r.Only.Imports {
		text += fmt.Sprintf(" import %s %v %v %v", i.Path, i.GOOS, i.GOARCH, i.Symbols)
	}
	return text
}

func file(tb testing.TB, name, content string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestOSVRecords(t *testing.T) {
	// affected wraps packages in a record.
	affected := func(id, more, packages string) string {
		return fmt.Sprintf(`{"id": %q, "modified": "2026-01-02T03:04:05Z", %s "affected": [%s]}`, id, more, packages)
	}
	pkg := func(ecosystem, name, ranges string) string {
		return fmt.Sprintf(`{"package": {"ecosystem": %q, "name": %q}, %s}`, ecosystem, name, ranges)
	}
	events := func(events string) string {
		return fmt.Sprintf(`"ranges": [{"type": "ECOSYSTEM", "events": [%s]}]`, events)
	}
	for _, test := range []struct {
		about, record string
		want          []string
	}{
		{
			"one introduction and one fix",
			affected("GHSA-1", "", pkg("npm", "a", events(`{"introduced": "0"}, {"fixed": "1.2.3"}`))),
			[]string{"npm a GHSA-1 GHSA-1 fixed unrated [,1.2.3)"},
		},
		{
			"events are sorted in the ecosystem's order, and ends without a beginning are dropped",
			affected("GHSA-1", "", pkg("PyPI", "Django", events(`{"fixed": "10.1"}, {"introduced": "0"}, {"fixed": "9.4"}, {"introduced": "10.0rc1"}, {"fixed": "10.2"}, {"introduced": "11"}`))),
			[]string{"pypi Django GHSA-1 GHSA-1 affected unrated [,9.4) [10.0rc1,10.1) [11,)"},
		},
		{
			"an end before the beginning ends nothing",
			affected("GHSA-1", "", pkg("npm", "a", events(`{"introduced": "5.0.0"}, {"fixed": "3.0.0"}`))),
			[]string{"npm a GHSA-1 GHSA-1 affected unrated [5.0.0,)"},
		},
		{
			"last_affected ends a range with itself",
			affected("GHSA-1", "", pkg("Maven", "g:a", events(`{"introduced": "1.0"}, {"last_affected": "1.9"}`))),
			[]string{"maven g:a GHSA-1 GHSA-1 affected unrated [1.0,1.9]"},
		},
		{
			"a limit ends what has no other end before it",
			affected("GHSA-1", "", pkg("npm", "a", events(`{"introduced": "1.0.0"}, {"limit": "2.0.0"}, {"introduced": "3.0.0"}`))),
			[]string{"npm a GHSA-1 GHSA-1 fixed unrated [1.0.0,2.0.0)"},
		},
		{
			"ranges of commits are left out one by one",
			affected("PYSEC-1", "", pkg("PyPI", "a", `"ranges": [{"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "abcdef"}]}, {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}]`)),
			[]string{"pypi a PYSEC-1 PYSEC-1 fixed unrated [,2.0)"},
		},
		{
			"commits alone say nothing of packages",
			affected("PYSEC-1", "", pkg("PyPI", "a", `"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]`)),
			[]string{"skip PYSEC-1: only commits, or nothing, says which versions have it"},
		},
		{
			"versions are kept where the ranges do not have them",
			affected("PYSEC-1", "", pkg("PyPI", "a", events(`{"introduced": "1.0"}, {"fixed": "2.0"}, {"fixed": "3.0"}`)+`, "versions": ["1.0", "1.5.post1", "2.0", "2.5", "2.5", "0.9", "not a version"]`)),
			[]string{"pypi a PYSEC-1 PYSEC-1 affected unrated [1.0,2.0) 2.0 2.5 0.9 not a version"},
		},
		{
			"equal versions are equal however they are written",
			affected("PYSEC-1", "", pkg("PyPI", "a", events(`{"introduced": "1.0"}, {"last_affected": "2.0"}`)+`, "versions": ["1", "2.0.0", "2.0.0.1"]`)),
			[]string{"pypi a PYSEC-1 PYSEC-1 affected unrated [1.0,2.0] 2.0.0.1"},
		},
		{
			"versions without ranges",
			affected("MAL-1", "", pkg("npm", "evil", `"versions": ["1.0.0", "1.0.1"]`)),
			[]string{"npm evil MAL-1 MAL-1 affected unrated 1.0.0 1.0.1"},
		},
		{
			"fixed in version 0 means that it never had it",
			affected("CGA-1", `"upstream": ["CVE-2026-1"],`, pkg("Wolfi", "curl", events(`{"introduced": "0"}, {"fixed": "0"}`))),
			[]string{"apk/wolfi curl CGA-1 CVE-2026-1 not-affected unrated"},
		},
		{
			"aliases are names of one vulnerability",
			affected("GO-1", `"aliases": ["CVE-2026-1", "GHSA-1"], "related": ["CVE-2026-9"],`, pkg("Go", "example.com/m", events(`{"introduced": "0"}`))),
			[]string{"alias GO-1 CVE-2026-1 GHSA-1", "go example.com/m GO-1 GO-1=CVE-2026-1=GHSA-1 affected unrated [,)"},
		},
		{
			"the CVEs of a distribution's advisory are as many vulnerabilities",
			affected("RLSA-1", `"aliases": ["CVE-2026-1", "CVE-2026-2"], "summary": "Moderate: python38:3.8 security update",`, pkg("Rocky Linux:8", "babel", events(`{"introduced": "0"}, {"fixed": "0:2.7.0-10.module+el8.4.0+570"}`))+","+pkg("Rocky Linux:8", "bash", events(`{"introduced": "0"}, {"fixed": "0:5-1.el8"}`))),
			[]string{
				"rpm/rocky/8 babel RLSA-1 CVE-2026-1,CVE-2026-2 fixed medium [,0:2.7.0-10.module+el8.4.0+570) module python38:3.8",
				"rpm/rocky/8 bash RLSA-1 CVE-2026-1,CVE-2026-2 fixed medium [,0:5-1.el8)",
			},
		},
		{
			"two streams in a summary are none",
			affected("ALSA-1", `"related": ["CVE-2026-1"], "summary": "Important: idm:DL1 and idm:client security update",`, pkg("AlmaLinux:8", "ipa", events(`{"introduced": "0"}, {"fixed": "4.9-1.module_el8.5.0+1"}`))),
			[]string{"rpm/almalinux/8 ipa ALSA-1 CVE-2026-1 fixed high [,4.9-1.module_el8.5.0+1)"},
		},
		{
			"releases, and what is only for subscribers",
			affected("UBUNTU-CVE-2026-1", `"upstream": ["CVE-2026-1"], "severity": [{"type": "Ubuntu", "score": "negligible"}, {"type": "CVSS_V3", "score": "CVSS:3.1/AV:L"}],`,
				pkg("Ubuntu:22.04:LTS", "vips", events(`{"introduced": "0"}`)+`, "versions": ["8.12.1-1"]`)+","+pkg("Ubuntu:Pro:22.04:LTS", "vips", events(`{"introduced": "0"}, {"fixed": "8.12.1-1ubuntu0.1~esm1"}`))+","+pkg("Ubuntu:Pro:FIPS:22.04:LTS", "vips", events(`{"introduced": "0"}`))),
			[]string{
				"deb/ubuntu/22.04 vips UBUNTU-CVE-2026-1 CVE-2026-1 affected negligible [,) CVSS:3.1/AV:L",
				"deb/ubuntu/22.04/pro vips UBUNTU-CVE-2026-1 CVE-2026-1 fixed negligible [,8.12.1-1ubuntu0.1~esm1) CVSS:3.1/AV:L",
				`skip UBUNTU-CVE-2026-1: ecosystem "Ubuntu:Pro:FIPS:22.04:LTS"`,
			},
		},
		{
			"the keys of distributions",
			affected("X-1", `"upstream": ["CVE-2026-1"],`, strings.Join([]string{
				pkg("Debian:12", "p", events(`{"introduced": "0"}`)), pkg("Alpine:v3.20", "p", events(`{"introduced": "0"}`)), pkg("Chainguard", "p", events(`{"introduced": "0"}`)),
				pkg("openSUSE:Leap 15.5", "p", events(`{"introduced": "0"}`)), pkg("openSUSE:Tumbleweed", "p", events(`{"introduced": "0"}`)), pkg("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "p", events(`{"introduced": "0"}`)),
				pkg("Azure Linux:3", "p", events(`{"introduced": "0"}`)), pkg("Azure Linux:2", "p", events(`{"introduced": "0"}`)), pkg("Red Hat:enterprise_linux:9::appstream", "p", events(`{"introduced": "0"}`)),
				pkg("openEuler:24.03-LTS", "p", events(`{"introduced": "0"}`)), pkg("Mageia:9", "p", events(`{"introduced": "0"}`)), pkg("Android", "p", events(`{"introduced": "0"}`)), pkg("Red Hat:rhel_eus:9.2::baseos", "p", events(`{"introduced": "0"}`)),
			}, ",")),
			[]string{
				"apk/alpine/3.20 p X-1 CVE-2026-1 affected unrated [,)", "apk/chainguard p X-1 CVE-2026-1 affected unrated [,)", "deb/debian/12 p X-1 CVE-2026-1 affected unrated [,)",
				"rpm/azurelinux/3 p X-1 CVE-2026-1 affected unrated [,)", "rpm/mageia/9 p X-1 CVE-2026-1 affected unrated [,)", "rpm/mariner/2 p X-1 CVE-2026-1 affected unrated [,)",
				"rpm/openeuler/24.03 p X-1 CVE-2026-1 affected unrated [,)", "rpm/opensuse-leap/15.5 p X-1 CVE-2026-1 affected unrated [,)", "rpm/opensuse-tumbleweed p X-1 CVE-2026-1 affected unrated [,)",
				"rpm/redhat/9 p X-1 CVE-2026-1 affected unrated [,)", "rpm/sles/15.5 p X-1 CVE-2026-1 affected unrated [,)",
				`skip X-1: ecosystem "Android"`, `skip X-1: ecosystem "Red Hat:rhel_eus:9.2::baseos"`,
			},
		},
		{
			"what Go says of packages, platforms and symbols",
			affected("GO-1", "", pkg("Go", "golang.org/x/sys", events(`{"introduced": "0"}`)+`, "ecosystem_specific": {"imports": [{"path": "golang.org/x/sys/windows", "goos": ["windows"], "goarch": ["amd64"], "symbols": ["F", "T.M"]}]}`)),
			[]string{"go golang.org/x/sys GO-1 GO-1 affected unrated [,) import golang.org/x/sys/windows [windows] [amd64] [F T.M]"},
		},
		{
			"the source's own word, and its vector, which is good for others too",
			affected("GHSA-1", `"severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}], "database_specific": {"severity": "MODERATE", "cwe_ids": []},`, pkg("npm", "a", events(`{"introduced": "0"}`))),
			[]string{"enrich GHSA-1 CVSS:4.0/AV:N", "npm a GHSA-1 GHSA-1 affected medium [,) CVSS:4.0/AV:N"},
		},
		{
			"what is unmaintained is not vulnerable by that",
			affected("RUSTSEC-1", "", pkg("crates.io", "a", events(`{"introduced": "0.0.0-0"}`)+`, "database_specific": {"informational": "unmaintained", "cvss": null}`)),
			[]string{"crates a RUSTSEC-1 RUSTSEC-1 affected negligible [0.0.0-0,)"},
		},
		{
			"Debian's urgency in OSV",
			affected("DEBIAN-CVE-2026-1", `"upstream": ["CVE-2026-1"],`, pkg("Debian:12", "p", events(`{"introduced": "0"}`)+`, "ecosystem_specific": {"urgency": "unimportant"}`)),
			[]string{"deb/debian/12 p DEBIAN-CVE-2026-1 CVE-2026-1 wont-fix negligible [,)"},
		},
		{
			"events that nobody can order",
			affected("DSA-1", "", pkg("Debian:12", "a", events(`{"introduced": "a:1"}, {"fixed": "b:2"}, {"introduced": "c:3"}`))),
			[]string{"skip DSA-1: ranges of versions that are none of the ecosystem's"},
		},
		{"what the source took back", affected("GHSA-1", `"withdrawn": "2026-01-01T00:00:00Z",`, pkg("npm", "a", events(`{"introduced": "0"}`))), nil},
		{"no record", `[]`, []string{"skip r.json: no OSV record: json: cannot unmarshal array into Go value of type feed.osvRecord"}},
		{"no id", `{"affected": []}`, []string{"skip r.json: a record without an id"}},
		{"a range without events", affected("GHSA-1", "", pkg("npm", "a", events(""))), []string{"skip GHSA-1: a range without events"}},
	} {
		t.Run(test.about, func(t *testing.T) {
			if diff := cmp.Diff(test.want, read(t, feed.KindOSV, file(t, "r.json", test.record))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestArchivesAreReadLikeTheFilesInThem(t *testing.T) {
	record := func(n int) string {
		return fmt.Sprintf(`{"id": "GHSA-%d", "affected": [{"package": {"ecosystem": "npm", "name": "p"}, "versions": ["1.0.%d"]}]}`, n, n)
	}
	const n = 200 // more than one batch
	folder := t.TempDir()
	var zipped, tarred bytes.Buffer
	z, w := zip.NewWriter(&zipped), tar.NewWriter(&tarred)
	for i := range n {
		name, text := fmt.Sprintf("sub/%d.json", i), record(i)
		if err := os.MkdirAll(filepath.Join(folder, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, text)
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, text)
	}
	if err := errors.Join(z.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	var gz bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(tarred.Bytes())
	g.Close()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := read(t, feed.KindOSV, folder)
	if len(want) != n {
		t.Fatalf("%d lines", len(want))
	}
	for name, content := range map[string]string{
		"all.zip": zipped.String(), "all.tar": tarred.String(), "all.tgz": gz.String(), "all.tar.zst": string(enc.EncodeAll(tarred.Bytes(), nil)),
	} {
		if diff := cmp.Diff(want, read(t, feed.KindOSV, file(t, name, content))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, content := range map[string]string{"all.zip": zipped.String()[:100], "all.tar": tarred.String()[:560], "all.tgz": gz.String()[:300]} {
		if err := feed.OSV(t.Context(), file(t, name, content), func(*feed.Part) error { return nil }); err == nil {
			t.Errorf("%s that was cut off: no error", name)
		}
	}
}

func TestReadingEndsWhenAsked(t *testing.T) {
	folder := t.TempDir()
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.json", i)), []byte(`{"id": "X"}`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stop := errors.New("enough")
	if err := feed.OSV(t.Context(), folder, func(*feed.Part) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a sink's error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := feed.OSV(ctx, folder, func(*feed.Part) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted reading: %v", err)
	}
}

func TestSecurityDatabases(t *testing.T) {
	const yaml = `---
distroversion: v3.11
reponame: main
urlprefix: http://dl-cdn.alpinelinux.org/alpine
packages:
  - pkg:
      name: nghttp2
      secfixes:
        1.39.2-r0:
          - CVE-2019-9511 CVE-2019-9513 (+)
          - XSA-1
        0:
          - CVE-2020-1
`
	want := []string{
		"apk/alpine/3.11 nghttp2 CVE-2019-9511 CVE-2019-9511 fixed unrated [,1.39.2-r0)",
		"apk/alpine/3.11 nghttp2 CVE-2019-9513 CVE-2019-9513 fixed unrated [,1.39.2-r0)",
		"apk/alpine/3.11 nghttp2 CVE-2020-1 CVE-2020-1 not-affected unrated",
		"apk/alpine/3.11 nghttp2 XSA-1 XSA-1 fixed unrated [,1.39.2-r0)",
	}
	if diff := cmp.Diff(want, read(t, feed.KindSecDB, file(t, "main.yaml", yaml))); diff != "" {
		t.Errorf("yaml (-want +got):\n%s", diff)
	}
	for prefix, key := range map[string]string{
		`"urlprefix": "https://packages.wolfi.dev/os"`:                                       "apk/wolfi",
		`"urlprefix": "https://packages.cgr.dev/chainguard"`:                                 "apk/chainguard",
		`"urlprefix": "https://dl-cdn.alpinelinux.org/alpine", "distroversion": "edge-main"`: "apk/alpine/edge",
	} {
		json := `{` + prefix + `, "reponame": "os", "packages": [{"pkg": {"name": "curl", "secfixes": {"8.1-r0": ["CVE-2026-1", "GHSA-2"]}}}]}`
		want := []string{
			key + " curl CVE-2026-1 CVE-2026-1 fixed unrated [,8.1-r0)",
			key + " curl GHSA-2 GHSA-2 fixed unrated [,8.1-r0)",
		}
		if diff := cmp.Diff(want, read(t, feed.KindSecDB, file(t, "security.json", json))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if diff := cmp.Diff([]string{"skip x.json: a security database of an unknown distribution"}, read(t, feed.KindSecDB, file(t, "x.json", "{}"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDebianTracker(t *testing.T) {
	release := func(rest string) string { return `{"releases": {"bookworm": {` + rest + `}}}` }
	text := `{"openssl": {
		"CVE-1": ` + release(`"status": "resolved", "fixed_version": "3.0-1", "urgency": "not yet assigned"`) + `,
		"CVE-2": ` + release(`"status": "resolved", "fixed_version": "0", "urgency": "low"`) + `,
		"CVE-3": ` + release(`"status": "open", "urgency": "medium**"`) + `,
		"CVE-4": ` + release(`"status": "open", "urgency": "low", "nodsa": "Minor issue", "nodsa_reason": ""`) + `,
		"CVE-5": ` + release(`"status": "open", "urgency": "not yet assigned", "nodsa": "x", "nodsa_reason": "ignored"`) + `,
		"CVE-6": ` + release(`"status": "open", "urgency": "not yet assigned", "nodsa": "x", "nodsa_reason": "postponed"`) + `,
		"CVE-7": ` + release(`"status": "open", "urgency": "unimportant"`) + `,
		"CVE-8": ` + release(`"status": "open", "urgency": "end-of-life"`) + `,
		"CVE-9": ` + release(`"status": "undetermined", "urgency": "not yet assigned"`) + `,
		"TEMP-0-1": {"description": "d", "releases": {"sid": {"status": "resolved", "fixed_version": "1"}, "forky": {"status": "open"}, "potato": {"status": "open"}}}
	}, "weird": 7}`
	want := []string{
		"deb/debian/12 openssl CVE-1 CVE-1 fixed unrated [,3.0-1)",
		"deb/debian/12 openssl CVE-2 CVE-2 not-affected low",
		"deb/debian/12 openssl CVE-3 CVE-3 affected medium",
		"deb/debian/12 openssl CVE-4 CVE-4 deferred low",
		"deb/debian/12 openssl CVE-5 CVE-5 wont-fix unrated",
		"deb/debian/12 openssl CVE-6 CVE-6 deferred unrated",
		"deb/debian/12 openssl CVE-7 CVE-7 wont-fix negligible",
		"deb/debian/12 openssl CVE-8 CVE-8 wont-fix unrated",
		"deb/debian/12 openssl CVE-9 CVE-9 under-investigation unrated",
		"deb/debian/14 openssl TEMP-0-1 TEMP-0-1 affected unrated",
		"deb/debian/forky openssl TEMP-0-1 TEMP-0-1 affected unrated",
		"deb/debian/sid openssl TEMP-0-1 TEMP-0-1 fixed unrated [,1)",
		`skip TEMP-0-1: release "potato"`,
		"skip weird: no package of the tracker: json: cannot unmarshal number into Go value of type map[string]feed.debianIssue",
	}
	if diff := cmp.Diff(want, read(t, feed.KindDebian, file(t, "json", text))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, cut := range []string{"", "[]", text[:len(text)/2], text[:len(text)-1]} {
		if err := feed.Debian(t.Context(), file(t, "json", cut), func(*feed.Part) error { return nil }); err == nil {
			t.Errorf("%d bytes of %d: no error", len(cut), len(text))
		}
	}
}

const redhat = `{
  "document": {"publisher": {"namespace": "https://www.redhat.com"}, "tracking": {"current_release_date": "2026-01-02T00:00:00+00:00"}, "aggregate_severity": {"text": "Important"}},
  "product_tree": {
    "branches": [{"branches": [
      {"product": {"product_id": "AppStream-9.6", "product_identification_helper": {"cpe": "cpe:/a:redhat:enterprise_linux:9::appstream"}}},
      {"product": {"product_id": "EUS-9.2", "product_identification_helper": {"cpe": "cpe:/a:redhat:rhel_eus:9.2::appstream"}}},
      {"product": {"product_id": "rhel8", "product_identification_helper": {"cpe": "cpe:/o:redhat:enterprise_linux:8"}}},
      {"product": {"product_id": "nodejs-mod", "product_identification_helper": {"purl": "pkg:rpmmod/redhat/nodejs@18:9020:rhel9"}}},
      {"product": {"product_id": "nodejs.x86_64", "product_identification_helper": {"purl": "pkg:rpm/redhat/nodejs@18.1-1.module%2Bel9?arch=x86_64&epoch=1"}}},
      {"product": {"product_id": "zlib.x86_64", "product_identification_helper": {"purl": "pkg:rpm/redhat/zlib@1.2-40.el9?arch=x86_64"}}},
      {"product": {"product_id": "zlib.aarch64", "product_identification_helper": {"purl": "pkg:rpm/redhat/zlib@1.2-41.el9?arch=aarch64"}}},
      {"product": {"product_id": "zlib.src", "product_identification_helper": {"purl": "pkg:rpm/redhat/zlib@1.2-40.el9?arch=src"}}},
      {"product": {"product_id": "perl", "product_identification_helper": {"purl": "pkg:rpm/redhat/perl-libs@5.32-1?arch=x86_64&rpmmod=perl:5.32:81:48"}}},
      {"product": {"product_id": "gcc", "product_identification_helper": {"purl": "pkg:rpm/redhat/gcc?arch=src"}}},
      {"product": {"product_id": "vim", "product_identification_helper": {"purl": "pkg:rpm/redhat/vim?arch=src"}}},
      {"product": {"product_id": "curl", "product_identification_helper": {"purl": "pkg:rpm/redhat/curl?arch=src"}}},
      {"product": {"product_id": "ruby", "product_identification_helper": {"purl": "pkg:rpmmod/redhat/ruby:2.6/ruby"}}}
    ]}],
    "relationships": [
      {"full_product_name": {"product_id": "A:mod"}, "product_reference": "nodejs-mod", "relates_to_product_reference": "AppStream-9.6"},
      {"full_product_name": {"product_id": "A:mod:nodejs"}, "product_reference": "nodejs.x86_64", "relates_to_product_reference": "A:mod"},
      {"full_product_name": {"product_id": "A:zlib.x86_64"}, "product_reference": "zlib.x86_64", "relates_to_product_reference": "AppStream-9.6"},
      {"full_product_name": {"product_id": "A:zlib.aarch64"}, "product_reference": "zlib.aarch64", "relates_to_product_reference": "AppStream-9.6"},
      {"full_product_name": {"product_id": "A:zlib.src"}, "product_reference": "zlib.src", "relates_to_product_reference": "AppStream-9.6"},
      {"full_product_name": {"product_id": "E:zlib"}, "product_reference": "zlib.x86_64", "relates_to_product_reference": "EUS-9.2"},
      {"full_product_name": {"product_id": "A:perl"}, "product_reference": "perl", "relates_to_product_reference": "AppStream-9.6"},
      {"full_product_name": {"product_id": "8:gcc"}, "product_reference": "gcc", "relates_to_product_reference": "rhel8"},
      {"full_product_name": {"product_id": "8:vim"}, "product_reference": "vim", "relates_to_product_reference": "rhel8"},
      {"full_product_name": {"product_id": "8:curl"}, "product_reference": "curl", "relates_to_product_reference": "rhel8"},
      {"full_product_name": {"product_id": "8:ruby"}, "product_reference": "ruby", "relates_to_product_reference": "rhel8"}
    ]
  },
  "vulnerabilities": [{
    "cve": "CVE-2026-1", "title": "a title", "release_date": "2026-01-01T00:00:00+00:00",
    "scores": [{"cvss_v3": {"vectorString": "CVSS:3.1/AV:N"}, "products": ["A:zlib.x86_64"]}],
    "product_status": {
      "fixed": ["A:mod", "A:mod:nodejs", "A:zlib.x86_64", "A:zlib.aarch64", "A:zlib.src", "E:zlib", "A:perl"],
      "known_affected": ["8:gcc", "8:ruby", "unknown"], "known_not_affected": ["8:vim"], "under_investigation": ["8:curl"]
    },
    "remediations": [
      {"category": "vendor_fix", "product_ids": ["A:zlib.x86_64"], "url": "https://access.redhat.com/errata/RHSA-2026:1111"},
      {"category": "no_fix_planned", "details": "Will not fix", "product_ids": ["8:gcc"]},
      {"category": "none_available", "details": "Fix deferred", "product_ids": ["8:ruby"]}
    ],
    "threats": [{"category": "impact", "details": "Low", "product_ids": ["8:gcc"]}]
  }]
}`

func TestRedHatDocuments(t *testing.T) {
	want := []string{
		"rpm/redhat/8 curl CVE-2026-1 CVE-2026-1 under-investigation high CVSS:3.1/AV:N source",
		"rpm/redhat/8 gcc CVE-2026-1 CVE-2026-1 wont-fix low CVSS:3.1/AV:N source",
		"rpm/redhat/8 ruby CVE-2026-1 CVE-2026-1 deferred high CVSS:3.1/AV:N module ruby:2.6 source",
		"rpm/redhat/8 vim CVE-2026-1 CVE-2026-1 not-affected high CVSS:3.1/AV:N source",
		"rpm/redhat/9 nodejs CVE-2026-1 CVE-2026-1 fixed high [,1:18.1-1.module+el9) CVSS:3.1/AV:N module nodejs:18",
		"rpm/redhat/9 perl-libs CVE-2026-1 CVE-2026-1 fixed high [,5.32-1) CVSS:3.1/AV:N module perl:5.32",
		"rpm/redhat/9 zlib CVE-2026-1 CVE-2026-1 fixed high [,1.2-41.el9) CVSS:3.1/AV:N aarch64",
		"rpm/redhat/9 zlib RHSA-2026:1111 CVE-2026-1 fixed high [,1.2-40.el9) CVSS:3.1/AV:N x86_64",
	}
	if diff := cmp.Diff(want, read(t, feed.KindCSAF, file(t, "cve-2026-1.json", redhat))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExploitedVulnerabilities(t *testing.T) {
	text := `{"dateReleased": "2025-08-25T17:04:19.9796Z", "vulnerabilities": [
		{"cveID": "CVE-2025-48384", "dateAdded": "2025-08-25", "knownRansomwareCampaignUse": "Unknown"},
		{"cveID": "CVE-2021-44228", "dateAdded": "2021-12-10", "knownRansomwareCampaignUse": "Known"},
		{"cveID": "CVE-2021-1", "dateAdded": "soon"}]}`
	want := []string{
		"enrich CVE-2021-44228 exploited 2021-12-10 true", "enrich CVE-2025-48384 exploited 2025-08-25 false",
		"skip CVE-2021-1: an entry without a CVE and a day",
	}
	if diff := cmp.Diff(want, read(t, feed.KindKEV, file(t, "kev.json", text))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestScores(t *testing.T) {
	text := "#model_version:v2025.03.14,score_date:2025-08-25T12:55:00Z\ncve,epss,percentile\nCVE-1999-0001,0.01141,0.77637\nCVE-1999-0002,2,0.5\nnonsense\n"
	want := []string{
		"enrich CVE-1999-0001 epss 0.01141 0.77637",
		`skip "CVE-1999-0002,2,0.5": a line without a CVE and two probabilities`,
		`skip "nonsense": a line without a CVE and two probabilities`,
	}
	if diff := cmp.Diff(want, read(t, feed.KindEPSS, file(t, "epss.csv", text))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := feed.EPSS(t.Context(), file(t, "x.csv", "<html>"), func(*feed.Part) error { return nil }); err == nil {
		t.Error("a page is no table")
	}
}

func TestShardsSayWhatTheyAreLike(t *testing.T) {
	for key, want := range map[advisory.Key][3]bool{ // by source, comprehensive, unfixed
		"deb/debian/12":    {true, true, true},
		"deb/ubuntu/24.04": {true, true, true},
		"apk/alpine/3.20":  {true, false, false},
		"rpm/redhat/9":     {false, true, true},
		"rpm/almalinux/9":  {false, false, false},
		"rpm/rocky/9":      {true, false, false},
		"rpm/azurelinux/3": {true, true, true},
		"rpm/sles/15.5":    {true, false, false},
		"npm":              {false, false, true},
	} {
		info := feed.Shard(key)
		if got := [3]bool{info.BySource, info.Comprehensive, info.Unfixed}; got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
}
