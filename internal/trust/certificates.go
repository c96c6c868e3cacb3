package trust

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Lifetimes of a leaf that are long, and very long.
const (
	longLife     = 825 * 24 * time.Hour
	veryLongLife = 5 * 365 * 24 * time.Hour
)

// serves and logsIn report which end of a connection a certificate may stand at. One
// without any extended usage may stand at both.
func serves(c *x509.Certificate) bool { return usable(c, x509.ExtKeyUsageServerAuth) }
func logsIn(c *x509.Certificate) bool { return usable(c, x509.ExtKeyUsageClientAuth) }

func usable(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, usage) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// certificates judges every certificate by itself and by its place.
func (j *judge) certificates() {
	for _, v := range j.views {
		if v.onlyIssued() {
			continue
		}
		subject, machine := v.subject()
		j.validity(v, subject, machine)
		j.strength(v, subject, machine)
		if p := v.purpose(); p != nil {
			j.usage(v, p, subject, machine)
			j.names(v, p, subject, machine)
		}
		if !v.authority() {
			j.leaf(v, subject, machine)
		}
		for _, c := range v.at {
			if c.File != nil && c.Place.Origin == InFile && c.File.Mode.Perm()&0o022 != 0 {
				j.add("trust-writable", "certificate "+c.Place.String(), c.Place.Machine, "mode is %04o, want 0644 or stricter", c.File.Mode.Perm())
			}
		}
	}
	j.shared()
}

func (j *judge) validity(v *view, subject, machine string) {
	left := v.NotAfter.Sub(j.Now)
	within := j.Within
	life := v.NotAfter.Sub(v.NotBefore)
	if p := v.purpose(); life < 2*within || p.same(kubeletClient) || p.same(kubeletServe) {
		// It is renewed by itself, late in its life.
		within = min(within, life/10)
	}
	switch {
	case j.Now.Before(v.NotBefore):
		j.add("not-yet-valid", subject, machine, "it begins on %s, %s from now", v.NotBefore.UTC().Format("2006-01-02 15:04 UTC"), span(v.NotBefore.Sub(j.Now)))
	case left <= 0:
		f := j.add("expired", subject, machine, "it ended on %s, %s ago", date(v.NotAfter), span(-left))
		if v.authority() {
			f.Severity, f.Fix = Critical, "roll the authority (`bulwark pki rotate`): everything that it signed is refused"
		}
	case left <= within:
		f := j.add("expires-soon", subject, machine, "it ends on %s, in %s", date(v.NotAfter), span(left))
		if v.authority() {
			f.Severity, f.Fix = High, "roll the authority (`bulwark pki rotate`) before that day"
		}
	}
}

// span is a duration in words.
func span(d time.Duration) string {
	n, unit := int(d/(24*time.Hour)), "day"
	if n == 0 {
		n, unit = int(d/time.Hour), "hour"
	}
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

func (j *judge) strength(v *view, subject, machine string) {
	switch k := v.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			j.add("weak-key", subject, machine, "key is RSA %d, want 2048 or more", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			j.add("weak-key", subject, machine, "key is ECDSA %s, want P-256 or more", k.Curve.Params().Name)
		}
	}
	weak := []x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1}
	if slices.Contains(weak, v.SignatureAlgorithm) && j.signerOf(v) != v { // nobody checks how a root signed itself
		j.add("weak-key", subject, machine, "signature is %s, want SHA-256 or more", v.SignatureAlgorithm)
	}
}

func (j *judge) usage(v *view, p *Purpose, subject, machine string) {
	if p.Authority {
		if !v.IsCA || v.KeyUsage != 0 && v.KeyUsage&x509.KeyUsageCertSign == 0 {
			j.add("not-a-ca", subject, machine, "it is the %s and has no CA:TRUE with the usage certSign", p.Name)
		}
		return
	}
	if p.Server && !serves(v.Certificate) {
		j.add("wrong-usage", subject, machine, "extended key usage is %s, want serverAuth for %s", usages(v.Certificate), p.Name)
	}
	if p.Client && !logsIn(v.Certificate) {
		f := j.add("wrong-usage", subject, machine, "extended key usage is %s, want clientAuth for %s", usages(v.Certificate), p.Name)
		if p == etcdServing {
			f.Severity = Low // only etcd's gateway dials itself with it
		}
	}
	if !p.Server && serves(v.Certificate) && len(v.DNSNames)+len(v.IPAddresses) > 0 {
		j.add("extra-usage", subject, machine, "extended key usage is %s with names in it, want clientAuth alone", usages(v.Certificate))
	}
	if v.IsCA {
		j.add("leaf-is-ca", subject, machine, "it has CA:TRUE and is for %s", p.Name)
	}
	j.signedByNeighbour(v, p, subject)
}

var usageNames = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageAny: "any", x509.ExtKeyUsageServerAuth: "serverAuth", x509.ExtKeyUsageClientAuth: "clientAuth",
	x509.ExtKeyUsageCodeSigning: "codeSigning", x509.ExtKeyUsageEmailProtection: "emailProtection",
	x509.ExtKeyUsageTimeStamping: "timeStamping", x509.ExtKeyUsageOCSPSigning: "OCSPSigning",
}

// usages are a certificate's extended usages in words.
func usages(c *x509.Certificate) string {
	var out []string
	for _, u := range c.ExtKeyUsage {
		out = append(out, cmp.Or(usageNames[u], fmt.Sprint(int(u))))
	}
	for _, u := range c.UnknownExtKeyUsage {
		out = append(out, u.String())
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// signedByNeighbour compares the signer with the authority that stands for the same
// circle on the same machine.
func (j *judge) signedByNeighbour(v *view, p *Purpose, subject string) {
	if selfMade(v.Certificate) {
		return
	}
	for _, c := range v.at {
		if c.Purpose != p || c.Place.Origin == OnPort {
			continue
		}
		var beside []*view
		ok := false
		for _, a := range j.views {
			for _, at := range a.at {
				if at.Purpose != nil && at.Purpose.Authority && at.Place.Machine == c.Place.Machine && matchesRoot(at.Purpose.Root, p) {
					beside = append(beside, a)
					ok = ok || signed(v.Certificate, a.Certificate)
				}
			}
		}
		if len(beside) > 0 && !ok {
			j.add("wrong-authority", subject, c.Place.Machine, "it is signed by %s, and the %s there is %s", quoted(v.Issuer.CommonName), beside[0].purpose().Name, quoted(beside[0].Certificate.Subject.CommonName))
			return
		}
	}
}

// matchesRoot reports whether an authority of a circle signs a purpose.
func matchesRoot(root Root, p *Purpose) bool {
	switch p.Root {
	case RootCluster, RootClients, RootServers:
		return root == p.Root || root == RootCluster || p.Root == RootCluster && (root == RootClients && p.Client || root == RootServers && p.Server)
	default:
		return root == p.Root
	}
}

func quoted(s string) string {
	if s == "" {
		return "a nameless authority"
	}
	return s
}

// throwaway is the name of the authority that components make for themselves at start.
var throwaway = regexp.MustCompile(`-ca@\d+$`)

// selfMade reports whether a serving certificate vouches for itself, or is vouched for
// by an authority that its component made at start.
func selfMade(c *x509.Certificate) bool {
	return signed(c, c) || throwaway.MatchString(c.Issuer.CommonName)
}

func (j *judge) leaf(v *view, subject, machine string) {
	life := v.NotAfter.Sub(v.NotBefore)
	if life > longLife && !selfMade(v.Certificate) {
		f := j.add("long-lived", subject, machine, "it lives for %s (until %s), want a year or less", span(life), date(v.NotAfter))
		if life > veryLongLife {
			f.Severity = Medium
		}
	}
	p := v.purpose()
	if (p != nil && p.Server || p == nil && serves(v.Certificate) && !logsIn(v.Certificate)) && len(v.DNSNames)+len(v.IPAddresses) == 0 {
		j.add("no-names", subject, machine, "it has no DNS name and no address")
	}
	if p != nil && p.Server && p.Component == "kubelet" && selfMade(v.Certificate) && !j.servedProperly(machine) {
		j.add("self-signed", subject, machine, "it is signed by %s", quoted(v.Issuer.CommonName))
	}
	if slices.Contains(v.Certificate.Subject.Organization, masters) && logsIn(v.Certificate) {
		j.masters(v, p, subject, machine)
	}
}

// servedProperly reports whether the kubelet of a machine has a certificate that was
// issued to it, so that the self-made one lies there unused.
func (j *judge) servedProperly(machine string) bool {
	for _, v := range j.views {
		for _, c := range v.at {
			if c.Place.Machine == machine && c.Place.Origin == InFile && c.Purpose.same(kubeletServe) && !selfMade(v.Certificate) {
				return true
			}
		}
	}
	return false
}

const masters = "system:masters"

func (j *judge) masters(v *view, p *Purpose, subject, machine string) {
	roots := j.circle(v)
	if roots != nil && roots[RootClients] == nil {
		return // groups mean nothing to etcd
	}
	name := v.Certificate.Subject.CommonName
	if p != nil && p.BreakGlass || name == "kubernetes-super-admin" {
		j.add("break-glass", subject, machine, "user %s in %s, until %s", name, masters, date(v.NotAfter))
		return
	}
	f := j.add("masters", subject, machine, "user %s is in group %s, until %s", name, masters, date(v.NotAfter))
	if p == nil || p.Component == "people" {
		f.Severity = Medium
	}
}

// names compares SANs with how the server is dialled.
func (j *judge) names(v *view, p *Purpose, subject, machine string) {
	if len(v.DNSNames)+len(v.IPAddresses) == 0 || !p.Server || selfMade(v.Certificate) {
		return
	}
	missing := func(name, who string) {
		if name != "" && v.VerifyHostname(bracket(name)) != nil {
			j.add("missing-name", subject, machine, "%s is not among its SANs (%s), and %s", name, brief(sans(v.Certificate)), who)
		}
	}
	switch {
	case p.same(apiServing):
		missing("kubernetes.default.svc", "pods dial it so")
		if j.Cluster != nil && machineOf(j.Cluster, machine, j.machinesWith(apiServing)) {
			missing(j.Cluster.ServiceIP, "pods dial it so (service default/kubernetes)")
		}
		j.dialledBy(v, machine, missing)
	case p.same(etcdServing):
		if v.VerifyHostname("localhost") != nil && v.VerifyHostname("127.0.0.1") != nil {
			missing("127.0.0.1", "its own machine dials it so")
		}
		j.memberAddress(machine, "the API server and other members dial it so", missing)
	case p.same(etcdPeer):
		j.memberAddress(machine, "other members dial it so", missing)
	case p.same(kubeletServe):
		if n := j.node(machine); n != nil && len(n.InternalIPs) > 0 {
			missing(n.InternalIPs[0], "kube-apiserver dials it so")
		}
	}
}

// machineOf reports whether the certificate of a machine can be taken for the cluster's:
// the folder and the cluster were asked for together.
func machineOf(c *Cluster, machine string, servers []string) bool {
	return c.ServiceIP != "" && c.ServiceIP != "None" && slices.Contains(servers, machine)
}

func (j *judge) machinesWith(p *Purpose) []string {
	var out []string
	for _, c := range j.Certificates {
		if c.Purpose.same(p) && !slices.Contains(out, c.Place.Machine) {
			out = append(out, c.Place.Machine)
		}
	}
	return out
}

func (j *judge) node(name string) *Node {
	if j.Cluster == nil || name == "" {
		return nil
	}
	for i := range j.Cluster.Nodes {
		if j.Cluster.Nodes[i].Name == name {
			return &j.Cluster.Nodes[i]
		}
	}
	return nil
}

func (j *judge) memberAddress(machine, who string, missing func(name, who string)) {
	if n := j.node(machine); n != nil && len(n.InternalIPs) > 0 {
		missing(n.InternalIPs[0], who)
		return
	}
	for _, comp := range j.Components {
		if comp.Name != "etcd" || comp.Machine != machine {
			continue
		}
		for _, flag := range []string{"advertise-client-urls", "initial-advertise-peer-urls"} {
			for _, raw := range comp.Flags.List(flag) {
				if host := hostOf(raw); host != "" && !loopback(host) {
					missing(host, "etcd's --"+flag+" says so")
				}
			}
		}
	}
}

// dialledBy compares the API server's SANs with the addresses in kubeconfigs. The
// controller manager and the scheduler dial the server of their own machine; everybody
// else any server, so that one name of all servers is enough.
func (j *judge) dialledBy(v *view, machine string, missing func(name, who string)) {
	for _, k := range j.Kubeconfigs {
		for _, a := range k.Accesses {
			host := hostOf(a.Server)
			if a.TLSServerName != "" {
				host = a.TLSServerName
			}
			if host == "" || a.Insecure || !believes(a, v) && len(a.CAs) > 0 {
				continue
			}
			who := k.Place.Name + " dials it so"
			local := k.Place.Machine == machine && (k.Purpose.same(cmClient) || k.Purpose.same(schedClient))
			if !local && k.Place.Machine != "" && k.Place.Machine != machine && len(j.machinesWith(apiServing)) > 1 {
				continue // judged with the server of its own machine, or by any
			}
			if !local && j.anyAPIServer(host) {
				continue
			}
			missing(host, who)
		}
	}
}

// believes reports whether an access trusts the authority of a certificate.
func believes(a Access, v *view) bool {
	return slices.ContainsFunc(a.CAs, func(ca *x509.Certificate) bool { return signed(v.Certificate, ca) })
}

func (j *judge) anyAPIServer(host string) bool {
	for _, v := range j.views {
		for _, c := range v.at {
			if c.Purpose.same(apiServing) && v.VerifyHostname(bracket(host)) == nil {
				return true
			}
		}
	}
	return false
}

// bracket lets VerifyHostname take an address as one.
func bracket(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[" + host + "]"
	}
	return host
}

// sans are a certificate's names and addresses.
func sans(c *x509.Certificate) []string {
	out := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	for _, u := range c.URIs {
		out = append(out, u.String())
	}
	return append(out, c.EmailAddresses...)
}

// brief joins a list and does not let it grow long.
func brief(list []string) string {
	const most = 6
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// shared finds authorities that are believed in circles that must be apart.
func (j *judge) shared() {
	done := map[string]bool{}
	for _, v := range j.views {
		roots := j.circles[v.keyID]
		if done[v.keyID] || roots == nil || !v.authority() || roots[RootClients] == nil {
			continue
		}
		done[v.keyID] = true
		name := "authority " + quoted(v.Certificate.Subject.CommonName)
		_, machine := v.subject()
		if roots[RootEtcd] != nil {
			j.add("ca-shared-etcd", name, machine, "the same key is believed by %s and by %s", strings.Join(roots[RootClients], ", "), strings.Join(roots[RootEtcd], ", "))
		}
		if roots[RootFrontProxy] != nil {
			f := j.add("ca-shared-front-proxy", name, machine, "the same key is believed for clients and for front proxies")
			if names := j.proxyNames(); len(names) > 0 {
				f.Severity = High
				f.Evidence += "; only the common names " + strings.Join(names, ", ") + " are taken for a front proxy"
			} else {
				f.Evidence += "; --requestheader-allowed-names is not known to limit whom"
			}
		}
	}
}

// proxyNames are the common names that front proxies must have, as far as known.
func (j *judge) proxyNames() []string {
	if j.Cluster != nil && j.Cluster.AuthenticationRead {
		return j.Cluster.ProxyNames
	}
	for _, c := range j.Components {
		if c.Name == "kube-apiserver" {
			if names := c.Flags.List("requestheader-allowed-names"); len(names) > 0 {
				return names
			}
		}
	}
	return nil
}
