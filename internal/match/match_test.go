package match

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
)

var today = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A memory is a database in memory.
type memory struct {
	shards map[advisory.Key]*memoryShard
	about  map[string]advisory.Enrichment
	detail map[string]advisory.Detail
}

type memoryShard struct {
	info    advisory.ShardInfo
	records map[string][]advisory.Record
}

func (m *memory) Shard(k advisory.Key) (advisory.Shard, bool, error) {
	s, ok := m.shards[k]
	return s, ok, nil
}
func (m *memory) Enrichment(id string) (advisory.Enrichment, error) { return m.about[id], nil }
func (m *memory) Detail(id string) (advisory.Detail, error)         { return m.detail[id], nil }

func (s *memoryShard) Lookup(name string) ([]advisory.Record, error) { return s.records[name], nil }
func (s *memoryShard) Info() advisory.ShardInfo                      { return s.info }

// table is a shard of records by "name".
func table(key string, records map[string][]advisory.Record) *memory {
	m := &memory{}
	m.add(key, records)
	return m
}

// sources is a table by source packages.
func sources(key string, records map[string][]advisory.Record) *memory {
	m := table(key, records)
	m.shards[advisory.Key(key)].info.BySource = true
	return m
}

func (m *memory) add(key string, records map[string][]advisory.Record) *memory {
	if m.shards == nil {
		m.shards = map[advisory.Key]*memoryShard{}
	}
	k := advisory.Key(key)
	os := strings.Contains(key, "/")
	for _, list := range records {
		for i := range list {
			if list[i].Source == "" {
				list[i].Source = strings.Split(key, "/")[min(1, strings.Count(key, "/"))]
			}
		}
	}
	m.shards[k] = &memoryShard{
		advisory.ShardInfo{Key: k, BySource: os && !strings.HasPrefix(key, "rpm"), Comprehensive: strings.HasPrefix(key, "deb") || strings.HasPrefix(key, "rpm/almalinux")}, records,
	}
	return m
}

// fixed is a record with one range for each pair of introduced and fixed.
func fixed(id string, pairs ...string) advisory.Record {
	r := advisory.Record{ID: id, IDs: [][]string{{id}}, State: advisory.Fixed}
	for i := 0; i < len(pairs); i += 2 {
		r.Ranges = append(r.Ranges, advisory.Range{Introduced: pairs[i], Fixed: pairs[i+1]})
	}
	return r
}

func with(r advisory.Record, change func(*advisory.Record)) advisory.Record {
	change(&r)
	return r
}

type records = map[string][]advisory.Record

var (
	debian12 = image.OS{ID: "debian", Version: "12", Codename: "bookworm"}
	alma8    = image.OS{ID: "almalinux", Like: []string{"rhel", "centos", "fedora"}, Version: "8.10"}
)

// scan matches packages, and writes what comes of it: a line for each.
func scan(t *testing.T, db advisory.Database, img *image.Image, o Options) string {
	t.Helper()
	if o.Now.IsZero() {
		o.Now = today
	}
	r, err := Image(db, img, o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	line := func(f *Finding, mark string) {
		fmt.Fprintf(&b, "%s%s %s %s", mark, strings.Join(f.IDs, "="), f.Package.Name, f.Package.Version)
		if f.State != advisory.Fixed {
			fmt.Fprintf(&b, " %s", f.State)
		}
		if len(f.FixedIn) > 0 {
			fmt.Fprintf(&b, " -> %s", strings.Join(f.FixedIn, ", "))
		}
		if f.Aside != nil {
			fmt.Fprintf(&b, " (%s: %s)", f.Aside.By, f.Aside.Reason)
		}
		b.WriteByte('\n')
	}
	for i := range r.Findings {
		line(&r.Findings[i], "")
	}
	for i := range r.SetAside {
		line(&r.SetAside[i], "- ")
	}
	for _, n := range r.NotAssessed {
		fmt.Fprintf(&b, "? %d %s %s: %s\n", n.Packages, n.Type, strings.Join(n.Names, " "), n.Reason)
	}
	return b.String()
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimLeft(want, "\n"), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDistributions(t *testing.T) {
	for name, tt := range map[string]struct {
		os   image.OS
		want string
	}{
		"debian":                        {debian12, "deb/debian/12"},
		"debian, a point release":       {image.OS{ID: "debian", Version: "12.4"}, "deb/debian/12"},
		"debian testing":                {image.OS{ID: "debian", Codename: "forky"}, "deb/debian/14"},
		"debian, of which nobody knows": {image.OS{ID: "debian"}, "the image does not say which release of debian it is"},
		"ubuntu":                        {image.OS{ID: "ubuntu", Like: []string{"debian"}, Version: "24.04"}, "deb/ubuntu/24.04"},
		"alpine":                        {image.OS{ID: "alpine", Version: "3.20.3"}, "apk/alpine/3.20"},
		"alpine edge":                   {image.OS{ID: "alpine", Version: "3.21_alpha20240807"}, "apk/alpine/edge"},
		"wolfi":                         {image.OS{ID: "wolfi", Version: "20230201"}, "apk/wolfi"},
		"chainguard":                    {image.OS{ID: "chainguard", Version: "20230201"}, "apk/chainguard"},
		"almalinux":                     {alma8, "rpm/almalinux/8"},
		"rocky":                         {image.OS{ID: "rocky", Version: "9.4"}, "rpm/rocky/9"},
		"red hat":                       {image.OS{ID: "rhel", Version: "9.4"}, "rpm/redhat/9"},
		"centos, a rebuild of red hat":  {image.OS{ID: "centos", Version: "7", Name: "CentOS Linux 7 (Core)"}, "rpm/redhat/7"},
		"centos stream is no rebuild":   {image.OS{ID: "centos", Version: "9", Name: "CentOS Stream 9"}, "there are no advisories for CentOS Stream, whose packages precede Red Hat's"},
		"oracle":                        {image.OS{ID: "ol", Version: "8.10"}, "rpm/oracle/8"},
		"amazon":                        {image.OS{ID: "amzn", Version: "2023"}, "rpm/amazon/2023"},
		"suse":                          {image.OS{ID: "sles", Version: "15.6"}, "rpm/sles/15.6"},
		"azure linux":                   {image.OS{ID: "azurelinux", Version: "3.0"}, "rpm/azurelinux/3"},
		"kali is not debian":            {image.OS{ID: "kali", Like: []string{"debian"}, Version: "2024.3"}, "kali has advisories of its own, which are not known; it is not judged as debian"},
		"one that nobody knows":         {image.OS{ID: "mine", Version: "1"}, "no advisories are known for mine"},
		"none":                          {image.OS{}, "the image does not say which distribution it is"},
	} {
		t.Run(name, func(t *testing.T) {
			d := distributionOf(tt.os)
			if got := string(d.key) + d.why; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestImage(t *testing.T) {
	for name, tt := range map[string]struct {
		db      *memory
		os      image.OS
		all     []image.Package
		options Options
		want    string
	}{
		"debian: a binary's epoch is not its source's": {
			db: table("deb/debian/12", records{"util-linux": {fixed("CVE-2024-28085", "", "2.38.1-5+deb12u1"), fixed("CVE-2099-0001", "", "2.38.1-5+deb12u9")}}),
			os: debian12,
			all: []image.Package{
				{Type: image.Deb, Name: "bsdutils", Version: "1:2.38.1-5+deb12u3", Source: "util-linux", SourceVersion: "2.38.1-5+deb12u3"},
				{Type: image.Deb, Name: "mount", Version: "2.38.1-5+deb12u3", Source: "util-linux"},
			},
			want: `
CVE-2099-0001 bsdutils 1:2.38.1-5+deb12u3 -> 2.38.1-5+deb12u9
CVE-2099-0001 mount 2.38.1-5+deb12u3 -> 2.38.1-5+deb12u9
`,
		},
		"debian: a binary that was built again is not a later source": {
			db:   table("deb/debian/12", records{"samba": {fixed("CVE-1", "", "2:4.17.12+dfsg-0+deb12u1")}}),
			os:   debian12,
			all:  []image.Package{{Type: image.Deb, Name: "libldb2", Version: "2:2.6.2+samba4.17.12+dfsg-0+deb12u1", Source: "samba", SourceVersion: "2:4.17.12+dfsg-0+deb12u1"}, {Type: image.Deb, Name: "x", Version: "1-1+b2", Source: "samba", SourceVersion: "2:4.17.11+dfsg-0"}},
			want: "CVE-1 x 1-1+b2 -> 2:4.17.12+dfsg-0+deb12u1\n",
		},
		"debian: states are kept": {
			db: table("deb/debian/12", records{"a": {
				{ID: "CVE-1", State: advisory.WontFix},
				{ID: "CVE-2", State: advisory.Deferred},
				{ID: "CVE-3", State: advisory.NotAffected},
				{ID: "CVE-4", State: advisory.UnderInvestigation},
				{ID: "CVE-5"},
				fixed("CVE-6", "", "1"), fixed("CVE-7", "", "0"),
			}}),
			os:   debian12,
			all:  []image.Package{{Type: image.Deb, Name: "a", Version: "1"}},
			want: "CVE-1 a 1 wont-fix\nCVE-2 a 1 deferred\nCVE-4 a 1 under-investigation\nCVE-5 a 1 affected\n",
		},
		"debian: only what has a fix": {
			db:      table("deb/debian/12", records{"a": {{ID: "CVE-1"}, fixed("CVE-2", "", "2")}}),
			os:      debian12,
			all:     []image.Package{{Type: image.Deb, Name: "a", Version: "1"}},
			options: Options{FixedOnly: true},
			want:    "CVE-2 a 1 -> 2\n- CVE-1 a 1 affected (unfixed: no fix is known)\n",
		},
		"debian: not affected wins over another feed's word": {
			db:  table("deb/debian/12", records{"a": {fixed("CVE-1", "", "2"), {ID: "X", IDs: [][]string{{"CVE-1"}}, State: advisory.NotAffected}}}),
			os:  debian12,
			all: []image.Package{{Type: image.Deb, Name: "a", Version: "1"}},
		},
		"a release that is past its end says so, and its findings stay": {
			db:   table("deb/debian/8", records{"a": {fixed("CVE-1", "", "2")}}),
			os:   image.OS{ID: "debian", Version: "8", EndOfLife: time.Date(2020, 6, 30, 0, 0, 0, 0, time.UTC)},
			all:  []image.Package{{Type: image.Deb, Name: "a", Version: "1"}, {Type: image.Deb, Name: "b", Version: "1"}},
			want: "CVE-1 a 1 -> 2\n? 2 deb a b: debian 8 has had no support since 2020-06-30: what was found later is not in its advisories\n",
		},
		"a release without data is not assessed": {
			db:   table("deb/debian/12", nil),
			os:   image.OS{ID: "alpine", Version: "3.23.0"},
			all:  []image.Package{{Type: image.Apk, Name: "a", Version: "1-r0"}, {Type: image.NPM, Name: "b", Version: "1.0.0"}},
			want: "? 1 apk a: no data for alpine 3.23.0 in the database\n? 1 npm b: no data for npm in the database\n",
		},
		"packages of another manager are not the distribution's": {
			db:   table("deb/debian/12", records{"a": {fixed("CVE-1", "", "2")}}),
			os:   debian12,
			all:  []image.Package{{Type: image.RPM, Name: "a", Version: "1-1"}},
			want: "? 1 rpm a: debian 12 has no packages of type rpm: whose they are is not known\n",
		},
		"a version that is not known, and one that is none": {
			db:   table("deb/debian/12", records{"a": {fixed("CVE-1", "", "2")}}),
			os:   debian12,
			all:  []image.Package{{Type: image.Deb, Name: "a"}, {Type: image.Deb, Name: "a", Version: "x:1"}},
			want: "? 1 deb a: their version is not known\n? 1 deb a: their versions cannot be compared\n",
		},
		"an advisory's version that is none": {
			db:   table("deb/debian/12", records{"a": {fixed("CVE-1", "", "x:1")}}),
			os:   debian12,
			all:  []image.Package{{Type: image.Deb, Name: "a", Version: "1"}},
			want: "? 1 deb a: some of their advisories name versions that cannot be compared\n",
		},
		"alpine: by origin, and fixed in 0 means never affected": {
			db:   table("apk/alpine/3.20", records{"openssl": {fixed("CVE-1", "", "3.3.2-r1"), fixed("CVE-2", "", "0")}}),
			os:   image.OS{ID: "alpine", Version: "3.20.3"},
			all:  []image.Package{{Type: image.Apk, Name: "libcrypto3", Version: "3.3.2-r0", Source: "openssl"}, {Type: image.Apk, Name: "libssl3", Version: "3.3.2-r1", Source: "openssl"}},
			want: "CVE-1 libcrypto3 3.3.2-r0 -> 3.3.2-r1\n",
		},
		"alpine edge is not the release it will be": {
			db: table("apk/alpine/3.21", records{"a": {fixed("CVE-1", "", "2-r0")}}).
				add("apk/alpine/edge", records{"a": {fixed("CVE-2", "", "2-r0")}}),
			os:   image.OS{ID: "alpine", Version: "3.21_alpha20240807"},
			all:  []image.Package{{Type: image.Apk, Name: "a", Version: "1-r0"}},
			want: "CVE-2 a 1-r0 -> 2-r0\n",
		},
		"wolfi: rolling, with what was found to be a false alarm": {
			db:   table("apk/wolfi", records{"a": {fixed("CVE-1", "", "2-r0"), {ID: "CVE-2", State: advisory.NotAffected}}}),
			os:   image.OS{ID: "wolfi", Version: "20230201"},
			all:  []image.Package{{Type: image.Apk, Name: "a-dev", Version: "1-r0", Source: "a"}},
			want: "CVE-1 a-dev 1-r0 -> 2-r0\n",
		},
		"rpm: no epoch is epoch 0, on either side": {
			db:  table("rpm/almalinux/8", records{"a": {fixed("CVE-1", "", "0:1.0-2.el8")}, "b": {fixed("CVE-2", "", "1.0-2.el8")}, "c": {fixed("CVE-3", "", "1.0-2.el8")}}),
			os:  alma8,
			all: []image.Package{{Type: image.RPM, Name: "a", Version: "1.0-2.el8"}, {Type: image.RPM, Name: "b", Version: "0:1.0-2.el8"}, {Type: image.RPM, Name: "c", Version: "1:0.1-1.el8"}, {Type: image.RPM, Name: "a", Version: "0:1.0-1.el8"}},
			want: `
CVE-1 a 0:1.0-1.el8 -> 0:1.0-2.el8
`,
		},
		"rpm: one advisory fixes several": {
			db: table("rpm/almalinux/8", records{"a": {
				{ID: "ALSA-1", IDs: [][]string{{"CVE-1"}, {"CVE-2"}}, Ranges: []advisory.Range{{Fixed: "2-1"}}, State: advisory.Fixed},
				{ID: "ALSA-2", IDs: [][]string{{"CVE-2"}, {"CVE-3"}}, Ranges: []advisory.Range{{Fixed: "3-1"}}, State: advisory.Fixed},
			}}),
			os:   alma8,
			all:  []image.Package{{Type: image.RPM, Name: "a", Version: "1-1"}},
			want: "CVE-1 a 1-1 -> 2-1\nCVE-2 a 1-1 -> 3-1\nCVE-3 a 1-1 -> 3-1\n",
		},
		"rpm: for another architecture": {
			db: table("rpm/almalinux/8", records{
				"a": {with(fixed("CVE-1", "", "2-1"), func(r *advisory.Record) { r.Only.Arch = []string{"s390x"} })},
				"b": {
					with(fixed("CVE-2", "", "9-1"), func(r *advisory.Record) { r.Only.Arch = []string{"s390x"} }),
					with(fixed("CVE-2", "", "1-1"), func(r *advisory.Record) { r.Only.Arch = []string{"x86_64", "aarch64"} }),
				},
				"c": {with(fixed("CVE-3", "", "2-1"), func(r *advisory.Record) { r.Only.Arch = []string{"x86_64"} })},
			}),
			os:   alma8,
			all:  []image.Package{{Type: image.RPM, Name: "a", Version: "1-1", Arch: "x86_64"}, {Type: image.RPM, Name: "b", Version: "1-1", Arch: "x86_64"}, {Type: image.RPM, Name: "c", Version: "1-1", Arch: "noarch"}},
			want: "CVE-3 c 1-1 -> 2-1\n- CVE-1 a 1-1 -> 2-1 (platform: only on s390x)\n",
		},
		"rpm: only the old of two kernels": {
			db:   table("rpm/almalinux/8", records{"kernel-core": {fixed("CVE-1", "", "4.18.0-553.el8_10")}}),
			os:   alma8,
			all:  []image.Package{{Type: image.RPM, Name: "kernel-core", Version: "4.18.0-553.8.1.el8_10"}, {Type: image.RPM, Name: "kernel-core", Version: "4.18.0-477.el8_8"}},
			want: "CVE-1 kernel-core 4.18.0-477.el8_8 -> 4.18.0-553.el8_10\n",
		},
		"rpm: a feed by binary packages does not ask for the source": {
			db:   table("rpm/almalinux/8", records{"openssl": {fixed("CVE-1", "", "2-1")}, "openssl-libs": {fixed("CVE-2", "", "2-1")}}),
			os:   alma8,
			all:  []image.Package{{Type: image.RPM, Name: "openssl-libs", Version: "1-1", Source: "openssl"}},
			want: "CVE-2 openssl-libs 1-1 -> 2-1\n",
		},
		"rpm: a source without an epoch has its binary's": {
			db:   sources("rpm/rocky/9", records{"nodejs": {fixed("CVE-1", "", "1:16.17.1-1.el9"), fixed("CVE-2", "", "1:16.18.0-1.el9")}}),
			os:   image.OS{ID: "rocky", Version: "9.4"},
			all:  []image.Package{{Type: image.RPM, Name: "npm", Version: "1:8.15.0-1.16.17.1.1.el9", Source: "nodejs", SourceVersion: "16.17.1-1.el9"}},
			want: "CVE-2 npm 1:8.15.0-1.16.17.1.1.el9 -> 1:16.18.0-1.el9\n",
		},
		"rpm: a feed by binary packages that names what it has not fixed by source": {
			db: table("rpm/redhat/9", records{
				"openssl":      {{ID: "CVE-1", Only: advisory.Qualifiers{Source: true}}, fixed("CVE-2", "", "1:2-1")},
				"openssl-libs": {fixed("CVE-3", "", "1:2-1"), {ID: "CVE-4", Only: advisory.Qualifiers{Source: true}}},
			}),
			os: image.OS{ID: "rhel", Version: "9.4"},
			all: []image.Package{
				{Type: image.RPM, Name: "openssl-libs", Version: "1:1-1", Source: "openssl"},
				{Type: image.RPM, Name: "openssl", Version: "1:1-1"},
			},
			want: "CVE-2 openssl 1:1-1 -> 1:2-1\nCVE-3 openssl-libs 1:1-1 -> 1:2-1\nCVE-1 openssl 1:1-1 affected\nCVE-1 openssl-libs 1:1-1 affected\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			img := &image.Image{OS: tt.os, Packages: tt.all}
			want(t, scan(t, tt.db, img, tt.options), tt.want)
		})
	}
}

// TestModules: an advisory for one stream of a module says nothing of another, and
// nothing of packages that are of no module.
func TestModules(t *testing.T) {
	ofStream := func(id, stream, fix string) advisory.Record {
		return with(fixed(id, "", fix), func(r *advisory.Record) { r.Only.Module = stream })
	}
	const label12 = "nodejs:12:8060020220523160029:ad008a3a:x86_64"
	nodejs := records{
		"nodejs": {
			ofStream("CVE-12-old", "nodejs:12", "1:12.22.5-1.module_el8.4.0+2521+c668cc9f"),
			ofStream("CVE-12-new", "nodejs:12", "1:12.22.13-1.module_el8.6.0+2904+8eb91d50"),
			ofStream("CVE-18", "nodejs:18", "1:18.9.1-1.module_el8.7.0+3343+ea2b7901"),
			fixed("CVE-el8", "", "1:20.0.0-1.el8"),
		},
		"npm": {ofStream("CVE-npm", "nodejs:18", "1:8.19.1-1.18.9.1.1.module_el8.7.0+3343+ea2b7901"), ofStream("CVE-npm12", "nodejs:12", "1:6.14.17-1.12.22.13.1.module_el8.6.0+2904+8eb91d50")},
	}
	node := image.Package{Type: image.RPM, Name: "nodejs", Version: "1:12.22.12-1.module_el8.6.0+2904+8eb91d50", Module: label12}
	npm := image.Package{Type: image.RPM, Name: "npm", Version: "1:6.14.16-1.12.22.12.1.module_el8.6.0+2904+8eb91d50", Module: label12}
	bare := func(p image.Package) image.Package { p.Module = ""; return p }
	for name, tt := range map[string]struct {
		records records
		all     []image.Package
		want    string
	}{
		"by label": {nodejs, []image.Package{node, npm}, "CVE-12-new nodejs 1:12.22.12-1.module_el8.6.0+2904+8eb91d50 -> 1:12.22.13-1.module_el8.6.0+2904+8eb91d50\nCVE-npm12 npm 1:6.14.16-1.12.22.12.1.module_el8.6.0+2904+8eb91d50 -> 1:6.14.17-1.12.22.13.1.module_el8.6.0+2904+8eb91d50\n"},
		"by the version where the label is lost": {
			nodejs,
			[]image.Package{bare(node), bare(npm)},
			"CVE-12-new nodejs 1:12.22.12-1.module_el8.6.0+2904+8eb91d50 -> 1:12.22.13-1.module_el8.6.0+2904+8eb91d50\nCVE-npm12 npm 1:6.14.16-1.12.22.12.1.module_el8.6.0+2904+8eb91d50 -> 1:6.14.17-1.12.22.13.1.module_el8.6.0+2904+8eb91d50\n",
		},
		"by a sibling's label": {
			nodejs,
			[]image.Package{{Type: image.RPM, Name: "nodejs-docs", Version: "1:12.22.12-1.module_el8.6.0+2904+8eb91d50", Module: label12}, bare(npm)},
			"CVE-npm12 npm 1:6.14.16-1.12.22.12.1.module_el8.6.0+2904+8eb91d50 -> 1:6.14.17-1.12.22.13.1.module_el8.6.0+2904+8eb91d50\n",
		},
		"not at all where nobody tells": {nodejs, []image.Package{bare(npm)}, "? 2 rpm npm: the stream of their module is not known\n"},
		"not for a package of no module": {
			nodejs,
			[]image.Package{{Type: image.RPM, Name: "nodejs", Version: "1:16.0.0-1.el8"}},
			"CVE-el8 nodejs 1:16.0.0-1.el8 -> 1:20.0.0-1.el8\n",
		},
		"a stream that is no version": {
			records{"podman": {ofStream("CVE-1", "container-tools:rhel8", "4.9.4-1.module_el8.9.0+1+0f")}},
			[]image.Package{{Type: image.RPM, Name: "podman", Version: "3.0.1-1.module_el8.5.0+1+0f", Module: "container-tools:3.0:8050:c:x86_64"}},
			"",
		},
		"an advisory that does not name its stream": {
			records{"nodejs": {fixed("CVE-1", "", "1:12.22.13-1.module_el8.6.0+2904+8eb91d50"), fixed("CVE-2", "", "1:18.9.1-1.module_el8.7.0+3343+ea2b7901")}},
			[]image.Package{node},
			"CVE-1 nodejs 1:12.22.12-1.module_el8.6.0+2904+8eb91d50 -> 1:12.22.13-1.module_el8.6.0+2904+8eb91d50\n",
		},
		"the same release, built by somebody else or anew": {
			records{"nodejs": {ofStream("CVE-1", "nodejs:12", "1:12.22.12-1.module+el8.9.0+15000+0123abcd"), ofStream("CVE-2", "nodejs:12", "1:12.22.12-1.module+el8.9.0+15000+0123abcd.2")}},
			[]image.Package{node},
			"CVE-2 nodejs 1:12.22.12-1.module_el8.6.0+2904+8eb91d50 -> 1:12.22.12-1.module+el8.9.0+15000+0123abcd.2\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, scan(t, table("rpm/almalinux/8", tt.records), &image.Image{OS: alma8, Packages: tt.all}, Options{}), tt.want)
		})
	}
}

func TestRanges(t *testing.T) {
	for name, tt := range map[string]struct {
		of      image.Type
		version string
		record  advisory.Record
		want    string
	}{
		"before the first":                     {image.PyPI, "0.9", fixed("X", "1.0", "1.5"), ""},
		"the first":                            {image.PyPI, "1.0", fixed("X", "1.0", "1.5"), "1.5"},
		"the fix":                              {image.PyPI, "1.5", fixed("X", "1.0", "1.5"), ""},
		"between two branches":                 {image.PyPI, "1.6", fixed("X", "1.0", "1.5", "2.0", "2.3"), ""},
		"in the first of two branches":         {image.PyPI, "1.1", fixed("X", "1.0", "1.5", "2.0", "2.3"), "1.5, 2.3"},
		"in the second, which comes first":     {image.PyPI, "2.1", fixed("X", "2.0", "2.3", "1.0", "1.5"), "2.3"},
		"the last that has it":                 {image.NPM, "1.4.0", advisory.Record{ID: "X", Ranges: []advisory.Range{{Introduced: "0", LastAffected: "1.4.0"}}}, "none"},
		"after the last that has it":           {image.NPM, "1.4.1", advisory.Record{ID: "X", Ranges: []advisory.Range{{Introduced: "0", LastAffected: "1.4.0"}}}, ""},
		"for ever":                             {image.NPM, "1.4.1", advisory.Record{ID: "X", Ranges: []advisory.Range{{Introduced: "1.0.0"}}}, "none"},
		"exactly":                              {image.Gem, "1.4.1", advisory.Record{ID: "X", Versions: []string{"1.4.0", "1.4.1"}}, "none"},
		"exactly another":                      {image.Gem, "1.4.2", advisory.Record{ID: "X", Versions: []string{"1.4.0", "1.4.1"}}, ""},
		"exactly, or in a range":               {image.Gem, "2.0", advisory.Record{ID: "X", Versions: []string{"1.4.0"}, Ranges: []advisory.Range{{Introduced: "2.0", Fixed: "2.1"}}}, "2.1"},
		"a pre-release of the fix":             {image.Cargo, "1.5.0-rc.1", fixed("X", "0", "1.5.0"), "1.5.0"},
		"a fix that brings it again":           {image.Composer, "1.0.0", fixed("X", "0", "1.5.0", "1.4.0", "1.6.0"), "1.6.0"},
		"every version":                        {image.NuGet, "1.0.0", advisory.Record{ID: "X"}, "none"},
		"maven's own order":                    {image.Maven, "1.0-rc1", fixed("X", "0", "1.0"), "1.0"},
		"a range that is nonsense, beside one": {image.PyPI, "1.1", advisory.Record{ID: "X", Ranges: []advisory.Range{{Introduced: strings.Repeat("1", 999)}, {Introduced: "1", Fixed: "2"}}}, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			p := image.Package{Type: tt.of, Name: "a:b", Version: tt.version}
			r, err := Image(table(string(languages[tt.of]), records{"a:b": {tt.record}}), &image.Image{Packages: []image.Package{p}}, Options{Now: today})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, f := range r.Findings {
				got = strings.Join(f.FixedIn, ", ")
				if got == "" {
					got = "none"
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLanguages(t *testing.T) {
	db := table("pypi", records{"zope-interface": {fixed("CVE-1", "0", "5.0")}, "protobuf": {fixed("CVE-2", "0", "5.0")}}).
		add("maven", records{"org.apache:commons-io": {fixed("CVE-3", "0", "2.14")}, "commons-io": {fixed("CVE-3", "0", "2.14")}}).
		add("npm", records{"@scope/a": {fixed("CVE-4", "0", "2.0.0")}}).
		add("rubygems", records{"rack": {fixed("CVE-5", "0", "2.0.0")}})
	want(t, scan(t, db, &image.Image{Packages: []image.Package{
		{Type: image.PyPI, Name: "Zope_.Interface", Version: "4.0"},
		{Type: image.PyPI, Name: "protobuf", Version: "0.0.0-DEVELOPMENT"},
		{Type: image.Maven, Name: "org.apache:commons-io", Version: "2.13"},
		{Type: image.Maven, Name: "commons-io", Version: "2.13"},
		{Type: image.NPM, Name: "@scope/a", Version: "1.0.0", Path: "b/package.json"},
		{Type: image.NPM, Name: "@scope/a", Version: "1.0.0", Path: "a/package.json"},
		{Type: image.NPM, Name: "@scope/a"},
		{Type: image.Gem, Name: "rack", Version: "1.9"},
	}}, Options{}), `
CVE-1 Zope_.Interface 4.0 -> 5.0
CVE-3 org.apache:commons-io 2.13 -> 2.14
CVE-4 @scope/a 1.0.0 -> 2.0.0
CVE-5 rack 1.9 -> 2.0.0
? 1 maven commons-io: their group is not known
? 1 npm @scope/a: their version is not known
? 1 pypi protobuf: their version is not known
`)
}

func TestGo(t *testing.T) {
	functions := image.NewFunctions(func(yield func(string, string) bool) {
		_ = yield("golang.org/x/net/html", "Parse") && yield("net/http", "Server.Serve") && yield("main", "main")
	})
	imports := func(id string, all ...advisory.Import) advisory.Record {
		return with(fixed(id, "0", "0.40.0"), func(r *advisory.Record) { r.Only.Imports = all })
	}
	db := table("go", records{
		"golang.org/x/net": {
			imports("GO-symbol", advisory.Import{Path: "golang.org/x/net/html", Symbols: []string{"ParseFragment", "Parse"}}),
			imports("GO-other-symbol", advisory.Import{Path: "golang.org/x/net/html", Symbols: []string{"Render"}}),
			imports("GO-any-symbol", advisory.Import{Path: "golang.org/x/net/html"}),
			imports("GO-other-package", advisory.Import{Path: "golang.org/x/net/http2", Symbols: []string{"Serve"}}),
			imports("GO-windows", advisory.Import{Path: "golang.org/x/net/html", GOOS: []string{"windows"}, Symbols: []string{"Parse"}}),
			imports("GO-arm", advisory.Import{Path: "golang.org/x/net/html", GOARCH: []string{"arm", "arm64"}}),
			fixed("GO-module", "0", "0.40.0"),
			with(imports("GO-named", advisory.Import{Path: "golang.org/x/net/http2", Symbols: []string{"Serve"}}), func(r *advisory.Record) { r.IDs = [][]string{{"CVE-7", "GO-named", "GHSA-7"}} }),
			with(fixed("GHSA-7", "0", "0.40.0"), func(r *advisory.Record) { r.IDs = [][]string{{"CVE-7", "GHSA-7"}} }),
		},
		"golang.org/x/sys": {fixed("GO-sys", "0", "0.40.0")},
		"stdlib":           {fixed("GO-std", "0", "1.21.9", "1.22.0-0", "1.22.2"), with(fixed("GO-rc", "1.22.0-0", "1.22.0"), func(*advisory.Record) {})},
		"example.com/main": {fixed("GO-main", "0", "1.0.0")},
		"example.com/inc":  {fixed("GO-inc", "0", "2.0.1+incompatible")},
	})
	binary := func(path string, packages []string, f *image.Functions) []image.Package {
		b := &image.GoBinary{Path: path, GOOS: "linux", GOARCH: "amd64", Main: "example.com/main", Packages: packages, Functions: f}
		return []image.Package{
			{Type: image.Go, Name: "golang.org/x/net", Version: "v0.30.0", Path: path, Go: b},
			{Type: image.Go, Name: "golang.org/x/sys", Version: "v0.30.0", Path: path, Go: b},
			{Type: image.Go, Name: "stdlib", Version: "go1.22.1", Path: path, Go: b},
			{Type: image.Go, Name: "example.com/main", Version: "(devel)", Path: path, Go: b},
			{Type: image.Go, Name: "example.com/inc", Version: "v2.0.0+incompatible", Path: path, Go: b},
		}
	}
	packages := []string{"example.com/inc", "golang.org/x/net/html", "net/http"}
	t.Run("functions are known", func(t *testing.T) {
		want(t, scan(t, db, &image.Image{Packages: binary("a", packages, functions)}, Options{}), `
GO-any-symbol golang.org/x/net v0.30.0 -> 0.40.0
GO-symbol golang.org/x/net v0.30.0 -> 0.40.0
GO-inc example.com/inc v2.0.0+incompatible -> 2.0.1+incompatible
GO-module golang.org/x/net v0.30.0 -> 0.40.0
GO-std stdlib go1.22.1 -> 1.22.2
- CVE-7=GHSA-7=GO-named golang.org/x/net v0.30.0 -> 0.40.0 (package: golang.org/x/net/http2 is not linked in)
- GO-arm golang.org/x/net v0.30.0 -> 0.40.0 (platform: only on arm, arm64, the binary is for linux/amd64)
- GO-other-package golang.org/x/net v0.30.0 -> 0.40.0 (package: golang.org/x/net/http2 is not linked in)
- GO-other-symbol golang.org/x/net v0.30.0 -> 0.40.0 (symbol: no vulnerable function of golang.org/x/net/html is linked in)
- GO-sys golang.org/x/sys v0.30.0 -> 0.40.0 (package: golang.org/x/sys is not linked in)
- GO-windows golang.org/x/net v0.30.0 -> 0.40.0 (platform: only on windows, the binary is for linux/amd64)
? 1 golang example.com/main: their version is not known
`)
	})
	t.Run("nothing but the platform is known", func(t *testing.T) {
		got := scan(t, db, &image.Image{Packages: binary("a", nil, nil)}, Options{})
		if n := strings.Count(got, "- "); n != 2 || strings.Count(got, "(platform:") != 2 {
			t.Errorf("want only the two of other platforms set aside, got\n%s", got)
		}
	})
	t.Run("one of two binaries has it", func(t *testing.T) {
		r, err := Image(db, &image.Image{Packages: append(binary("a", packages, functions), binary("b", []string{"net/http"}, functions)...)}, Options{Now: today})
		if err != nil {
			t.Fatal(err)
		}
		count := func(all []Finding) (paths string) {
			for _, f := range all {
				if f.ID == "GO-symbol" {
					paths += fmt.Sprintf("%v %v %s", f.Paths, f.Reachable == SymbolThere, f.Why)
				}
			}
			return paths
		}
		if got, want := count(r.Findings), "[a] true installed v0.30.0, fixed in 0.40.0; golang.org/x/net/html.Parse is linked in"; got != want {
			t.Errorf("found %q, want %q", got, want)
		}
		if got := count(r.SetAside); !strings.HasPrefix(got, "[b]") {
			t.Errorf("set aside %q, want that of b", got)
		}
	})
	t.Run("a release candidate is before its release", func(t *testing.T) {
		want(t, scan(t, db, &image.Image{Packages: []image.Package{{Type: image.Go, Name: "stdlib", Version: "go1.22rc1"}}}, Options{}),
			"GO-rc stdlib go1.22rc1 -> 1.22.0\nGO-std stdlib go1.22rc1 -> 1.22.2\n")
	})
	t.Run("a module that took another's place", func(t *testing.T) {
		db := table("go", records{"example.com/fork": {
			imports("GO-there", advisory.Import{Path: "example.com/fork/html", Symbols: []string{"Parse"}}),
			imports("GO-not-there", advisory.Import{Path: "example.com/fork/http2", Symbols: []string{"Parse"}}),
		}})
		b := &image.GoBinary{Packages: []string{"golang.org/x/net/html"}, Functions: functions}
		want(t, scan(t, db, &image.Image{Packages: []image.Package{{Type: image.Go, Name: "example.com/fork", Source: "golang.org/x/net", Version: "0.1.0", Go: b}}}, Options{}), `
GO-there example.com/fork 0.1.0 -> 0.40.0
- GO-not-there example.com/fork 0.1.0 -> 0.40.0 (package: golang.org/x/net/http2 is not linked in)
`)
	})
	t.Run("a main module without a release", func(t *testing.T) {
		b := &image.GoBinary{Main: "example.com/main"}
		want(t, scan(t, db, &image.Image{Packages: []image.Package{
			{Type: image.Go, Name: "example.com/main", Version: "v0.0.0-20240101000000-abcdefabcdef+dirty", Go: b},
			{Type: image.Go, Name: "example.com/main", Version: "v0.9.0", Go: b},
		}}, Options{}), "GO-main example.com/main v0.9.0 -> 1.0.0\n? 1 golang example.com/main: their version is not known\n")
	})
}

func TestOwners(t *testing.T) {
	deb := image.Package{Type: image.Deb, Name: "python3-idna", Version: "3.3-1+deb12u1", Source: "python-idna", Path: "var/lib/dpkg/status"}
	lib := image.Package{Type: image.PyPI, Name: "idna", Version: "3.3", Owner: "deb:python3-idna", Path: "usr/lib/python3/dist-packages/idna-3.3.egg-info"}
	pypi := records{"idna": {with(fixed("PYSEC-2024-60", "0", "3.7"), func(r *advisory.Record) {
		r.IDs = [][]string{{"CVE-2024-3651", "PYSEC-2024-60", "GHSA-jjg7-2v4v-x38h"}}
	})}}
	for name, tt := range map[string]struct {
		debian  records
		os      image.OS
		lib     image.Package
		partial bool
		want    string
	}{
		"fixed by the distributor": {
			records{"python-idna": {fixed("CVE-2024-3651", "", "3.3-1+deb12u1")}},
			debian12, lib, false, "- CVE-2024-3651=GHSA-jjg7-2v4v-x38h=PYSEC-2024-60 idna 3.3 -> 3.7 (distributor: the file is of python3-idna 3.3-1+deb12u1 (source python-idna 3.3-1+deb12u1), which debian 12 fixed in 3.3-1+deb12u1)\n",
		},
		"never affected": {
			records{"python-idna": {{ID: "CVE-2024-3651", State: advisory.NotAffected}}},
			debian12, lib, false, "- CVE-2024-3651=GHSA-jjg7-2v4v-x38h=PYSEC-2024-60 idna 3.3 -> 3.7 (distributor: the file is of python3-idna 3.3-1+deb12u1 (source python-idna 3.3-1+deb12u1), which debian 12 says is not affected)\n",
		},
		"not listed": {
			records{},
			debian12, lib, false,
			"- CVE-2024-3651=GHSA-jjg7-2v4v-x38h=PYSEC-2024-60 idna 3.3 -> 3.7 (distributor: the file is of python3-idna 3.3-1+deb12u1 (source python-idna 3.3-1+deb12u1), and debian 12 knows of nothing in it)\n",
		},
		"listed as affected: one finding": {
			records{"python-idna": {{ID: "CVE-2024-3651", State: advisory.Deferred}}},
			debian12, lib, false, "CVE-2024-3651=GHSA-jjg7-2v4v-x38h=PYSEC-2024-60 python3-idna 3.3-1+deb12u1 deferred\n",
		},
		"a distributor that lists only part": {
			records{},
			debian12, lib, true,
			"CVE-2024-3651=GHSA-jjg7-2v4v-x38h=PYSEC-2024-60 idna 3.3 -> 3.7\n",
		},
		"a release past its end": {
			records{},
			image.OS{ID: "debian", Version: "12", EndOfLife: today.AddDate(-1, 0, 0)},
			lib, false,
			"CVE-2024-3651=GHSA-jjg7-2v4v-x38h=PYSEC-2024-60 idna 3.3 -> 3.7\n? 1 deb python3-idna: debian 12 has had no support since 2025-11-21: what was found later is not in its advisories\n",
		},
		"a distributor without data": {
			nil,
			image.OS{ID: "debian", Version: "13"},
			lib, false,
			"CVE-2024-3651=GHSA-jjg7-2v4v-x38h=PYSEC-2024-60 idna 3.3 -> 3.7\n? 1 deb python3-idna: no data for debian 13 in the database\n",
		},
		"nobody's file": {
			records{},
			debian12,
			func() image.Package { p := lib; p.Owner = ""; return p }(),
			false, "CVE-2024-3651=GHSA-jjg7-2v4v-x38h=PYSEC-2024-60 idna 3.3 -> 3.7\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := table("pypi", pypi)
			if tt.debian != nil {
				db.add("deb/debian/12", tt.debian)
				db.shards["deb/debian/12"].info.Comprehensive = !tt.partial
			}
			want(t, scan(t, db, &image.Image{OS: tt.os, Packages: []image.Package{tt.lib, deb}}, Options{}), tt.want)
		})
	}
	t.Run("what is linked statically is not followed by debian", func(t *testing.T) {
		db := table("deb/debian/12", nil).add("go", records{"golang.org/x/net": {fixed("GO-1", "0", "0.40.0")}})
		r, err := Image(db, &image.Image{OS: debian12, Packages: []image.Package{
			{Type: image.Deb, Name: "docker.io", Version: "1-1"}, {Type: image.Go, Name: "golang.org/x/net", Version: "v0.1.0", Owner: "deb:docker.io"},
		}}, Options{Now: today})
		if err != nil || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Why, "the file is of docker.io 1-1, and debian 12 does not follow libraries that are linked statically") {
			t.Errorf("got %+v, %v", r, err)
		}
	})
}

// TestAliases: whatever shares a name is one finding, with all names and every source.
func TestAliases(t *testing.T) {
	db := table("npm", records{"a": {
		{ID: "GHSA-1", IDs: [][]string{{"GHSA-1"}}, Ranges: []advisory.Range{{Fixed: "1.5.0"}}, Source: "ghsa"},
		{ID: "OSV-9", IDs: [][]string{{"CVE-2024-1", "OSV-9"}}, Ranges: []advisory.Range{{LastAffected: "1.4.0"}}, Source: "osv-npm"},
		{ID: "JOIN", IDs: [][]string{{"CVE-2024-1", "GHSA-1"}}, Ranges: []advisory.Range{{Fixed: "1.6.0"}}, Source: "osv-npm"},
		{ID: "OTHER", IDs: [][]string{{"CVE-2024-2"}}, Ranges: []advisory.Range{{Fixed: "1.5.0"}}, Source: "osv-npm"},
	}})
	r, err := Image(db, &image.Image{Packages: []image.Package{
		{Type: image.NPM, Name: "a", Version: "1.4.0", Path: "y"}, {Type: image.NPM, Name: "a", Version: "1.4.0", Path: "x"},
	}}, Options{Now: today})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 2 {
		t.Fatalf("%d findings, want 2", len(r.Findings))
	}
	f := r.Findings[0]
	got := fmt.Sprint(f.ID, f.IDs, f.Advisories, f.Paths, f.FixedIn, f.Sources)
	if want := "CVE-2024-1[CVE-2024-1 GHSA-1 OSV-9] [JOIN] [x y] [1.6.0] [ghsa osv-npm]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSeverity(t *testing.T) {
	const (
		v4  = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N" // 9.3
		v31 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"                    // 9.8
		low = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"                    // 1.8
		v30 = "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"                    // 7.5
		v2  = "AV:N/AC:L/Au:N/C:P/I:P/A:P"                                      // 7.5
	)
	for name, tt := range map[string]struct {
		severity advisory.Severity
		own, all []string
		want     string
	}{
		"nobody says":                        {want: "unrated  0"},
		"the distributor's word first":       {advisory.Low, []string{v31}, nil, "low debian 9.8"},
		"version 4 before 3":                 {0, []string{v31, v4}, nil, "critical CVSS:4.0 of debian 9.3"},
		"3.1 before 3.0, whoever says so":    {0, []string{v30}, []string{v31}, "critical CVSS:3.1 9.8"},
		"the highest of one version":         {0, []string{low, v31}, nil, "critical CVSS:3.1 of debian 9.8"},
		"version 2 where there is no other":  {0, nil, []string{v2}, "high CVSS:2.0 7.5"},
		"version 2 with a prefix":            {0, nil, []string{"CVSS:2.0/" + v2}, "high CVSS:2.0 7.5"},
		"a low one":                          {0, []string{low}, nil, "low CVSS:3.1 of debian 1.8"},
		"what is no vector does not count":   {0, []string{"CVSS:3.1/rubbish", "high", v30}, nil, "high CVSS:3.0 of debian 7.5"},
		"unimportant for its distributor is": {advisory.Negligible, nil, []string{v31}, "negligible debian 9.8"},
	} {
		t.Run(name, func(t *testing.T) {
			db := table("deb/debian/12", records{"a": {{ID: "CVE-1", Severity: tt.severity, CVSS: tt.own}}})
			db.about = map[string]advisory.Enrichment{"CVE-1": {CVSS: tt.all}}
			r, err := Image(db, &image.Image{OS: debian12, Packages: []image.Package{{Type: image.Deb, Name: "a", Version: "1"}}}, Options{Now: today})
			if err != nil {
				t.Fatal(err)
			}
			f := r.Findings[0]
			if got := fmt.Sprint(f.Severity, " ", f.SeverityFrom, " ", f.Score); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPriority: what is looked at first.
func TestPriority(t *testing.T) {
	rated := func(id string, s advisory.Severity, fix string) advisory.Record {
		r := advisory.Record{ID: id, Severity: s}
		if fix != "" {
			r.Ranges = []advisory.Range{{Fixed: fix}}
		}
		return r
	}
	db := table("deb/debian/12", records{"a": {
		rated("CVE-9-exploited", advisory.Low, ""), rated("CVE-8-ransomware", advisory.Low, ""),
		rated("CVE-7-critical", advisory.Critical, ""),
		rated("CVE-6-likely", advisory.High, ""), rated("CVE-5-fixed", advisory.High, "2"), rated("CVE-4", advisory.High, ""), rated("CVE-3", advisory.High, ""),
		rated("CVE-2-unrated", advisory.Unrated, "2"),
	}})
	db.about = map[string]advisory.Enrichment{
		"CVE-9-exploited":  {Exploited: today},
		"CVE-8-ransomware": {Exploited: today, Ransomware: true},
		"CVE-6-likely":     {EPSS: 0.9},
	}
	r, err := Image(db, &image.Image{OS: debian12, Packages: []image.Package{{Type: image.Deb, Name: "a", Version: "1"}}}, Options{Now: today})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.ID)
	}
	if diff := cmp.Diff(strings.Fields("CVE-8-ransomware CVE-9-exploited CVE-7-critical CVE-6-likely CVE-5-fixed CVE-3 CVE-4 CVE-2-unrated"), got); diff != "" {
		t.Error(diff)
	}
}

func TestRemedies(t *testing.T) {
	db := table("deb/debian/12", records{
		"glibc":   {fixed("CVE-1", "", "2"), fixed("CVE-2", "", "3"), {ID: "CVE-3"}},
		"openssl": {fixed("CVE-4", "", "3.0.14-1"), fixed("CVE-5", "", "3.0.15-1")},
	}).add("go", records{
		"stdlib": {fixed("GO-1", "0", "1.21.9", "1.22.0-0", "1.22.2"), fixed("GO-2", "0", "1.21.10", "1.22.0-0", "1.22.3"), fixed("GO-3", "1.21.0-0", "1.21.8")},
	}).add("npm", records{
		"a": {fixed("GHSA-1", "0", "1.2.0", "2.0.0", "2.1.0"), fixed("GHSA-2", "0", "2.2.0"), {ID: "GHSA-3"}},
	})
	img := &image.Image{
		OS: debian12, Layers: []image.Layer{{Base: true}, {}}, Base: &image.Base{Name: "debian:12-slim"},
		Packages: []image.Package{
			{Type: image.Deb, Name: "libc6", Version: "1", Source: "glibc"},
			{Type: image.Deb, Name: "libssl3", Version: "3.0.13-1", Source: "openssl", Layer: 1},
			{Type: image.Go, Name: "stdlib", Version: "go1.21.4", Layer: 1},
			{Type: image.NPM, Name: "a", Version: "1.0.0", Layer: 1},
		},
	}
	r, err := Image(db, img, Options{Now: today})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	closed := map[int]bool{}
	for _, m := range Remedies(r) {
		ids := ""
		for _, i := range m.Closes {
			ids += " " + r.Findings[i].ID
			if closed[i] {
				t.Errorf("%s is closed twice", r.Findings[i].ID)
			}
			closed[i] = true
		}
		got = append(got, fmt.Sprintf("%s: %s:%s", m.Kind, m.What, ids))
	}
	if diff := cmp.Diff([]string{
		"toolchain: build with Go 1.21.10 or later: GO-1 GO-2 GO-3",
		"base: rebuild on a newer debian:12-slim: CVE-1 CVE-2",
		"bump: use a 2.2.0 or later: GHSA-1 GHSA-2",
		"upgrade: upgrade openssl to 3.0.15-1: CVE-4 CVE-5",
	}, got); diff != "" {
		t.Error(diff)
	}
	for i, f := range r.Findings {
		if closed[i] != (len(f.FixedIn) > 0) {
			t.Errorf("%s is closed: %v", f.ID, closed[i])
		}
	}
}

// A hide sets aside findings by name.
type hide map[string]By

func (h hide) Judge(_ *image.Image, f *Finding) *Aside {
	if by := h[f.ID]; by != "" {
		return &Aside{By: by, Reason: "r"}
	}
	return nil
}

func TestJudges(t *testing.T) {
	db := table("npm", records{"a": {fixed("CVE-1", "0", "2.0.0"), fixed("CVE-2", "0", "2.0.0"), fixed("CVE-3", "0", "2.0.0")}})
	want(t, scan(t, db, &image.Image{Packages: []image.Package{{Type: image.NPM, Name: "a", Version: "1.0.0"}}},
		Options{Judges: []Judge{hide{"CVE-1": ByVEX}, hide{"CVE-1": ByIgnore, "CVE-2": ByIgnore}}}), `
CVE-3 a 1.0.0 -> 2.0.0
- CVE-1 a 1.0.0 -> 2.0.0 (vex: r)
- CVE-2 a 1.0.0 -> 2.0.0 (ignore: r)
`)
}

// TestJudgesOnlyHide: whatever judges say, nothing is found that was not, nothing is lost,
// and what was set aside without them stays so.
func TestJudgesOnlyHide(t *testing.T) {
	db, img := many(100)
	names := func(all []Finding) map[string]bool {
		out := map[string]bool{}
		for _, f := range all {
			out[f.ID+" "+f.Package.Name+" "+f.Package.Version+" "+fmt.Sprint(f.Paths)] = true
		}
		return out
	}
	before, err := Image(db, img, Options{Now: today})
	if err != nil {
		t.Fatal(err)
	}
	g := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		h := hide{}
		for range g.IntN(200) {
			h[fmt.Sprintf("CVE-%d", g.IntN(1000))] = ByVEX
		}
		after, err := Image(db, img, Options{Now: today, Judges: []Judge{h}, FixedOnly: g.IntN(2) == 0})
		if err != nil {
			t.Fatal(err)
		}
		counted, had, hid := names(after.Findings), names(before.Findings), names(after.SetAside)
		for f := range counted {
			if !had[f] {
				t.Errorf("%s is found because of a judge", f)
			}
		}
		for f := range had {
			if !counted[f] && !hid[f] {
				t.Errorf("%s is lost", f)
			}
		}
		for f := range names(before.SetAside) {
			if !hid[f] {
				t.Errorf("%s is not set aside any more", f)
			}
		}
	}
}

// TestOrderDoesNotMatter: neither that of packages nor that of records, and matching
// again gives the same bytes.
func TestOrderDoesNotMatter(t *testing.T) {
	db, img := many(200)
	var first []byte
	g := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		r, err := Image(db, img, Options{Now: today})
		if err != nil {
			t.Fatal(err)
		}
		r.Image = nil
		got, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
			if len(r.Findings) < 200 || len(r.SetAside) == 0 || len(r.NotAssessed) == 0 {
				t.Fatalf("%d findings, %d set aside, %d not assessed: too few to tell", len(r.Findings), len(r.SetAside), len(r.NotAssessed))
			}
		}
		if !bytes.Equal(first, got) {
			t.Fatal(cmp.Diff(string(first), string(got)))
		}
		g.Shuffle(len(img.Packages), func(i, j int) { img.Packages[i], img.Packages[j] = img.Packages[j], img.Packages[i] })
		for _, k := range slices.Sorted(maps.Keys(db.shards)) {
			for _, name := range slices.Sorted(maps.Keys(db.shards[k].records)) {
				list := db.shards[k].records[name]
				g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			}
		}
	}
}

// many is an image of n packages of several types, with twenty advisories each.
func many(n int) (*memory, *image.Image) {
	g := rand.New(rand.NewPCG(7, 7))
	img := &image.Image{OS: debian12}
	db := &memory{about: map[string]advisory.Enrichment{}}
	all := map[string]records{"deb/debian/12": {}, "npm": {}, "pypi": {}, "go": {}}
	b := &image.GoBinary{Path: "bin", GOOS: "linux", GOARCH: "amd64", Packages: []string{"m/1", "m/3"}}
	for i := range n {
		name := fmt.Sprintf("m/%d", i)
		p := image.Package{Name: name, Path: "p" + name, Version: fmt.Sprintf("1.%d.0", g.IntN(20))}
		key := "deb/debian/12"
		switch i % 10 {
		case 0:
			p.Type, key = image.NPM, "npm"
		case 1:
			p.Type, key, p.Go = image.Go, "go", b
		case 2:
			p.Type, key, p.Owner = image.PyPI, "pypi", "deb:m/3"
		case 3:
			p.Type, p.Version = image.Deb, ""
		default:
			p.Type, p.Version = image.Deb, p.Version+"-1+deb12u1"
		}
		img.Packages = append(img.Packages, p)
		if g.IntN(4) == 0 {
			p.Path += "/again"
			img.Packages = append(img.Packages, p)
		}
		var list []advisory.Record
		for range 20 {
			id := fmt.Sprintf("CVE-%d", g.IntN(1000))
			r := fixed(fmt.Sprintf("A-%d", g.IntN(10000)), "", fmt.Sprintf("1.%d.0", g.IntN(20)), fmt.Sprintf("2.%d.0", g.IntN(5)), fmt.Sprintf("2.%d.0", 5+g.IntN(5)))
			r.IDs = [][]string{{id, fmt.Sprintf("GHSA-%d", g.IntN(1000))}}
			r.Severity = advisory.Severity(g.IntN(6))
			r.State = advisory.State(g.IntN(6))
			db.about[id] = advisory.Enrichment{EPSS: float32(g.IntN(10)) / 10}
			list = append(list, r)
		}
		all[key][name] = list
	}
	for k, r := range all {
		db.add(k, r)
	}
	return db, img
}

// BenchmarkImage is of an image as they are: five hundred packages with sixty advisories
// each, of which one in a hundred is not fixed.
func BenchmarkImage(b *testing.B) {
	img := &image.Image{OS: debian12}
	all := records{}
	for i := range 500 {
		p := image.Package{Type: image.Deb, Name: fmt.Sprintf("package-%d", i), Version: "2.36-9+deb12u7"}
		img.Packages = append(img.Packages, p)
		for j := range 60 {
			r := fixed(fmt.Sprintf("CVE-%d-%d", i, j), "", fmt.Sprintf("2.%d-9+deb12u%d", 20+j%17, j%7))
			if (i*60+j)%100 == 0 {
				r.Ranges[0].Fixed = "2.36-9+deb12u10"
			}
			all[p.Name] = append(all[p.Name], r)
		}
	}
	db := table("deb/debian/12", all)
	for b.Loop() {
		r, err := Image(db, img, Options{Now: today})
		if err != nil || len(r.Findings) != 300 {
			b.Fatal(len(r.Findings), err)
		}
	}
}

// TestAnEmptyImageIsNotClean: an image in which nothing was recognised, a static C program
// say, is not one without vulnerabilities.
func TestAnEmptyImageIsNotClean(t *testing.T) {
	r, err := Image(nothing{}, &image.Image{Name: "static"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.NotAssessed) != 1 {
		t.Errorf("not assessed is %v", r.NotAssessed)
	}
}

type nothing struct{}

func (nothing) Shard(advisory.Key) (advisory.Shard, bool, error) { return nil, false, nil }

func (nothing) Enrichment(string) (advisory.Enrichment, error) { return advisory.Enrichment{}, nil }

func (nothing) Detail(string) (advisory.Detail, error) { return advisory.Detail{}, nil }
