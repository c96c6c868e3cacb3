package vex

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

var update = flag.Bool("update", false, "write the golden files anew")

const digestOfFront = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// front is an image with a package of Debian, one of Python that Debian ships, a Go
// binary, an npm application and a jar in a jar.
func front() (*image.Image, []match.Finding) {
	binary := &image.GoBinary{Path: "bin/app", Main: "example.com/app"}
	img := &image.Image{
		Name: "registry.example/shop/front:1.4", Digest: digestOfFront, Platform: image.Platform{OS: "linux", Architecture: "amd64"},
		OS: image.OS{ID: "debian", Version: "12", Codename: "bookworm"},
		Packages: []image.Package{
			{Type: image.Deb, Name: "libssl3", Version: "3.0.1-1", Source: "openssl", Arch: "amd64", Path: "var/lib/dpkg/status"},
			{Type: image.Deb, Name: "python3-idna", Version: "3.3-1", Path: "var/lib/dpkg/status"},
			{Type: image.PyPI, Name: "idna", Version: "3.3", Owner: "deb:python3-idna", Path: "usr/lib/python3/idna"},
			{Type: image.Go, Name: "example.com/app", Version: "v1.0.0", Path: "bin/app", Go: binary},
			{Type: image.Go, Name: "golang.org/x/net", Version: "v0.30.0", Path: "bin/app", Go: binary},
			{Type: image.NPM, Name: "shop", Version: "1.0.0", Path: "srv/shop/package.json"},
			{Type: image.NPM, Name: "qs", Version: "6.5.0", Path: "srv/shop/node_modules/qs/package.json"},
			{Type: image.Maven, Name: "com.example:app", Version: "1", Path: "app.jar"},
			{Type: image.Maven, Name: "org.apache:commons-io", Version: "2.13", Path: "app.jar!/lib/commons-io.jar"},
		},
	}
	var findings []match.Finding
	for i := range img.Packages {
		p := &img.Packages[i]
		findings = append(findings, match.Finding{ID: "CVE-1", IDs: []string{"CVE-1", "GHSA-aaaa"}, Advisories: []string{"DSA-1"}, Package: p, Paths: []string{p.Path}})
	}
	return img, findings
}

// hidden are the packages whose finding is set aside.
func hidden(t *testing.T, s *Set) string {
	t.Helper()
	img, findings := front()
	var out []string
	for i := range findings {
		if a := s.Judge(img, &findings[i]); a != nil {
			if a.By != match.ByVEX || a.Reason == "" || a.From == "" {
				t.Errorf("set aside as %+v", a)
			}
			out = append(out, findings[i].Package.Name)
		}
	}
	return strings.Join(out, " ")
}

const (
	all         = "libssl3 python3-idna idna example.com/app golang.org/x/net shop qs com.example:app org.apache:commons-io"
	openVEXHead = `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[`
	because     = `"status":"not_affected","justification":"vulnerable_code_not_in_execute_path"`
)

func TestOpenVEX(t *testing.T) {
	statement := func(products string) string {
		return openVEXHead + `{"vulnerability":{"name":"CVE-1"},"products":[` + products + `],` + because + `}]}`
	}
	for name, tt := range map[string]struct{ doc, want string }{
		"the image by digest":                  {statement(`{"@id":"pkg:oci/front@sha256%3A1111111111111111111111111111111111111111111111111111111111111111"}`), all},
		"the image by repository":              {statement(`{"@id":"pkg:oci/front?repository_url=registry.example/shop/front"}`), all},
		"the image by repository and tag":      {statement(`{"@id":"pkg:oci/front?repository_url=registry.example/shop/front&tag=1.4&arch=amd64"}`), all},
		"the image by an identifier":           {statement(`{"@id":"https://example/front","identifiers":{"purl":"pkg:oci/front"}}`), all},
		"the image by a hash":                  {statement(`{"@id":"x","hashes":{"sha-256":"` + strings.TrimPrefix(digestOfFront, "sha256:") + `"}}`), all},
		"the image by its reference":           {statement(`{"@id":"registry.example/shop/front:1.4"}`), all},
		"another digest":                       {statement(`{"@id":"pkg:oci/front@sha256%3A22"}`), ""},
		"another repository":                   {statement(`{"@id":"pkg:oci/front?repository_url=registry.example/other/front"}`), ""},
		"another tag":                          {statement(`{"@id":"pkg:oci/front?tag=1.5"}`), ""},
		"another architecture":                 {statement(`{"@id":"pkg:oci/front?arch=arm64"}`), ""},
		"a component of the image":             {statement(`{"@id":"pkg:oci/front","subcomponents":[{"@id":"pkg:npm/qs"}]}`), "qs"},
		"a component of another image":         {statement(`{"@id":"pkg:oci/back","subcomponents":[{"@id":"pkg:npm/qs"}]}`), ""},
		"a package":                            {statement(`{"@id":"pkg:npm/qs"}`), "qs"},
		"a package with its version":           {statement(`{"@id":"pkg:npm/qs@6.5.0"}`), "qs"},
		"a package with another version":       {statement(`{"@id":"pkg:npm/qs@6.5.1"}`), ""},
		"a package of the distribution":        {statement(`{"@id":"pkg:deb/debian/libssl3?distro=debian-12"}`), "libssl3"},
		"a source package":                     {statement(`{"@id":"pkg:deb/debian/openssl?arch=source"}`), "libssl3"},
		"a package of another distribution":    {statement(`{"@id":"pkg:deb/ubuntu/libssl3"}`), ""},
		"a module of a Go program":             {statement(`{"@id":"pkg:golang/example.com/app@v1.0.0","subcomponents":[{"@id":"pkg:golang/golang.org/x/net"}]}`), "golang.org/x/net"},
		"a component of an application":        {statement(`{"@id":"pkg:npm/shop","subcomponents":[{"@id":"pkg:npm/qs"}]}`), "qs"},
		"a component of one that is elsewhere": {statement(`{"@id":"pkg:npm/shop","subcomponents":[{"@id":"pkg:golang/golang.org/x/net"}]}`), ""},
		"a jar in a jar":                       {statement(`{"@id":"pkg:maven/com.example/app","subcomponents":[{"@id":"pkg:maven/org.apache/commons-io"}]}`), "org.apache:commons-io"},
		"a library of a distribution's":        {statement(`{"@id":"pkg:deb/debian/python3-idna","subcomponents":[{"@id":"pkg:pypi/idna"}]}`), "idna"},
		"texts, as they were before":           {`{"@context":"https://openvex.dev/ns","timestamp":"2023-01-01T00:00:00Z","statements":[{"vulnerability":"CVE-1","products":["pkg:oci/front"],"subcomponents":["pkg:npm/qs"],` + because + `}]}`, "qs"},
		"by an alias":                          {openVEXHead + `{"vulnerability":{"name":"OSV-1","aliases":["ghsa-AAAA"]},"products":[{"@id":"pkg:npm/qs"}],` + because + `}]}`, "qs"},
		"by an advisory":                       {openVEXHead + `{"vulnerability":{"name":"DSA-1"},"products":[{"@id":"pkg:deb/debian/libssl3"}],` + because + `}]}`, "libssl3"},
		"another vulnerability":                {openVEXHead + `{"vulnerability":{"name":"CVE-2"},"products":[{"@id":"pkg:npm/qs"}],` + because + `}]}`, ""},
		"fixed":                                {openVEXHead + `{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:npm/qs@6.5.0"}],"status":"fixed"}]}`, "qs"},
		"affected":                             {openVEXHead + `{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:npm/qs"}],"status":"affected","action_statement":"a"}]}`, ""},
		"under investigation hides nothing":    {openVEXHead + `{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:npm/qs"}],"status":"under_investigation"}]}`, ""},
		"not affected for no reason":           {openVEXHead + `{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:npm/qs"}],"status":"not_affected"}]}`, ""},
		"not affected, in words":               {openVEXHead + `{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:npm/qs"}],"status":"not_affected","impact_statement":"it is not called"}]}`, "qs"},
		"no product":                           {openVEXHead + `{"vulnerability":{"name":"CVE-1"},` + because + `}]}`, ""},
		"the latest counts: affected": {openVEXHead +
			`{"vulnerability":{"name":"CVE-1"},"timestamp":"2026-03-01T00:00:00Z","products":[{"@id":"pkg:npm/qs"}],"status":"affected"},
			{"vulnerability":{"name":"CVE-1"},"timestamp":"2026-02-01T00:00:00Z","products":[{"@id":"pkg:npm/qs"}],` + because + `}]}`, ""},
		"the latest counts: not affected": {openVEXHead +
			`{"vulnerability":{"name":"CVE-1"},"timestamp":"2026-02-01T00:00:00Z","last_updated":"2026-04-01T00:00:00Z","products":[{"@id":"pkg:npm/qs"}],` + because + `},
			{"vulnerability":{"name":"CVE-1"},"timestamp":"2026-03-01T00:00:00Z","products":[{"@id":"pkg:npm/qs"}],"status":"affected"}]}`, "qs"},
		"what is as late hides nothing": {openVEXHead +
			`{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:npm/qs"}],` + because + `},
			{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:npm/qs"}],"status":"under_investigation"}]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Parse("f", []byte(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			if got := hidden(t, NewSet(d)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if dropped := strings.Count(tt.doc, `"vulnerability"`) - len(d.Statements); dropped != len(d.Warnings) {
				t.Errorf("%d statements do not count, and %d warnings: %v", dropped, len(d.Warnings), d.Warnings)
			}
		})
	}
}

func TestCycloneDX(t *testing.T) {
	doc := func(root, analysis, ref string) string {
		return `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"timestamp":"2026-01-01T00:00:00Z"` + root + `},
		"components":[{"bom-ref":"outer","name":"outer","components":[{"bom-ref":"q","name":"qs","purl":"pkg:npm/qs"}]}],
		"vulnerabilities":[{"id":"OSV-1","references":[{"id":"CVE-1"}],"analysis":` + analysis + `,"affects":[` + ref + `]}]}`
	}
	const no = `{"state":"not_affected","justification":"code_not_reachable"}`
	root := func(c string) string { return `,"component":{"bom-ref":"root",` + c + `}` }
	for name, tt := range map[string]struct{ doc, want string }{
		"a component":                   {doc("", no, `{"ref":"q"}`), "qs"},
		"a component of this image":     {doc(root(`"name":"front","purl":"pkg:oci/front"`), no, `{"ref":"q"}`), "qs"},
		"a component of another image":  {doc(root(`"name":"back","purl":"pkg:oci/back"`), no, `{"ref":"q"}`), ""},
		"of this image, by its name":    {doc(root(`"name":"front"`), no, `{"ref":"q"}`), "qs"},
		"of an application":             {doc(root(`"name":"shop","purl":"pkg:npm/shop@1.0.0"`), no, `{"ref":"q"}`), "qs"},
		"the image itself":              {doc(root(`"name":"front","purl":"pkg:oci/front"`), no, `{"ref":"root"}`), all},
		"by a link to another document": {doc("", no, `{"ref":"urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg%3Anpm%2Fqs%406.5.0"}`), "qs"},
		"by a package URL":              {doc("", no, `{"ref":"pkg:npm/qs@6.5.0"}`), "qs"},
		"by a reference to nothing":     {doc("", no, `{"ref":"x"}`), ""},
		"of this version":               {doc("", no, `{"ref":"q","versions":[{"version":"6.5.0"}]}`), "qs"},
		"of another version":            {doc("", no, `{"ref":"q","versions":[{"version":"6.5.1"},{"version":"6.5.0","status":"unaffected"}]}`), ""},
		"false positive":                {doc("", `{"state":"false_positive"}`, `{"ref":"q"}`), "qs"},
		"resolved":                      {doc("", `{"state":"resolved"}`, `{"ref":"q"}`), "qs"},
		"exploitable":                   {doc("", `{"state":"exploitable"}`, `{"ref":"q"}`), ""},
		"in triage hides nothing":       {doc("", `{"state":"in_triage"}`, `{"ref":"q"}`), ""},
		"nobody has judged it":          {doc("", `{}`, `{"ref":"q"}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Parse("f", []byte(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			if got := hidden(t, NewSet(d)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCSAF(t *testing.T) {
	const head = `{"document":{"category":"csaf_vex","csaf_version":"2.0","tracking":{"current_release_date":"2026-01-01T00:00:00Z"}},
	"product_tree":{
		"full_product_names":[{"product_id":"image","name":"i","product_identification_helper":{"purl":"pkg:oci/front?repository_url=registry.example/shop/front"}},
			{"product_id":"other","name":"o","product_identification_helper":{"purl":"pkg:oci/back"}}],
		"branches":[{"branches":[{"product":{"product_id":"qs","name":"qs","product_identification_helper":{"purl":"pkg:npm/qs@6.5.0"}}}]},
			{"product":{"product_id":"rhel9","name":"r","product_identification_helper":{"cpe":"cpe:/o:redhat:enterprise_linux:9::baseos"}}},
			{"product":{"product_id":"ssl","name":"s","product_identification_helper":{"purl":"pkg:rpm/redhat/openssl?arch=src"}}}],
		"relationships":[{"category":"default_component_of","product_reference":"qs","relates_to_product_reference":"image","full_product_name":{"product_id":"image:qs","name":"x"}},
			{"category":"default_component_of","product_reference":"qs","relates_to_product_reference":"other","full_product_name":{"product_id":"other:qs","name":"x"}},
			{"category":"default_component_of","product_reference":"ssl","relates_to_product_reference":"rhel9","full_product_name":{"product_id":"rhel9:ssl","name":"x"}}],
		"product_groups":[{"group_id":"g","product_ids":["image:qs"]}]},
	"vulnerabilities":[{"cve":"CVE-1","product_status":{`
	const flag = `},"flags":[{"label":"vulnerable_code_not_present","group_ids":["g"],"product_ids":["qs","image","other:qs","rhel9:ssl"]}]}]}`
	for name, tt := range map[string]struct{ doc, want string }{
		"a product":                    {head + `"known_not_affected":["qs"]` + flag, "qs"},
		"the image":                    {head + `"known_not_affected":["image"]` + flag, all},
		"a component, in a group":      {head + `"known_not_affected":["image:qs"]` + flag, "qs"},
		"a component of another image": {head + `"known_not_affected":["other:qs"]` + flag, ""},
		"another distribution":         {head + `"known_not_affected":["rhel9:ssl"]` + flag, ""},
		"in words":                     {head + `"known_not_affected":["qs"]},"threats":[{"category":"impact","details":"not called","product_ids":["qs"]}]}]}`, "qs"},
		"for no reason":                {head + `"known_not_affected":["qs"]}}]}`, ""},
		"fixed":                        {head + `"fixed":["qs"]` + flag, "qs"},
		"affected":                     {head + `"known_affected":["qs"]` + flag, ""},
		"under investigation":          {head + `"under_investigation":["qs"]` + flag, ""},
		"both at once hide nothing":    {head + `"under_investigation":["qs"],"known_not_affected":["image"]` + flag, strings.Replace(all, "qs ", "", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Parse("f", []byte(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			if got := hidden(t, NewSet(d)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("a release of Red Hat's", func(t *testing.T) {
		d, err := Parse("f", []byte(head+`"known_not_affected":["rhel9:ssl"]`+flag))
		if err != nil {
			t.Fatal(err)
		}
		for version, want := range map[string]bool{"9.4": true, "8.10": false} {
			p := &image.Package{Type: image.RPM, Name: "openssl-libs", Version: "1:3.0.7-1.el9", Source: "openssl"}
			img := &image.Image{OS: image.OS{ID: "rhel", Version: version}}
			if got := NewSet(d).Judge(img, &match.Finding{IDs: []string{"CVE-1"}, Package: p}); (got != nil) != want {
				t.Errorf("%s: %v, want %v", version, got, want)
			}
		}
	})
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: "f: json: cannot unmarshal array",
		`{}`: "f: no VEX document, want OpenVEX, CycloneDX or CSAF",
		openVEXHead + `{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"x"}],"status":"fine"}]}`:                            `f: statement 1: status is "fine", want not_affected, affected, fixed or under_investigation`,
		`{"bomFormat":"CycloneDX","vulnerabilities":[{"id":"CVE-1","analysis":{"state":"fine"}}]}`:                               `f: vulnerability "CVE-1": state is "fine"`,
		`{"document":{"csaf_version":"2.0"},"vulnerabilities":[{"cve":"CVE-1","product_status":{"fixed":["x"]}}]}`:               `f: vulnerability CVE-1: product "x" is not in the product tree`,
		`{"bomFormat":"CycloneDX","components":` + strings.Repeat(`[{"components":`, 70) + `[]` + strings.Repeat(`}]`, 70) + `}`: "f: components are nested deeper than 64",
	} {
		if _, err := Parse("f", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", text, err, want)
		}
	}
}

// written is a result with a finding of every kind.
func written() *match.Result {
	img, findings := front()
	for i := range findings {
		f := &findings[i]
		f.ID = fmt.Sprintf("CVE-%d", i)
		f.IDs = []string{f.ID, fmt.Sprintf("GHSA-%d", i)}
		f.Severity, f.SeverityFrom = advisory.High, "CVSS:3.1 of osv"
		f.Score, f.Vector = 9.8, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
	}
	findings[0].FixedIn, findings[0].State = []string{"3.0.2-1"}, advisory.Fixed
	findings[1].State = advisory.UnderInvestigation
	findings[0].Summary, findings[0].References = "a <fault>", []string{"https://example.com/1"}
	for i, by := range []match.By{match.ByDistributor, match.ByVEX, match.BySymbol, match.ByIgnore, match.ByUnfixed, match.ByPackage} {
		findings[3+i].Aside = &match.Aside{By: by, Reason: "reason " + string(by), Owner: "o", Expires: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC)}
	}
	return &match.Result{Image: img, Findings: findings[:3], SetAside: findings[3:]}
}

func TestWrite(t *testing.T) {
	o := WriteOptions{Now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Version: "1.2.3"}
	for name, write := range map[string]func(*bytes.Buffer, *match.Result) error{
		"openvex":   func(b *bytes.Buffer, r *match.Result) error { return WriteOpenVEX(b, r, o) },
		"cyclonedx": func(b *bytes.Buffer, r *match.Result) error { return WriteCycloneDX(b, r, o) },
	} {
		t.Run(name, func(t *testing.T) {
			r := written()
			var first, second bytes.Buffer
			if err := write(&first, r); err != nil {
				t.Fatal(err)
			}
			if err := write(&second, written()); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Errorf("written again it differs: %v", err)
			}
			golden := "testdata/" + name + ".json"
			if *update {
				if err := os.WriteFile(golden, first.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), first.String()); diff != "" {
				t.Error(diff)
			}
			// What is read of it hides what was not affected, and nothing else.
			d, err := Parse(golden, first.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Warnings) > 0 {
				t.Error(d.Warnings)
			}
			s := NewSet(d)
			every(r, func(f *match.Finding) {
				want := f.Aside != nil && f.Aside.By != match.ByIgnore && f.Aside.By != match.ByUnfixed
				if got := s.Judge(r.Image, f); (got != nil) != want {
					t.Errorf("%s of %s is hidden: %v, want %v", f.ID, f.Package.Name, got, want)
				}
			})
		})
	}
}

// FuzzParse states that whatever is read hides only what a statement that hides is about,
// that documents may come in any order, and that one more document which hides nothing
// hides nothing.
func FuzzParse(f *testing.F) {
	f.Add([]byte(openVEXHead + `{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:oci/front","subcomponents":[{"@id":"pkg:npm/qs"}]}],` + because + `}]}`))
	f.Add([]byte(`{"bomFormat":"CycloneDX","metadata":{"component":{"purl":"pkg:oci/front"}},"vulnerabilities":[{"id":"CVE-1","analysis":{"state":"not_affected"},"affects":[{"ref":"pkg:npm/qs","versions":[{"version":"1"}]}]}]}`))
	f.Add([]byte(`{"document":{"csaf_version":"2.0"},"product_tree":{"full_product_names":[{"product_id":"a","product_identification_helper":{"purl":"pkg:npm/qs","cpe":"cpe:/o:redhat:enterprise_linux:9"}}]},"vulnerabilities":[{"cve":"CVE-1","product_status":{"fixed":["a"]}}]}`))
	affected, err := Parse("affected", []byte(`{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2999-01-01T00:00:00Z","statements":[{"vulnerability":{"name":"CVE-1"},"products":[{"@id":"pkg:oci/front"}],"status":"affected"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f: ") {
				t.Errorf("error %q does not name the file", err)
			}
			return
		}
		got := hidden(t, NewSet(d))
		if got != "" && !slices.ContainsFunc(d.Statements, func(s Statement) bool { return s.hides() }) {
			t.Errorf("%s is hidden, and no statement hides", got)
		}
		half := len(d.Statements) / 2
		a, b := &Document{Statements: d.Statements[:half]}, &Document{Statements: d.Statements[half:]}
		if one, other := hidden(t, NewSet(a, b)), hidden(t, NewSet(b, a)); one != got || other != got {
			t.Errorf("in two documents %q and %q are hidden, in one %q", one, other, got)
		}
		img, findings := front()
		for i := range findings {
			a := NewSet(d, affected).Judge(img, &findings[i])
			if a != nil && !strings.Contains(got, findings[i].Package.Name) {
				t.Errorf("%s is hidden by a statement that hides nothing", findings[i].Package.Name)
			}
		}
		if _, err := json.Marshal(d); err != nil {
			t.Error(err)
		}
	})
}
