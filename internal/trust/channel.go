package trust

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A State is how a channel is protected.
type State string

// The states. With ServerOnly the client brings no certificate, a token perhaps.
const (
	Mutual     State = "mutual TLS"
	ServerOnly State = "server TLS only"
	Unverified State = "TLS, server not verified"
	Plaintext  State = "plaintext"
	Untold     State = "unknown"
)

// Who stands at the ends of channels, besides components.
const (
	People     = "people"
	Pods       = "pods"
	Webhooks   = "webhooks"
	Aggregated = "aggregated APIs"
	Anybody    = "anybody"
)

// A Channel is who talks to whom, over what, proven how.
type Channel struct {
	From, To string
	State    State
	// Client and Server say how each side proves who it is, or why that is unknown.
	Client, Server string
	// CA names the authority that the channel rests on; two where the sides differ.
	CA string
	// Seen is whether it was seen on a port. What was not rests on files and flags: the
	// channel can be so, and may not be.
	Seen bool
	// Broken is what is wrong with it today, an expired certificate say.
	Broken string
}

// A proof is how one side shows who it is.
type proof struct {
	known, ok bool
	text      string
	ca        string
	seen      bool
	broken    string
}

func (j *judge) channels() []Channel {
	var out []Channel
	add := func(c *Channel) {
		if c != nil {
			out = append(out, *c)
		}
	}
	if j.layout() {
		add(j.toEtcd())
		add(j.peers())
		add(j.toKubelets())
		for _, c := range []struct {
			from    string
			purpose *Purpose
		}{{"kube-controller-manager", cmClient}, {"kube-scheduler", schedClient}, {"kubelet", kubeletClient}, {"kube-proxy", proxyClient}} {
			add(j.toAPI(c.from, c.purpose))
		}
	}
	add(j.people())
	add(j.pods())
	add(j.hooks(Webhooks, func(h Hook) bool { return h.Kind != "APIService" }, proof{known: true, text: "shows no certificate"}))
	add(j.hooks(Aggregated, func(h Hook) bool { return h.Kind == "APIService" }, j.client([]*Purpose{frontProxy}, RootFrontProxy)))
	// Ports of components are in the channels above, where there are any.
	drawn := j.layout() || len(j.Kubeconfigs) > 0
	for i := range j.Endpoints {
		if e := &j.Endpoints[i]; e.Asked && (!drawn || e.Component == "") {
			out = append(out, alone(e))
		}
	}
	return out
}

// layout reports whether anything was read that tells of a control plane or a node.
func (j *judge) layout() bool {
	return j.Cluster != nil || slices.ContainsFunc(j.Certificates, func(c Certificate) bool { return c.Purpose != nil && c.Purpose.Component != "people" }) ||
		slices.ContainsFunc(j.Keys, func(k Key) bool { return k.Purpose != nil })
}

// client is how a client of some purposes proves itself in a circle.
func (j *judge) client(purposes []*Purpose, root Root) proof {
	var p proof
	for _, v := range j.views {
		if !slices.ContainsFunc(v.at, func(c *Certificate) bool {
			return c.Position == 0 && slices.ContainsFunc(purposes, c.Purpose.same)
		}) {
			continue
		}
		p.known = true
		p.text = "certificate " + v.Certificate.Subject.CommonName
		p.ca = v.Issuer.CommonName
		if j.circle(v)[root] != nil && logsIn(v.Certificate) {
			p.ok = true
		}
		if !certValid(j)(v.Certificate) {
			p.broken = "the client's certificate is not valid today"
		}
	}
	if !p.known {
		p.text = "not read"
	}
	return p
}

// server is how the servers of a component prove themselves: as their ports show, else
// as their files let expect.
func (j *judge) server(component string, purposes []*Purpose, root Root) (p proof, plain string) {
	for i := range j.Endpoints {
		e := &j.Endpoints[i]
		_, port, _ := net.SplitHostPort(e.Address)
		if e.Component != component || e.Unknown != "" || port == "2381" || port == "10255" || port == "10248" || component == "etcd" && (port == "2380") != slices.Contains(purposes, etcdPeer) {
			continue
		}
		if e.Plain {
			return proof{known: true, seen: true, text: "proves nothing: " + e.Address + " answers in plain text"}, e.Address
		}
		if len(e.Chain) == 0 {
			continue
		}
		p.known, p.seen = true, true
		leaf := e.Chain[0]
		p.ca = leaf.Issuer.CommonName
		if selfMade(leaf) {
			p.ok, p.text = false, "self-made certificate"
			return p, ""
		}
		p.ok, p.text = true, "certificate "+cmp.Or(leaf.Subject.CommonName, brief(sans(leaf)))
		if !certValid(j)(leaf) {
			p.broken = "the server's certificate is not valid today"
		}
	}
	if p.known {
		return p, ""
	}
	for _, v := range j.views {
		for _, c := range v.at {
			if c.Position != 0 || !slices.ContainsFunc(purposes, c.Purpose.same) || selfMade(v.Certificate) && j.servedProperly(c.Place.Machine) {
				continue
			}
			p.known, p.ca = true, v.Issuer.CommonName
			if selfMade(v.Certificate) {
				p.ok, p.text = false, "self-made certificate"
				return p, ""
			}
			p.text = "certificate " + v.Certificate.Subject.CommonName
			p.ok = j.circle(v)[root] != nil && serves(v.Certificate)
			if !certValid(j)(v.Certificate) {
				p.broken = "the server's certificate is not valid today"
			}
		}
	}
	if !p.known {
		p.text = "not read"
	}
	return p, ""
}

// join makes a channel of its two sides' proofs.
func join(from, to string, client, server proof, plain string) *Channel {
	c := &Channel{From: from, To: to, Client: client.text, Server: server.text, Seen: client.seen || server.seen, Broken: cmp.Or(client.broken, server.broken)}
	switch {
	case plain != "":
		c.State, c.Broken = Plaintext, ""
		c.Client, c.Server = "proves nothing", "proves nothing: "+plain+" is without TLS"
	case !client.known || !server.known:
		c.State = Untold
	case client.ok && server.ok:
		c.State = Mutual
	case server.ok:
		c.State = ServerOnly
	default:
		c.State = Unverified
		server.ca = ""
	}
	cas := slices.DeleteFunc([]string{server.ca, client.ca}, func(s string) bool { return s == "" || throwaway.MatchString(s) })
	c.CA = strings.Join(slices.Compact(cas), " + ")
	if c.State == Plaintext {
		c.CA = ""
	}
	return c
}

// flags are the arguments of the first component of a name, as far as they were read.
func (j *judge) flags(name string) (cluster.Flags, bool) {
	for _, c := range j.Components {
		if c.Name == name {
			return c.Flags, true
		}
	}
	return cluster.Flags{}, false
}

func (j *judge) toEtcd() *Channel {
	client := j.client([]*Purpose{apiToEtcd}, RootEtcd)
	server, plain := j.server("etcd", []*Purpose{etcdServing}, RootEtcd)
	if f, ok := j.flags("kube-apiserver"); ok {
		for _, s := range f.List("etcd-servers") {
			if strings.HasPrefix(s, "http://") {
				plain = s
			}
		}
		if f.Get("etcd-cafile", "") == "" && plain == "" {
			server = proof{known: true, text: "is not verified: the API server has no --etcd-cafile"}
		} else if !server.known {
			server = proof{known: true, ok: true, text: "certificate, verified with --etcd-cafile"}
		}
		if f.Get("etcd-certfile", "") == "" {
			client = proof{known: true, text: "shows no certificate: the API server has no --etcd-certfile"}
		} else if !client.known {
			client = proof{known: true, ok: true, text: "certificate of --etcd-certfile"}
		}
	}
	return join("kube-apiserver", "etcd", client, server, plain)
}

func (j *judge) peers() *Channel {
	client := j.client([]*Purpose{etcdPeer}, RootEtcd)
	server, plain := j.server("etcd", []*Purpose{etcdPeer}, RootEtcd)
	if !client.known && !server.known && plain == "" {
		return nil
	}
	if to := j.toEtcd(); plain == "" && !server.seen && to.State == Plaintext {
		// Certificates lie there, and are not used towards clients.
		server = proof{text: "not asked; etcd speaks to its clients without TLS"}
	}
	return join("etcd", "etcd", client, server, plain)
}

func (j *judge) toKubelets() *Channel {
	client := j.client([]*Purpose{apiToKubelet}, RootClients)
	server, plain := j.server("kubelet", []*Purpose{kubeletServe}, RootServers)
	if f, ok := j.flags("kube-apiserver"); ok {
		if !client.known && f.Get("kubelet-client-certificate", "") != "" {
			client = proof{known: true, ok: true, text: "certificate of --kubelet-client-certificate"}
		}
		switch {
		case f.Get("kubelet-certificate-authority", "") == "":
			server.known, server.ok = true, false
			server.text = "is not verified: the API server has no --kubelet-certificate-authority"
		case !server.known:
			server = proof{known: true, ok: true, text: "certificate, verified with --kubelet-certificate-authority"}
		}
	}
	return join("kube-apiserver", "kubelet", client, server, plain)
}

// toAPI is a component's way to the API server.
func (j *judge) toAPI(from string, purpose *Purpose) *Channel {
	client := j.client([]*Purpose{purpose}, RootClients)
	server, plain := j.server("kube-apiserver", []*Purpose{apiServing}, RootServers)
	for _, k := range j.Kubeconfigs {
		if !k.Purpose.same(purpose) {
			continue
		}
		for _, a := range k.Accesses {
			if client, server, plain = j.through(a, client, server, plain); plain != "" {
				break
			}
		}
	}
	return join(from, "kube-apiserver", client, server, plain)
}

// through is what an access makes of the proofs: it may forgo verifying, or bring
// something else than a certificate.
func (j *judge) through(a Access, client, server proof, plain string) (proof, proof, string) {
	switch {
	case strings.HasPrefix(a.Server, "http://"):
		plain = a.Server
	case a.Insecure:
		server.known, server.ok, server.text = true, false, "is not verified: insecure-skip-tls-verify"
	case a.HasCA && !server.known && len(a.CAs) > 0:
		server = proof{known: true, ok: true, text: "certificate, verified with the kubeconfig's authority", ca: a.CAs[0].Subject.CommonName}
	}
	if a.Client == nil && len(a.Credentials) > 0 && !slices.Contains(a.Credentials, ByCertificate) {
		client = proof{known: true, text: strings.Join(a.Credentials, ", ")}
	}
	return client, server, plain
}

// people are whoever holds a kubeconfig that is no component's.
func (j *judge) people() *Channel {
	var found bool
	users := map[string]bool{}
	server, plain := j.server("kube-apiserver", []*Purpose{apiServing}, RootServers)
	client := proof{}
	for _, k := range j.Kubeconfigs {
		if !ofPeople(k) {
			continue
		}
		for _, a := range k.Accesses {
			if a.Server == "" {
				continue
			}
			found = true
			one := proof{known: true, text: "no credential"}
			if a.Client != nil {
				users[a.Client.Subject.CommonName] = true
				one = proof{known: true, ok: true, text: "certificate " + a.Client.Subject.CommonName, ca: a.Client.Issuer.CommonName}
				if !certValid(j)(a.Client) {
					one.broken = "the client's certificate is not valid today"
				}
			}
			one, server, plain = j.through(a, one, server, plain)
			if !client.known || client.ok && !one.ok {
				client = one
			}
		}
	}
	if !found {
		return nil
	}
	if len(users) > 1 && client.ok {
		client.text = fmt.Sprintf("certificates of %d identities", len(users))
	}
	return join(People, "kube-apiserver", client, server, plain)
}

// ofPeople reports whether a kubeconfig is for people: an administrator's, or one that
// lies in no machine's folder.
func ofPeople(k Kubeconfig) bool {
	if k.Purpose != nil {
		return k.Purpose.Component == People
	}
	return k.Place.Machine == ""
}

// pods come with a token and are told whom to believe.
func (j *judge) pods() *Channel {
	if j.Cluster == nil || len(j.Cluster.RootCAs) == 0 {
		return nil
	}
	server, plain := j.server("kube-apiserver", []*Purpose{apiServing}, RootServers)
	if !server.known {
		server = proof{known: true, ok: true, text: "certificate, verified with kube-root-ca.crt"}
	}
	server.ca = j.Cluster.RootCAs[0].Subject.CommonName
	return join(Pods, "kube-apiserver", proof{known: true, text: "service-account token"}, server, plain)
}

// hooks are the servers that the API server calls, as one channel: as good as its worst.
func (j *judge) hooks(to string, which func(Hook) bool, client proof) *Channel {
	if j.Cluster == nil {
		return nil
	}
	if !client.known && j.Cluster.AuthenticationRead && len(j.Cluster.ProxyCAs) > 0 {
		client = proof{known: true, ok: true, text: "front-proxy certificate", ca: j.Cluster.ProxyCAs[0].Subject.CommonName}
	}
	n, failing := 0, 0
	server, plain := proof{known: true, ok: true}, ""
	var cas []string
	for _, h := range j.Cluster.Hooks {
		if !which(h) {
			continue
		}
		n++
		if j.found(h.Subject(), "bundle-mismatch", "bundle-broken") || !h.HasBundle && !h.Insecure && h.Service != "" {
			failing++
		}
		switch {
		case strings.HasPrefix(h.URL, "http://"):
			plain = h.URL
		case h.Insecure:
			server.ok, server.text = false, h.Subject()+" is not verified"
		case len(h.CABundle) > 0 && !slices.Contains(cas, h.CABundle[0].Subject.CommonName):
			cas = append(cas, h.CABundle[0].Subject.CommonName)
		}
		if h.Served != nil && h.Served.Unknown == "" {
			server.seen = true
		}
	}
	if n == 0 {
		return nil
	}
	if server.text == "" {
		server.text = "certificate, verified with caBundle"
	}
	if failing > 0 {
		server.broken = fmt.Sprintf("%d of %d cannot be verified, so that calls fail", failing, n)
	}
	server.ca = brief(cas)
	if len(cas) == 0 {
		server.ca = ""
	}
	return join("kube-apiserver", to, client, server, plain)
}

// found reports whether a subject has a finding of one of the kinds, as bad as its kind.
func (j *judge) found(subject string, ids ...string) bool {
	return slices.ContainsFunc(j.findings, func(f Finding) bool {
		return f.Subject == subject && slices.Contains(ids, f.Kind.ID) && f.Severity >= f.Kind.Severity
	})
}

// alone is a port that was asked about by itself.
func alone(e *Endpoint) Channel {
	c := Channel{From: Anybody, To: e.Address, Seen: true}
	if e.Component != "" {
		c.To += " (" + e.Component + ")"
	}
	switch {
	case e.Unknown != "":
		c.State, c.Seen, c.Server, c.Client = Untold, false, e.Unknown, "not read"
	case e.Plain:
		c.State, c.Server, c.Client = Plaintext, "proves nothing", "proves nothing"
	default:
		c.State, c.Client = ServerOnly, "certificate "+e.TLS.ClientCert
		if e.TLS.ClientCert == "required" {
			c.State = Mutual
		}
		if len(e.Chain) > 0 {
			if selfMade(e.Chain[0]) && c.State == ServerOnly {
				c.State = Unverified
			}
			c.Server, c.CA = "certificate "+cmp.Or(e.Chain[0].Subject.CommonName, brief(sans(e.Chain[0]))), e.Chain[0].Issuer.CommonName
		}
	}
	return c
}

// servers are the machines with an API server, members those with an etcd, and nodes
// those with a kubelet.
func (j *judge) servers() []string {
	return j.withEither(apiServing, func(n Node) bool { return n.ControlPlane })
}

func (j *judge) members() []string { return j.withEither(etcdServing, nil) }

func (j *judge) nodes() []string {
	out := j.withEither(kubeletClient, func(Node) bool { return true })
	return slices.DeleteFunc(out, func(m string) bool { return slices.Contains(j.servers(), m) })
}

func (j *judge) withEither(p *Purpose, which func(Node) bool) []string {
	out := j.machinesWith(p)
	if j.Cluster != nil && which != nil {
		for _, n := range j.Cluster.Nodes {
			if which(n) {
				out = append(out, n.Name)
			}
		}
	}
	out = slices.DeleteFunc(out, func(m string) bool { return m == "" })
	slices.Sort(out)
	return slices.Compact(out)
}

// holders are the users of kubeconfigs that are no component's.
func (j *judge) holders() []string {
	var out []string
	for _, k := range j.Kubeconfigs {
		if !ofPeople(k) {
			continue
		}
		for _, a := range k.Accesses {
			name := a.User
			if a.Client != nil {
				name = cmp.Or(a.Client.Subject.CommonName, name)
			}
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// called are the webhooks, or the aggregated APIs, by object.
func (j *judge) called(api bool) []string {
	var out []string
	if j.Cluster != nil {
		for _, h := range j.Cluster.Hooks {
			if (h.Kind == "APIService") == api {
				out = append(out, h.Object)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
