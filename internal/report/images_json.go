package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// ImagesSchema names the shape of the JSON report of images. docs/schema/images-v1.json
// describes it.
const ImagesSchema = "bulwark.images/v1"

// The structs below are the schema, as those of json.go are.
type (
	jsonImages struct {
		Schema     string      `json:"schema"`
		Bulwark    string      `json:"bulwark"`
		Started    string      `json:"started"`
		DurationMS int64       `json:"durationMs"`
		Images     []jsonImage `json:"images"`
		Notes      []string    `json:"notes,omitempty"`
	}
	jsonImage struct {
		Name         string              `json:"name"`
		Error        string              `json:"error,omitempty"`
		Digest       string              `json:"digest,omitempty"`
		ID           string              `json:"id,omitempty"`
		Platform     string              `json:"platform,omitempty"`
		Created      string              `json:"created,omitempty"`
		OS           *jsonOS             `json:"os,omitempty"`
		Base         *jsonBase           `json:"base,omitempty"`
		Layers       []jsonLayer         `json:"layers,omitempty"`
		Packages     int                 `json:"packages"`
		Complete     bool                `json:"complete"`
		Counts       map[string]int      `json:"counts"`
		Exploited    int                 `json:"exploited"`
		Fixable      int                 `json:"fixable"`
		Remedies     []jsonRemedy        `json:"remedies"`
		Findings     []jsonVulnerability `json:"findings"`
		SetAside     []jsonVulnerability `json:"setAside"`
		NotAssessed  []jsonNotAssessed   `json:"notAssessed"`
		Built        []jsonBuilt         `json:"built"`
		Database     []jsonShard         `json:"database"`
		Minimal      bool                `json:"minimal"`
		Shells       []string            `json:"shells,omitempty"`
		Managers     []string            `json:"packageManagers,omitempty"`
		User         string              `json:"user,omitempty"`
		ExposedPorts []string            `json:"exposedPorts,omitempty"`
	}
	jsonOS struct {
		ID        string `json:"id"`
		Version   string `json:"version,omitempty"`
		Name      string `json:"name,omitempty"`
		EndOfLife string `json:"endOfLife,omitempty"`
	}
	jsonBase struct {
		Name   string `json:"name,omitempty"`
		Digest string `json:"digest,omitempty"`
		Layers int    `json:"layers"`
		From   string `json:"from"`
	}
	jsonLayer struct {
		DiffID  string `json:"diffId"`
		Digest  string `json:"digest,omitempty"`
		Size    int64  `json:"size"`
		Command string `json:"command,omitempty"`
		Base    bool   `json:"base,omitempty"`
	}
	jsonRemedy struct {
		Kind      string   `json:"kind"`
		What      string   `json:"what"`
		Worst     string   `json:"worst"`
		Exploited int      `json:"exploited,omitempty"`
		Closes    int      `json:"closes"`
		IDs       []string `json:"ids"`
	}
	jsonVulnerability struct {
		ID           string      `json:"id"`
		IDs          []string    `json:"ids"`
		Advisories   []string    `json:"advisories,omitempty"`
		Package      jsonPackage `json:"package"`
		Paths        []string    `json:"paths"`
		State        string      `json:"state"`
		FixedIn      []string    `json:"fixedIn"`
		Severity     string      `json:"severity"`
		SeverityFrom string      `json:"severityFrom,omitempty"`
		Score        float64     `json:"score,omitempty"`
		Vector       string      `json:"vector,omitempty"`
		Exploited    string      `json:"exploited,omitempty"`
		Ransomware   bool        `json:"ransomware,omitempty"`
		EPSS         float32     `json:"epss,omitempty"`
		Reachable    string      `json:"reachable,omitempty"`
		Why          string      `json:"why"`
		Sources      []string    `json:"sources"`
		Summary      string      `json:"summary,omitempty"`
		References   []string    `json:"references,omitempty"`
		Aside        *jsonAside  `json:"setAside,omitempty"`
	}
	jsonPackage struct {
		Type          string `json:"type"`
		Name          string `json:"name"`
		Version       string `json:"version"`
		Source        string `json:"source,omitempty"`
		SourceVersion string `json:"sourceVersion,omitempty"`
		Arch          string `json:"arch,omitempty"`
		Module        string `json:"module,omitempty"`
		PURL          string `json:"purl,omitempty"`
		Layer         int    `json:"layer"`
		Owner         string `json:"owner,omitempty"`
	}
	jsonAside struct {
		By      string `json:"by"`
		Reason  string `json:"reason,omitempty"`
		Owner   string `json:"owner,omitempty"`
		Expires string `json:"expires,omitempty"`
		From    string `json:"from,omitempty"`
	}
	jsonNotAssessed struct {
		Type     string   `json:"type,omitempty"`
		Packages int      `json:"packages"`
		Names    []string `json:"names,omitempty"`
		Reason   string   `json:"reason"`
	}
	jsonBuilt struct {
		Control  string `json:"control"`
		Title    string `json:"title"`
		Severity string `json:"severity"`
		Path     string `json:"path,omitempty"`
		Got      string `json:"got,omitempty"`
		Want     string `json:"want,omitempty"`
		Reason   string `json:"reason,omitempty"`
	}
	jsonShard struct {
		Key     string   `json:"key"`
		AsOf    string   `json:"asOf,omitempty"`
		Records int      `json:"records"`
		Sources []string `json:"sources,omitempty"`
	}
)

var reachableWords = map[match.Reachable]string{match.NotTold: "", match.PackageThere: "package", match.SymbolThere: "symbol"}

func writeImagesJSON(w io.Writer, r *Images, _ Options) error {
	out := jsonImages{
		Schema: ImagesSchema, Bulwark: r.Version, Started: utc(r.Started), DurationMS: r.Took.Milliseconds(),
		Images: []jsonImage{}, Notes: r.Notes,
	}
	for _, i := range r.Images {
		out.Images = append(out.Images, toJSONImage(i))
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func toJSONImage(i *ScannedImage) jsonImage {
	out := jsonImage{
		Name: i.Name, Counts: map[string]int{}, Remedies: []jsonRemedy{}, Findings: []jsonVulnerability{}, SetAside: []jsonVulnerability{},
		NotAssessed: []jsonNotAssessed{}, Built: []jsonBuilt{}, Database: []jsonShard{},
	}
	if i.Err != nil {
		out.Error = i.Err.Error()
		return out
	}
	img, c := i.Image, countFindings(i.Result)
	for s, n := range c.by {
		out.Counts[s.String()] = n
	}
	out.Digest, out.ID, out.Packages = img.Digest, img.ID, len(img.Packages)
	out.Exploited, out.Fixable = c.exploited, c.fixable
	out.Complete = len(i.NotAssessed) == 0
	if img.Platform != (image.Platform{}) {
		out.Platform = img.Platform.String()
	}
	out.Created = utc(img.Created)
	if img.OS.ID != "" {
		out.OS = &jsonOS{img.OS.ID, img.OS.Version, img.OS.Name, day(img.OS.EndOfLife)}
	}
	if b := img.Base; b != nil {
		out.Base = &jsonBase{b.Name, b.Digest, b.Layers, b.From}
	}
	for _, l := range img.Layers {
		out.Layers = append(out.Layers, jsonLayer{l.DiffID, l.Digest, l.Size, l.Command, l.Base})
	}
	out.Minimal, out.Shells, out.Managers = len(img.Shells)+len(img.Managers) == 0, img.Shells, img.Managers
	out.User, out.ExposedPorts = img.Config.User, img.Config.Ports
	for _, r := range i.Remedies {
		j := jsonRemedy{string(r.Kind), r.What, r.Worst.String(), r.Exploited, len(r.Closes), []string{}}
		for _, f := range r.Closes {
			j.IDs = append(j.IDs, i.Findings[f].ID)
		}
		out.Remedies = append(out.Remedies, j)
	}
	for n := range i.Findings {
		out.Findings = append(out.Findings, toJSONVulnerability(img, &i.Findings[n]))
	}
	for n := range i.SetAside {
		out.SetAside = append(out.SetAside, toJSONVulnerability(img, &i.SetAside[n]))
	}
	for _, g := range i.NotAssessed {
		out.NotAssessed = append(out.NotAssessed, jsonNotAssessed{string(g.Type), g.Packages, g.Names, g.Reason})
	}
	for _, s := range i.Database {
		out.Database = append(out.Database, jsonShard{string(s.Key), day(s.AsOf), s.Records, s.Sources})
	}
	for _, res := range faultsOf(i) {
		for _, f := range res.Findings {
			if f.Outcome == control.Broken {
				out.Built = append(out.Built, jsonBuilt{res.Control.ID, res.Control.Title, res.SeverityOf(f).String(), f.Path, f.Got, f.Want, f.Reason})
			}
		}
	}
	return out
}

func toJSONVulnerability(img *image.Image, f *match.Finding) jsonVulnerability {
	p := f.Package
	out := jsonVulnerability{
		ID: f.ID, IDs: f.IDs, Advisories: f.Advisories, Paths: f.Paths, State: f.State.String(), FixedIn: orEmpty(f.FixedIn),
		Severity: f.Severity.String(), SeverityFrom: f.SeverityFrom, Score: f.Score, Vector: f.Vector,
		Exploited: day(f.Exploited), Ransomware: f.Ransomware, EPSS: f.EPSS, Reachable: reachableWords[f.Reachable],
		Why: f.Why, Sources: orEmpty(f.Sources), Summary: f.Summary, References: f.References,
		Package: jsonPackage{
			Type: string(p.Type), Name: p.Name, Version: p.Version, Source: p.Source, SourceVersion: p.SourceVersion,
			Arch: p.Arch, Module: p.Module, PURL: p.PURL(img.OS), Layer: p.Layer, Owner: p.Owner,
		},
	}
	if a := f.Aside; a != nil {
		out.Aside = &jsonAside{string(a.By), a.Reason, a.Owner, day(a.Expires), a.From}
	}
	return out
}

// orEmpty is a list that JSON writes as [] and not as null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// day is a date; empty where there is none.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}
