package gather

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/trust"
)

const (
	// pageSize is the number of objects of one LIST page; crdPage that of definitions,
	// of which one may hold a megabyte of schemas.
	pageSize = 500
	crdPage  = 50
	// patience is how long a port may take that nobody named: one that was only found
	// may well be out of reach.
	patience = 600 * time.Millisecond
	// maxKubelets is how many kubelets are asked how they answer TLS.
	maxKubelets = 200
	// maxSecrets is how many TLS Secrets are asked for.
	maxSecrets = 2000
)

// An asker asks one cluster. Whoever holds mu may touch c and b.
type asker struct {
	*Reader
	client *rest.RESTClient
	name   string

	mu        sync.Mutex
	c         *trust.Cluster
	b         *cluster.Builder
	rbacFault bool
	servers   []string // addresses of API servers
	found     []trust.Certificate
}

// Cluster reads what a cluster's API shows of its trust, and asks its API servers,
// kubelets and webhooks how they answer TLS. A cluster that cannot be asked is a gap.
func (r *Reader) Cluster(ctx context.Context, config *rest.Config, name string) error {
	if r.facts.Cluster != nil {
		// Whose RBAC an identity falls under must not be mixed up.
		r.gap("cluster "+name, "one cluster is asked at a time, and "+r.facts.Cluster.Name+" was; run it again for this one")
		return nil
	}
	r.opts.Progress("cluster " + name)
	config = rest.CopyConfig(config)
	config.QPS = -1 // the server's own fairness queues are the limit
	config.UserAgent = "bulwark"
	if config.Timeout == 0 {
		config.Timeout = 20 * time.Second
	}
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	a := &asker{
		Reader: r, client: client, name: name,
		c: &trust.Cluster{Name: name, Server: config.Host}, b: cluster.NewBuilder(name, true),
	}
	if u, err := url.Parse(config.Host); err == nil && u.Host != "" {
		a.servers = append(a.servers, hostPort(u))
	}

	var version struct{ GitVersion string }
	if err := a.get(ctx, "/version", &version); err != nil && !apierrors.IsForbidden(err) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.gap("cluster "+name, explain(err))
		a.ports(ctx)
		return nil
	}
	a.c.Version = version.GitVersion
	each(ctx, r.opts.Parallel, []func(context.Context){
		a.rbac, a.flagz, a.nodes, a.service, a.endpoints, a.authentication, a.roots, a.webhooks, a.conversions, a.apiServices, a.requests, a.secrets,
	}, func(ctx context.Context, job func(context.Context)) { job(ctx) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !a.rbacFault {
		a.c.RBAC = a.b.Snapshot()
	}
	a.ports(ctx)
	slices.SortFunc(a.c.Nodes, func(a, b trust.Node) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(a.c.Hooks, func(a, b trust.Hook) int { return strings.Compare(a.Subject(), b.Subject()) })
	slices.SortFunc(a.c.Requests, func(a, b trust.Request) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(a.found, func(a, b trust.Certificate) int { return strings.Compare(a.Place.String(), b.Place.String()) })
	r.facts.Certificates = append(r.facts.Certificates, a.found...)
	r.facts.Cluster = a.c
	return ctx.Err()
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	if u.Scheme == "http" {
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return net.JoinHostPort(u.Hostname(), "443")
}

func (a *asker) get(ctx context.Context, path string, into any, params ...string) error {
	req := a.client.Get().AbsPath(path).SetHeader("Accept", "application/json")
	for i := 0; i+1 < len(params); i += 2 {
		req = req.Param(params[i], params[i+1])
	}
	raw, err := req.DoRaw(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s is not what Kubernetes answers: %w", path, err)
	}
	return nil
}

// list reads all pages and hands over every item.
func list[L any](ctx context.Context, a *asker, path string, page func(*L) (metav1.ListMeta, error)) error {
	return pages(ctx, a, path, pageSize, page)
}

// pages is a list with pages of another size.
func pages[L any](ctx context.Context, a *asker, path string, size int, page func(*L) (metav1.ListMeta, error)) error {
	next := ""
	for {
		var l L
		if err := a.get(ctx, path, &l, "limit", strconv.Itoa(size), "continue", next); err != nil {
			return err
		}
		meta, err := page(&l)
		if err != nil {
			return err
		}
		if next = meta.Continue; next == "" {
			return nil
		}
	}
}

// fault records a gap, unless the server has no such thing.
func (a *asker) fault(what string, err error) {
	if err == nil || apierrors.IsNotFound(err) {
		return
	}
	a.gap(what+" of cluster "+a.name, explain(err))
}

// explain says in few words why the API did not answer.
func explain(err error) string {
	var unknownCA x509.UnknownAuthorityError
	var badName x509.HostnameError
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	switch {
	case apierrors.IsForbidden(err):
		return "the credential may not read it (403)"
	case apierrors.IsUnauthorized(err):
		return "the credential is not accepted (401)"
	case errors.As(err, &unknownCA):
		return "the server's certificate is signed by an authority that the kubeconfig does not trust"
	case errors.As(err, &badName):
		return "the server's certificate is for another name"
	case errors.As(err, &invalid):
		return "the server's certificate is not valid: " + invalid.Error()
	case errors.As(err, &op) && op.Op == "dial":
		return unreachable(err)
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

func (a *asker) rbac(ctx context.Context) {
	const base = "/apis/rbac.authorization.k8s.io/v1/"
	add := func(kind string, o metav1.Object) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.b.Add("rbac.authorization.k8s.io/v1", kind, o, cluster.Source{Origin: base})
	}
	note := func(what string, err error) {
		if err != nil {
			a.fault(what, err)
			a.mu.Lock()
			a.rbacFault = true
			a.mu.Unlock()
		}
	}
	each(ctx, 4, []func(){
		func() {
			note("clusterroles", list(ctx, a, base+"clusterroles", func(l *rbacv1.ClusterRoleList) (metav1.ListMeta, error) {
				for i := range l.Items {
					add("ClusterRole", &l.Items[i])
				}
				return l.ListMeta, nil
			}))
		},
		func() {
			note("clusterrolebindings", list(ctx, a, base+"clusterrolebindings", func(l *rbacv1.ClusterRoleBindingList) (metav1.ListMeta, error) {
				for i := range l.Items {
					add("ClusterRoleBinding", &l.Items[i])
				}
				return l.ListMeta, nil
			}))
		},
		func() {
			note("roles", list(ctx, a, base+"roles", func(l *rbacv1.RoleList) (metav1.ListMeta, error) {
				for i := range l.Items {
					add("Role", &l.Items[i])
				}
				return l.ListMeta, nil
			}))
		},
		func() {
			note("rolebindings", list(ctx, a, base+"rolebindings", func(l *rbacv1.RoleBindingList) (metav1.ListMeta, error) {
				for i := range l.Items {
					add("RoleBinding", &l.Items[i])
				}
				return l.ListMeta, nil
			}))
		},
	}, func(_ context.Context, do func()) { do() })
}

// flagz asks the API server for its own flags, which it tells from v1.36 on.
func (a *asker) flagz(ctx context.Context) {
	raw, err := a.client.Get().AbsPath("/flagz").SetHeader("Accept", "application/json;v=v1beta1;g=config.k8s.io;as=Flagz").DoRaw(ctx)
	if err != nil {
		return // older servers have none; what rests on it is unknown then
	}
	var answer struct {
		Kind  string            `json:"kind"`
		Flags map[string]string `json:"flags"`
	}
	if json.Unmarshal(raw, &answer) != nil || answer.Kind != "Flagz" || len(answer.Flags) == 0 {
		return
	}
	a.Reader.mu.Lock()
	defer a.Reader.mu.Unlock()
	a.facts.Components = append(a.facts.Components, trust.Component{Name: "kube-apiserver", Source: "/flagz", Flags: cluster.CompleteFlags(answer.Flags)})
}

func (a *asker) nodes(ctx context.Context) {
	a.fault("nodes", list(ctx, a, "/api/v1/nodes", func(l *corev1.NodeList) (metav1.ListMeta, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, n := range l.Items {
			node := trust.Node{Name: n.Name, KubeletPort: int(n.Status.DaemonEndpoints.KubeletEndpoint.Port)}
			_, node.ControlPlane = n.Labels["node-role.kubernetes.io/control-plane"]
			for _, addr := range n.Status.Addresses {
				if addr.Type == corev1.NodeInternalIP {
					node.InternalIPs = append(node.InternalIPs, addr.Address)
				}
			}
			a.c.Nodes = append(a.c.Nodes, node)
		}
		return l.ListMeta, nil
	}))
}

func (a *asker) service(ctx context.Context) {
	var s corev1.Service
	if err := a.get(ctx, "/api/v1/namespaces/default/services/kubernetes", &s); err != nil {
		a.fault("service default/kubernetes", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.c.ServiceIP = s.Spec.ClusterIP
}

func (a *asker) endpoints(ctx context.Context) {
	var l discoveryv1.EndpointSliceList
	if err := a.get(ctx, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &l, "labelSelector", "kubernetes.io/service-name=kubernetes"); err != nil {
		a.fault("the API servers' addresses", err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range l.Items {
		for _, p := range s.Ports {
			if p.Port == nil {
				continue
			}
			for _, e := range s.Endpoints {
				for _, addr := range e.Addresses {
					if address := net.JoinHostPort(addr, strconv.Itoa(int(*p.Port))); !slices.Contains(a.servers, address) {
						a.servers = append(a.servers, address)
					}
				}
			}
		}
	}
}

// authentication reads what the API server publishes for aggregated APIs: whose
// certificates it believes.
func (a *asker) authentication(ctx context.Context) {
	var m corev1.ConfigMap
	if err := a.get(ctx, "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", &m); err != nil {
		a.fault("configmap kube-system/extension-apiserver-authentication", err)
		return
	}
	client := a.anchors("configmap kube-system/extension-apiserver-authentication", "client-ca-file", []byte(m.Data["client-ca-file"]))
	proxy := a.anchors("configmap kube-system/extension-apiserver-authentication", "requestheader-client-ca-file", []byte(m.Data["requestheader-client-ca-file"]))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.c.ClientCAs, a.c.ProxyCAs, a.c.AuthenticationRead = client, proxy, true
	_ = json.Unmarshal([]byte(m.Data["requestheader-allowed-names"]), &a.c.ProxyNames)
}

// anchors parses a bundle of authorities and remembers where each stands.
func (a *asker) anchors(object, detail string, data []byte) []*x509.Certificate {
	b := parsePEM(data)
	for _, p := range b.problems {
		a.gap(object+" ("+detail+")", p)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, cert := range b.certs {
		a.found = append(a.found, trust.Certificate{
			Certificate: cert, Position: i, Trusted: true,
			Place: trust.Place{Origin: trust.InCluster, Name: object, Detail: detail},
		})
	}
	return b.certs
}

// roots reads what pods and joining nodes are told to believe.
func (a *asker) roots(ctx context.Context) {
	var m corev1.ConfigMap
	if err := a.get(ctx, "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt", &m); err != nil {
		a.fault("configmap kube-system/kube-root-ca.crt", err)
	} else {
		certs := a.anchors("configmap kube-system/kube-root-ca.crt", "ca.crt", []byte(m.Data["ca.crt"]))
		a.mu.Lock()
		a.c.RootCAs = certs
		a.mu.Unlock()
	}
	var info corev1.ConfigMap
	if err := a.get(ctx, "/api/v1/namespaces/kube-public/configmaps/cluster-info", &info); err != nil {
		a.fault("configmap kube-public/cluster-info", err)
		return
	}
	config, err := clientcmd.Load([]byte(info.Data["kubeconfig"]))
	if err != nil {
		a.gap("configmap kube-public/cluster-info of cluster "+a.name, "its kubeconfig cannot be parsed")
		return
	}
	for _, c := range config.Clusters {
		certs := a.anchors("configmap kube-public/cluster-info", "kubeconfig", c.CertificateAuthorityData)
		a.mu.Lock()
		a.c.InfoCAs = append(a.c.InfoCAs, certs...)
		a.mu.Unlock()
	}
}

func (a *asker) hook(kind, object, name string, config admissionv1.WebhookClientConfig) {
	h := trust.Hook{Kind: kind, Object: object, Name: name}
	if config.URL != nil {
		h.URL = *config.URL
	}
	if s := config.Service; s != nil {
		h.Service, h.Namespace, h.Port = s.Name, s.Namespace, 443
		if s.Port != nil {
			h.Port = int(*s.Port)
		}
	}
	a.addHook(h, config.CABundle)
}

func (a *asker) addHook(h trust.Hook, bundle []byte) {
	if h.HasBundle = len(bundle) > 0; h.HasBundle {
		b := parsePEM(bundle)
		h.CABundle = b.certs
		switch {
		case len(b.problems) > 0:
			h.Problem = b.problems[0]
		case len(b.certs) == 0:
			h.Problem = "no certificate in it"
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, cert := range h.CABundle {
		a.found = append(a.found, trust.Certificate{
			Certificate: cert, Position: i, Trusted: true,
			Place: trust.Place{Origin: trust.InCluster, Name: strings.ToLower(h.Kind) + " " + h.Object, Detail: strings.TrimSpace(h.Name + " caBundle")},
		})
	}
	a.c.Hooks = append(a.c.Hooks, h)
}

func (a *asker) webhooks(ctx context.Context) {
	const base = "/apis/admissionregistration.k8s.io/v1/"
	a.fault("validatingwebhookconfigurations", list(ctx, a, base+"validatingwebhookconfigurations", func(l *admissionv1.ValidatingWebhookConfigurationList) (metav1.ListMeta, error) {
		for _, o := range l.Items {
			for _, w := range o.Webhooks {
				a.hook("ValidatingWebhookConfiguration", o.Name, w.Name, w.ClientConfig)
			}
		}
		return l.ListMeta, nil
	}))
	a.fault("mutatingwebhookconfigurations", list(ctx, a, base+"mutatingwebhookconfigurations", func(l *admissionv1.MutatingWebhookConfigurationList) (metav1.ListMeta, error) {
		for _, o := range l.Items {
			for _, w := range o.Webhooks {
				a.hook("MutatingWebhookConfiguration", o.Name, w.Name, w.ClientConfig)
			}
		}
		return l.ListMeta, nil
	}))
}

// definitionList is the part of apiextensions.k8s.io that matters here; its Go types are
// in a module of their own. Without the strategy Webhook there is no client configuration
// (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/types.go, CustomResourceConversion).
type definitionList struct {
	metav1.ListMeta `json:"metadata"`
	Items           []struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Conversion struct {
				Webhook *struct {
					ClientConfig *admissionv1.WebhookClientConfig `json:"clientConfig"`
				} `json:"webhook"`
			} `json:"conversion"`
		} `json:"spec"`
	} `json:"items"`
}

// conversions are the webhooks that turn one version of a custom resource into another.
func (a *asker) conversions(ctx context.Context) {
	const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	a.fault("customresourcedefinitions", pages(ctx, a, path, crdPage, func(l *definitionList) (metav1.ListMeta, error) {
		for _, o := range l.Items {
			if w := o.Spec.Conversion.Webhook; w != nil && w.ClientConfig != nil {
				a.hook("CustomResourceDefinition", o.Metadata.Name, "conversion", *w.ClientConfig)
			}
		}
		return l.ListMeta, nil
	}))
}

// apiServiceList is the part of the aggregator's API that matters here; its Go types are
// in a module of their own.
type apiServiceList struct {
	metav1.ListMeta `json:"metadata"`
	Items           []struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Service *struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
				Port      *int   `json:"port"`
			} `json:"service"`
			CABundle []byte `json:"caBundle"`
			Insecure bool   `json:"insecureSkipTLSVerify"`
		} `json:"spec"`
	} `json:"items"`
}

func (a *asker) apiServices(ctx context.Context) {
	a.fault("apiservices", list(ctx, a, "/apis/apiregistration.k8s.io/v1/apiservices", func(l *apiServiceList) (metav1.ListMeta, error) {
		for _, o := range l.Items {
			s := o.Spec.Service
			if s == nil {
				continue // served by the API server itself
			}
			h := trust.Hook{Kind: "APIService", Object: o.Metadata.Name, Service: s.Name, Namespace: s.Namespace, Port: 443, Insecure: o.Spec.Insecure}
			if s.Port != nil {
				h.Port = *s.Port
			}
			a.addHook(h, o.Spec.CABundle)
		}
		return l.ListMeta, nil
	}))
}

func (a *asker) requests(ctx context.Context) {
	a.fault("certificatesigningrequests", list(ctx, a, "/apis/certificates.k8s.io/v1/certificatesigningrequests", func(l *certificatesv1.CertificateSigningRequestList) (metav1.ListMeta, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, o := range l.Items {
			a.c.Requests = append(a.c.Requests, request(&o))
			for i, cert := range parsePEM(o.Status.Certificate).certs {
				a.found = append(a.found, trust.Certificate{
					Certificate: cert, Position: i,
					Place: trust.Place{Origin: trust.InCluster, Name: "certificatesigningrequest " + o.Name, Detail: o.Spec.SignerName},
				})
			}
		}
		return l.ListMeta, nil
	}))
}

func request(o *certificatesv1.CertificateSigningRequest) trust.Request {
	r := trust.Request{Name: o.Name, Signer: o.Spec.SignerName, Requester: o.Spec.Username, Groups: o.Spec.Groups, State: "pending"}
	for _, u := range o.Spec.Usages {
		r.Usages = append(r.Usages, string(u))
	}
	for _, c := range o.Status.Conditions {
		switch c.Type {
		case certificatesv1.CertificateApproved:
			if r.State == "pending" {
				r.State = "approved"
			}
		case certificatesv1.CertificateDenied:
			r.State = "denied"
		case certificatesv1.CertificateFailed:
			r.State = "failed"
		}
	}
	if r.State == "approved" && len(o.Status.Certificate) > 0 {
		r.State = "issued"
	}
	block, _ := pem.Decode(o.Spec.Request)
	if block == nil || len(block.Bytes) > maxBlock {
		r.Unreadable = "its request is no PEM block"
		return r
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		r.Unreadable = "its request cannot be parsed"
		return r
	}
	r.CommonName, r.Organizations, r.DNSNames = csr.Subject.CommonName, csr.Subject.Organization, csr.DNSNames
	for _, ip := range csr.IPAddresses {
		r.IPs = append(r.IPs, ip.String())
	}
	return r
}

// secrets asks for each TLS Secret, and keeps the certificate in it. A list would bring
// all values at once, so it is asked for names only.
func (a *asker) secrets(ctx context.Context) {
	if !a.opts.Secrets {
		return
	}
	type ref struct{ namespace, name string }
	var refs []ref
	err := a.metadata(ctx, "/api/v1/secrets", "type=kubernetes.io/tls", func(m metav1.PartialObjectMetadata) {
		refs = append(refs, ref{m.Namespace, m.Name})
	})
	if err != nil {
		a.fault("secrets", err)
		return
	}
	if len(refs) > maxSecrets {
		a.gap("secrets of cluster "+a.name, fmt.Sprintf("%d TLS Secrets; only the first %d were asked for", len(refs), maxSecrets))
		refs = refs[:maxSecrets]
	}
	each(ctx, 8, refs, func(ctx context.Context, s ref) {
		object := "secret " + s.namespace + "/" + s.name
		raw, err := a.client.Get().AbsPath("/api/v1/namespaces", s.namespace, "secrets", s.name).SetHeader("Accept", "application/json").DoRaw(ctx)
		if err != nil {
			a.fault(object, err)
			return
		}
		crt, err := tlsCrt(raw)
		if err != nil {
			a.gap(object+" of cluster "+a.name, "tls.crt is not what it should be")
			return
		}
		b := parsePEM(crt)
		if len(b.certs) == 0 {
			a.gap(object+" of cluster "+a.name, "tls.crt holds no certificate that can be parsed")
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for i, cert := range b.certs {
			a.found = append(a.found, trust.Certificate{
				Certificate: cert, Position: i, Place: trust.Place{Origin: trust.InCluster, Name: object, Detail: "tls.crt"},
			})
		}
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.c.SecretsRead = true
}

// tlsCrt decodes one value of a Secret and overwrites the bytes of all of them.
func tlsCrt(raw []byte) ([]byte, error) {
	defer clear(raw)
	var s struct {
		Data struct {
			Crt []byte `json:"tls.crt"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, errors.New("not a Secret") // the decoder's words could quote a value
	}
	return s.Data.Crt, nil
}

// metadata lists objects without their content.
func (a *asker) metadata(ctx context.Context, path, selector string, take func(metav1.PartialObjectMetadata)) error {
	next := ""
	for {
		raw, err := a.client.Get().AbsPath(path).
			SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").
			Param("fieldSelector", selector).Param("limit", strconv.Itoa(pageSize)).Param("continue", next).DoRaw(ctx)
		if err != nil {
			return err
		}
		var l metav1.PartialObjectMetadataList
		if err := json.Unmarshal(raw, &l); err != nil {
			return errors.New("the list is not what was asked for")
		}
		for _, item := range l.Items {
			take(item)
		}
		if next = l.Continue; next == "" {
			return nil
		}
	}
}

// ports asks the API server and webhooks with a URL how they answer, and the cluster's
// machines where that is wanted. A Service's address is one that only machines of the
// cluster can dial.
func (a *asker) ports(ctx context.Context) {
	var ask []trust.Endpoint
	for i, s := range a.servers {
		if i == 0 || a.opts.Nodes {
			ask = append(ask, trust.Endpoint{Address: s, Component: "kube-apiserver", Asked: i == 0})
		}
	}
	if a.opts.Nodes {
		ask = append(ask, a.kubelets()...)
	}
	ask = slices.DeleteFunc(ask, func(e trust.Endpoint) bool {
		return slices.ContainsFunc(a.facts.Endpoints, func(have trust.Endpoint) bool { return have.Address == e.Address })
	})
	each(ctx, a.opts.Parallel, ask, func(ctx context.Context, e trust.Endpoint) {
		a.ask(ctx, &e)
		if !e.Asked {
			a.recognise(&e)
		}
		a.addEndpoint(e)
	})
	each(ctx, a.opts.Parallel, a.hooksWithURL(), func(ctx context.Context, h *trust.Hook) {
		if u, err := url.Parse(h.URL); err == nil && u.Scheme == "https" && u.Host != "" {
			h.Served = &trust.Endpoint{Address: hostPort(u), Component: "webhook"}
			a.ask(ctx, h.Served)
		}
	})
}

func (a *asker) hooksWithURL() []*trust.Hook {
	var out []*trust.Hook
	for i := range a.c.Hooks {
		if a.c.Hooks[i].URL != "" {
			out = append(out, &a.c.Hooks[i])
		}
	}
	return out
}

func (a *asker) kubelets() []trust.Endpoint {
	var out []trust.Endpoint
	for _, n := range a.c.Nodes {
		if len(n.InternalIPs) > 0 && n.KubeletPort != 0 {
			out = append(out, trust.Endpoint{Address: net.JoinHostPort(n.InternalIPs[0], strconv.Itoa(n.KubeletPort)), Component: "kubelet", Machine: n.Name})
		}
	}
	if len(out) > maxKubelets {
		a.gap("kubelets of cluster "+a.name, fmt.Sprintf("%d kubelets; only the first %d were asked how they answer TLS", len(out), maxKubelets))
		out = out[:maxKubelets]
	}
	return out
}

// recognise takes an answer back that need not be the cluster's. A machine's address is
// one of the cluster's network; dialled from another, somebody else may have it. What
// answers belongs to the cluster where one of its authorities signed for it, or where it
// is self-made and names the machine.
func (a *asker) recognise(e *trust.Endpoint) {
	if e.TLS == nil || len(e.Chain) == 0 {
		return
	}
	leaf := e.Chain[0]
	if e.Machine != "" && leaf.VerifyHostname(e.Machine) == nil {
		return
	}
	pool := x509.NewCertPool()
	for _, certs := range [][]*x509.Certificate{a.c.ClientCAs, a.c.RootCAs} {
		for _, c := range certs {
			pool.AddCert(c)
		}
	}
	between := x509.NewCertPool()
	for _, c := range e.Chain[1:] {
		between.AddCert(c)
	}
	middle := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2) // that it has expired is judged elsewhere
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: middle, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		return
	}
	e.Unknown = fmt.Sprintf("whoever answers there from here is not known to be of this cluster (certificate by %q)", leaf.Issuer.CommonName)
	e.TLS, e.Chain = nil, nil
}
