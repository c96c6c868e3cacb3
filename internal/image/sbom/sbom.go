// Package sbom writes an image as a bill of materials and reads one back: CycloneDX and
// SPDX. What is written for other tools are the fields that they know, package URLs
// above all. What they have no field for, and a scan rests on, stands beside in
// properties (CycloneDX) or annotations (SPDX) named bulwark:…, so that an image and its
// own bill of materials give the same findings.
//
// Bills of other tools are read as far as they go. What one does not say is a gap of the
// image that is read, and nothing is concluded from it.
package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// The limits of reading.
const (
	// MaxSize is the largest bill that is read, in bytes. That of an image with fifty large
	// Go binaries, with all their functions, has twenty million.
	MaxSize = 128 << 20
	// MaxPackages is how many components or packages are read.
	MaxPackages = 500_000
	maxDepth    = 100 // of components within components
)

// A Format is a way to write a bill.
type Format string

// The formats that are written.
const (
	CycloneDX Format = "cyclonedx-json" // 1.6
	SPDX      Format = "spdx-json"      // 2.3
)

// Names are the names of the formats that are written, the usual one first.
func Names() []string { return []string{string(CycloneDX), string(SPDX)} }

// Find returns the format of a name.
func Find(name string) (Format, error) {
	if slices.Contains(Names(), name) {
		return Format(name), nil
	}
	return "", fmt.Errorf("format %q: want %s", name, strings.Join(Names(), " or "))
}

// Write writes an image's bill. One image gives the same bytes each time: the serial
// number is a digest of the rest, and the date is that of the image.
func Write(w io.Writer, img *image.Image, f Format) error {
	switch f {
	case CycloneDX:
		return writeCycloneDX(w, img)
	case SPDX:
		return writeSPDX(w, img)
	}
	return fmt.Errorf("format %q: want %s", f, strings.Join(Names(), " or "))
}

// Read reads a bill: CycloneDX 1.2 to 1.7 as JSON or XML, SPDX 2.2 and 2.3 as JSON or
// tag-value, also inside an in-toto statement, as registries keep them. Packages are
// ordered as in image.Image, whatever their order in the bill.
func Read(r io.Reader) (*image.Image, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("bill of materials: larger than %d MB", MaxSize>>20)
	}
	img, err := read(data, true)
	if err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	order(img)
	return img, nil
}

// A head is what tells the kinds of JSON apart.
type head struct {
	BOMFormat   string          `json:"bomFormat"`
	SpecVersion string          `json:"specVersion"`
	SPDXVersion string          `json:"spdxVersion"`
	Context     json.RawMessage `json:"@context"`
	Predicate   json.RawMessage `json:"predicate"`
	Artifacts   json.RawMessage `json:"artifacts"`
	PayloadType string          `json:"payloadType"`
}

var errNone = errors.New("neither CycloneDX nor SPDX")

func read(data []byte, wrapped bool) (*image.Image, error) {
	data = bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\xef\xbb\xbf"))
	switch {
	case bytes.HasPrefix(data, []byte("<")):
		return readCycloneDX(data, false)
	case bytes.HasPrefix(data, []byte("SPDXVersion:")), bytes.HasPrefix(data, []byte("#")) && bytes.Contains(data, []byte("\nSPDXVersion:")):
		return readTagValue(data)
	case !bytes.HasPrefix(data, []byte("{")):
		return nil, errNone
	}
	var h head
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, fmt.Errorf("its JSON: %w", err)
	}
	switch {
	case strings.EqualFold(h.BOMFormat, "CycloneDX") || h.SpecVersion != "" && h.BOMFormat == "":
		return readCycloneDX(data, true)
	case h.SPDXVersion != "":
		return readSPDX(data, h.SPDXVersion)
	case bytes.Contains(h.Context, []byte("spdx.org/rdf/3")):
		return nil, errors.New("SPDX 3 is not read: write it as SPDX 2.3 or CycloneDX")
	case len(h.Predicate) > 0 && wrapped:
		return read(h.Predicate, false)
	case h.PayloadType != "":
		return nil, errors.New("a signed envelope: give the bill in its payload")
	case len(h.Artifacts) > 0:
		return nil, errors.New("syft's own format: write it with -o cyclonedx-json")
	}
	return nil, errNone
}

// order puts what is read into the order that image.Image promises.
func order(img *image.Image) {
	slices.SortStableFunc(img.Packages, compare)
}

func compare(a, b image.Package) int {
	return cmp.Or(
		cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Source, b.Source), cmp.Compare(a.SourceVersion, b.SourceVersion),
	)
}

// uuid makes the UUID of some bytes: version 8, which leaves the bits to us (RFC 9562,
// 5.8), here the beginning of their SHA-256.
func uuid(content []byte) string {
	b := sha256.Sum256(content)
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
