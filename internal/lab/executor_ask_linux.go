package lab

import (
	"bytes"
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
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/lab/fabric"
	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

// onBehalf is the user that the front proxy's questions are asked for.
const onBehalf = "bulwark:rotation"

// dialer connects to a machine's ports, those on its loopback address as well.
func (r *Rotation) dialer(name string) (dial probe.Dial, done func(), err error) {
	if !r.state.Topology.Namespaced {
		return new(net.Dialer).DialContext, func() {}, nil
	}
	rt, err := r.runtime()
	if err != nil {
		return nil, nil, err
	}
	ns, err := fabric.OfProcess(rt.Machines[name].PID)
	if err != nil {
		return nil, nil, err
	}
	return ns.Dial, func() { ns.Close() }, nil
}

// address is where a server of a machine listens, as seen from that machine.
func (h host) addressOf(server string) (string, error) {
	own := func(port int) string { return net.JoinHostPort(loopback.String(), strconv.Itoa(port)) }
	switch server {
	case "etcd":
		return h.address(h.Ports.Etcd), nil
	case "etcd-peer":
		return h.address(h.Ports.EtcdPeer), nil
	case "kube-apiserver":
		return h.address(h.Ports.API), nil
	case "kube-controller-manager":
		return own(h.Ports.ControllerManager), nil
	case "kube-scheduler":
		return own(h.Ports.Scheduler), nil
	case "kubelet":
		return h.address(kubeletPort), nil
	}
	return "", fmt.Errorf("server %s: no such port", server)
}

// ask dials a server as a client would, until the answer is the wanted one:
// components take up to a minute to read what has changed.
func (r *Rotation) ask(ctx context.Context, s rotate.Step, content func(rotate.Digest) ([]byte, error)) error {
	q := *s.Ask
	if q.Refused && q.Server == "kubelet" && r.profile.Kubelet.Anonymous {
		return nil // it refuses nobody
	}
	trust, err := content(q.Trust)
	if err != nil {
		return err
	}
	pair, err := content(q.Client)
	if err != nil {
		return err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: trust == nil} //nolint:gosec // a kubelet of some profiles made its certificate itself
	if trust != nil {
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM(trust)
	}
	if pair != nil {
		cert, err := tls.X509KeyPair(pair, pair)
		if err != nil {
			return err
		}
		// Shown whatever the server says whom it trusts: it is to decide.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	i, err := r.index(s.Machine)
	if err != nil {
		return err
	}
	address, err := r.state.Topology.Hosts[i].addressOf(q.Server)
	if err != nil {
		return err
	}
	dial, done, err := r.dialer(s.Machine)
	if err != nil {
		return err
	}
	defer done()
	return until(ctx, func(ctx context.Context) error {
		if pair == nil {
			return shake(ctx, dial, address, cfg)
		}
		accepted, why, err := greet(ctx, dial, address, cfg, q)
		switch {
		case err != nil:
			return err
		case accepted == q.Refused:
			return errors.New(why)
		}
		return nil
	})
}

// shake verifies what a server shows, and hangs up.
func shake(ctx context.Context, dial probe.Dial, address string, cfg *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, probe.Timeout)
	defer cancel()
	raw, err := dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close()
	cfg = cfg.Clone()
	cfg.ServerName, _, _ = net.SplitHostPort(address)
	return tls.Client(raw, cfg).HandshakeContext(ctx)
}

// greet makes a request that tells whom a server takes the client for. An error
// means that it could not be told.
func greet(ctx context.Context, dial probe.Dial, address string, cfg *tls.Config, q rotate.Question) (accepted bool, why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probe.Timeout)
	defer cancel()
	method, path, body := http.MethodGet, "/healthz", ""
	switch q.Server {
	case "etcd":
		path = "/health"
	case "etcd-peer":
		path = "/members"
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
	transport := &http.Transport{DialContext: dial, TLSClientConfig: cfg, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if refusedByTLS(err) {
		return false, "it refuses the client: " + err.Error(), nil
	}
	if err != nil {
		return false, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return false, "", err
	}
	if res.StatusCode >= http.StatusInternalServerError {
		return false, "", fmt.Errorf("%s answers %d", path, res.StatusCode)
	}
	if q.Server != "kube-apiserver" {
		return res.StatusCode != http.StatusUnauthorized, fmt.Sprintf("it answers %d", res.StatusCode), nil
	}
	if res.StatusCode >= http.StatusBadRequest {
		return false, fmt.Sprintf("it answers %d", res.StatusCode), nil
	}
	var review authenticationv1.SelfSubjectReview
	if err := json.Unmarshal(answer, &review); err != nil {
		return false, "", fmt.Errorf("%s answers something else", path)
	}
	user := review.Status.UserInfo.Username
	return user != "system:anonymous" && (!q.Proxy || user == onBehalf), "it takes the client for " + user, nil
}

// refusedByTLS reports whether the other end ended the handshake because of our
// certificate. In TLS 1.3 that comes after our half of it.
func refusedByTLS(err error) bool {
	var alert tls.AlertError
	if errors.As(err, &alert) {
		const badCertificate, unknownCA, required = 42, 48, 116
		return slices.Contains([]tls.AlertError{badCertificate, 46, unknownCA, required}, alert)
	}
	return err != nil && (strings.Contains(err.Error(), "remote error: tls: bad certificate") || strings.Contains(err.Error(), "remote error: tls: unknown certificate"))
}

// parsed is the certificates of a PEM file as a set.
func parsed(data []byte) map[string]bool {
	set := map[string]bool{}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return set
		}
		if block.Type == "CERTIFICATE" {
			set[string(block.Bytes)] = true
		}
		data = rest
	}
}

// carries reports whether a bundle has all of trust and nothing of without.
func carries(bundle, trust, without []byte) bool {
	have := parsed(bundle)
	for c := range parsed(trust) {
		if !have[c] {
			return false
		}
	}
	for c := range parsed(without) {
		if have[c] {
			return false
		}
	}
	return true
}

// publish waits until an object of the cluster carries what is trusted, or, if
// nobody else does it, puts it there.
func (r *Rotation) publish(ctx context.Context, object string, trust, without []byte) error {
	return until(ctx, func(ctx context.Context) error {
		// Made anew each time: its kubeconfig may just have been written.
		api, err := newAPI(r.state)
		if err != nil {
			return err
		}
		name, field, _ := strings.Cut(object, "/")
		switch name {
		case "cluster-info":
			return api.publishClusterInfo(ctx, trust, without)
		case "kube-root-ca.crt":
			return api.rootPublished(ctx, trust, without)
		}
		return api.extensionPublished(ctx, name, field, trust, without)
	})
}

// extensionPublished holds when the config map that extension API servers read
// does. Apiservers add to it what they trust and leave in it what they no longer
// do (controller/clusterauthenticationtrust), so that is taken out here.
func (a *api) extensionPublished(ctx context.Context, name, field string, trust, without []byte) error {
	maps := a.kubernetes.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	m, err := maps.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	bundle := []byte(m.Data[field])
	switch {
	case carries(bundle, trust, without):
		return nil
	case !carries(bundle, trust, nil):
		return fmt.Errorf("%s: %s still says something else", name, field)
	}
	m.Data[field] = string(trust)
	if _, err := maps.Update(ctx, m, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return err
	}
	// Seen again by the next question: an apiserver that has not read its file
	// yet puts the old one back.
	return fmt.Errorf("%s: %s was put right a moment ago", name, field)
}

// rootPublished holds when every namespace's config map does. The controller
// manager writes them.
func (a *api) rootPublished(ctx context.Context, trust, without []byte) error {
	maps, err := a.kubernetes.CoreV1().ConfigMaps(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=kube-root-ca.crt"})
	if err != nil {
		return err
	}
	found := map[string]bool{}
	for _, m := range maps.Items {
		if !carries([]byte(m.Data["ca.crt"]), trust, without) {
			return fmt.Errorf("kube-root-ca.crt of %s still says something else", m.Namespace)
		}
		found[m.Namespace] = true
	}
	namespaces, err := a.kubernetes.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, ns := range namespaces.Items {
		if !found[ns.Name] && ns.Status.Phase == corev1.NamespaceActive {
			return fmt.Errorf("%s has no kube-root-ca.crt yet", ns.Name)
		}
	}
	return nil
}

// publishClusterInfo changes what machines that join find, where there is any.
func (a *api) publishClusterInfo(ctx context.Context, trust, without []byte) error {
	m, err := a.kubernetes.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, "cluster-info", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	cfg, err := clientcmd.Load([]byte(m.Data["kubeconfig"]))
	if err != nil {
		return fmt.Errorf("reading cluster-info: %w", err)
	}
	changed := false
	for _, c := range cfg.Clusters {
		if !carries(c.CertificateAuthorityData, trust, without) {
			c.CertificateAuthorityData, changed = trust, true
		}
	}
	if !changed {
		return nil
	}
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		return fmt.Errorf("encoding cluster-info: %w", err)
	}
	m.Data["kubeconfig"] = string(data)
	_, err = a.kubernetes.CoreV1().ConfigMaps(metav1.NamespacePublic).Update(ctx, m, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}

// keyIDs are how the API names keys: by the digest of their public half, as
// pkg/serviceaccount/jwt.go has it.
func keyIDs(keys []byte) []string {
	var ids []string
	for {
		block, rest := pem.Decode(keys)
		if block == nil {
			slices.Sort(ids)
			return ids
		}
		sum := sha256.Sum256(block.Bytes)
		ids = append(ids, base64.RawURLEncoding.EncodeToString(sum[:]))
		keys = rest
	}
}

// accounts asks one apiserver which keys it takes tokens of, and with which it
// signs new ones.
func (r *Rotation) accounts(ctx context.Context, s rotate.Step, content func(rotate.Digest) ([]byte, error)) error {
	trust, err := content(s.Trust)
	if err != nil {
		return err
	}
	signer, err := content(s.Signer)
	if err != nil {
		return err
	}
	dial, done, err := r.dialer(s.Machine)
	if err != nil {
		return err
	}
	defer done()
	i, err := r.index(s.Machine)
	if err != nil {
		return err
	}
	h := r.state.Topology.Hosts[i]
	return until(ctx, func(ctx context.Context) error {
		config, err := clientcmd.BuildConfigFromFlags(h.apiServer(), h.file(filepath.Join(kubernetesDir, "super-admin.conf")))
		if err != nil {
			return err
		}
		config.Dial = dial
		return askAccounts(ctx, config, keyIDs(trust), keyIDs(signer))
	})
}

func askAccounts(ctx context.Context, config *rest.Config, trust, signer []string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	data, err := client.Discovery().RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return err
	}
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return fmt.Errorf("reading /openid/v1/jwks: %w", err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	slices.Sort(ids)
	if !slices.Equal(ids, trust) {
		return fmt.Errorf("/openid/v1/jwks shows %d keys that are not the %d wanted", len(ids), len(trust))
	}
	if len(signer) == 0 {
		return nil
	}
	seconds := int64(600)
	t, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).CreateToken(ctx, "default",
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	head, _, _ := strings.Cut(t.Status.Token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return fmt.Errorf("reading a token's header: %w", err)
	}
	var header struct {
		ID string `json:"kid"`
	}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&header); err != nil {
		return fmt.Errorf("reading a token's header: %w", err)
	}
	if !slices.Contains(signer, header.ID) {
		return errors.New("a new token is signed by another key")
	}
	return nil
}
