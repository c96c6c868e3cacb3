package sbom

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// References within a bill. Those of packages are their package URLs.
const (
	imageRef = "image"
	osRef    = "os"
)

func writeCycloneDX(w io.Writer, img *image.Image) error {
	about, places, err := factsOf(img)
	if err != nil {
		return err
	}
	bom := cdx.NewBOM()
	bom.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	bom.SpecVersion = cdx.SpecVersion1_6
	bom.Metadata = &cdx.Metadata{
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "bulwark"}}},
		Component: &cdx.Component{
			BOMRef: imageRef, Type: cdx.ComponentTypeContainer, Name: cmp.Or(img.Name, "image"), Version: img.Digest, Properties: properties(about),
		},
	}
	if !img.Created.IsZero() {
		bom.Metadata.Timestamp = img.Created.UTC().Format(time.RFC3339)
	}
	components, refs := []cdx.Component{}, []string{}
	if img.OS.ID != "" {
		components = append(components, cdx.Component{
			BOMRef: osRef, Type: cdx.ComponentTypeOS, Name: img.OS.ID, Version: img.OS.Version, Description: img.OS.Name,
		})
		refs = append(refs, osRef)
	}
	seen := map[string]int{}
	for i := range img.Packages {
		c := component(&img.Packages[i], img.OS, places)
		if seen[c.BOMRef]++; seen[c.BOMRef] > 1 {
			c.BOMRef += "#" + strconv.Itoa(seen[c.BOMRef])
		}
		components = append(components, c)
		refs = append(refs, c.BOMRef)
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: imageRef, Dependencies: &refs}}
	whole := cdx.CompositionAggregateComplete
	if len(img.Gaps) > 0 {
		whole = cdx.CompositionAggregateIncomplete
	}
	bom.Compositions = &[]cdx.Composition{{Aggregate: whole, Assemblies: &[]cdx.BOMReference{imageRef}}}

	content, err := json.Marshal(bom)
	if err != nil {
		return err
	}
	bom.SerialNumber = "urn:uuid:" + uuid(content)
	e := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON)
	e.SetPretty(true)
	e.SetEscapeHTML(false)
	return e.Encode(bom)
}

func component(p *image.Package, release image.OS, places map[*image.GoBinary]int) cdx.Component {
	purl := p.PURL(release)
	c := cdx.Component{
		BOMRef: cmp.Or(purl, "package"), Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: purl,
		Properties: properties(packageFacts(p, places)),
	}
	if p.Type == image.Generic {
		c.Type = cdx.ComponentTypeApplication
	}
	if group, artifact, _ := strings.Cut(p.Name, ":"); p.Type == image.Maven && group != "" && artifact != "" {
		c.Group, c.Name = group, artifact
	}
	if len(p.Licenses) > 0 {
		var all cdx.Licenses
		for _, l := range p.Licenses {
			all = append(all, cdx.LicenseChoice{License: &cdx.License{Name: l}})
		}
		c.Licenses = &all
	}
	if p.Path != "" {
		c.Evidence = &cdx.Evidence{Occurrences: &[]cdx.EvidenceOccurrence{{Location: p.Path}}}
	}
	return c
}

func properties(f facts) *[]cdx.Property {
	var out []cdx.Property
	for _, name := range f.names() {
		out = append(out, cdx.Property{Name: prefix + name, Value: f[name]})
	}
	return &out
}

// readCycloneDX reads a bill as JSON or else as XML.
func readCycloneDX(data []byte, isJSON bool) (*image.Image, error) {
	kind := cdx.BOMFileFormatXML
	if isJSON {
		kind = cdx.BOMFileFormatJSON
	}
	bom := new(cdx.BOM)
	if err := cdx.NewBOMDecoder(bytes.NewReader(data), kind).Decode(bom); err != nil {
		return nil, fmt.Errorf("CycloneDX: %w", err)
	}
	if !isJSON && bom.XMLName.Local != "bom" {
		return nil, errNone
	}
	b := newBill()
	if m := bom.Metadata; m != nil && m.Component != nil {
		c := m.Component
		b.img.Name, b.img.Digest = c.Name, c.Version
		if err := b.ownFacts(ownOf(c.Properties)); err != nil {
			return nil, err
		}
		if !b.own {
			b.describe(c)
		}
		if err := b.components(c.Components, 0); err != nil {
			return nil, err
		}
	}
	if err := b.components(bom.Components, 0); err != nil {
		return nil, err
	}
	if !b.own && bom.Compositions != nil {
		for _, c := range *bom.Compositions {
			if strings.HasPrefix(string(c.Aggregate), "incomplete") {
				b.gap("the bill says itself that it is not complete")
				break
			}
		}
	}
	return b.image()
}

// ownOf are our facts among a component's properties.
func ownOf(all *[]cdx.Property) facts {
	f := facts{}
	if all != nil {
		for _, p := range *all {
			if name, ok := strings.CutPrefix(p.Name, prefix); ok {
				f[name] = p.Value
			}
		}
	}
	return f
}

// theirs are all properties by name; of two the first counts.
func theirs(all *[]cdx.Property) map[string]string {
	out := map[string]string{}
	if all != nil {
		for _, p := range *all {
			if _, ok := out[p.Name]; !ok {
				out[p.Name] = p.Value
			}
		}
	}
	return out
}

func (b *bill) components(list *[]cdx.Component, depth int) error {
	if list == nil {
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("components within components, more than %d deep", maxDepth)
	}
	for i := range *list {
		c := &(*list)[i]
		if err := b.count(); err != nil {
			return err
		}
		if err := b.component(c); err != nil {
			return fmt.Errorf("component %.80q: %w", c.Name, err)
		}
		if err := b.components(c.Components, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (b *bill) component(c *cdx.Component) error {
	p, ours, err := ownOf(c.Properties).ours(b.binaries)
	if err != nil {
		return err
	}
	if ours {
		p.Name, p.Version = c.Name, c.Version
		if c.Group != "" && p.Type == image.Maven {
			p.Name = c.Group + ":" + c.Name
		}
		p.Licenses = licences(c.Licenses)
		b.img.Packages = append(b.img.Packages, p)
		return nil
	}
	s := said{
		name: c.Name, version: c.Version, purl: c.PackageURL, props: theirs(c.Properties), licenses: licences(c.Licenses),
	}
	if e := c.Evidence; e != nil && e.Occurrences != nil && len(*e.Occurrences) > 0 {
		s.path = (*e.Occurrences)[0].Location
	}
	switch c.Type { //nolint:exhaustive // the others are packages where they have a package URL
	case cdx.ComponentTypeOS:
		if !b.own {
			b.system(s)
		}
		return nil
	case cdx.ComponentTypeFile, cdx.ComponentTypeContainer, cdx.ComponentTypeData, cdx.ComponentTypeCryptographicAsset:
		return nil
	case cdx.ComponentTypeApplication:
		s.loose = true // Trivy's for a lock file or binary, a bill's own root
	}
	if c.Group != "" {
		s.name = c.Group + "/" + c.Name
	}
	b.foreign(s)
	return nil
}

func licences(all *cdx.Licenses) []string {
	var out []string
	if all == nil {
		return nil
	}
	for _, l := range *all {
		switch {
		case l.Expression != "":
			out = append(out, l.Expression)
		case l.License != nil && (l.License.ID != "" || l.License.Name != ""):
			out = append(out, cmp.Or(l.License.ID, l.License.Name))
		}
	}
	return out
}

// describe takes what other tools say of the image itself.
func (b *bill) describe(c *cdx.Component) {
	props := theirs(c.Properties)
	b.img.ID = props["aquasecurity:trivy:ImageID"]
	if _, digest, ok := strings.Cut(props["aquasecurity:trivy:RepoDigest"], "@"); ok {
		b.img.Digest = digest
	}
	if !strings.HasPrefix(b.img.Digest, "sha256:") {
		b.img.Digest = ""
	}
	if c.Properties != nil {
		for _, p := range *c.Properties {
			if p.Name == "aquasecurity:trivy:DiffID" {
				b.img.Layers = append(b.img.Layers, image.Layer{DiffID: p.Value})
			}
		}
	}
}
