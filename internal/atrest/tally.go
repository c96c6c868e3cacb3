package atrest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/etcd"
)

// Plain is the provider of values that are as they are.
const Plain = "identity"

// Under is what a value is stored under. Key is empty for plain values; for a
// KMS it is the plugin's name.
type Under struct {
	Provider string `json:"provider"`
	Key      string `json:"key,omitempty"`
}

// Count is how many objects are stored under one key.
type Count struct {
	Under

	Objects int `json:"objects"`
}

// Tally is how the objects of one resource are stored.
type Tally struct {
	Resource string  `json:"resource"`
	Objects  int     `json:"objects"`
	Counts   []Count `json:"counts"`
}

// Elsewhere is how many objects are under anything but this key.
func (t Tally) Elsewhere(key string) int {
	n := 0
	for _, c := range t.Counts {
		if c.Provider == Plain || c.Key != key {
			n += c.Objects
		}
	}
	return n
}

// Plain is how many objects are not encrypted.
func (t Tally) Plain() int {
	n := 0
	for _, c := range t.Counts {
		if c.Provider == Plain {
			n += c.Objects
		}
	}
	return n
}

// prefixOfEncrypted begins every value that a provider but identity has
// written: k8s:enc:PROVIDER:VERSION:NAME: and then what is encrypted.
const prefixOfEncrypted = "k8s:enc:"

// UnderOf reads what a value's first bytes say.
func UnderOf(value []byte) Under {
	rest, encrypted := bytes.CutPrefix(value, []byte(prefixOfEncrypted))
	parts := bytes.SplitN(rest, []byte(":"), 4)
	if !encrypted || len(parts) < 4 {
		return Under{Provider: Plain}
	}
	return Under{Provider: string(parts[0]), Key: string(parts[2])}
}

// CountIn reads from etcd how the objects of each resource are stored.
func CountIn(ctx context.Context, from *etcd.Client, registry string, resources []string) ([]Tally, error) {
	var all []Tally
	for _, resource := range resources {
		counts := map[Under]int{}
		t := Tally{Resource: resource, Counts: []Count{}}
		err := from.Each(ctx, folder(registry, resource), prefixOfEncrypted, func(s etcd.Stored) {
			counts[UnderOf(s.Prefix)]++
			t.Objects++
		})
		if err != nil {
			return nil, err
		}
		for under, n := range counts {
			t.Counts = append(t.Counts, Count{under, n})
		}
		slices.SortFunc(t.Counts, func(a, b Count) int {
			return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Key, b.Key))
		})
		all = append(all, t)
	}
	return all, nil
}

// DefaultRegistry is the apiserver's --etcd-prefix if nobody set it.
const DefaultRegistry = "/registry"

// folder is where an apiserver keeps a resource. Groups that Kubernetes brings
// along have their resources at the top; those of custom resources, which have
// a domain of somebody else, have a folder.
func folder(registry, resource string) string {
	name, group, _ := strings.Cut(resource, ".")
	if other, ok := irregular[name]; ok {
		name = other
	}
	if strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") {
		return registry + "/" + group + "/" + name + "/"
	}
	return registry + "/" + name + "/"
}

// irregular are the resources whose folder has another name, for reasons of age.
var irregular = map[string]string{
	"nodes": "minions", "services": "services/specs", "endpoints": "services/endpoints",
	"ingresses": "ingress", "replicationcontrollers": "controllers",
}
