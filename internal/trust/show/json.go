package show

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/trust"
)

// Schema names the shape of the JSON report, which docs/schema/pki-v1.json describes.
// Fields may be added without a new name; none is taken away or given another meaning.
const Schema = "bulwark.pki/v1"

// The structs below are the schema: a change here is a change of a promise.
type (
	jsonResult struct {
		Schema       string            `json:"schema"`
		Bulwark      string            `json:"bulwark"`
		Target       string            `json:"target"`
		Cluster      *jsonCluster      `json:"cluster,omitempty"`
		At           string            `json:"at"`
		WithinDays   int               `json:"withinDays"`
		Machines     []string          `json:"machines"`
		Summary      jsonSummary       `json:"summary"`
		Identities   []jsonIdentity    `json:"identities"`
		Channels     []jsonChannel     `json:"channels"`
		Authorities  []jsonAuthority   `json:"authorities"`
		Certificates []jsonCertificate `json:"certificates"`
		Endpoints    []jsonEndpoint    `json:"endpoints"`
		Findings     []jsonFinding     `json:"findings"`
		Gaps         []jsonGap         `json:"gaps"`
	}
	jsonCluster struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	jsonSummary struct {
		Complete    bool   `json:"complete"`
		Worst       string `json:"worst,omitempty"`
		Critical    int    `json:"critical"`
		High        int    `json:"high"`
		Medium      int    `json:"medium"`
		Low         int    `json:"low"`
		Notes       int    `json:"notes"`
		Unknown     int    `json:"unknown"`
		Keys        int    `json:"keys"`
		Kubeconfigs int    `json:"kubeconfigs"`
	}
	jsonIdentity struct {
		Realm        string   `json:"realm"`
		User         string   `json:"user"`
		Groups       []string `json:"groups"`
		May          []string `json:"may"`
		Everything   bool     `json:"everything"`
		Unknown      bool     `json:"unknown"`
		Credential   string   `json:"credential"`
		Expires      string   `json:"expires,omitempty"`
		Places       []string `json:"places"`
		Certificates []string `json:"certificates"`
	}
	jsonChannel struct {
		From   string `json:"from"`
		To     string `json:"to"`
		State  string `json:"state"`
		Client string `json:"client"`
		Server string `json:"server"`
		CA     string `json:"ca,omitempty"`
		Seen   bool   `json:"seen"`
		Broken string `json:"broken,omitempty"`
	}
	jsonAuthority struct {
		Name         string   `json:"name"`
		KeyID        string   `json:"keyId"`
		Certificates []string `json:"certificates"`
		BelievedBy   []string `json:"believedBy"`
		Signed       int      `json:"signed"`
		KeyAt        []string `json:"keyAt"`
		KeyEncrypted bool     `json:"keyEncrypted"`
		Expires      string   `json:"expires"`
	}
	jsonCertificate struct {
		SHA256        string      `json:"sha256"`
		Subject       string      `json:"subject"`
		Issuer        string      `json:"issuer"`
		Serial        string      `json:"serial"`
		Purpose       string      `json:"purpose,omitempty"`
		Authority     bool        `json:"authority"`
		NotBefore     string      `json:"notBefore"`
		NotAfter      string      `json:"notAfter"`
		DaysLeft      int         `json:"daysLeft"`
		Key           string      `json:"key"`
		Signature     string      `json:"signature"`
		Usages        []string    `json:"usages"`
		Names         []string    `json:"names"`
		Chain         []string    `json:"chain"`
		ChainComplete bool        `json:"chainComplete"`
		TrustedBy     []string    `json:"trustedBy"`
		Places        []jsonPlace `json:"places"`
	}
	jsonPlace struct {
		Kind    string `json:"kind"`
		Machine string `json:"machine,omitempty"`
		Name    string `json:"name"`
		Detail  string `json:"detail,omitempty"`
		Mode    string `json:"mode,omitempty"`
		Owner   string `json:"owner,omitempty"`
		Group   string `json:"group,omitempty"`
	}
	jsonEndpoint struct {
		Address     string   `json:"address"`
		Component   string   `json:"component,omitempty"`
		Machine     string   `json:"machine,omitempty"`
		Plaintext   bool     `json:"plaintext"`
		Unknown     string   `json:"unknown,omitempty"`
		TLS         *jsonTLS `json:"tls,omitempty"`
		Certificate string   `json:"certificate,omitempty"`
	}
	jsonTLS struct {
		Versions          []string `json:"versions"`
		WeakCiphers       []string `json:"weakCiphers"`
		ClientCertificate string   `json:"clientCertificate"`
		PostQuantum       bool     `json:"postQuantum"`
	}
	jsonFinding struct {
		ID       string `json:"id"`
		Title    string `json:"title"`
		Severity string `json:"severity"`
		Outcome  string `json:"outcome"`
		Subject  string `json:"subject"`
		Machine  string `json:"machine,omitempty"`
		Evidence string `json:"evidence"`
		Why      string `json:"why,omitempty"`
		Fix      string `json:"fix"`
	}
	jsonGap struct {
		What   string `json:"what"`
		Reason string `json:"reason"`
	}
)

func writeJSON(w io.Writer, r *trust.Result, o Options) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false) // it is read by programs and people, not by browsers
	e.SetIndent("", "  ")
	if err := e.Encode(toJSON(r, o)); err != nil {
		return err
	}
	return b.Flush()
}

// each converts a list, and makes an empty one of none.
func each[A, B any](list []A, convert func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = convert(a)
	}
	return out
}

func same(s string) string { return s }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func toJSON(r *trust.Result, o Options) jsonResult {
	by, unknown := tally(r)
	out := jsonResult{
		Schema: Schema, Bulwark: o.Version, Target: r.Target, At: stamp(r.At), WithinDays: int(r.Within.Hours() / 24),
		Machines: each(r.Machines, same),
		Summary: jsonSummary{
			Complete: !r.Incomplete(), Critical: by[trust.Critical], High: by[trust.High], Medium: by[trust.Medium],
			Low: by[trust.Low], Notes: by[trust.Note], Unknown: unknown, Keys: r.Keys, Kubeconfigs: r.Kubeconfigs,
		},
		Identities: each(r.Identities, identityJSON),
		Channels: each(r.Channels, func(c trust.Channel) jsonChannel {
			return jsonChannel{c.From, c.To, string(c.State), c.Client, c.Server, c.CA, c.Seen, c.Broken}
		}),
		Authorities: each(r.Authorities, func(a trust.Authority) jsonAuthority {
			return jsonAuthority{a.Name, a.KeyID, each(a.Prints, same), each(a.BelievedBy, same), a.Signed, each(a.Keys, same), a.Encrypted, stamp(a.Expires)}
		}),
		Certificates: each(r.Certificates, certificateJSON),
		Endpoints:    each(r.Endpoints, endpointJSON),
		Findings:     each(r.Findings, findingJSON),
		Gaps:         each(r.Gaps, func(g trust.Gap) jsonGap { return jsonGap{g.What, g.Reason} }),
	}
	if worst, any := r.Worst(); any {
		out.Summary.Worst = worst.String()
	}
	if r.Cluster != "" {
		out.Cluster = &jsonCluster{r.Cluster, r.ClusterVersion}
	}
	return out
}

func identityJSON(id trust.Identity) jsonIdentity {
	out := jsonIdentity{
		Realm: string(id.Realm), User: id.User, Groups: each(id.Groups, same), May: each(id.May, same), Everything: id.Everything,
		Unknown: id.Unknown, Credential: id.Credential, Places: each(id.Places, same), Certificates: each(id.Prints, same),
	}
	if !id.Expires.IsZero() {
		out.Expires = stamp(id.Expires)
	}
	return out
}

func certificateJSON(c trust.View) jsonCertificate {
	return jsonCertificate{
		SHA256: c.Fingerprint, Subject: c.Subject, Issuer: c.Issuer, Serial: c.Serial, Purpose: c.Purpose, Authority: c.Authority,
		NotBefore: stamp(c.NotBefore), NotAfter: stamp(c.NotAfter), DaysLeft: c.Days, Key: c.Key, Signature: c.Signature,
		Usages: each(c.Usages, same), Names: each(c.Names, same), Chain: each(c.Chain, same), ChainComplete: c.Complete,
		TrustedBy: each(c.TrustedBy, same),
		Places: each(c.Places, func(p trust.Placed) jsonPlace {
			out := jsonPlace{Kind: string(p.Origin), Machine: p.Machine, Name: p.Name, Detail: p.Detail}
			if p.File != nil {
				out.Mode, out.Owner, out.Group = fmt.Sprintf("%04o", p.File.Mode.Perm()), p.File.Owner, p.File.Group
			}
			return out
		}),
	}
}

func endpointJSON(e trust.Endpoint) jsonEndpoint {
	out := jsonEndpoint{Address: e.Address, Component: e.Component, Machine: e.Machine, Plaintext: e.Plain, Unknown: e.Unknown}
	if e.TLS != nil {
		out.TLS = &jsonTLS{each(e.TLS.Versions, same), each(e.TLS.WeakCiphers, same), e.TLS.ClientCert, e.TLS.PostQuantum}
	}
	if len(e.Chain) > 0 {
		out.Certificate = trust.Fingerprint(e.Chain[0])
	}
	return out
}

func findingJSON(f trust.Finding) jsonFinding {
	outcome := "broken"
	if f.Unknown {
		outcome = "unknown"
	}
	return jsonFinding{f.Kind.ID, f.Kind.Title, f.Severity.String(), outcome, f.Subject, f.Machine, f.Evidence, f.Kind.Why, f.Fix}
}
