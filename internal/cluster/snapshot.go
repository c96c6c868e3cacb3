package cluster

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A Snapshot is one cluster (or one set of manifests) at one moment.
type Snapshot struct {
	// Name is how the user calls the cluster: the kubeconfig's context, or the input's path.
	Name string
	// Version is the API server's version, "v1.36.3"; empty where there is no server.
	Version string
	// Live is true for a running cluster: everything that exists is then here or in
	// a gap. Manifests are only a part of the cluster that they will be applied to.
	Live bool

	objects    []*Object
	byKind     map[string][]*Object
	byRef      map[Ref]*Object
	pods       []*PodSpec
	components []*Component
	kubelets   []*Kubelet
	machines   []*Machine
	configs    []*Config
	images     []*Image
	gaps       []Gap
	looked     map[Need]bool
	noFlagz    string
	foreign    map[string]int
	own        []CustomKind
	makers     map[*Object]*Object

	bindings    []*Binding
	boundTo     map[Subject][]*Binding
	podsByNS    map[string][]*PodSpec
	podsByLabel map[label][]*PodSpec
	namespaces  []string

	imageNames map[string]int    // how many images have a name
	imageUses  func() []ImageUse // Uses, worked out once

	shared *sync.Map // of Once
}

// Objects returns every object, ordered by kind, namespace and name.
func (s *Snapshot) Objects() []*Object { return s.objects }

// Kind returns the objects of one kind, ordered by namespace and name.
func (s *Snapshot) Kind(kind string) []*Object { return s.byKind[kind] }

// Get returns one object, or nil.
func (s *Snapshot) Get(r Ref) *Object { return s.byRef[r] }

// All iterates over the objects whose value is a T, for example All[*corev1.Service].
func All[T any](s *Snapshot, kind string) iter.Seq2[*Object, T] {
	return func(yield func(*Object, T) bool) {
		for _, o := range s.byKind[kind] {
			if v, ok := o.Value.(T); ok && !yield(o, v) {
				return
			}
		}
	}
}

// Pods returns every pod spec: the templates of all workloads, and running pods that
// can still act. Templates that another template makes (a Deployment's ReplicaSets,
// a CronJob's Jobs) are not repeated.
func (s *Snapshot) Pods() []*PodSpec { return s.pods }

// PodsIn returns the pod specs of one namespace.
func (s *Snapshot) PodsIn(namespace string) []*PodSpec { return s.podsByNS[namespace] }

// Namespaces returns the names of all namespaces that exist or that objects are in, sorted.
func (s *Snapshot) Namespaces() []string { return s.namespaces }

// Components returns the running instances of one component, "kube-apiserver" say.
func (s *Snapshot) Components(name string) []*Component {
	var out []*Component
	for _, c := range s.components {
		if c.Kind == name {
			out = append(out, c)
		}
	}
	return out
}

// Kubelets returns the kubelet configurations that could be read.
func (s *Snapshot) Kubelets() []*Kubelet { return s.kubelets }

// Machines returns the hosts that were looked at from within.
func (s *Snapshot) Machines() []*Machine { return s.machines }

// Foreign counts the objects of kinds that no control knows, as "Kind of group/version".
func (s *Snapshot) Foreign() map[string]int { return s.foreign }

// Maker returns the workload that controllers made an object for: the Deployment of a
// ReplicaSet or a pod. What nothing here has made is its own.
func (s *Snapshot) Maker(o *Object) *Object {
	if m, ok := s.makers[o]; ok {
		return m
	}
	return o
}

// Own are the kinds that the user named beside those that controls know.
func (s *Snapshot) Own() []CustomKind { return s.own }

// FindCustom returns the kind of an object that is no part of Kubernetes itself, and
// whether it is read.
func (s *Snapshot) FindCustom(apiVersion, kind string) (CustomKind, bool) {
	return findCustom(s.own, apiVersion, kind)
}

// Once returns what work makes of a snapshot, which it does the first time that it is
// asked for under a key. Controls share by it what several of them need, so nobody may
// change it. The key is of a type that only its package has.
func Once[T any](s *Snapshot, key any, work func() T) T {
	value, known := s.shared.Load(key)
	if !known {
		value, _ = s.shared.LoadOrStore(key, sync.OnceValue(work))
	}
	return value.(func() T)()
}

// A Builder collects facts for a Snapshot. Its methods are not safe for concurrent
// use; adapters that read concurrently add from one goroutine.
type Builder struct {
	s     Snapshot
	flagz []*Component
}

// NewBuilder starts a snapshot of the named cluster, which takes own kinds beside those
// that controls know.
func NewBuilder(name string, live bool, own ...CustomKind) *Builder {
	return &Builder{s: Snapshot{
		Name: name, Live: live, own: own,
		byRef:  map[Ref]*Object{},
		byKind: map[string][]*Object{},
		looked: map[Need]bool{},
		shared: new(sync.Map),
	}}
}

// Own are the kinds that the user named.
func (b *Builder) Own() []CustomKind { return b.s.own }

// FindCustom is that of the Snapshot.
func (b *Builder) FindCustom(apiVersion, kind string) (CustomKind, bool) {
	return b.s.FindCustom(apiVersion, kind)
}

// SetVersion records the API server's version.
func (b *Builder) SetVersion(v string) { b.s.Version = v }

// Looked records that all there is of a need was read.
func (b *Builder) Looked(needs ...Need) {
	for _, n := range needs {
		b.s.looked[n] = true
	}
}

// Foreign records n objects of a kind that no control knows.
func (b *Builder) Foreign(apiVersion, kind string, n int) {
	if b.s.foreign == nil {
		b.s.foreign = map[string]int{}
	}
	b.s.foreign[kind+" of "+apiVersion] += n
}

// Gap records that something looked for could not be read.
func (b *Builder) Gap(g Gap) { b.s.gaps = append(b.s.gaps, g) }

// Add takes one object under its kind and API version. It drops managedFields and
// the values of Secrets and ConfigMaps, so the caller's object may lose them too.
// It reports false for an object that was there already; the first one stays.
func (b *Builder) Add(apiVersion, kind string, obj metav1.Object, src Source) bool {
	o := &Object{
		Ref:        Ref{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()},
		APIVersion: apiVersion,
		Source:     src,
	}
	if _, ok := b.s.byRef[o.Ref]; ok {
		return false
	}
	o.Meta = strip(obj)
	if o.Source.ResourceVersion == "" {
		o.Source.ResourceVersion = o.Meta.ResourceVersion
	}
	o.Value = factsOf(obj)
	b.put(o)
	return true
}

// factsOf is what a Snapshot keeps of an object.
func factsOf(obj metav1.Object) any {
	switch v := obj.(type) {
	case *corev1.Secret:
		return &SecretFacts{Type: string(v.Type), Keys: keys(v.Data, v.StringData), KeysKnown: true}
	case *corev1.ConfigMap:
		return &ConfigMapFacts{Keys: keys(v.Data, v.BinaryData), KeysKnown: true}
	}
	return obj
}

// Differs reports whether obj, which Add did not take, says something else than the
// object that was there, as two versions of one manifest do. What the API server
// writes by itself does not count.
func (b *Builder) Differs(kind string, obj metav1.Object) bool {
	there := b.s.byRef[Ref{Kind: kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}]
	meta := strip(obj)
	if there == nil || !maps.Equal(there.Meta.Labels, meta.Labels) || !maps.Equal(there.Meta.Annotations, meta.Annotations) {
		return true
	}
	x, y := reflect.ValueOf(there.Value).Elem(), reflect.ValueOf(factsOf(obj)).Elem()
	if x.Type() != y.Type() {
		return true
	}
	for i := range x.NumField() {
		switch x.Type().Field(i).Name {
		case "TypeMeta", "ObjectMeta", "Status":
		default:
			if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
				return true
			}
		}
	}
	return false
}

// AddSecret takes a Secret whose values were never read.
func (b *Builder) AddSecret(meta *metav1.ObjectMeta, facts SecretFacts, src Source) {
	b.addFacts("Secret", meta, &facts, src)
}

// AddConfigMap takes a ConfigMap whose values were never read.
func (b *Builder) AddConfigMap(meta *metav1.ObjectMeta, facts ConfigMapFacts, src Source) {
	b.addFacts("ConfigMap", meta, &facts, src)
}

func (b *Builder) addFacts(kind string, meta *metav1.ObjectMeta, facts any, src Source) {
	ref := Ref{Kind: kind, Namespace: meta.Namespace, Name: meta.Name}
	if b.s.byRef[ref] == nil {
		b.put(&Object{Ref: ref, APIVersion: "v1", Meta: strip(meta), Value: facts, Source: src})
	}
}

func (b *Builder) put(o *Object) {
	b.s.objects = append(b.s.objects, o)
	b.s.byRef[o.Ref] = o
}

// AddMachine takes what was seen on one host.
func (b *Builder) AddMachine(m *Machine) { b.s.machines = append(b.s.machines, m) }

// AddKubelet takes one kubelet's configuration. The first one of a node stays, so what
// the kubelet itself answers is to be added before what its files say.
func (b *Builder) AddKubelet(k *Kubelet) {
	if !slices.ContainsFunc(b.s.kubelets, func(have *Kubelet) bool { return have.Node == k.Node }) {
		b.s.kubelets = append(b.s.kubelets, k)
		b.Looked(KubeletConfig)
	}
}

// AddFlagz takes a component's own account of its flags, as it serves on /flagz.
// It is used only where no process and no static pod of that component was seen,
// because it does not say which instance answered.
func (b *Builder) AddFlagz(component string, values map[string]string, src Source) {
	b.flagz = append(b.flagz, &Component{
		Ref:   Ref{Kind: component, Name: "(the instance that answered)"},
		Flags: CompleteFlags(values), Source: src,
	})
}

// NoFlagz says why the API server did not tell its flags. It is part of the gap's
// reason where nothing else tells them.
func (b *Builder) NoFlagz(why string) { b.s.noFlagz = why }

// Snapshot builds the indexes and returns the snapshot. The Builder must not be used again.
func (b *Builder) Snapshot() *Snapshot {
	s := &b.s
	b.index()
	// What a kubelet itself answered fills the gap that its files left.
	s.gaps = slices.DeleteFunc(s.gaps, func(g Gap) bool {
		return g.Need == KubeletConfig && slices.ContainsFunc(s.kubelets, func(k *Kubelet) bool { return k.Node == g.Scope })
	})
	s.missingTemplates()
	if s.Live {
		s.missing()
	}
	return s
}

// missingTemplates records as gaps own kinds of which no object has a pod template: they
// have it elsewhere than the user said.
func (s *Snapshot) missingTemplates() {
	for _, k := range s.own {
		objects := s.byKind[k.Name()]
		if len(objects) == 0 || slices.ContainsFunc(objects, func(o *Object) bool { return len(templates(o)) > 0 }) {
			continue
		}
		s.gaps = append(s.gaps, Gap{Need: OwnWorkloads, Reason: fmt.Sprintf(
			"%s: none of %d has a pod template at %s", k.Need, len(objects), strings.Join(k.Templates, " or "))})
	}
}

// index orders the facts and joins them.
func (b *Builder) index() {
	s := &b.s
	slices.SortFunc(s.objects, func(a, b *Object) int {
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return a.Compare(b.Ref)
	})
	for _, o := range s.objects {
		s.byKind[o.Kind] = append(s.byKind[o.Kind], o)
	}
	slices.SortStableFunc(s.machines, func(a, b *Machine) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.configs, func(a, b *Config) int { return a.Compare(b.Ref) })
	slices.SortStableFunc(s.kubelets, func(a, b *Kubelet) int { return strings.Compare(a.Node, b.Node) })
	s.indexPods()
	s.indexImages()
	s.indexLabels()
	s.indexNamespaces()
	s.indexComponents(b.flagz)
	s.indexBindings()
}

// missing records as gaps what a running cluster surely has and nobody showed us.
func (s *Snapshot) missing() {
	const how = "run `bulwark scan --host` on its machine"
	for component, need := range map[string]Need{
		"kube-apiserver": APIServerFlags, "kube-controller-manager": ControllerManagerFlags,
		"kube-scheduler": SchedulerFlags, "etcd": EtcdFlags,
	} {
		switch {
		case len(s.Components(component)) > 0:
			s.looked[need] = true
		case len(s.Gaps(need)) == 0:
			reason := "no static pod of " + component + " in kube-system; "
			if component == "kube-apiserver" && s.noFlagz != "" {
				reason += s.noFlagz + "; "
			}
			s.gaps = append(s.gaps, Gap{Need: need, Reason: reason + how})
		}
	}
	seen := map[string]bool{}
	for _, m := range s.machines {
		seen[m.Name] = true
	}
	s.missingProxies(seen, how)
	for _, need := range []Need{HostFiles, Listeners} {
		if len(s.machines) == 0 {
			if len(s.Gaps(need)) == 0 {
				s.gaps = append(s.gaps, Gap{Need: need, Reason: "no host access; " + how})
			}
			continue
		}
		s.looked[need] = true
		for _, node := range s.Kind("Node") {
			if !seen[node.Name] {
				s.gaps = append(s.gaps, Gap{Need: need, Scope: node.Name, Reason: "no host access; " + how})
			}
		}
	}
	s.missingConfigs(how)
	s.missingStored(how)
	slices.SortStableFunc(s.gaps, func(a, b Gap) int {
		return cmp.Or(strings.Compare(string(a.Need), string(b.Need)), strings.Compare(a.Scope, b.Scope))
	})
}

// missingProxies does so for kube-proxy, which a cluster may well not have: it is looked
// for among pods and on machines. Where machines show it, those that were not looked at
// may have another one.
func (s *Snapshot) missingProxies(seen map[string]bool, how string) {
	proxies := s.Components("kube-proxy")
	if len(s.machines) == 0 && len(proxies) == 0 {
		if len(s.Gaps(ProxyFlags)) == 0 {
			s.gaps = append(s.gaps, Gap{Need: ProxyFlags, Reason: "no pod of kube-proxy in kube-system; " + how})
		}
		return
	}
	s.looked[ProxyFlags] = true
	if len(proxies) > 0 && !slices.ContainsFunc(proxies, func(c *Component) bool { return c.Object == nil }) {
		return // all of them come from the pods' template
	}
	for _, node := range s.Kind("Node") {
		if !seen[node.Name] {
			s.gaps = append(s.gaps, Gap{Need: ProxyFlags, Scope: node.Name, Reason: "no host access; " + how})
		}
	}
}

func (s *Snapshot) indexNamespaces() {
	seen := map[string]bool{}
	for _, o := range s.objects {
		ns := o.Namespace
		if o.Kind == "Namespace" {
			ns = o.Name
		}
		if ns != "" && !seen[ns] {
			seen[ns] = true
			s.namespaces = append(s.namespaces, ns)
		}
	}
	slices.Sort(s.namespaces)
}

// indexPods finds every pod spec and joins running pods to the template that made them.
func (s *Snapshot) indexPods() {
	byUID := make(map[types.UID]*Object, len(s.objects))
	for _, o := range s.objects {
		if o.Meta.UID != "" {
			byUID[o.Meta.UID] = o
		}
	}
	// top follows controllers upwards, pod, ReplicaSet, Deployment, to the last one that
	// has a template: a Gateway owns the Deployment of its proxies, and says nothing of it.
	top := func(o *Object) *Object {
		last := o
		for range 8 { // deeper chains are cycles
			ref := metav1.GetControllerOfNoCopy(o.Meta)
			if ref == nil || byUID[ref.UID] == nil {
				break
			}
			if o = byUID[ref.UID]; len(templates(o)) > 0 {
				last = o
			}
		}
		return last
	}

	s.makers = map[*Object]*Object{}
	made := map[*Object][]*PodSpec{}
	for _, o := range s.objects {
		if t := top(o); t != o {
			s.makers[o] = t
			continue
		}
		all := templates(o)
		for _, t := range all {
			p := newPodSpec(o, t.path, t.meta, t.spec)
			made[o] = append(made[o], p)
			s.pods = append(s.pods, p)
		}
	}
	for o, pod := range All[*corev1.Pod](s, "Pod") {
		if !Active(pod) {
			continue
		}
		p := newPodSpec(o, "spec", o.Meta, &pod.Spec)
		if owner := maker(made[s.Maker(o)], p); owner != nil {
			p.Of = owner
			owner.Running = append(owner.Running, o)
		}
		s.pods = append(s.pods, p)
	}
	s.podsByNS = map[string][]*PodSpec{}
	for _, p := range s.pods {
		s.podsByNS[p.Namespace()] = append(s.podsByNS[p.Namespace()], p)
	}
}

// maker is the template that a running pod was made of: the one that its controller has,
// and of several the first with the pod's containers and images.
func maker(of []*PodSpec, pod *PodSpec) *PodSpec {
	if len(of) == 1 {
		return of[0]
	}
	images := map[string]string{}
	for _, c := range pod.Containers {
		images[c.Name] = c.Image
	}
	i := slices.IndexFunc(of, func(t *PodSpec) bool {
		return !slices.ContainsFunc(t.Containers, func(c Container) bool {
			image, ok := images[c.Name]
			return !ok || image != c.Image
		})
	})
	if i < 0 {
		return nil
	}
	return of[i]
}

// A podTemplate is where an object says what its pods are; path is that of the spec.
type podTemplate struct {
	meta *metav1.ObjectMeta
	spec *corev1.PodSpec
	path string
}

// templates returns the pod templates that an object carries.
func templates(o *Object) []podTemplate {
	one := func(t *corev1.PodTemplateSpec, path string) []podTemplate {
		return []podTemplate{{&t.ObjectMeta, &t.Spec, path}}
	}
	const usual = "spec.template.spec"
	switch v := o.Value.(type) {
	case *appsv1.Deployment:
		return one(&v.Spec.Template, usual)
	case *appsv1.ReplicaSet:
		return one(&v.Spec.Template, usual)
	case *appsv1.StatefulSet:
		return one(&v.Spec.Template, usual)
	case *appsv1.DaemonSet:
		return one(&v.Spec.Template, usual)
	case *batchv1.Job:
		return one(&v.Spec.Template, usual)
	case *batchv1.CronJob:
		return one(&v.Spec.JobTemplate.Spec.Template, "spec.jobTemplate.spec.template.spec")
	case *corev1.ReplicationController:
		if v.Spec.Template != nil {
			return one(v.Spec.Template, usual)
		}
	case *corev1.PodTemplate:
		return one(&v.Template, "template.spec")
	case *Custom:
		var out []podTemplate
		for i := range v.Templates {
			t := &v.Templates[i]
			out = append(out, podTemplate{&t.Template.ObjectMeta, &t.Template.Spec, t.Path + ".spec"})
		}
		return out
	}
	return nil
}

// indexComponents derives the instances of each component from static pods and
// processes. A process seen on the host is the better witness of the two, so a
// static pod on a machine whose process was seen is not repeated.
func (s *Snapshot) indexComponents(flagz []*Component) {
	type key struct{ component, machine string }
	seen := map[key]bool{}
	for _, m := range s.machines {
		for _, p := range m.Processes {
			name := componentOf(p.Component)
			if name == "" || len(p.Args) == 0 {
				continue
			}
			seen[key{name, m.Name}] = true
			s.components = append(s.components, &Component{
				Ref: Ref{Kind: name, Name: m.Name}, Machine: m.Name,
				Flags: ParseFlags(p.Args[1:]), Source: m.Source,
			})
		}
	}
	for _, p := range s.pods {
		if p.Namespace() != "kube-system" || p.Of != nil {
			continue
		}
		for _, c := range p.Containers {
			argv := slices.Concat(c.Command, c.Args)
			if len(argv) == 0 {
				continue
			}
			name := componentOf(argv[0])
			if name == "" || seen[key{name, p.Spec.NodeName}] {
				continue
			}
			s.components = append(s.components, &Component{
				Ref: Ref{Kind: name, Name: path.Join(p.Namespace(), p.Object.Name)}, Machine: p.Spec.NodeName,
				Flags: ParseFlags(argv[1:]), Source: p.Object.Source, Object: p.Object,
			})
		}
	}
	for _, c := range flagz {
		if len(s.Components(c.Kind)) == 0 {
			s.components = append(s.components, c)
		}
	}
}

// strip removes what no control reads and what may repeat a secret, and returns the metadata.
func strip(obj metav1.Object) *metav1.ObjectMeta {
	obj.SetManagedFields(nil)
	annotations := obj.GetAnnotations()
	for _, name := range repeating {
		if annotations[name] != "" {
			annotations[name] = ""
		}
	}
	if m, ok := obj.(*metav1.ObjectMeta); ok {
		return m
	}
	// Every struct of k8s.io/api embeds ObjectMeta and returns its address.
	return obj.(metav1.ObjectMetaAccessor).GetObjectMeta().(*metav1.ObjectMeta)
}

func keys[A, B any](a map[string]A, b map[string]B) []string {
	out := make([]string, 0, len(a)+len(b))
	for k := range a {
		out = append(out, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// A Subject is who a binding grants to.
type Subject struct{ Kind, Namespace, Name string }

// ServiceAccount is the subject that a pod's identity is.
func ServiceAccount(namespace, name string) Subject {
	return Subject{rbacv1.ServiceAccountKind, namespace, name}
}

func (s Subject) String() string {
	if s.Namespace != "" {
		return strings.ToLower(s.Kind) + " " + s.Namespace + "/" + s.Name
	}
	return strings.ToLower(s.Kind) + " " + s.Name
}

// A Binding is a RoleBinding or ClusterRoleBinding joined with its role.
type Binding struct {
	Object *Object
	// Namespace that the grant is limited to; empty means the whole cluster.
	Namespace string
	RoleRef   rbacv1.RoleRef
	// Role is nil where the role does not exist or could not be read.
	Role     *Object
	Subjects []Subject
}

// Rules are what the binding's role grants; nil without a role.
func (b *Binding) Rules() []rbacv1.PolicyRule {
	if b.Role == nil {
		return nil
	}
	return Rules(b.Role)
}

// Rules are the rules of a Role or ClusterRole.
func Rules(role *Object) []rbacv1.PolicyRule {
	switch r := role.Value.(type) {
	case *rbacv1.Role:
		return r.Rules
	case *rbacv1.ClusterRole:
		return r.Rules
	}
	return nil
}

// Bindings returns every binding, ClusterRoleBindings first.
func (s *Snapshot) Bindings() []*Binding { return s.bindings }

// BoundTo returns the bindings that name a subject directly.
func (s *Snapshot) BoundTo(subject Subject) []*Binding { return s.boundTo[subject] }

func (s *Snapshot) indexBindings() {
	s.boundTo = map[Subject][]*Binding{}
	add := func(o *Object, namespace string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
		b := &Binding{Object: o, Namespace: namespace, RoleRef: ref}
		role := Ref{Kind: ref.Kind, Name: ref.Name}
		if ref.Kind == "Role" {
			role.Namespace = namespace
		}
		b.Role = s.byRef[role]
		for _, sub := range subjects {
			subject := Subject{Kind: sub.Kind, Name: sub.Name}
			if sub.Kind == rbacv1.ServiceAccountKind {
				// A RoleBinding's subject without a namespace is one in its own.
				subject.Namespace = sub.Namespace
				if subject.Namespace == "" {
					subject.Namespace = namespace
				}
			}
			b.Subjects = append(b.Subjects, subject)
			s.boundTo[subject] = append(s.boundTo[subject], b)
		}
		s.bindings = append(s.bindings, b)
	}
	for o, v := range All[*rbacv1.ClusterRoleBinding](s, "ClusterRoleBinding") {
		add(o, "", v.RoleRef, v.Subjects)
	}
	for o, v := range All[*rbacv1.RoleBinding](s, "RoleBinding") {
		add(o, o.Namespace, v.RoleRef, v.Subjects)
	}
}
