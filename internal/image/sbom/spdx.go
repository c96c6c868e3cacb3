package sbom

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdx/v2/v2_3/tagvalue/reader"
	tagvalue "github.com/spdx/tools-golang/tagvalue/reader"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// noassertion is SPDX's word for what is not said.
const noassertion = "NOASSERTION"

func writeSPDX(w io.Writer, img *image.Image) error {
	about, places, err := factsOf(img)
	if err != nil {
		return err
	}
	created := "1970-01-01T00:00:00Z" // a date must be given; what is built reproducibly says this one
	if !img.Created.IsZero() {
		created = img.Created.UTC().Format(time.RFC3339)
	}
	s := &spdxWriter{created: created}
	root := s.element(cmp.Or(img.Name, "image"), img.Digest, "CONTAINER", "Image", about)
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: cmp.Or(img.Name, "image"),
		CreationInfo: &spdx.CreationInfo{Created: created, Creators: []common.Creator{{CreatorType: "Tool", Creator: "bulwark"}}},
		Packages:     []*spdx.Package{root},
		Relationships: []*spdx.Relationship{{
			RefA: common.MakeDocElementID("", "DOCUMENT"), RefB: common.MakeDocElementID("", string(root.PackageSPDXIdentifier)), Relationship: "DESCRIBES",
		}},
	}
	contain := func(p *spdx.Package) {
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, &spdx.Relationship{
			RefA: common.MakeDocElementID("", string(root.PackageSPDXIdentifier)), RefB: common.MakeDocElementID("", string(p.PackageSPDXIdentifier)),
			Relationship: "CONTAINS",
		})
	}
	if img.OS.ID != "" {
		contain(s.element(img.OS.ID, img.OS.Version, "OPERATING-SYSTEM", "OS", nil))
	}
	for i := range img.Packages {
		p := &img.Packages[i]
		out := s.element(p.Name, p.Version, "LIBRARY", fmt.Sprintf("Package-%d", i+1), packageFacts(p, places))
		if purl := p.PURL(img.OS); purl != "" {
			out.PackageExternalReferences = []*spdx.PackageExternalReference{{Category: "PACKAGE-MANAGER", RefType: "purl", Locator: purl}}
		}
		if p.Source != "" || p.SourceVersion != "" {
			out.PackageSourceInfo = "built package from: " + p.SourceName() + " " + p.SourceVer()
		}
		if len(p.Licenses) > 0 {
			// What packages say of their licence is rarely an expression of SPDX, and must be
			// one in the field for it.
			out.PackageLicenseComments = strings.Join(p.Licenses, "\n")
		}
		contain(out)
	}
	content, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	doc.DocumentNamespace = "https://spdx.org/spdxdocs/bulwark-" + uuid(content)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(doc)
}

type spdxWriter struct{ created string }

func (s *spdxWriter) element(name, version, purpose, id string, f facts) *spdx.Package {
	p := &spdx.Package{
		PackageName: cmp.Or(name, "package"), PackageVersion: version, PackageSPDXIdentifier: common.ElementID(id), PrimaryPackagePurpose: purpose,
		PackageDownloadLocation: noassertion, PackageLicenseConcluded: noassertion, PackageLicenseDeclared: noassertion, PackageCopyrightText: noassertion,
	}
	if f != nil {
		text, _ := json.Marshal(f) // a map of strings has a form
		p.Annotations = []spdx.Annotation{{
			Annotator: common.Annotator{AnnotatorType: "Tool", Annotator: "bulwark"}, AnnotationDate: s.created, AnnotationType: "OTHER",
			AnnotationComment: prefix + string(text),
		}}
	}
	return p
}

func readSPDX(data []byte, version string) (*image.Image, error) {
	if version != "SPDX-2.2" && version != "SPDX-2.3" {
		return nil, fmt.Errorf("version %.20q: want SPDX-2.2 or SPDX-2.3", version)
	}
	// What 2.3 added to 2.2 are fields that may be missing.
	doc := new(spdx.Document)
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, fmt.Errorf("SPDX: %w", err)
	}
	return fromSPDX(doc)
}

// readTagValue reads the older form, of a tag and a value a line, where <text> and </text>
// hold a value of several.
func readTagValue(data []byte) (img *image.Image, err error) {
	defer func() { // the library's parser of a stranger's values
		if p := recover(); p != nil {
			img, err = nil, fmt.Errorf("SPDX: what its tags say does not fit together: %v", p)
		}
	}()
	pairs, err := tagValues(string(data))
	if err != nil {
		return nil, fmt.Errorf("SPDX: %w", err)
	}
	doc, err := reader.ParseTagValues(pairs)
	if err != nil {
		return nil, fmt.Errorf("SPDX: %w", err)
	}
	return fromSPDX(doc)
}

// tagValues takes the pairs apart. The library's own reader takes time that grows with
// the square of a value's lines.
func tagValues(text string) ([]tagvalue.TagValuePair, error) {
	var out []tagvalue.TagValuePair
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			text = rest
			continue
		}
		tag, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("line %d: want a tag and a colon", n)
		}
		value = strings.TrimSpace(value)
		if inside, ok := strings.CutPrefix(value, "<text>"); ok {
			if value, ok = strings.CutSuffix(inside, "</text>"); !ok {
				more, after, closed := strings.Cut(rest, "</text>")
				if !closed {
					return nil, fmt.Errorf("line %d: <text> is not closed", n)
				}
				value = inside + "\n" + more
				n += strings.Count(more, "\n") + 1
				_, rest, _ = strings.Cut(after, "\n")
			}
		}
		if out = append(out, tagvalue.TagValuePair{Tag: strings.TrimSpace(tag), Value: value}); len(out) > 20*MaxPackages {
			return nil, errMany
		}
		text = rest
	}
	return out, nil
}

// fromSPDX reads the packages of a document. What it describes is the image; a package
// with the purpose OPERATING-SYSTEM is the distribution.
func fromSPDX(doc *spdx.Document) (*image.Image, error) {
	b := newBill()
	described := map[common.ElementID]bool{}
	for _, r := range doc.Relationships {
		if r != nil && r.Relationship == "DESCRIBES" {
			described[r.RefB.ElementRefID] = true
		}
	}
	apart := map[common.ElementID][]string{} // annotations that stand apart, as in tag-value
	for _, a := range doc.Annotations {
		if a != nil {
			id := a.AnnotationSPDXIdentifier.ElementRefID
			apart[id] = append(apart[id], a.AnnotationComment)
		}
	}
	comments := func(p *spdx.Package) []string {
		out := apart[p.PackageSPDXIdentifier]
		for _, a := range p.Annotations {
			out = append(out, a.AnnotationComment)
		}
		return out
	}
	// The image goes first: packages refer to its binaries.
	for _, p := range doc.Packages {
		if p == nil || !described[p.PackageSPDXIdentifier] {
			continue
		}
		f, err := spdxFacts(comments(p))
		if err != nil {
			return nil, err
		}
		if err := b.ownFacts(f); err != nil {
			return nil, err
		}
		b.img.Name = p.PackageName
		if b.own || strings.HasPrefix(p.PackageVersion, "sha256:") {
			b.img.Digest = p.PackageVersion
		}
		if b.own {
			break
		}
	}
	b.img.Name = cmp.Or(b.img.Name, doc.DocumentName)
	for _, p := range doc.Packages {
		if p == nil {
			continue
		}
		if err := b.count(); err != nil {
			return nil, err
		}
		if err := b.spdxPackage(p, comments(p), described[p.PackageSPDXIdentifier]); err != nil {
			return nil, fmt.Errorf("package %.80q: %w", p.PackageName, err)
		}
	}
	return b.image()
}

func (b *bill) spdxPackage(p *spdx.Package, comments []string, root bool) error {
	f, err := spdxFacts(comments)
	if err != nil {
		return err
	}
	own, ours, err := f.ours(b.binaries)
	if err != nil {
		return err
	}
	if ours {
		own.Name, own.Version = p.PackageName, p.PackageVersion
		if p.PackageLicenseComments != "" {
			own.Licenses = strings.Split(p.PackageLicenseComments, "\n")
		}
		b.img.Packages = append(b.img.Packages, own)
		return nil
	}
	s := said{name: p.PackageName, version: p.PackageVersion, builtFrom: p.PackageSourceInfo, props: map[string]string{}}
	for _, text := range append(comments, p.PackageAttributionTexts...) {
		if key, value, ok := strings.Cut(text, ": "); ok && !strings.Contains(key, " ") {
			s.props[key] = value
		}
	}
	for _, l := range []string{p.PackageLicenseConcluded, p.PackageLicenseDeclared} {
		if l != "" && l != noassertion && l != "NONE" {
			s.licenses = []string{l}
			break
		}
	}
	for _, r := range p.PackageExternalReferences {
		if r != nil && r.RefType == "purl" {
			s.purl = r.Locator
			break
		}
	}
	switch {
	case p.PrimaryPackagePurpose == "OPERATING-SYSTEM":
		if !b.own {
			b.system(s)
		}
		return nil
	case p.PrimaryPackagePurpose == "CONTAINER", p.PrimaryPackagePurpose == "FILE", p.PrimaryPackagePurpose == "SOURCE" && s.purl == "":
		return nil
	}
	s.loose = root || p.PrimaryPackagePurpose == "APPLICATION"
	b.foreign(s)
	return nil
}

// spdxFacts are our facts among the comments of a package.
func spdxFacts(comments []string) (facts, error) {
	f := facts{}
	for _, c := range comments {
		if text, ok := strings.CutPrefix(c, prefix+"{"); ok {
			if err := json.Unmarshal([]byte("{"+text), &f); err != nil {
				return nil, fmt.Errorf("%s%s: %w", prefix, "facts", err)
			}
		}
	}
	return f, nil
}
