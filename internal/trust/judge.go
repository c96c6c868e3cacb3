package trust

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Options say how to judge.
type Options struct {
	// Now is the moment that certificates are judged at.
	Now time.Time
	// Within is how long before its end a certificate expires soon.
	Within time.Duration
}

// DefaultWithin is Options.Within where it is not given.
const DefaultWithin = 30 * 24 * time.Hour

// A Finding is one thing that is wrong with one subject, or that could not be told.
type Finding struct {
	Kind     *Kind
	Severity Severity
	// Unknown is whether it could not be told.
	Unknown bool
	// Subject is what it is about, in words: "certificate /etc/kubernetes/pki/ca.crt".
	Subject string
	Machine string
	// Evidence is what was found and what was wanted.
	Evidence string
	Fix      string
}

// A Result is the whole verdict.
type Result struct {
	Target                  string
	Cluster, ClusterVersion string
	At                      time.Time
	Within                  time.Duration
	Identities              []Identity
	Authorities             []Authority
	Certificates            []View
	Channels                []Channel
	Findings                []Finding
	Gaps                    []Gap
	Keys, Kubeconfigs       int
	Endpoints               []Endpoint
	Machines                []string
	// Boxes are the names of what stands at the ends of channels: the machines of a
	// component, the users of kubeconfigs, the objects of webhooks.
	Boxes map[string][]string
}

// Worst is the worst severity among what is wrong, and whether anything is.
func (r *Result) Worst() (Severity, bool) {
	worst, any := Note, false
	for _, f := range r.Findings {
		if !f.Unknown {
			worst, any = max(worst, f.Severity), true
		}
	}
	return worst, any
}

// Incomplete reports whether something could not be told.
func (r *Result) Incomplete() bool {
	return len(r.Gaps) > 0 || slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Unknown })
}

// Judge says what the facts mean at a moment. The same facts and moment give the same
// result.
func Judge(facts *Facts, opts Options) *Result {
	if opts.Within <= 0 {
		opts.Within = DefaultWithin
	}
	j := &judge{Facts: facts, Options: opts, byPrint: map[string]*view{}, bySubject: map[string][]*view{}, circles: map[string]map[Root][]string{}}
	j.index()
	j.anchor()
	j.certificates()
	j.keys()
	j.kubeconfigs()
	j.endpoints()
	j.flagged()
	j.cluster()

	r := &Result{
		Target: facts.Target, At: opts.Now, Within: opts.Within, Gaps: facts.Gaps,
		Identities: j.identities(), Authorities: j.authorities(), Certificates: j.shown(),
		Keys: len(facts.Keys), Kubeconfigs: len(facts.Kubeconfigs), Endpoints: facts.Endpoints, Machines: j.machines(),
	}
	if facts.Cluster != nil {
		r.Cluster, r.ClusterVersion = facts.Cluster.Name, facts.Cluster.Version
	}
	r.Channels = j.channels()
	r.Boxes = map[string][]string{
		"kube-apiserver": j.servers(), "etcd": j.members(), "kubelet": j.nodes(),
		People: j.holders(), Webhooks: j.called(false), Aggregated: j.called(true),
	}
	slices.SortStableFunc(j.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), strings.Compare(a.Kind.ID, b.Kind.ID),
			strings.Compare(a.Machine, b.Machine), strings.Compare(a.Subject, b.Subject), strings.Compare(a.Evidence, b.Evidence))
	})
	r.Findings = slices.CompactFunc(j.findings, func(a, b Finding) bool { return a == b })
	return r
}

// A judge holds the indexes over the facts.
type judge struct {
	*Facts
	Options
	views     []*view
	byPrint   map[string]*view
	bySubject map[string][]*view // authorities, by raw subject
	// circles says by a key's ID in which circles of trust the authority is used, and by whom.
	circles  map[string]map[Root][]string
	findings []Finding
}

// A view is one certificate, wherever it stands.
type view struct {
	*x509.Certificate
	print, keyID string
	at           []*Certificate
	signer       *view // nil where it is not among what was read
	looked       bool
}

func (j *judge) index() {
	for i := range j.Certificates {
		c := &j.Certificates[i]
		print := Fingerprint(c.Certificate)
		v := j.byPrint[print]
		if v == nil {
			v = &view{Certificate: c.Certificate, print: print, keyID: cluster.KeyID(c.Certificate)}
			j.byPrint[print] = v
			j.views = append(j.views, v)
		}
		v.at = append(v.at, c)
	}
	for _, v := range j.views {
		slices.SortStableFunc(v.at, func(a, b *Certificate) int {
			return cmp.Or(cmp.Compare(originOrder(a.Place.Origin), originOrder(b.Place.Origin)), a.Place.compare(b.Place))
		})
		if v.authority() {
			j.bySubject[string(v.RawSubject)] = append(j.bySubject[string(v.RawSubject)], v)
		}
	}
}

func originOrder(o Origin) int {
	return slices.Index([]Origin{InFile, InKubeconfig, OnPort, InCluster}, o)
}

// authority reports whether the certificate is one to verify others with.
func (v *view) authority() bool {
	return v.IsCA || slices.ContainsFunc(v.at, func(c *Certificate) bool { return c.Trusted })
}

// purpose is what the first place that tells says it is for.
func (v *view) purpose() *Purpose {
	for _, c := range v.at {
		if c.Purpose != nil && c.Position == 0 {
			return c.Purpose
		}
	}
	return nil
}

// signerOf finds who signed a certificate among what was read.
func (j *judge) signerOf(v *view) *view {
	if v.looked {
		return v.signer
	}
	v.looked = true
	candidates := j.bySubject[string(v.RawIssuer)]
	if bytes.Equal(v.RawIssuer, v.RawSubject) && !slices.Contains(candidates, v) {
		candidates = append(slices.Clone(candidates), v)
	}
	for _, c := range candidates {
		if signed(v.Certificate, c.Certificate) {
			v.signer = c
			return c
		}
	}
	return nil
}

// signed reports whether parent's key signed c. Signatures too old to be checked are
// taken at the names' word.
func signed(c, parent *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, parent.RawSubject) {
		return false
	}
	err := parent.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var insecure x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &insecure)
}

// chain lists the signers of a certificate, itself first. complete is whether it ends in
// one that signed itself.
func (j *judge) chain(v *view) (chain []*view, complete bool) {
	for range 10 {
		chain = append(chain, v)
		next := j.signerOf(v)
		switch {
		case next == v:
			return chain, true
		case next == nil || slices.Contains(chain, next):
			return chain, false
		}
		v = next
	}
	return chain, false
}

// anchor finds out in which circles each authority is believed.
func (j *judge) anchor() {
	for _, v := range j.views {
		for _, c := range v.at {
			if c.Purpose == nil || !c.Purpose.Authority || c.Position > 0 {
				continue
			}
			for _, u := range conventional[c.Purpose.Root] {
				j.believe(v.keyID, u.root, u.who)
			}
		}
	}
	j.anchorFlags()
	for _, k := range j.Kubeconfigs {
		for _, a := range k.Accesses {
			for _, ca := range a.CAs {
				j.believe(cluster.KeyID(ca), RootServers, "kubeconfig "+k.Place.Name+" for the API server")
			}
		}
	}
	if c := j.Cluster; c != nil {
		for _, ca := range c.ClientCAs {
			j.believe(cluster.KeyID(ca), RootClients, "kube-apiserver for clients")
		}
		for _, ca := range c.ProxyCAs {
			j.believe(cluster.KeyID(ca), RootFrontProxy, "kube-apiserver for front proxies")
		}
		for _, ca := range c.RootCAs {
			j.believe(cluster.KeyID(ca), RootServers, "pods for the API server")
		}
		for _, ca := range c.InfoCAs {
			j.believe(cluster.KeyID(ca), RootServers, "joining nodes for the API server")
		}
		for _, h := range c.Hooks {
			for _, ca := range h.CABundle {
				j.believe(cluster.KeyID(ca), rootHooks, "kube-apiserver for "+h.Subject())
			}
		}
	}
}

// rootHooks is the circle of servers that the API server calls.
const rootHooks Root = "webhooks"

type use struct {
	root Root
	who  string
}

// conventional is who believes the authority of a layout.
var conventional = map[Root][]use{
	RootCluster:    {{RootClients, "kube-apiserver for clients"}, {RootClients, "kubelet for clients"}, {RootServers, "clients of the API server"}},
	RootServers:    {{RootServers, "clients of the API server"}},
	RootClients:    {{RootClients, "kube-apiserver for clients"}, {RootClients, "kubelet for clients"}},
	RootEtcd:       {{RootEtcd, "etcd for clients and members"}, {RootEtcd, "kube-apiserver for etcd"}},
	RootEtcdPeers:  {{RootEtcd, "etcd for members"}},
	RootFrontProxy: {{RootFrontProxy, "kube-apiserver for front proxies"}},
}

func (j *judge) believe(keyID string, root Root, who string) {
	roots := j.circles[keyID]
	if roots == nil {
		roots = map[Root][]string{}
		j.circles[keyID] = roots
	}
	if !slices.Contains(roots[root], who) {
		roots[root] = append(roots[root], who)
	}
}

// trustFlags are the flags that name an authority.
var trustFlags = map[string]map[string]use{
	"kube-apiserver": {
		"client-ca-file":                {RootClients, "kube-apiserver for clients"},
		"requestheader-client-ca-file":  {RootFrontProxy, "kube-apiserver for front proxies"},
		"etcd-cafile":                   {RootEtcd, "kube-apiserver for etcd"},
		"kubelet-certificate-authority": {RootServers, "kube-apiserver for kubelets"},
	},
	"etcd": {
		"trusted-ca-file":      {RootEtcd, "etcd for clients and members"},
		"peer-trusted-ca-file": {RootEtcd, "etcd for members"},
	},
	"kubelet": {"client-ca-file": {RootClients, "kubelet for clients"}},
}

func (j *judge) anchorFlags() {
	for _, comp := range j.Components {
		for flag, u := range trustFlags[comp.Name] {
			file, ok := comp.Flags.Lookup(flag)
			if !ok {
				continue
			}
			for _, v := range j.views {
				for _, c := range v.at {
					if c.Place.Origin == InFile && c.Place.Machine == comp.Machine && c.Place.Name == file {
						j.believe(v.keyID, u.root, u.who)
					}
				}
			}
		}
	}
}

// circle returns the circles that a certificate's signer is believed in; where the
// signer is not among what was read, the one that the file's place tells.
func (j *judge) circle(v *view) map[Root][]string {
	if s := j.signerOf(v); s != nil && s != v {
		if roots := j.circles[s.keyID]; roots != nil {
			return roots
		}
	}
	if p := v.purpose(); p != nil && !p.Authority && !selfMade(v.Certificate) {
		out := map[Root][]string{}
		for _, u := range conventional[p.Root] {
			out[u.root] = append(out[u.root], u.who)
		}
		return out
	}
	return nil
}

func (j *judge) machines() []string {
	var out []string
	add := func(m string) {
		if m != "" && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	for _, c := range j.Certificates {
		add(c.Place.Machine)
	}
	for _, k := range j.Keys {
		add(k.Place.Machine)
	}
	for _, k := range j.Kubeconfigs {
		add(k.Place.Machine)
	}
	if j.Cluster != nil {
		for _, n := range j.Cluster.Nodes {
			add(n.Name)
		}
	}
	slices.Sort(out)
	return out
}

// add records a finding with its kind's own severity and fix.
func (j *judge) add(id, subject, machine, format string, args ...any) *Finding {
	k := kind(id)
	j.findings = append(j.findings, Finding{
		Kind: k, Severity: k.Severity, Subject: subject, Machine: machine, Fix: k.Fix, Evidence: fmt.Sprintf(format, args...),
	})
	return &j.findings[len(j.findings)-1]
}

// subject names a certificate for a finding: its first place, and how many others.
func (v *view) subject() (subject, machine string) {
	c := v.at[0]
	word := "certificate "
	switch c.Place.Origin {
	case InKubeconfig:
		word = "kubeconfig "
	case OnPort:
		word = "endpoint "
	case InCluster:
		word = ""
	case InFile:
	}
	subject = word + c.Place.String()
	if n := len(v.at) - 1; n > 0 {
		places := "places"
		if n == 1 {
			places = "place"
		}
		subject += fmt.Sprintf(" and %d more %s", n, places)
	}
	return subject, c.Place.Machine
}

// onlyIssued reports whether the certificate is known only from the request that it was
// issued for: a record, and perhaps in nobody's hands any more.
func (v *view) onlyIssued() bool {
	return !slices.ContainsFunc(v.at, func(c *Certificate) bool {
		return !strings.HasPrefix(c.Place.Name, "certificatesigningrequest ")
	})
}

// Strength is a key's kind and size in words.
func Strength(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

// hostOf returns a URL's host, or "".
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// loopback reports whether only the machine itself is meant.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// days is how many whole days lie between two moments; negative in the past.
func days(from, to time.Time) int {
	d := to.Sub(from)
	n := int(d / (24 * time.Hour))
	if d < 0 && d%(24*time.Hour) != 0 {
		n--
	}
	return n
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }
