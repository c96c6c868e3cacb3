package trust

import (
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// keys judges private keys: whom they belong to, and who can read them.
func (j *judge) keys() {
	for i := range j.Keys {
		k := &j.Keys[i]
		subject := "key " + k.Place.String()
		if k.Public {
			continue
		}
		if k.Algorithm == "RSA" && k.Bits < 2048 {
			j.add("weak-key", subject, k.Place.Machine, "key is RSA %d, want 2048 or more", k.Bits)
		}
		j.readable(subject, k.Place.Machine, k.File)
		if ca := j.authorityOf(k); ca != "" {
			j.authorityKey(k, ca, subject)
			continue
		}
		j.pair(k, subject)
	}
}

// readable judges the mode of a file that holds a secret.
func (j *judge) readable(subject, machine string, f *File) {
	if f == nil || f.Mode.Perm()&0o077 == 0 {
		return
	}
	perm := f.Mode.Perm()
	found := j.add("key-readable", subject, machine, "mode is %04o, owner %s:%s, want 0600", perm, f.Owner, f.Group)
	if perm&0o007 == 0 {
		found.Severity = Low
		if f.GID != 0 {
			found.Severity = Medium
		}
	}
}

// authorityOf returns the name of the authority that a key belongs to, or "".
func (j *judge) authorityOf(k *Key) string {
	if k.Purpose != nil && k.Purpose.Authority {
		return k.Purpose.Name
	}
	if k.ID == "" {
		return ""
	}
	for _, v := range j.views {
		if v.keyID == k.ID && v.IsCA {
			return "authority " + quoted(v.Certificate.Subject.CommonName)
		}
	}
	return ""
}

func (j *judge) authorityKey(k *Key, ca, subject string) {
	machine := k.Place.Machine
	server := slices.Contains(j.machinesWith(apiServing), machine)
	signsByItself := k.Purpose != nil && k.Purpose.Signs
	switch {
	case machine == "":
	case !server:
		f := j.add("ca-key-present", subject, machine, "it is the key of the %s, and no API server runs on this machine", ca)
		f.Severity = High
		f.Fix = "remove it from this machine, and roll the authority if others could read it"
	case !signsByItself:
		j.add("ca-key-present", subject, machine, "it is the key of the %s, which nothing on this machine signs with by itself", ca)
	}
	if !k.Encrypted {
		j.add("ca-key-plain", subject, machine, "it is the key of the %s, in the clear", ca)
	}
	j.pair(k, subject)
}

// pair compares a key with the certificate of the same name.
func (j *judge) pair(k *Key, subject string) {
	if k.ID == "" {
		return
	}
	base := stem(k.Place.Name)
	for i := range j.Certificates {
		c := &j.Certificates[i]
		if c.Position != 0 || c.Place.Origin != InFile || c.Place.Machine != k.Place.Machine || stem(c.Place.Name) != base {
			continue
		}
		if cluster.KeyID(c.Certificate) != k.ID && !j.anyKey(c, base) {
			j.add("key-mismatch", subject, k.Place.Machine, "its public half is not the one in %s", path.Base(c.Place.Name))
			return
		}
	}
}

// anyKey reports whether another key beside the certificate belongs to it.
func (j *judge) anyKey(c *Certificate, base string) bool {
	id := cluster.KeyID(c.Certificate)
	return slices.ContainsFunc(j.Keys, func(k Key) bool {
		return k.ID == id && k.Place.Machine == c.Place.Machine && stem(k.Place.Name) == base
	})
}

// stem is a path without what tells certificate from key.
func stem(name string) string {
	for _, ext := range []string{".age", ".crt", ".key", ".pem", ".cert", ".cer"} {
		name = strings.TrimSuffix(name, ext)
	}
	dir, file := path.Split(name)
	file = strings.TrimSuffix(strings.TrimSuffix(file, "-key"), "-cert")
	return dir + file
}

// kubeconfigs judges who goes where with what.
func (j *judge) kubeconfigs() {
	for _, k := range j.Kubeconfigs {
		secret := false
		for _, a := range k.Accesses {
			secret = secret || a.Inline
			subject := "kubeconfig " + k.Place.Name
			if len(k.Accesses) > 1 {
				subject += " (context " + a.Context + ")"
			}
			j.access(subject, k.Place.Machine, a)
		}
		if secret {
			j.readable("kubeconfig "+k.Place.Name, k.Place.Machine, k.File)
		}
	}
}

func (j *judge) access(subject, machine string, a Access) {
	host := hostOf(a.Server)
	switch {
	case a.Server == "":
	case strings.HasPrefix(a.Server, "http://"):
		f := j.add("plain-server", subject, machine, "server is %s", a.Server)
		if loopback(host) {
			f.Severity = Medium
		}
	case a.Insecure:
		j.add("insecure-skip-verify", subject, machine, "insecure-skip-tls-verify is true for %s", a.Server)
	case !a.HasCA:
		j.add("no-authority", subject, machine, "cluster %s has no certificate-authority for %s", a.Cluster, a.Server)
	}
	for _, kind := range []string{ByToken, ByPassword} {
		if slices.Contains(a.Credentials, kind) {
			f := j.add("static-credential", subject, machine, "user %s has a %s", a.User, kind)
			if kind == ByPassword {
				f.Severity = High
				f.Fix = "remove it: Kubernetes has no passwords since v1.19"
			}
		}
	}
	if a.Client != nil && a.KeyID != "" && cluster.KeyID(a.Client) != a.KeyID {
		j.add("key-mismatch", subject, machine, "the key of user %s is not that of its certificate", a.User)
	}
	if a.Client != nil && !logsIn(a.Client) {
		j.add("wrong-usage", subject, machine, "extended key usage of user %s is %s, want clientAuth", a.User, usages(a.Client))
	}
}

// endpoints judges how ports answered.
func (j *judge) endpoints() {
	for i := range j.Endpoints {
		j.endpoint(&j.Endpoints[i], "")
	}
}

func (j *judge) endpoint(e *Endpoint, expected string) {
	subject := "endpoint " + e.Address
	if e.Component != "" {
		subject += " (" + e.Component + ")"
	}
	host, port, _ := net.SplitHostPort(e.Address)
	switch {
	case e.Unknown != "":
		j.add("endpoint-unknown", subject, e.Machine, "%s", e.Unknown).Unknown = true
		return
	case e.Plain:
		j.plaintext(e, subject, host, port)
		return
	case e.TLS == nil:
		return
	}
	var old []string
	for _, v := range e.TLS.Versions {
		if v == "TLS 1.0" || v == "TLS 1.1" {
			old = append(old, v)
		}
	}
	if len(old) > 0 {
		j.add("old-tls", subject, e.Machine, "it agrees to %s, want TLS 1.2 or higher", strings.Join(old, " and "))
	}
	if len(e.TLS.WeakCiphers) > 0 {
		j.add("weak-cipher", subject, e.Machine, "it agrees to %s", brief(e.TLS.WeakCiphers))
	}
	if !e.TLS.PostQuantum {
		j.add("no-post-quantum", subject, e.Machine, "it agrees to %s, and not to X25519MLKEM768", strings.Join(e.TLS.Versions, ", "))
	}
	if e.TLS.ClientCert == "none" {
		switch e.Component {
		case "etcd":
			j.add("no-client-certificate", subject, e.Machine, "it asks for none, want required")
		case "kubelet", "kube-apiserver":
			f := j.add("no-client-certificate", subject, e.Machine, "it asks for none, want requested")
			f.Severity = High
		}
	}
	if len(e.Chain) == 0 {
		return
	}
	leaf := e.Chain[0]
	if selfMade(leaf) && expected == "" {
		f := j.add("self-signed", subject, e.Machine, "it is signed by %s", quoted(leaf.Issuer.CommonName))
		if e.Component == "kube-controller-manager" || e.Component == "kube-scheduler" {
			f.Severity = Note
		}
		return
	}
	if host != "" && leaf.VerifyHostname(bracket(host)) != nil {
		f := j.add("missing-name", subject, e.Machine, "%s is not among its SANs (%s)", host, brief(sans(leaf)))
		if loopback(host) && (e.Component != "kube-apiserver" || !e.Asked) {
			f.Severity = Note // it was we who dialled it so
		}
	}
	j.trusted(e, subject)
}

// trusted checks the served certificate against the authorities that its clients believe.
func (j *judge) trusted(e *Endpoint, subject string) {
	root := map[string]Root{"kube-apiserver": RootServers, "kubelet": RootServers, "etcd": RootEtcd}[e.Component]
	if root == "" {
		return
	}
	known, ok := false, false
	v := j.byPrint[Fingerprint(e.Chain[0])]
	if v == nil {
		return
	}
	for id, roots := range j.circles {
		known = known || roots[root] != nil
		if s := j.signerOf(v); s != nil && s.keyID == id && roots[root] != nil {
			ok = true
		}
	}
	chain, _ := j.chain(v)
	for _, s := range chain[1:] {
		ok = ok || j.circles[s.keyID][root] != nil
	}
	if known && !ok {
		j.add("untrusted-server", subject, e.Machine, "it is signed by %s, which none of those who dial it is known to believe", quoted(v.Issuer.CommonName))
	}
}

func (j *judge) plaintext(e *Endpoint, subject, host, port string) {
	f := j.add("plaintext", subject, e.Machine, "it answers in plain text")
	switch {
	case e.Component == "etcd" && port != "2381":
		f.Severity = Critical
		f.Fix = etcdFix
	case e.Component == "kube-apiserver":
		f.Severity = Critical
	case loopback(host):
		f.Severity = Low
	case e.Component == "kube-proxy", port == "2381":
		f.Severity = Medium
	case port == "10255":
		f.Fix = "set readOnlyPort: 0 in the kubelet's configuration"
	}
}

// flagged judges what the API server's flags say of whom it dials.
func (j *judge) flagged() {
	for _, c := range j.Components {
		if c.Name != "kube-apiserver" {
			continue
		}
		subject := "kube-apiserver, as " + c.Source + " says"
		if c.Flags.Get("kubelet-certificate-authority", "") == "" {
			j.add("unverified-server", subject, c.Machine, "it has no --kubelet-certificate-authority: any certificate will do for a kubelet")
		}
		for _, s := range c.Flags.List("etcd-servers") {
			if strings.HasPrefix(s, "http://") {
				f := j.add("plaintext", subject, c.Machine, "it dials etcd at %s", s)
				f.Severity, f.Fix = Critical, etcdFix
			}
		}
		if c.Flags.Get("etcd-cafile", "") == "" && strings.Contains(c.Flags.Get("etcd-servers", ""), "https://") {
			f := j.add("unverified-server", subject, c.Machine, "it has no --etcd-cafile: it believes every public authority of the machine for etcd")
			f.Severity = High
		}
	}
}

const etcdFix = "give etcd --cert-file, --key-file, --trusted-ca-file and --client-cert-auth, and the same for its peers"

// cluster judges what the API server told.
func (j *judge) cluster() {
	if j.Cluster == nil {
		return
	}
	for i := range j.Cluster.Hooks {
		j.hook(&j.Cluster.Hooks[i])
	}
	for _, r := range j.Cluster.Requests {
		j.request(r)
	}
}

func (j *judge) hook(h *Hook) {
	subject := h.Subject()
	switch {
	case h.Insecure:
		j.add("bundle-insecure", subject, "", "insecureSkipTLSVerify is true")
		return
	case strings.HasPrefix(h.URL, "http://"):
		j.add("plaintext", subject, "", "it is called at %s", h.URL)
		return
	case !h.HasBundle:
		f := j.add("bundle-missing", subject, "", "caBundle is empty, and it is called at %s", h.target())
		if h.Service != "" {
			f.Severity = High // no public authority signs for a Service
		}
		return
	case len(h.CABundle) == 0:
		j.add("bundle-broken", subject, "", "caBundle: %s", h.Problem)
		return
	}
	if h.Problem != "" {
		j.add("bundle-broken", subject, "", "caBundle: %s", h.Problem).Severity = Low
	}
	valid := slices.ContainsFunc(h.CABundle, certValid(j))
	if !valid {
		j.add("bundle-broken", subject, "", "caBundle: no certificate in it is valid today; the last ends on %s", date(latest(h.CABundle)))
		return
	}
	j.served(h, subject)
}

// served compares a caBundle with what the server shows: on its port where that could be
// asked, else in the Secrets that name the server.
func (j *judge) served(h *Hook, subject string) {
	if e := h.Served; e != nil {
		j.endpoint(e, subject)
		if len(e.Chain) > 0 && !vouches(h.CABundle, e.Chain, j) {
			j.add("bundle-mismatch", subject, "", "%s shows a certificate signed by %s", e.Address, quoted(e.Chain[0].Issuer.CommonName))
		}
		return
	}
	name := h.ServerName()
	found, ok := "", false
	for _, v := range j.views {
		for _, c := range v.at {
			if strings.HasPrefix(c.Place.Name, "secret ") && c.Position == 0 && v.VerifyHostname(name) == nil {
				found = c.Place.Name
				ok = ok || vouches(h.CABundle, j.together(c), j)
			}
		}
	}
	switch {
	case found == "":
		j.add("bundle-unchecked", subject, "", "no certificate for %s was read", name).Unknown = true
	case !ok:
		j.add("bundle-mismatch", subject, "", "the certificate for %s in %s is signed by another authority", name, found)
	}
}

func (h Hook) target() string {
	if h.URL != "" {
		return h.URL
	}
	return fmt.Sprintf("service %s/%s", h.Namespace, h.Service)
}

// request judges what a request asks for. What was denied is only told where it asked
// for too much: somebody tried.
func (j *judge) request(r Request) {
	subject := "certificatesigningrequest " + r.Name
	if r.Unreadable != "" {
		if r.State == "pending" {
			j.add("request-pending", subject, "", "from %s: %s", r.Requester, r.Unreadable).Unknown = true
		}
		return
	}
	who := r.CommonName
	if len(r.Organizations) > 0 {
		who += " in " + strings.Join(r.Organizations, ", ")
	}
	if why := j.tooMuch(r); why != "" {
		f := j.add("request-too-much", subject, "", "%s, %s asked %s for %s: %s", r.State, r.Requester, r.Signer, who, why)
		f.Fix = "deny it: kubectl certificate deny " + r.Name
		switch r.State {
		case "denied", "failed":
			f.Severity = Note
			f.Fix = "find out why " + r.Requester + " asked for it"
		case "approved", "issued":
			f.Severity = High
			f.Fix = "it cannot be revoked: roll the authority, or wait until it expires, and take away from " + r.Requester + " what let it be approved"
		}
		return
	}
	if r.State == "pending" {
		f := j.add("request-pending", subject, "", "%s asked %s for %s", r.Requester, r.Signer, who)
		f.Fix = "look at it: kubectl describe csr " + r.Name
	}
}

// tooMuch says why a request asks for more than its requester should have, or "".
func (j *judge) tooMuch(r Request) string {
	const nodes = "system:nodes"
	node, isNode := strings.CutPrefix(r.Requester, "system:node:")
	switch r.Signer {
	case "kubernetes.io/kubelet-serving":
		switch {
		case !isNode:
			return "only a node asks this signer"
		case r.CommonName != r.Requester:
			return "a node asks for itself only"
		}
		if n := j.node(node); n != nil {
			for _, ip := range r.IPs {
				if !slices.Contains(n.InternalIPs, ip) {
					return "the address " + ip + " is not one of the node's internal addresses"
				}
			}
		}
	case "kubernetes.io/kube-apiserver-client-kubelet":
		bootstrapping := slices.Contains(r.Groups, "system:bootstrappers")
		if !bootstrapping && r.CommonName != r.Requester {
			return "a node asks for itself only"
		}
		if !strings.HasPrefix(r.CommonName, "system:node:") || !slices.Equal(r.Organizations, []string{nodes}) {
			return "this signer is for nodes only"
		}
	case "kubernetes.io/kube-apiserver-client", "kubernetes.io/legacy-unknown":
		switch {
		case slices.Contains(r.Organizations, masters):
			return masters + " is above RBAC"
		case slices.Contains(r.Organizations, nodes) || strings.HasPrefix(r.CommonName, "system:node:"):
			return "it would be a node"
		case strings.HasPrefix(r.CommonName, "system:"):
			return "the names system: are Kubernetes' own"
		case slices.ContainsFunc(r.Organizations, func(o string) bool { return strings.HasPrefix(o, "system:") }):
			return "the groups system: are Kubernetes' own"
		case slices.Contains(r.Organizations, "kubeadm:cluster-admins"):
			return "it would be an administrator"
		case r.Signer == "kubernetes.io/legacy-unknown":
			return "this signer is not to be used, and makes no promise"
		}
	}
	return ""
}
