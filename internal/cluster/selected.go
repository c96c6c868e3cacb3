package cluster

import (
	"iter"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// A label is one that pods of a namespace have.
type label struct{ namespace, key, value string }

// indexLabels finds the pods with each label.
func (s *Snapshot) indexLabels() {
	s.podsByLabel = map[label][]*PodSpec{}
	for _, p := range s.pods {
		for key, value := range p.Meta.Labels {
			l := label{p.Namespace(), key, value}
			s.podsByLabel[l] = append(s.podsByLabel[l], p)
		}
	}
}

// Selected iterates over the pod specs of a namespace that a selector matches, in the
// order of Pods. It looks only at those with the rarest label that the selector asks
// for, so many selectors among many pods stay cheap.
func (s *Snapshot) Selected(namespace string, selector labels.Selector) iter.Seq[*PodSpec] {
	among := s.podsByNS[namespace]
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			if values := r.ValuesUnsorted(); len(values) == 1 {
				if with := s.podsByLabel[label{namespace, r.Key(), values[0]}]; len(with) < len(among) {
					among = with
				}
			}
		default: // what is not there is not indexed
		}
	}
	return func(yield func(*PodSpec) bool) {
		for _, p := range among {
			if selector.Matches(labels.Set(p.Meta.Labels)) && !yield(p) {
				return
			}
		}
	}
}

// Selects reports whether a selector matches any pod spec of a namespace.
func (s *Snapshot) Selects(namespace string, selector labels.Selector) bool {
	for range s.Selected(namespace, selector) {
		return true
	}
	return false
}

// A Selection is a selector of a namespace's pods, and what it stands for.
type Selection[T any] struct {
	Namespace string
	Selector  labels.Selector
	Of        T
}

// Selecting returns, for every pod spec that is selected, what the first selection that
// matches it stands for.
func Selecting[T any](s *Snapshot, selections []Selection[T]) map[*PodSpec]T {
	out := map[*PodSpec]T{}
	type key struct{ namespace, selector string }
	seen := map[key]bool{} // many that are alike cost as much as one
	for _, sel := range selections {
		k := key{sel.Namespace, sel.Selector.String()}
		if _, some := sel.Selector.Requirements(); !some || seen[k] {
			continue
		}
		seen[k] = true
		for p := range s.Selected(sel.Namespace, sel.Selector) {
			if _, taken := out[p]; !taken {
				out[p] = sel.Of
			}
		}
	}
	return out
}
