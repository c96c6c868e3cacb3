package cluster

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Facts are all that a Snapshot was built from and what was found missing then: enough
// to build the same Snapshot elsewhere and later.
type Facts struct {
	Name, Version string
	Live          bool
	Objects       []*Object
	Machines      []*Machine
	Kubelets      []*Kubelet
	Configs       []*Config
	Images        []*Image
	Flagz         []Flagz
	Gaps          []Gap
	// Foreign counts the objects of kinds that are not known.
	Foreign map[string]int
	Looked  []Need // sorted
	// Own are the kinds that the user named.
	Own []CustomKind
}

// Flagz is what a component said of its own flags.
type Flagz struct {
	Component string            `json:"component"`
	Values    map[string]string `json:"values"`
	Source    Source            `json:"source"`
}

// Facts returns what the Snapshot was built from. The facts belong to it still.
func (s *Snapshot) Facts() Facts {
	f := Facts{
		Name: s.Name, Version: s.Version, Live: s.Live,
		Objects: s.objects, Machines: s.machines, Kubelets: s.kubelets, Configs: s.configs, Images: s.images,
		Gaps: s.gaps, Foreign: s.foreign, Own: s.own, Looked: slices.Sorted(maps.Keys(s.looked)),
	}
	for _, c := range s.components {
		if !c.Flags.Complete {
			continue
		}
		values := map[string]string{}
		for _, name := range c.Flags.Names() {
			values[name] = c.Flags.Get(name, "")
		}
		f.Flagz = append(f.Flagz, Flagz{Component: c.Kind, Values: values, Source: c.Source})
	}
	return f
}

// Restore builds the Snapshot that gave the facts. What was missing then is in their
// gaps; nothing is added. Of two objects with one Ref the first stays.
func Restore(f Facts) *Snapshot {
	b := NewBuilder(f.Name, f.Live, f.Own...)
	b.SetVersion(f.Version)
	for _, o := range f.Objects {
		if b.s.byRef[o.Ref] == nil {
			b.put(o)
		}
	}
	b.s.machines, b.s.configs, b.s.foreign = f.Machines, f.Configs, f.Foreign
	for _, i := range f.Images {
		b.AddImage(i)
	}
	for _, k := range f.Kubelets {
		b.AddKubelet(k)
	}
	for _, z := range f.Flagz {
		b.AddFlagz(z.Component, z.Values, z.Source)
	}
	b.s.looked = map[Need]bool{}
	b.Looked(f.Looked...)
	b.s.gaps = slices.Clone(f.Gaps)
	b.index()
	return &b.s
}

// PodSpecOf returns the pod spec inside an object's value, a pod's or a template's, or nil.
func PodSpecOf(value any) *corev1.PodSpec {
	if pod, ok := value.(*corev1.Pod); ok {
		return &pod.Spec
	}
	if all := templates(&Object{Value: value}); len(all) == 1 {
		return all[0].spec
	}
	return nil
}
