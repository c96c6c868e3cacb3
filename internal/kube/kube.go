// Package kube reads facts from a running cluster through its API, and only reads.
// What it may not see or could not get becomes a gap, never an absence.
//
// Values of Secrets and ConfigMaps are not even requested: the server is asked for
// the table that kubectl prints plus metadata, which holds types and key names.
package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// Options say what to read and how hard to ask.
type Options struct {
	// Needs are what is read; nil means everything.
	Needs []cluster.Need
	// Namespace limits namespaced objects to one namespace, and makes a gap of the
	// others; empty means all.
	Namespace string
	// PageSize is the number of objects of one LIST page.
	PageSize int64
	// Parallel is how many requests run at once.
	Parallel int
	// NodeTimeout is how long one kubelet may take to answer.
	NodeTimeout time.Duration
	// Progress, if set, is told what was read so far. It is called from one goroutine.
	Progress func(what string, objects int)
	Log      *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.PageSize == 0 {
		o.PageSize = 500
	}
	if o.Parallel == 0 {
		o.Parallel = 6
	}
	if o.NodeTimeout == 0 {
		o.NodeTimeout = 5 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(string, int) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// A resource is one kind that is listed as a whole.
type resource struct {
	need       cluster.Need
	gv         schema.GroupVersion
	name, kind string
	namespaced bool
	newItem    func() item
}

// resources are read in protobuf, page by page. Adding one needs a line here and a
// Need in internal/cluster.
var resources = []resource{
	{cluster.Pods, corev1.SchemeGroupVersion, "pods", "Pod", true, func() item { return new(corev1.Pod) }},
	{cluster.ReplicaSets, appsv1.SchemeGroupVersion, "replicasets", "ReplicaSet", true, func() item { return new(appsv1.ReplicaSet) }},
	{cluster.Deployments, appsv1.SchemeGroupVersion, "deployments", "Deployment", true, func() item { return new(appsv1.Deployment) }},
	{cluster.StatefulSets, appsv1.SchemeGroupVersion, "statefulsets", "StatefulSet", true, func() item { return new(appsv1.StatefulSet) }},
	{cluster.DaemonSets, appsv1.SchemeGroupVersion, "daemonsets", "DaemonSet", true, func() item { return new(appsv1.DaemonSet) }},
	{cluster.Jobs, batchv1.SchemeGroupVersion, "jobs", "Job", true, func() item { return new(batchv1.Job) }},
	{cluster.CronJobs, batchv1.SchemeGroupVersion, "cronjobs", "CronJob", true, func() item { return new(batchv1.CronJob) }},
	{cluster.ReplicationCtrls, corev1.SchemeGroupVersion, "replicationcontrollers", "ReplicationController", true, func() item { return new(corev1.ReplicationController) }},
	{cluster.Namespaces, corev1.SchemeGroupVersion, "namespaces", "Namespace", false, func() item { return new(corev1.Namespace) }},
	{cluster.Nodes, corev1.SchemeGroupVersion, "nodes", "Node", false, func() item { return new(corev1.Node) }},
	{cluster.Services, corev1.SchemeGroupVersion, "services", "Service", true, func() item { return new(corev1.Service) }},
	{cluster.ServiceAccounts, corev1.SchemeGroupVersion, "serviceaccounts", "ServiceAccount", true, func() item { return new(corev1.ServiceAccount) }},
	{cluster.NetworkPolicies, networkingv1.SchemeGroupVersion, "networkpolicies", "NetworkPolicy", true, func() item { return new(networkingv1.NetworkPolicy) }},
	{cluster.Ingresses, networkingv1.SchemeGroupVersion, "ingresses", "Ingress", true, func() item { return new(networkingv1.Ingress) }},
	{cluster.Roles, rbacv1.SchemeGroupVersion, "roles", "Role", true, func() item { return new(rbacv1.Role) }},
	{cluster.RoleBindings, rbacv1.SchemeGroupVersion, "rolebindings", "RoleBinding", true, func() item { return new(rbacv1.RoleBinding) }},
	{cluster.ClusterRoles, rbacv1.SchemeGroupVersion, "clusterroles", "ClusterRole", false, func() item { return new(rbacv1.ClusterRole) }},
	{cluster.PersistentVolumes, corev1.SchemeGroupVersion, "persistentvolumes", "PersistentVolume", false, func() item { return new(corev1.PersistentVolume) }},
	{cluster.ValidatingWebhooks, admissionv1.SchemeGroupVersion, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false, func() item { return new(admissionv1.ValidatingWebhookConfiguration) }},
	{cluster.MutatingWebhooks, admissionv1.SchemeGroupVersion, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false, func() item { return new(admissionv1.MutatingWebhookConfiguration) }},
	{cluster.ValidatingPolicies, admissionv1.SchemeGroupVersion, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", false, func() item { return new(admissionv1.ValidatingAdmissionPolicy) }},
	{cluster.ValidatingPolicyBindings, admissionv1.SchemeGroupVersion, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", false, func() item { return new(admissionv1.ValidatingAdmissionPolicyBinding) }},
	{cluster.StorageClasses, storagev1.SchemeGroupVersion, "storageclasses", "StorageClass", false, func() item { return new(storagev1.StorageClass) }},
	{cluster.ResourceQuotas, corev1.SchemeGroupVersion, "resourcequotas", "ResourceQuota", true, func() item { return new(corev1.ResourceQuota) }},
	{cluster.LimitRanges, corev1.SchemeGroupVersion, "limitranges", "LimitRange", true, func() item { return new(corev1.LimitRange) }},
	{cluster.DisruptionBudgets, policyv1.SchemeGroupVersion, "poddisruptionbudgets", "PodDisruptionBudget", true, func() item { return new(policyv1.PodDisruptionBudget) }},
	{cluster.Autoscalers, autoscalingv2.SchemeGroupVersion, "horizontalpodautoscalers", "HorizontalPodAutoscaler", true, func() item { return new(autoscalingv2.HorizontalPodAutoscaler) }},
	{cluster.ClusterRoleBindings, rbacv1.SchemeGroupVersion, "clusterrolebindings", "ClusterRoleBinding", false, func() item { return new(rbacv1.ClusterRoleBinding) }},
}

// A reader reads one cluster. Requests run in parallel; the Builder is only touched
// with the lock held.
type reader struct {
	opts    Options
	config  *rest.Config
	http    *http.Client
	clients map[schema.GroupVersion]*rest.RESTClient

	mu    sync.Mutex
	b     *cluster.Builder
	count int
	nodes []string
	// discovered are the servers' answers about its versions; only extras uses it.
	discovered map[string][]metav1.APIResource
	// own are the kinds that the user named.
	own []cluster.CustomKind
	// nodesListed tells a cluster without nodes from one that does not show them.
	nodesListed bool
}

// Read fills b with what the cluster's API shows. It returns an error only where
// nothing can be read at all: no connection, or no valid credential.
func Read(ctx context.Context, config *rest.Config, b *cluster.Builder, opts Options) error {
	r, err := newReader(config, b, opts.withDefaults())
	if err != nil {
		return err
	}
	v, err := r.version(ctx)
	if err != nil {
		return explain(err, config.Host)
	}
	b.SetVersion(v)

	var jobs []func(context.Context) error
	for need, name := range tabled {
		if r.wants(need) {
			jobs = append(jobs, func(ctx context.Context) error { return r.tables(ctx, name, need) })
		}
	}
	if r.wants(cluster.APIServerFlags) {
		jobs = append(jobs, r.flagz)
	}
	if slices.ContainsFunc(r.allExtras(), func(e extra) bool { return r.wants(e.need) }) {
		jobs = append(jobs, r.extras)
	}
	for _, res := range resources {
		if r.wants(res.need) {
			jobs = append(jobs, func(ctx context.Context) error { return r.list(ctx, res) })
		}
	}
	if err := r.parallel(ctx, jobs); err != nil {
		return explain(err, config.Host)
	}
	if !r.wants(cluster.KubeletConfig) {
		return nil
	}
	return explain(r.kubelets(ctx), config.Host)
}

// tabled are the resources whose values are not to be seen: they are read as the table
// that kubectl prints.
var tabled = map[cluster.Need]string{cluster.Secrets: "secrets", cluster.ConfigMaps: "configmaps"}

// wants reports whether a need is to be read, for itself or because others are found
// through it.
func (r *reader) wants(need cluster.Need) bool {
	return r.opts.Needs == nil || slices.ContainsFunc(r.opts.Needs, func(n cluster.Need) bool {
		return n == need || slices.Contains(through[n], need) || n == cluster.OwnWorkloads && r.isOwn(need)
	})
}

// isOwn reports whether a need is one of the kinds that the user named.
func (r *reader) isOwn(need cluster.Need) bool {
	return slices.ContainsFunc(r.own, func(k cluster.CustomKind) bool { return k.Need == need })
}

// through are the objects in which other facts are found: flags in the static pods of
// the control plane, kubelets by their nodes.
var through = map[cluster.Need][]cluster.Need{
	cluster.APIServerFlags:         {cluster.Pods},
	cluster.ControllerManagerFlags: {cluster.Pods},
	cluster.SchedulerFlags:         {cluster.Pods},
	cluster.EtcdFlags:              {cluster.Pods},
	cluster.ProxyFlags:             {cluster.Pods},
	cluster.KubeletConfig:          {cluster.Nodes},
}

func newReader(config *rest.Config, b *cluster.Builder, opts Options) (*reader, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "bulwark/" + buildVersion()
	// The server's own fairness queues are the limit; ours would only add waiting.
	config.QPS = -1
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	r := &reader{opts: opts, config: config, http: client, b: b, own: b.Own(), clients: map[schema.GroupVersion]*rest.RESTClient{}, discovered: map[string][]metav1.APIResource{}}
	for _, res := range resources {
		if r.clients[res.gv] != nil {
			continue
		}
		c := rest.CopyConfig(config)
		c.GroupVersion = &res.gv
		c.APIPath = "/apis"
		if res.gv.Group == "" {
			c.APIPath = "/api"
		}
		c.ContentType = runtime.ContentTypeProtobuf
		c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
		c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
		if r.clients[res.gv], err = rest.RESTClientForConfigAndClient(c, client); err != nil {
			return nil, fmt.Errorf("kubeconfig: %w", err)
		}
	}
	return r, nil
}

func (r *reader) core() *rest.RESTClient { return r.clients[corev1.SchemeGroupVersion] }

// parallel runs the jobs, a few at a time, and returns the first error after which
// nothing more can be read. A fault of one job alone is a gap, not an error.
func (r *reader) parallel(ctx context.Context, jobs []func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, r.opts.Parallel)
	for _, job := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			if err := job(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (r *reader) version(ctx context.Context) (string, error) {
	raw, err := r.core().Get().AbsPath("/version").SetHeader("Accept", "application/json").DoRaw(ctx)
	if apierrors.IsForbidden(err) {
		return "", nil // anonymous discovery switched off: go on without
	}
	if err != nil {
		return "", err
	}
	var v version.Info
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", fmt.Errorf("the address does not answer as a Kubernetes API server: %w", err)
	}
	return v.GitVersion, nil
}

// list reads all pages of one resource.
func (r *reader) list(ctx context.Context, res resource) error {
	opts := metav1.ListOptions{Limit: r.opts.PageSize}
	var text bytes.Buffer
	for {
		req := r.clients[res.gv].Get().Resource(res.name).VersionedParams(&opts, scheme.ParameterCodec)
		path := "/apis/" + res.gv.String() + "/" + res.name
		if res.gv.Group == "" {
			path = "/api/v1/" + res.name
		}
		if res.namespaced && r.opts.Namespace != "" {
			req = req.Namespace(r.opts.Namespace)
		}
		if err := page(ctx, req, &text); err != nil {
			if expired(err) && opts.Continue != "" {
				// The list grew too old between pages. Starting anew is safe:
				// Builder keeps the first of two equal objects.
				opts.Continue = ""
				continue
			}
			return r.fault(err, res.need, "")
		}
		items, next, err := parsePage(text.Bytes(), res.newItem)
		if err != nil {
			return r.fault(malformed(res.gv, res.name, err), res.need, "")
		}
		r.mu.Lock()
		for _, o := range items {
			if !r.b.Add(res.gv.String(), res.kind, o, cluster.Source{Origin: path}) {
				continue // seen before the list was begun again
			}
			if res.kind == "Node" {
				r.nodes = append(r.nodes, o.GetName())
			}
			r.count++
		}
		r.opts.Progress(res.name, r.count)
		r.mu.Unlock()
		if opts.Continue = next; next == "" {
			break
		}
	}
	r.looked(res.need)
	r.part(res.need, res.namespaced)
	if res.kind == "Node" {
		r.nodesListed = true // read after all lists have ended
	}
	return nil
}

// expired reports whether a list grew too old between its pages. The reason is not told
// of an answer that is read raw, so the code decides.
func expired(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code == http.StatusGone
}

// part records that a resource was read in one namespace alone, where that is so. Of
// the others nothing is known then, and what they hold may decide about this one.
func (r *reader) part(n cluster.Need, namespaced bool) {
	if namespaced && r.opts.Namespace != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.gap(n, "", "only namespace "+r.opts.Namespace+" was asked for")
	}
}

func (r *reader) looked(n cluster.Need) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b.Looked(n)
}

// fault records an error as a gap. It returns the error only where every other
// request would meet it too.
func (r *reader) fault(err error, need cluster.Need, scope string) error {
	var status *apierrors.StatusError
	switch {
	case apierrors.IsUnauthorized(err), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &status) && apierrors.IsNotFound(err) && need.IsObject():
		// This server does not know the resource, so there can be none of it.
		r.looked(need)
		return nil
	}
	reason := err.Error()
	switch {
	case apierrors.IsForbidden(err):
		group, res := need.GroupResource()
		reason = "the credential may not list it (403)"
		if !need.IsObject() {
			reason = "the credential may not read it (403)"
		} else if group == "" && res == "secrets" {
			reason = "the credential may not list secrets (403); values are never requested"
		}
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), errors.Is(err, context.DeadlineExceeded):
		reason = "the server did not answer in time"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gap(need, scope, reason)
	return nil
}

// gap records one; the lock is held.
func (r *reader) gap(need cluster.Need, scope, reason string) {
	if r.isOwn(need) {
		need, reason = cluster.OwnWorkloads, string(need)+": "+reason
	}
	r.b.Gap(cluster.Gap{Need: need, Scope: scope, Reason: reason})
}

// kubelets asks every kubelet for its effective configuration, through the API server.
func (r *reader) kubelets(ctx context.Context) error {
	var jobs []func(context.Context) error
	var once sync.Once
	forbidden := make(chan struct{})
	for _, node := range r.nodes {
		jobs = append(jobs, func(ctx context.Context) error {
			select {
			case <-forbidden:
				return nil // one refusal speaks for all nodes
			default:
			}
			ctx, cancel := context.WithTimeout(ctx, r.opts.NodeTimeout)
			defer cancel()
			raw, err := r.core().Get().Resource("nodes").Name(node).SubResource("proxy", "configz").
				SetHeader("Accept", "application/json").DoRaw(ctx)
			if apierrors.IsForbidden(err) {
				once.Do(func() {
					close(forbidden)
					err = r.fault(err, cluster.KubeletConfig, "")
				})
				return nil
			}
			if err != nil {
				return r.fault(err, cluster.KubeletConfig, node)
			}
			var answer struct {
				KubeletConfig *kubeletv1beta1.KubeletConfiguration `json:"kubeletconfig"`
			}
			if err := json.Unmarshal(raw, &answer); err != nil || answer.KubeletConfig == nil {
				return r.fault(errors.New("/configz does not hold a kubelet configuration"), cluster.KubeletConfig, node)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.b.AddKubelet(&cluster.Kubelet{
				Node: node, Config: answer.KubeletConfig,
				Source: cluster.Source{Origin: "/api/v1/nodes/" + node + "/proxy/configz"},
			})
			r.opts.Progress("kubelets", r.count)
			return nil
		})
	}
	if err := r.parallel(ctx, jobs); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b.Looked(cluster.KubeletConfig)
	if !r.nodesListed {
		r.b.Gap(cluster.Gap{Need: cluster.KubeletConfig, Reason: "the nodes could not be listed"})
	}
	return nil
}

// flagz asks the API server for its own flags, which it tells from v1.36 on
// (k8s.io/apiserver/pkg/server/flagz). Older servers have none, and say so with 404.
func (r *reader) flagz(ctx context.Context) error {
	raw, err := r.core().Get().AbsPath("/flagz").
		SetHeader("Accept", "application/json;v=v1beta1;g=config.k8s.io;as=Flagz").DoRaw(ctx)
	if err != nil {
		why := "/flagz did not answer: " + err.Error()
		switch {
		case apierrors.IsUnauthorized(err), errors.Is(err, context.Canceled):
			return err
		case apierrors.IsForbidden(err):
			why = "the credential may not read /flagz (403)"
		case apierrors.IsNotFound(err):
			why = "the API server serves no /flagz (it does from v1.36)"
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.b.NoFlagz(why)
		return nil
	}
	var answer struct {
		Kind  string            `json:"kind"`
		Flags map[string]string `json:"flags"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Kind != "Flagz" || len(answer.Flags) == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b.AddFlagz("kube-apiserver", answer.Flags, cluster.Source{Origin: "/flagz"})
	return nil
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
