package trust

import "fmt"

// Severity is how bad a finding is. A note is worth knowing and nothing to fail over.
type Severity int

// The severities.
const (
	Note Severity = iota
	Low
	Medium
	High
	Critical
)

var severityNames = [...]string{"note", "low", "medium", "high", "critical"}

func (s Severity) String() string { return severityNames[s] }

// Severities are all of them, the worst first.
func Severities() []Severity { return []Severity{Critical, High, Medium, Low, Note} }

// ParseSeverity reads a severity's name.
func ParseSeverity(s string) (Severity, error) {
	for i, name := range severityNames {
		if name == s {
			return Severity(i), nil
		}
	}
	return 0, fmt.Errorf("severity %q: want one of critical, high, medium, low, note", s)
}

// A Kind is one thing that can be wrong.
type Kind struct {
	// ID never changes once released.
	ID string
	// Title names the fault.
	Title    string
	Severity Severity // where a finding does not say otherwise
	// Why is what an attacker gains, or what breaks.
	Why string
	// Fix is what to do where a finding does not say it better.
	Fix string
}

// Kinds is everything that Judge looks for, in the order of its pages.
func Kinds() []*Kind { return kinds }

func kind(id string) *Kind {
	for _, k := range kinds {
		if k.ID == id {
			return k
		}
	}
	panic("trust: no kind " + id)
}

const renew = "issue it anew from its authority with `bulwark pki renew` (or `kubeadm certs renew`), then restart what uses it"

var kinds = []*Kind{
	{"expired", "Certificate has expired", High, "Whoever checks it refuses it, so the channel is down, or somebody has switched the checking off.", renew},
	{"not-yet-valid", "Certificate is not valid yet", High, "Whoever checks it refuses it. Often a clock is wrong.", "check the clock of this machine and of the one that issued it"},
	{"expires-soon", "Certificate expires soon", Medium, "On that day the channel goes down.", renew},
	{"key-mismatch", "Private key does not belong to the certificate", High, "The component cannot start or cannot prove who it is.", "put back the key that was made with the certificate, or issue a new pair"},
	{"wrong-usage", "Certificate may not be used for what it is for", High, "The other side refuses it: a server without serverAuth cannot serve, a client without clientAuth cannot log in.", renew},
	{"extra-usage", "Certificate may be used for more than it is for", Note, "A stolen client certificate that may also serve can stand in for a server.", renew},
	{"wrong-authority", "Certificate is not signed by the authority beside it", High, "Whoever trusts that authority refuses the certificate.", "issue it from the right authority, or put back the authority that signed it"},
	{"untrusted-server", "Server's certificate is not signed by the authority that its clients believe", High, "Clients either refuse it or do not check, and then anybody can stand in the middle.", "give the server a certificate of the authority that its clients trust"},
	{"missing-name", "Certificate lacks a name by which it is dialled", Medium, "A client that checks names refuses the server; one that does not can be sent elsewhere.", "issue it anew with that name among its SANs"},
	{"no-names", "Serving certificate has no SAN at all", High, "Go, and with it every component of Kubernetes, does not look at the common name.", "issue it anew with DNS names and addresses as SANs"},
	{"ca-shared-etcd", "One CA signs both for etcd and for clients of the cluster", High, "Any client certificate of the cluster, a kubelet's say, opens etcd, and with it every Secret.", "give etcd an authority of its own (`bulwark pki rotate etcd-ca`)"},
	{"ca-shared-front-proxy", "One CA signs both front proxies and clients of the cluster", Critical, "Whoever has a client certificate can claim to be any user, administrators included, by sending request headers.", "give the front proxy an authority of its own, or at least set --requestheader-allowed-names"},
	{"ca-key-present", "CA's private key where it need not be", Note, "Whoever reads it can make certificates for anybody, and nobody would know.", "keep it offline or encrypted, and bring it only to renew"},
	{"ca-key-plain", "CA's private key is not encrypted", Note, "A backup or a stolen disk is enough to become the authority.", "keep it encrypted (age) or in a hardware module, where nothing signs with it by itself"},
	{"not-a-ca", "Authority's certificate may not sign", High, "Nothing that it signed can be verified.", "make a new authority and issue from it"},
	{"leaf-is-ca", "Certificate of a component may sign others", High, "Whoever steals that component's key becomes an authority.", "issue it anew without CA:TRUE"},
	{"self-signed", "Serving certificate is self-made", Low, "Nobody can verify it: whoever sits between can read and change what passes, exec sessions and logs of a kubelet among it.", "set serverTLSBootstrap: true for kubelets and approve their requests; give --tls-cert-file to the others"},
	{"unverified-server", "Server is not verified by who dials it", Medium, "Whoever sits between reads and changes what passes: for kubelets exec sessions and logs, for etcd everything.", "set --kubelet-certificate-authority (or --etcd-cafile) on the API server"},
	{"weak-key", "Key or signature is weak", High, "It can be forged or broken with means that exist.", "issue it anew with ECDSA P-256 or RSA 2048 and SHA-256"},
	{"long-lived", "Certificate lives very long", Low, "Kubernetes cannot revoke a certificate: a stolen one works until it ends.", "issue it for a year or less, and renew by itself"},
	{"key-readable", "Private key can be read by others", High, "Any process of that machine can become its owner.", "chmod 0600, owned by the user that the component runs as"},
	{"trust-writable", "Certificate can be changed by others", High, "Whoever replaces an authority's certificate decides who is believed.", "chmod 0644 or stricter"},
	{"masters", "Identity in system:masters", High, "It is above RBAC: nothing can be taken from it while the certificate lives.", "issue it with a group that RBAC binds (kubeadm:cluster-admins), and keep one break-glass identity offline"},
	{"break-glass", "Break-glass identity lies on the machine", Note, "Whoever reads the file is above RBAC until it expires.", "keep super-admin.conf offline"},
	{"insecure-skip-verify", "Kubeconfig does not verify the server", High, "Whoever sits between reads the credential and answers as the cluster.", "remove insecure-skip-tls-verify and put the cluster's CA in certificate-authority-data"},
	{"plain-server", "Kubeconfig speaks to the server without TLS", High, "The credential and all answers pass in the clear.", "use https://"},
	{"static-credential", "Kubeconfig holds a credential that does not expire", Medium, "A copy of the file works until somebody remembers to revoke it.", "use an exec plugin (OIDC, cloud) or a client certificate that is renewed"},
	{"no-authority", "Kubeconfig names no authority", Low, "Any of the machine's public authorities can vouch for the server.", "put the cluster's CA in certificate-authority-data"},
	{"plaintext", "Port speaks without TLS", High, "Whoever can reach it or listen reads and changes what passes, and it cannot tell who calls.", "serve TLS there, or bind it to the loopback address"},
	{"old-tls", "Port agrees to TLS below 1.2", Medium, "Old versions have known weaknesses that let what passes be read.", "set --tls-min-version=VersionTLS12 or higher"},
	{"weak-cipher", "Port agrees to weak cipher suites", Medium, "What is recorded today can be read once the key leaks, or sooner.", "set --tls-cipher-suites to suites with ECDHE and AES-GCM or ChaCha20"},
	{"no-client-certificate", "Port does not ask for a client certificate", Critical, "It cannot tell who calls by certificate: whoever reaches the port is served.", "etcd: --client-cert-auth and --peer-client-cert-auth; kubelet: authentication.x509.clientCAFile"},
	{"no-post-quantum", "Port agrees no post-quantum key exchange", Note, "What is recorded today could be read by a quantum computer later.", "use TLS 1.3 with components built with Go 1.24 or later (X25519MLKEM768)"},
	{"bundle-missing", "Webhook or aggregated API has no caBundle", Medium, "The API server then believes every public authority of its machine.", "set caBundle to the authority of that server"},
	{"bundle-broken", "caBundle cannot be used", High, "Every call of it fails; with failurePolicy Ignore the check is silently gone.", "set caBundle to the authority of that server, in PEM"},
	{"bundle-mismatch", "caBundle does not vouch for the server's certificate", High, "Every call of it fails; with failurePolicy Ignore the check is silently gone.", "set caBundle to the authority that signed the server's certificate"},
	{"bundle-unchecked", "Server behind a caBundle could not be compared", Note, "", "run with --secrets, or ask the server's address from a machine of the cluster"},
	{"bundle-insecure", "Aggregated API is not verified", High, "Whoever sits between reads the requests and answers as that API.", "remove insecureSkipTLSVerify and set caBundle"},
	{"request-too-much", "Certificate request asks for too much", High, "Once approved and signed it cannot be revoked.", "deny it: kubectl certificate deny NAME"},
	{"request-pending", "Certificate request waits", Note, "", "look at it: kubectl describe csr NAME"},
	{"endpoint-unknown", "Port could not be asked", Note, "", "run it from where the port can be reached"},
}
