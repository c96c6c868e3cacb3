package cluster

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func pods() *Snapshot {
	b := NewBuilder("test", true)
	for name, set := range map[string]labels.Set{
		"cart":  {"app": "cart", "tier": "web"},
		"mail":  {"app": "mail", "tier": "web"},
		"queue": {"app": "queue"},
		"bare":  nil,
	} {
		for _, namespace := range []string{"shop", "bank"} {
			b.Add("v1", "Pod", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: set}}, Source{})
		}
	}
	return b.Snapshot()
}

// TestSelected holds the index to looking at every pod.
func TestSelected(t *testing.T) {
	s := pods()
	expression := func(key string, op metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: op, Values: values}}}
	}
	match := func(set labels.Set) *metav1.LabelSelector { return &metav1.LabelSelector{MatchLabels: set} }
	for name, tt := range map[string]struct {
		selector *metav1.LabelSelector
		want     []string
	}{
		"nothing":           {nil, nil},
		"everything":        {match(nil), []string{"bare", "cart", "mail", "queue"}},
		"one label":         {match(labels.Set{"tier": "web"}), []string{"cart", "mail"}},
		"two labels":        {match(labels.Set{"tier": "web", "app": "mail"}), []string{"mail"}},
		"labels that clash": {match(labels.Set{"tier": "web", "app": "queue"}), nil},
		"one of one":        {expression("app", metav1.LabelSelectorOpIn, "cart"), []string{"cart"}},
		"one of two":        {expression("app", metav1.LabelSelectorOpIn, "cart", "queue"), []string{"cart", "queue"}},
		"none of one":       {expression("app", metav1.LabelSelectorOpNotIn, "cart"), []string{"bare", "mail", "queue"}},
		"with":              {expression("tier", metav1.LabelSelectorOpExists), []string{"cart", "mail"}},
		"without":           {expression("tier", metav1.LabelSelectorOpDoesNotExist), []string{"bare", "queue"}},
	} {
		t.Run(name, func(t *testing.T) {
			selector, err := metav1.LabelSelectorAsSelector(tt.selector)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for p := range s.Selected("shop", selector) {
				if p.Namespace() != "shop" {
					t.Errorf("%s is in another namespace", p.Object)
				}
				got = append(got, p.Object.Name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
			if s.Selects("shop", selector) != (len(tt.want) > 0) {
				t.Errorf("Selects is %t", len(tt.want) == 0)
			}
		})
	}
}

func TestSelecting(t *testing.T) {
	s := pods()
	of := Selecting(s, []Selection[string]{
		{"shop", labels.Nothing(), "nothing"},
		{"shop", labels.SelectorFromSet(labels.Set{"app": "mail"}), "mail"},
		{"shop", labels.SelectorFromSet(labels.Set{"tier": "web"}), "web"},
		{"shop", labels.SelectorFromSet(labels.Set{"tier": "web"}), "web once more"},
		{"bank", labels.Everything(), "everything"},
		{"none", labels.Everything(), "another namespace"},
	})
	var got []string
	for p, what := range of {
		got = append(got, p.Object.String()+": "+what)
	}
	slices.Sort(got)
	want := []string{
		"pod bank/bare: everything", "pod bank/cart: everything", "pod bank/mail: everything", "pod bank/queue: everything",
		"pod shop/cart: web", "pod shop/mail: mail",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("first selections (-want +got):\n%s", diff)
	}
}
