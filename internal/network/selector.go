package network

import (
	"encoding/binary"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// A selector is a label selector that was parsed once.
type selector struct {
	requirements labels.Requirements
	// doubt says why it could not be read; whom it selects is then not known.
	doubt string
}

// labelSet is a set of labels as far as it is known.
type labelSet struct {
	labels labels.Set
	// open reports whether a label that is not in the set may yet be there; nil if not.
	open func(key string) bool
}

// matches reports whether the selector takes the labels in.
func (s *selector) matches(set labelSet) Tri {
	if s.doubt != "" {
		return Maybe
	}
	out := Yes
	for i := range s.requirements {
		r := &s.requirements[i]
		if !set.labels.Has(r.Key()) && set.open != nil && set.open(r.Key()) {
			out = Maybe
			continue
		}
		if !r.Matches(set.labels) {
			return No
		}
	}
	return out
}

// A pair is one label with its value; a selector can be looked up by those that it needs.
type pair struct{ key, value string }

// needs are pairs of which a set must have one to be selected; nil where there are none
// that can be named.
func (s *selector) needs() []pair {
	for i := range s.requirements {
		r := &s.requirements[i]
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			var out []pair
			for v := range r.Values() {
				out = append(out, pair{r.Key(), v})
			}
			return out
		default:
		}
	}
	return nil
}

// An index finds the selectors that may take in a set of labels.
type index struct {
	byPair map[pair][]int32
	byKey  map[string][]int32 // the same, for labels that are not known
	rest   []int32
}

func (x *index) add(id int32, s *selector) {
	needs := s.needs()
	if needs == nil {
		x.rest = append(x.rest, id)
		return
	}
	if x.byPair == nil {
		x.byPair, x.byKey = map[pair][]int32{}, map[string][]int32{}
	}
	for _, p := range needs {
		x.byPair[p] = append(x.byPair[p], id)
	}
	x.byKey[needs[0].key] = append(x.byKey[needs[0].key], id)
}

// find calls f for all that may take in the set; others certainly do not.
func (x *index) find(set labelSet, f func(id int32)) {
	for _, id := range x.rest {
		f(id)
	}
	for k, v := range set.labels {
		for _, id := range x.byPair[pair{k, v}] {
			f(id)
		}
	}
	if set.open == nil {
		return
	}
	for k, ids := range x.byKey {
		if !set.labels.Has(k) && set.open(k) {
			for _, id := range ids {
				f(id)
			}
		}
	}
}

// A match says that something is taken in by the term, selector or policy with the id.
type match struct {
	id int32
	is Tri
}

func compareMatch(a, b match) int { return int(a.id) - int(b.id) }

// of finds an id among matches that are sorted by it.
func of(list []match, id int32) Tri {
	i, ok := slices.BinarySearchFunc(list, match{id: id}, compareMatch)
	if !ok {
		return No
	}
	return list[i].is
}

// key is the matches as a key of a map.
func key(buf []byte, list []match) []byte {
	for _, m := range list {
		buf = binary.AppendUvarint(buf, uint64(m.id)<<1|uint64(m.is-Maybe))
	}
	return append(binary.AppendUvarint(buf, 0), 0xff)
}

// A term is a set of pods: those in some namespaces that a selector takes in.
type term struct{ spaces, selector int32 }

// spaces are a set of namespaces, by their places in terms.names.
type spaces struct {
	list  []match
	terms []int32 // the terms in these namespaces
	index index   // of the terms' selectors, by the terms' places in terms.all
}

// terms are all sets of pods and of nodes that policies speak of, each kept once.
type terms struct {
	names     []string // of all namespaces
	byName    map[string]int32
	labels    []labelSet // of the namespaces
	spaceByKV map[pair][]int32
	openSpace []int32 // namespaces with labels that are not known

	selectors  []*selector
	bySelector map[string]int32
	spaces     []*spaces
	bySpaces   map[string]int32
	bySpaceSel map[int32]int32 // a namespaceSelector's namespaces
	all        []term
	byTerm     map[term]int32
	// of lists for each namespace the sets of namespaces that it is in.
	of [][]match

	nodes      []int32 // selectors of nodes
	byNode     map[int32]int32
	selectKeys map[string]bool // labels of pods that some selector asks for
}

func newTerms(names []string, spaceLabels func(name string) labelSet) *terms {
	t := &terms{
		names: names, byName: map[string]int32{}, spaceByKV: map[pair][]int32{},
		bySelector: map[string]int32{}, bySpaces: map[string]int32{}, bySpaceSel: map[int32]int32{},
		byTerm: map[term]int32{}, byNode: map[int32]int32{}, selectKeys: map[string]bool{},
		of: make([][]match, len(names)),
	}
	for i, name := range names {
		set := spaceLabels(name)
		t.byName[name] = int32(i)
		t.labels = append(t.labels, set)
		if set.open != nil {
			t.openSpace = append(t.openSpace, int32(i))
		}
		for k, v := range set.labels {
			t.spaceByKV[pair{k, v}] = append(t.spaceByKV[pair{k, v}], int32(i))
		}
	}
	return t
}

// selector keeps a selector once. The error says why it cannot be read; its id is valid
// nevertheless.
func (t *terms) selector(sel *metav1.LabelSelector) (int32, error) {
	parsed, err := metav1.LabelSelectorAsSelector(sel)
	s, name := &selector{}, ""
	if err != nil {
		s.doubt, name = "its selector is invalid: "+err.Error(), "\x00"+err.Error()
	} else {
		s.requirements, _ = parsed.Requirements()
		name = parsed.String()
	}
	id, ok := t.bySelector[name]
	if !ok {
		id = int32(len(t.selectors))
		t.bySelector[name] = id
		t.selectors = append(t.selectors, s)
	}
	return id, err
}

// doubtful is a selector of which nothing is known but why.
func (t *terms) doubtful(why string) int32 {
	id, ok := t.bySelector["\x00"+why]
	if !ok {
		id = int32(len(t.selectors))
		t.bySelector["\x00"+why] = id
		t.selectors = append(t.selectors, &selector{doubt: why})
	}
	return id
}

// everyone is the selector of all.
func (t *terms) everyone() int32 {
	id, _ := t.selector(&metav1.LabelSelector{})
	return id
}

func (t *terms) spacesOf(list []match) int32 {
	k := string(key(nil, list))
	id, ok := t.bySpaces[k]
	if !ok {
		id = int32(len(t.spaces))
		t.bySpaces[k] = id
		t.spaces = append(t.spaces, &spaces{list: list})
		for _, m := range list {
			t.of[m.id] = append(t.of[m.id], match{id, m.is})
		}
	}
	return id
}

// namespace is the set of one namespace.
func (t *terms) namespace(name string) int32 {
	return t.spacesOf([]match{{t.byName[name], Yes}})
}

// selected is the set of namespaces that a selector takes in.
func (t *terms) selected(sel int32) int32 {
	if id, ok := t.bySpaceSel[sel]; ok {
		return id
	}
	s := t.selectors[sel]
	var list []match
	try := func(ns int32) {
		if is := s.matches(t.labels[ns]); is != No {
			list = append(list, match{ns, is})
		}
	}
	if needs := s.needs(); needs != nil {
		for _, p := range needs {
			for _, ns := range t.spaceByKV[p] {
				try(ns)
			}
		}
		for _, ns := range t.openSpace {
			if !t.labels[ns].labels.Has(needs[0].key) {
				try(ns)
			}
		}
	} else {
		for ns := range t.names {
			try(int32(ns))
		}
	}
	slices.SortFunc(list, compareMatch)
	id := t.spacesOf(slices.Compact(list))
	t.bySpaceSel[sel] = id
	return id
}

// both is the set of namespaces that are in two others.
func (t *terms) both(a, b int32) int32 {
	var list []match
	for _, m := range t.spaces[a].list {
		if is := min(m.is, of(t.spaces[b].list, m.id)); is != No {
			list = append(list, match{m.id, is})
		}
	}
	return t.spacesOf(list)
}

// term is the set of pods in the namespaces that the selector takes in.
func (t *terms) term(spaces, sel int32) int32 {
	k := term{spaces, sel}
	id, ok := t.byTerm[k]
	if !ok {
		id = int32(len(t.all))
		t.byTerm[k] = id
		t.all = append(t.all, k)
		s := t.spaces[spaces]
		s.terms = append(s.terms, id)
		s.index.add(id, t.selectors[sel])
		for _, r := range t.selectors[sel].requirements {
			t.selectKeys[r.Key()] = true
		}
	}
	return id
}

// node is the set of nodes that the selector takes in.
func (t *terms) node(sel int32) int32 {
	id, ok := t.byNode[sel]
	if !ok {
		id = int32(len(t.nodes))
		t.byNode[sel] = id
		t.nodes = append(t.nodes, sel)
	}
	return id
}

// pod returns the terms that a pod of the namespace is in, sorted.
func (t *terms) pod(namespace string, set labelSet) []match {
	ns, ok := t.byName[namespace]
	if !ok {
		return nil
	}
	var out []match
	for _, in := range t.of[ns] {
		t.spaces[in.id].index.find(set, func(id int32) {
			if is := min(in.is, t.selectors[t.all[id].selector].matches(set)); is != No {
				out = append(out, match{id, is})
			}
		})
	}
	slices.SortFunc(out, compareMatch)
	return slices.Compact(out)
}

// nodeTerms returns the selectors of nodes that take a node in.
func (t *terms) nodeTerms(set labelSet) []match {
	var out []match
	for i, sel := range t.nodes {
		if is := t.selectors[sel].matches(set); is != No {
			out = append(out, match{int32(i), is})
		}
	}
	return out
}

// namespaceName is the label that the API server gives every namespace
// (pkg/apis/core/v1/defaults.go, SetDefaults_Namespace).
const namespaceName = corev1.LabelMetadataName
