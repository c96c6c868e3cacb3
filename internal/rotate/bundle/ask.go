package bundle

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

// Outcome is what is known of one thing that should hold.
type Outcome int

// The outcomes. What was not seen is Unknown, and never counts as held.
const (
	Unknown Outcome = iota
	Held
	Broken
	Hidden // nobody can see it from outside; the machine's own script has looked
)

func (o Outcome) String() string {
	return [...]string{"unknown", "holds", "NOT YET", "not observable"}[o]
}

// Answer is what was seen of one thing.
type Answer struct {
	Where, What string
	Outcome     Outcome
	Said        string
}

const (
	askTimeout = 5 * time.Second
	maxAnswer  = 1 << 20 // bytes of a body that are read
	onBehalf   = "bulwark:rotation"
)

// witness asks a cluster from outside.
type witness struct {
	*Folder
	plan       *rotate.Plan
	content    func(rotate.Digest) ([]byte, error)
	kubeconfig func() ([]byte, error)
	extra      []string // HOST:PORT that shall show what the phase wants shown
}

// ask asks everything that holds after a phase, several things at a time.
func (w *witness) ask(ctx context.Context, ph rotate.Phase) []Answer {
	var questions []func(context.Context) Answer
	for _, t := range ph.Turns {
		for _, s := range t.Steps {
			switch s.Do {
			case rotate.Ask:
				questions = append(questions, func(ctx context.Context) Answer { return w.server(ctx, s) })
			case rotate.Publish:
				questions = append(questions, func(ctx context.Context) Answer { return w.published(ctx, s) })
			case rotate.Accounts:
				questions = append(questions, func(ctx context.Context) Answer { return w.accounts(ctx, s) })
			default:
			}
		}
	}
	for _, address := range w.extra {
		questions = append(questions, func(ctx context.Context) Answer { return w.named(ctx, address, ph.Name) })
	}
	answers := make([]Answer, len(questions))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, q := range questions {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			answers[i] = q(ctx)
		})
	}
	wg.Wait()
	return answers
}

// authority says in words whose certificate a server shows.
func (w *witness) authority(chain []*x509.Certificate) string {
	for name, d := range map[string]rotate.Digest{"the old authority": w.plan.Old, "the new authority": w.plan.New} {
		if strings.HasPrefix(string(w.phaseDirection()), "undo-") {
			name = map[string]string{"the old authority": "the new authority", "the new authority": "the old authority"}[name]
		}
		if trust, err := w.content(d); err == nil && verifies(chain, trust) {
			return "a certificate of " + name
		}
	}
	return "a certificate of an authority that is neither the old nor the new one"
}

// phaseDirection is the first phase's name: a plan that goes back has old and
// new the other way round.
func (w *witness) phaseDirection() rotate.PhaseName {
	if len(w.plan.Phases) == 0 {
		return ""
	}
	return w.plan.Phases[0].Name
}

func verifies(chain []*x509.Certificate, trust []byte) bool {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(trust)
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil
}

// shown returns what a server shows, whether or not it then wants us.
func shown(ctx context.Context, address string) ([]*x509.Certificate, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	var chain []*x509.Certificate
	host, _, _ := net.SplitHostPort(address)
	conn := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host,
		InsecureSkipVerify: true, //nolint:gosec // what it shows is what is asked, and is judged by the caller
		VerifyConnection:   func(s tls.ConnectionState) error { chain = s.PeerCertificates; return nil },
	})
	err = conn.HandshakeContext(ctx)
	if len(chain) > 0 {
		return chain, nil // it may have refused us for want of a certificate
	}
	return nil, errors.Join(err, errors.New("it shows no certificate"))
}

// named asks an endpoint that somebody named on the command line.
func (w *witness) named(ctx context.Context, address string, phase rotate.PhaseName) Answer {
	a := Answer{Where: address, What: "shows a certificate that the machines trust in this phase"}
	wanted := []rotate.Digest{w.plan.Old, w.plan.New}
	switch phase {
	case rotate.Switch, rotate.Retire, "undo-" + rotate.Switch, "undo-" + rotate.Distribute:
		a.What, wanted = "shows a certificate of the authority that stays", []rotate.Digest{w.plan.New}
	default:
	}
	chain, err := shown(ctx, address)
	if err != nil {
		a.Said = err.Error()
		return a
	}
	a.Outcome, a.Said = Broken, w.authority(chain)
	for _, d := range wanted {
		if trust, err := w.content(d); err == nil && verifies(chain, trust) {
			a.Outcome = Held
		}
	}
	return a
}

// server asks what a plan's question asks.
func (w *witness) server(ctx context.Context, s rotate.Step) Answer {
	q := *s.Ask
	a := Answer{Where: s.Machine + " " + q.Server, What: s.String()}
	if q.Server == "etcd-peer" && q.Client != "" {
		a.Outcome, a.Said = Hidden, "a member takes its peers by their address too: only they can ask it"
		return a
	}
	address, err := w.address(s.Machine, q.Server)
	if err != nil {
		a.Said = err.Error()
		return a
	}
	chain, err := shown(ctx, address)
	if err != nil {
		if a.Said = err.Error(); q.Server == "kube-controller-manager" || q.Server == "kube-scheduler" {
			a.Outcome, a.Said = Hidden, "it listens on its machine's own address only, as kubeadm has it"
		}
		return a
	}
	trust, err := w.content(q.Trust)
	if err != nil {
		a.Said = err.Error()
		return a
	}
	if q.Trust != "" && !verifies(chain, trust) {
		a.Outcome, a.Said = Broken, "it shows "+w.authority(chain)
		return a
	}
	if q.Client == "" {
		a.Outcome, a.Said = Held, "it shows "+w.authority(chain)
		return a
	}
	return w.client(ctx, a, address, q)
}

// client shows a server a certificate, and finds out for whom it is taken.
func (w *witness) client(ctx context.Context, a Answer, address string, q rotate.Question) Answer {
	pair, err := w.content(q.Client)
	if err == nil && q.Server == "kubelet" {
		var open bool
		if open, _, err = greet(ctx, address, nil, q); err == nil && open {
			a.Outcome, a.Said = Hidden, "it takes everybody, whatever their certificate: --anonymous-auth"
			return a
		}
	}
	if err != nil {
		a.Said = err.Error()
		return a
	}
	accepted, said, err := greet(ctx, address, pair, q)
	if err != nil {
		a.Said = err.Error()
		return a
	}
	if a.Outcome, a.Said = Held, said; accepted == q.Refused {
		a.Outcome = Broken
	}
	return a
}

// greet makes a request that tells whom a server takes the client for. An error
// means that it could not be told.
func greet(ctx context.Context, address string, pair []byte, q rotate.Question) (accepted bool, said string, err error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // the server has been judged before
	if pair != nil {
		cert, err := tls.X509KeyPair(pair, pair)
		if err != nil {
			return false, "", errors.New("the certificate that is to be shown is damaged")
		}
		// Shown whatever the server says whom it trusts: it is to decide.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	method, path, body := http.MethodGet, "/healthz", ""
	switch q.Server {
	case "etcd":
		path = "/health"
	case "kube-apiserver":
		method, path = http.MethodPost, "/apis/authentication.k8s.io/v1/selfsubjectreviews"
		body = `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+address+path, strings.NewReader(body))
	if err != nil {
		return false, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	if q.Proxy {
		req.Header.Set("X-Remote-User", onBehalf)
		req.Header.Set("X-Remote-Group", "system:authenticated")
	}
	transport := &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if refusedByTLS(err) {
		return false, "it refuses the certificate in the handshake", nil
	}
	if err != nil {
		return false, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return false, "", err
	}
	if res.StatusCode >= http.StatusInternalServerError {
		return false, "", fmt.Errorf("%s answers %d", path, res.StatusCode)
	}
	if q.Server != "kube-apiserver" {
		return res.StatusCode != http.StatusUnauthorized, fmt.Sprintf("it answers %d", res.StatusCode), nil
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		return false, fmt.Sprintf("it answers %d", res.StatusCode), nil
	case res.StatusCode >= http.StatusBadRequest:
		// Too many requests, or no such API: this tells nothing of the certificate.
		return false, "", fmt.Errorf("%s answers %d", path, res.StatusCode)
	}
	var review authenticationv1.SelfSubjectReview
	if err := json.Unmarshal(answer, &review); err != nil {
		return false, "", fmt.Errorf("%s answers something else", path)
	}
	user := review.Status.UserInfo.Username
	return user != "system:anonymous" && (!q.Proxy || user == onBehalf), fmt.Sprintf("it takes the client for %q", user), nil
}

// refusedByTLS reports whether the other end ended the handshake because of our
// certificate: RFC 8446, 6.2. In TLS 1.3 that comes after our half of it.
func refusedByTLS(err error) bool {
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return slices.Contains([]tls.AlertError{42, 46, 48, 116}, alert)
	}
	text := fmt.Sprint(err)
	return strings.Contains(text, "remote error: tls: bad certificate") || strings.Contains(text, "remote error: tls: unknown certificate")
}

// api is a client of the cluster, of one apiserver if there is an address.
func (w *witness) api(address string) (kubernetes.Interface, error) {
	data, err := w.kubeconfig()
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		return nil, errors.New("the administrator's kubeconfig cannot be used") // its own words could quote the file
	}
	if address != "" {
		config.Host = "https://" + address
	}
	config.Timeout = askTimeout
	config.RateLimiter = nil
	return kubernetes.NewForConfig(rest.CopyConfig(config))
}

// published asks whether an object of the cluster carries what is trusted.
func (w *witness) published(ctx context.Context, s rotate.Step) Answer {
	a := Answer{Where: "cluster", What: s.String()}
	if s.Without != "" {
		a.What = s.Object + " carries what stays, and no longer the other"
	}
	trust, err := w.content(s.Trust)
	if err == nil {
		var without []byte
		if without, err = w.content(s.Without); err == nil {
			a.Outcome, a.Said, err = w.carried(ctx, s.Object, trust, without)
		}
	}
	if err != nil {
		a.Outcome, a.Said = Unknown, err.Error()
	}
	return a
}

func (w *witness) carried(ctx context.Context, object string, trust, without []byte) (Outcome, string, error) {
	client, err := w.api("")
	if err != nil {
		return Unknown, "", err
	}
	maps := func(namespace string) ([]corev1.ConfigMap, error) {
		name, _, _ := strings.Cut(object, "/")
		list, err := client.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}
	name, field, _ := strings.Cut(object, "/")
	switch name {
	case "cluster-info":
		m, err := client.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return Held, "there is none", nil
		}
		if err != nil {
			return Unknown, "", err
		}
		cfg, err := clientcmd.Load([]byte(m.Data["kubeconfig"]))
		if err != nil {
			return Unknown, "", errors.New("cluster-info holds no kubeconfig")
		}
		for _, c := range cfg.Clusters {
			if !carries(c.CertificateAuthorityData, trust, without) {
				return Broken, "it carries something else", nil
			}
		}
		return Held, "it does", nil
	case "kube-root-ca.crt":
		all, err := maps(metav1.NamespaceAll)
		if err != nil {
			return Unknown, "", err
		}
		for _, m := range all {
			if !carries([]byte(m.Data["ca.crt"]), trust, without) {
				return Broken, "that of namespace " + m.Namespace + " carries something else", nil
			}
		}
		if len(all) == 0 {
			return Unknown, "", errors.New("no namespace has one")
		}
		return Held, fmt.Sprintf("in all %d namespaces", len(all)), nil
	}
	m, err := client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return Unknown, "", err
	}
	if !carries([]byte(m.Data[field]), trust, without) {
		return Broken, "it carries something else", nil
	}
	return Held, "it does", nil
}

// carries reports whether a bundle has all of trust and nothing of without.
func carries(bundle, trust, without []byte) bool {
	have := blocks(bundle)
	return !slices.ContainsFunc(blocks(trust), func(c string) bool { return !slices.Contains(have, c) }) &&
		!slices.ContainsFunc(blocks(without), func(c string) bool { return slices.Contains(have, c) })
}

func blocks(data []byte) []string {
	var all []string
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return all
		}
		all = append(all, string(block.Bytes))
		data = rest
	}
}

// keyIDs are how the API names keys: by the digest of their public half, as
// pkg/serviceaccount/jwt.go has it.
func keyIDs(keys []byte) []string {
	var ids []string
	for _, b := range blocks(keys) {
		sum := sha256.Sum256([]byte(b))
		ids = append(ids, base64.RawURLEncoding.EncodeToString(sum[:]))
	}
	slices.Sort(ids)
	return ids
}

// accounts asks one apiserver which keys it takes tokens of, and with which it
// signs new ones.
func (w *witness) accounts(ctx context.Context, s rotate.Step) Answer {
	a := Answer{Where: s.Machine + " kube-apiserver", What: s.String()}
	trust, err := w.content(s.Trust)
	if err == nil {
		var signer []byte
		if signer, err = w.content(s.Signer); err == nil {
			a.Outcome, a.Said, err = w.keys(ctx, s.Machine, keyIDs(trust), keyIDs(signer))
		}
	}
	if err != nil {
		a.Outcome, a.Said = Unknown, err.Error()
	}
	return a
}

func (w *witness) keys(ctx context.Context, machine string, trust, signer []string) (Outcome, string, error) {
	address, err := w.address(machine, "kube-apiserver")
	if err != nil {
		return Unknown, "", err
	}
	client, err := w.api(address)
	if err != nil {
		return Unknown, "", err
	}
	data, err := client.Discovery().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return Unknown, "", err
	}
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return Unknown, "", errors.New("/openid/v1/jwks answers something else")
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	if slices.Sort(ids); !slices.Equal(ids, trust) {
		return Broken, fmt.Sprintf("/openid/v1/jwks shows %d keys, and not the %d wanted", len(ids), len(trust)), nil
	}
	if len(signer) == 0 {
		return Held, "/openid/v1/jwks shows them", nil
	}
	// The least that the API allows, and it is thrown away.
	seconds := int64(600)
	t, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).CreateToken(ctx, "default",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return Unknown, "", err
	}
	id, err := tokenKey(t.Status.Token)
	if err != nil {
		return Unknown, "", err
	}
	if !slices.Contains(signer, id) {
		return Broken, "a new token is signed by another key", nil
	}
	return Held, "a new token is", nil
}

// tokenKey is which key a token names in its header.
func tokenKey(token string) (string, error) {
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	var header struct {
		ID string `json:"kid"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &header)
	}
	if err != nil || header.ID == "" {
		return "", errors.New("a new token's header cannot be read") // its own words could quote it
	}
	return header.ID, nil
}
