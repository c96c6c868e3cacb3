package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A record is one line: exactly one of the pointers is set, or End.
type record struct {
	Object  *object        `json:"object,omitempty"`
	Machine *machine       `json:"machine,omitempty"`
	Kubelet *kubelet       `json:"kubelet,omitempty"`
	Config  *config        `json:"config,omitempty"`
	Image   *image         `json:"image,omitempty"`
	Flagz   *cluster.Flagz `json:"flagz,omitempty"`
	// End is the number of this line, counted from the one after the header.
	End int `json:"end,omitempty"`
}

// An object is a Kubernetes object; what it holds depends on its kind.
type object struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Source     cluster.Source     `json:"source"`
	Value      json.RawMessage    `json:"value,omitempty"` // Kubernetes' own kinds
	Keys       *keys              `json:"keys,omitempty"`  // Secrets and ConfigMaps
	Custom     *custom            `json:"custom,omitempty"`
	Meta       *metav1.ObjectMeta `json:"meta,omitempty"` // beside Keys and Custom
}

type keys struct {
	Type  string   `json:"type,omitempty"`
	Names []string `json:"names"`
	Known bool     `json:"known"`
}

type custom struct {
	Content   map[string]any           `json:"content,omitempty"`
	Templates []cluster.CustomTemplate `json:"templates,omitempty"`
}

type machine struct {
	*cluster.Machine
	Source cluster.Source `json:"source"`
}

type image struct {
	*cluster.Image
	Source cluster.Source `json:"source"`
}

type kubelet struct {
	Node   string                               `json:"node"`
	Config *kubeletv1beta1.KubeletConfiguration `json:"config"`
	Source cluster.Source                       `json:"source"`
}

type config struct {
	Ref            cluster.Ref                          `json:"ref"`
	Machine        string                               `json:"machine,omitempty"`
	File           string                               `json:"file"`
	Source         cluster.Source                       `json:"source"`
	Audit          *cluster.AuditPolicy                 `json:"audit,omitempty"`
	Encryption     *cluster.EncryptionConfiguration     `json:"encryption,omitempty"`
	Authentication *cluster.AuthenticationConfiguration `json:"authentication,omitempty"`
	Authorization  *cluster.AuthorizationConfiguration  `json:"authorization,omitempty"`
	Admission      []plugin                             `json:"admission,omitempty"`
	HasAdmission   bool                                 `json:"hasAdmission,omitempty"`
	ABAC           *cluster.ABACPolicyFile              `json:"abac,omitempty"`
}

type plugin struct {
	Name        string                      `json:"name"`
	Path        string                      `json:"path,omitempty"`
	PodSecurity *cluster.PodSecurity        `json:"podSecurity,omitempty"`
	ImagePolicy *cluster.ImagePolicyWebhook `json:"imagePolicy,omitempty"`
}

func encode(f cluster.Facts, o Options, counts map[string]int) ([]record, error) {
	var out []record
	for _, obj := range f.Objects {
		r, err := encodeObject(obj, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", obj.Ref, err)
		}
		counts[obj.Kind]++
		out = append(out, record{Object: r})
	}
	for _, m := range f.Machines {
		clean := *m
		clean.Processes = slices.Clone(m.Processes)
		for i, p := range clean.Processes {
			clean.Processes[i].Args = slices.Clone(p.Args)
			o.Args(clean.Processes[i].Args)
		}
		counts["Machine"]++
		out = append(out, record{Machine: &machine{&clean, m.Source}})
	}
	for _, k := range f.Kubelets {
		counts["KubeletConfiguration"]++
		out = append(out, record{Kubelet: &kubelet{k.Node, k.Config, k.Source}})
	}
	for _, c := range f.Configs {
		counts[c.Kind]++
		out = append(out, record{Config: encodeConfig(c)})
	}
	for _, i := range f.Images {
		counts["Image"]++
		out = append(out, record{Image: &image{i, i.Source}})
	}
	for _, z := range f.Flagz {
		counts["flags of "+z.Component]++
		out = append(out, record{Flagz: &z})
	}
	return out, nil
}

func encodeObject(obj *cluster.Object, o Options) (*object, error) {
	r := &object{APIVersion: obj.APIVersion, Kind: obj.Kind, Source: obj.Source}
	r.Source.Rendered = ""
	switch v := obj.Value.(type) {
	case *cluster.SecretFacts:
		r.Meta, r.Keys = obj.Meta, &keys{v.Type, v.Keys, v.KeysKnown}
		return r, nil
	case *cluster.ConfigMapFacts:
		r.Meta, r.Keys = obj.Meta, &keys{"", v.Keys, v.KeysKnown}
		return r, nil
	case *cluster.Custom:
		r.Meta, r.Custom = obj.Meta, &custom{Content: v.Content}
		for _, t := range v.Templates {
			clean := cluster.CustomTemplate{Path: t.Path, Template: *t.Template.DeepCopy()}
			o.Pod(&clean.Template.Spec)
			r.Custom.Templates = append(r.Custom.Templates, clean)
		}
		return r, nil
	}
	value, ok := obj.Value.(runtime.Object)
	if !ok {
		return nil, fmt.Errorf("no object of Kubernetes: %T", obj.Value)
	}
	switch {
	case cluster.PodSpecOf(value) != nil:
		value = value.DeepCopyObject()
		o.Pod(cluster.PodSpecOf(value))
	case obj.Kind == "PersistentVolume", obj.Kind == "StorageClass":
		value = value.DeepCopyObject()
		o.volume(value)
	}
	raw, err := json.Marshal(value)
	r.Value = raw
	return r, err
}

// volume takes credentials out of what drivers of volumes are told.
func (o Options) volume(value runtime.Object) {
	switch v := value.(type) {
	case *storagev1.StorageClass:
		o.Settings(v.Parameters)
	case *corev1.PersistentVolume:
		if v.Spec.CSI != nil {
			o.Settings(v.Spec.CSI.VolumeAttributes)
		}
		if v.Spec.FlexVolume != nil {
			o.Settings(v.Spec.FlexVolume.Options)
		}
	}
}

func encodeConfig(c *cluster.Config) *config {
	out := &config{
		Ref: c.Ref, Machine: c.Machine, File: c.File, Source: c.Source, Audit: c.Audit, Encryption: c.Encryption,
		Authentication: c.Authentication, Authorization: c.Authorization, HasAdmission: c.Admission != nil, ABAC: c.ABAC,
	}
	if c.Admission != nil {
		for _, p := range c.Admission.Plugins {
			out.Admission = append(out.Admission, plugin{p.Name, p.Path, p.PodSecurity, p.ImagePolicy})
		}
	}
	return out
}

// decode adds what the record holds to the facts.
func (r *record) decode(f *cluster.Facts) error {
	switch {
	case r.Object != nil:
		o, err := r.Object.decode(f.Own)
		if err != nil {
			return err
		}
		f.Objects = append(f.Objects, o)
	case r.Machine != nil && r.Machine.Machine != nil:
		r.Machine.Machine.Source = r.Machine.Source
		f.Machines = append(f.Machines, r.Machine.Machine)
	case r.Kubelet != nil && r.Kubelet.Config != nil:
		f.Kubelets = append(f.Kubelets, &cluster.Kubelet{Node: r.Kubelet.Node, Config: r.Kubelet.Config, Source: r.Kubelet.Source})
	case r.Config != nil:
		c, err := r.Config.decode()
		if err != nil {
			return err
		}
		f.Configs = append(f.Configs, c)
	case r.Image != nil && r.Image.Image != nil:
		r.Image.Image.Source = r.Image.Source
		f.Images = append(f.Images, r.Image.Image)
	case r.Flagz != nil:
		f.Flagz = append(f.Flagz, *r.Flagz)
	default:
		return errors.New("it holds nothing that is known: use a newer version of bulwark")
	}
	return nil
}

func (c *config) decode() (*cluster.Config, error) {
	out := &cluster.Config{
		Ref: c.Ref, Machine: c.Machine, File: c.File, Source: c.Source, Audit: c.Audit, Encryption: c.Encryption,
		Authentication: c.Authentication, Authorization: c.Authorization, ABAC: c.ABAC,
	}
	if c.HasAdmission {
		out.Admission = new(cluster.AdmissionConfiguration)
		for _, p := range c.Admission {
			out.Admission.Plugins = append(out.Admission.Plugins, cluster.AdmissionPlugin{Name: p.Name, Path: p.Path, PodSecurity: p.PodSecurity, ImagePolicy: p.ImagePolicy})
		}
	}
	set := 0
	for _, is := range []bool{out.Audit != nil, out.Encryption != nil, out.Authentication != nil, out.Authorization != nil, out.Admission != nil, out.ABAC != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("a configuration file of %d kinds", set)
	}
	return out, nil
}

func (o *object) decode(own []cluster.CustomKind) (*cluster.Object, error) {
	out := &cluster.Object{APIVersion: o.APIVersion, Source: o.Source, Meta: o.Meta}
	switch {
	case o.Keys != nil && o.Meta != nil && o.Kind == "Secret":
		out.Value = &cluster.SecretFacts{Type: o.Keys.Type, Keys: o.Keys.Names, KeysKnown: o.Keys.Known}
	case o.Keys != nil && o.Meta != nil && o.Kind == "ConfigMap":
		out.Value = &cluster.ConfigMapFacts{Keys: o.Keys.Names, KeysKnown: o.Keys.Known}
	case o.Custom != nil && o.Meta != nil:
		c := &cluster.Custom{ObjectMeta: *o.Meta, Content: o.Custom.Content, Templates: o.Custom.Templates}
		kinds := slices.Concat(cluster.CustomKinds, own)
		i := slices.IndexFunc(kinds, func(k cluster.CustomKind) bool { return k.Name() == o.Kind })
		if i < 0 {
			return nil, fmt.Errorf("kind %.80q is not known", o.Kind)
		}
		c.TypeMeta = metav1.TypeMeta{APIVersion: o.APIVersion, Kind: kinds[i].Kind}
		out.Value, out.Meta = c, &c.ObjectMeta
	case o.Value != nil && o.Kind != "Secret" && o.Kind != "ConfigMap":
		gv, err := schema.ParseGroupVersion(cluster.ReadAs(o.APIVersion, o.Kind))
		if err != nil {
			return nil, err
		}
		v, err := scheme.Scheme.New(gv.WithKind(o.Kind))
		if err != nil {
			return nil, fmt.Errorf("kind %.80q of %.80q is not known", o.Kind, o.APIVersion)
		}
		if err := json.Unmarshal(o.Value, v); err != nil {
			return nil, fmt.Errorf("kind %s: %w", o.Kind, err)
		}
		meta, ok := v.(metav1.ObjectMetaAccessor)
		if !ok {
			return nil, fmt.Errorf("kind %s is no stored object", o.Kind)
		}
		m, ok := meta.GetObjectMeta().(*metav1.ObjectMeta)
		if !ok {
			return nil, fmt.Errorf("kind %s is no stored object", o.Kind)
		}
		out.Value, out.Meta = v, m
	default:
		return nil, fmt.Errorf("an object of kind %.80q without what it should hold", o.Kind)
	}
	out.Ref = cluster.Ref{Kind: o.Kind, Namespace: out.Meta.Namespace, Name: out.Meta.Name}
	return out, nil
}
