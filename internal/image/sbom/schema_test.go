package sbom

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// schemas is the folder of CycloneDX's own schemas, which come with its Go library.
func schemas(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "schema")
}

// TestSchema: what is written as CycloneDX is valid by its schema, whatever is in the image.
func TestSchema(t *testing.T) {
	dir := schemas(t)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for name, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, doc); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, img := range map[string]*image.Image{
		"everything": shop(), "nothing": {}, "a package without a name": {Packages: []image.Package{{Type: image.NPM}}},
		"alike": {Packages: []image.Package{{Type: image.NPM, Name: "a"}, {Type: image.NPM, Name: "a"}}}, "strange names": {Name: "\x00<>\n", Packages: []image.Package{{Type: "x y", Name: "ü/?#@", Version: "\n"}}},
	} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(written(t, img, CycloneDX)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var (
	spdxID   = regexp.MustCompile(`^SPDXRef-[a-zA-Z0-9.-]+$`)
	spdxDate = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
)

// TestSPDX: what is written as SPDX keeps its rules (spdx.github.io/spdx-spec/v2.3):
// mandatory fields, identifiers that exist once and are referred to, dates to the second.
func TestSPDX(t *testing.T) {
	var doc struct {
		SPDXVersion, DataLicense, SPDXID, Name, DocumentNamespace string
		CreationInfo                                              struct {
			Created  string
			Creators []string
		}
		Packages []struct {
			Name, SPDXID, DownloadLocation, LicenseConcluded, LicenseDeclared, CopyrightText, PrimaryPackagePurpose string
			FilesAnalyzed                                                                                           *bool
			ExternalRefs                                                                                            []struct{ ReferenceCategory, ReferenceType, ReferenceLocator string }
			Annotations                                                                                             []struct{ Annotator, AnnotationDate, AnnotationType, Comment string }
		}
		Relationships []struct{ SPDXElementID, RelatedSPDXElement, RelationshipType string }
	}
	if err := json.Unmarshal(written(t, shop(), SPDX), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.SPDXVersion != "SPDX-2.3" || doc.DataLicense != "CC0-1.0" || doc.SPDXID != "SPDXRef-DOCUMENT" || doc.Name == "" || !strings.HasPrefix(doc.DocumentNamespace, "https://") || strings.Contains(doc.DocumentNamespace, "#") {
		t.Errorf("the document is %+v", doc)
	}
	if !spdxDate.MatchString(doc.CreationInfo.Created) || len(doc.CreationInfo.Creators) == 0 || !strings.HasPrefix(doc.CreationInfo.Creators[0], "Tool: ") {
		t.Errorf("it is created %+v", doc.CreationInfo)
	}
	ids := map[string]bool{doc.SPDXID: true}
	for _, p := range doc.Packages {
		if !spdxID.MatchString(p.SPDXID) || ids[p.SPDXID] || p.Name == "" || p.DownloadLocation == "" || p.FilesAnalyzed == nil || *p.FilesAnalyzed {
			t.Errorf("package %+v", p)
		}
		ids[p.SPDXID] = true
		for _, a := range p.Annotations {
			if a.AnnotationType != "OTHER" || !spdxDate.MatchString(a.AnnotationDate) || a.Comment == "" || a.Annotator != "Tool: bulwark" {
				t.Errorf("%s: annotation %+v", p.Name, a)
			}
		}
		for _, r := range p.ExternalRefs {
			if r.ReferenceCategory != "PACKAGE-MANAGER" || r.ReferenceType != "purl" || !strings.HasPrefix(r.ReferenceLocator, "pkg:") {
				t.Errorf("%s: reference %+v", p.Name, r)
			}
		}
	}
	if len(doc.Relationships) != len(doc.Packages) {
		t.Errorf("%d relationships of %d packages", len(doc.Relationships), len(doc.Packages))
	}
	for _, r := range doc.Relationships {
		if !ids[r.SPDXElementID] || !ids[r.RelatedSPDXElement] {
			t.Errorf("relationship %+v with what is not there", r)
		}
	}
}

// TestOrderDoesNotMatter: components in another order are the same image.
func TestOrderDoesNotMatter(t *testing.T) {
	for _, f := range Names() {
		var doc map[string]any
		if err := json.Unmarshal(written(t, shop(), Format(f)), &doc); err != nil {
			t.Fatal(err)
		}
		key := map[string]string{"cyclonedx-json": "components", "spdx-json": "packages"}[f]
		list := doc[key].([]any)
		r := rand.New(rand.NewPCG(1, 2))
		for range 10 {
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			shuffled, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Read(bytes.NewReader(shuffled))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(shop(), got, alike); diff != "" {
				t.Fatalf("%s (-image +shuffled):\n%s", f, diff)
			}
		}
	}
}

// TestLimits: what is too large or too deep is refused, and quickly.
func TestLimits(t *testing.T) {
	deep := `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[` + strings.Repeat(`{"type":"library","name":"a","components":[`, 200) + strings.Repeat(`]}`, 200) + `]}`
	lines := "SPDXVersion: SPDX-2.3\nDocumentComment: <text>" + strings.Repeat("\n", 4<<20)
	for name, tt := range map[string]struct{ bill, want string }{
		"components within components": {deep, "more than 100 deep"},
		"nothing but brackets":         {`{"bomFormat":"CycloneDX","a":` + strings.Repeat("[", 1<<20), "exceeded max depth"},
		"a text that is not closed":    {lines, "not closed"},
		"too many components":          {`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a"}` + strings.Repeat(`,{}`, MaxPackages) + `]}`, "more components than any image"},
		"statements within statements": {strings.Repeat(`{"predicate":`, 3) + `{"bomFormat":"CycloneDX"}` + strings.Repeat(`}`, 3), "neither"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(strings.NewReader(tt.bill)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzRead states what holds for any bytes: reading ends in an image or an error; what is
// read can be written, and is then read as the same image, in both formats.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, bill, _ := bytes.Cut(data, []byte("-- bill --\n"))
		bill, _, _ = bytes.Cut(bill, []byte("-- want --"))
		f.Add(bill)
	}
	f.Add(written(f, shop(), CycloneDX))
	f.Add(written(f, shop(), SPDX))
	f.Fuzz(func(t *testing.T, data []byte) {
		img, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, format := range Names() {
			again, err := Read(bytes.NewReader(written(t, img, Format(format))))
			if err != nil {
				t.Fatalf("%s: what was read is written so that it cannot be read: %v", format, err)
			}
			want := *img
			if want.Name == "" {
				want.Name = "image"
			}
			if diff := cmp.Diff(&want, again, alike); diff != "" {
				t.Fatalf("%s (-read +written and read):\n%s", format, diff)
			}
		}
	})
}

// FuzzWrite states that whatever texts an image holds come back as they were, in both
// formats.
func FuzzWrite(f *testing.F) {
	f.Add("libc6", "1:2.36-9+deb12u4", "deb", "var/lib/dpkg/status", 1)
	f.Add("a:b:c", "", "maven", "a!/b", -1)
	f.Add("@s/\u2028 <&>", "\x00\"\\", "x y", "\t", 1<<30)
	f.Fuzz(func(t *testing.T, name, version, kind, path string, n int) {
		for _, s := range []string{name, version, kind, path} {
			if !utf8.ValidString(s) {
				return
			}
		}
		if name == "" || kind == "" {
			return // every package has both
		}
		g := &image.GoBinary{Path: path, Main: name, Packages: []string{version}}
		want := &image.Image{
			Name: name, Digest: version, Config: image.Config{Env: []string{path}, Labels: map[string]string{name: version}},
			OS: image.OS{ID: kind, Version: version, Name: name}, Layers: []image.Layer{{Command: path}}, Gaps: []image.Gap{{Path: path, Layer: n, Reason: version}},
			Packages: []image.Package{
				{Type: image.Type(kind), Name: name, Version: version, Source: path, SourceVersion: kind, Arch: name, Module: path, Path: path, Layer: n, Owner: kind, Dev: n > 0, Go: g},
				{Type: image.Type(kind), Name: version + "x", Version: name, Go: g},
			},
		}
		order(want)
		for _, format := range Names() {
			got, err := Read(bytes.NewReader(written(t, want, Format(format))))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, alike); diff != "" {
				t.Fatalf("%s (-image +read):\n%s", format, diff)
			}
			if got.Packages[0].Go != got.Packages[1].Go {
				t.Fatalf("%s: the packages of one binary have two", format)
			}
		}
	})
}
