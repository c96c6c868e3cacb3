package lab

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"text/template"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// The objects that make a cluster out of components. In objects/ there is one
// file per profile and one for all; in manifests/ what runs on nodes.
//
//go:embed objects/*.yaml manifests/*.yaml
var objectFiles embed.FS

const (
	// fieldManager is who the objects' fields belong to.
	fieldManager = "bulwark-lab"
	// applyPatience bounds the waiting for what the apiserver makes by itself
	// after it is ready: namespaces, for one.
	applyPatience = 30 * time.Second
)

// api is the cluster's API with the break-glass identity: before the first
// objects are in, no other may do anything.
type api struct {
	config     *rest.Config
	kubernetes kubernetes.Interface
}

func newAPI(s state) (*api, error) {
	file := s.Topology.of(controlPlane)[0].file(kubernetesDir + "/super-admin.conf")
	config, err := clientcmd.BuildConfigFromFlags(hostServer(s.APIPort), file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	config.QPS, config.Burst = 200, 200
	config.UserAgent = fieldManager
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return &api{config: config, kubernetes: client}, nil
}

// applyAll brings the objects of a profile in, in order.
func (a *api) applyAll(ctx context.Context, p Profile, s state) error {
	files := []string{"objects/all.yaml", path.Join("objects", p.Name+".yaml")}
	if s.Nodes > 0 {
		entries, err := objectFiles.ReadDir("manifests")
		if err != nil {
			return err
		}
		for _, e := range entries {
			files = append(files, path.Join("manifests", e.Name()))
		}
	}
	client, err := dynamic.NewForConfig(a.config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(a.kubernetes.Discovery()))
	for _, file := range files {
		objects, err := readObjects(file, templateValues{
			CA:     base64.StdEncoding.EncodeToString(a.config.CAData),
			Server: s.Topology.Server,
		})
		if err != nil {
			return err
		}
		for _, object := range objects {
			apply := func(ctx context.Context) error {
				gvk := object.GroupVersionKind()
				mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
				if err != nil {
					mapper.Reset()
					return err
				}
				_, err = client.Resource(mapping.Resource).Namespace(object.GetNamespace()).
					Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
				return err
			}
			if err := patiently(ctx, apply); err != nil {
				return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
	}
	return nil
}

// patiently tries again unless the object itself is at fault.
func patiently(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, applyPatience)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookAgain):
		}
	}
}

const lookAgain = 200 * time.Millisecond

// templateValues are what a file of objects may refer to.
type templateValues struct{ CA, Server string }

func readObjects(file string, values templateValues) ([]*unstructured.Unstructured, error) {
	text, err := objectFiles.ReadFile(file)
	if err != nil {
		return nil, err
	}
	// Manifests are plain YAML for whoever wants to apply them by hand; only
	// our own files have values put in.
	if path.Dir(file) == "objects" {
		t, err := template.New(file).Parse(string(text))
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, values); err != nil {
			return nil, err
		}
		text = out.Bytes()
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// defaultServiceAccount holds when pods can be made in the default namespace.
func (a *api) defaultServiceAccount(ctx context.Context) error {
	_, err := a.kubernetes.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// nodesReady holds when that many nodes are.
func (a *api) nodesReady(ctx context.Context, want int) error {
	nodes, err := a.nodeConditions(ctx)
	if err != nil {
		return err
	}
	for name, why := range nodes {
		if why != "" {
			return fmt.Errorf("node %s: %s", name, why)
		}
	}
	if len(nodes) < want {
		return fmt.Errorf("%d of %d nodes have registered", len(nodes), want)
	}
	return nil
}

// nodeConditions says of every registered node why it is not ready, or nothing
// if it is.
func (a *api) nodeConditions(ctx context.Context) (map[string]string, error) {
	nodes, err := a.kubernetes.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	why := map[string]string{}
	for _, n := range nodes.Items {
		why[n.Name] = "no condition reported"
		for _, c := range n.Status.Conditions {
			if c.Type != corev1.NodeReady {
				continue
			}
			if why[n.Name] = ""; c.Status != corev1.ConditionTrue {
				why[n.Name] = "not ready: " + c.Message
			}
		}
	}
	return why, nil
}

// dnsReady holds when the cluster's DNS has rolled out.
func (a *api) dnsReady(ctx context.Context) error {
	d, err := a.kubernetes.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if rolledOut(d) {
		return nil
	}
	return fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, *d.Spec.Replicas)
}

func rolledOut(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == *d.Spec.Replicas &&
		d.Status.AvailableReplicas == *d.Spec.Replicas
}
