package rights

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// randomGrants are roles and bindings of few subjects.
func randomGrants(rng *rand.Rand) []any {
	subjects := []rbacv1.Subject{
		{Kind: "ServiceAccount", Namespace: "shop", Name: "cart"},
		{Kind: "User", Name: "system:serviceaccount:shop:cart"},
		{Kind: "User", Name: "ann"},
		{Kind: "Group", Name: "system:serviceaccounts:shop"},
		{Kind: "Group", Name: "system:authenticated"},
		{Kind: "Group", Name: "devs"},
	}
	var out []any
	for i := range 1 + rng.IntN(4) {
		name := fmt.Sprint("r", i)
		rules := []rbacv1.PolicyRule{randomRule(rng), randomRule(rng)}
		who := []rbacv1.Subject{subjects[rng.IntN(len(subjects))]}
		if rng.IntN(2) == 0 {
			out = append(out, clusterRole(name, rules), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: who, RoleRef: ref("ClusterRole", name)})
			continue
		}
		meta := metav1.ObjectMeta{Namespace: []string{"shop", "bank"}[rng.IntN(2)], Name: name}
		out = append(out, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: who, RoleRef: ref("Role", name)})
	}
	return out
}

// identities are the subjects as who they are when they ask.
var identities = map[string]authz.User{
	"cart": authz.ServiceAccount("shop", "cart"), "ann": authz.NewUser("ann"), "web": authz.ServiceAccount("shop", "web"),
	"dev": authz.NewUser("joe", "devs"),
}

// TestDiffIsWhatChanged: whatever the newer one allows to anybody and the older one does
// not is in what some subject gained, and what is lost is the same the other way round.
func TestDiffIsWhatChanged(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	world := requests()
	for range 150 {
		older, newer := snapshotOf(randomGrants(rng)), snapshotOf(randomGrants(rng))
		changes, err := Diff(older, newer)
		if err != nil {
			t.Fatal(err)
		}
		only := authz.Options{Authorizers: []cluster.Authorizer{{Type: "RBAC"}}}
		before, after := authz.New(older, only), authz.New(newer, only)
		for name, who := range identities {
			for i := range world {
				a := world[i].By(who)
				was, is := before.Authorize(&a).Decision, after.Authorize(&a).Decision
				gained := slices.ContainsFunc(changes, func(c Change) bool { return holds(c.Gained, &a) })
				lost := slices.ContainsFunc(changes, func(c Change) bool { return holds(c.Lost, &a) })
				if is == authz.Allow && was != authz.Allow && !gained || was == authz.Allow && is != authz.Allow && !lost {
					t.Fatalf("%s by %s was %s and is %s, gained %v, lost %v: %+v", a, name, was, is, gained, lost, changes)
				}
			}
		}
		if same, err := Diff(newer, newer); err != nil || len(same) > 0 {
			t.Fatalf("a snapshot differs from itself: %+v, %v", same, err)
		}
	}
}

func holds(list []Part, a *authz.Attributes) bool {
	return slices.ContainsFunc(list, func(p Part) bool {
		return (len(p.Namespaces) == 0 || slices.Contains(p.Namespaces, a.Namespace)) && allows(p.Rules, a)
	})
}

// TestHeldIsWhatIsAllowed: the merged rights of somebody allow what the engine does.
func TestHeldIsWhatIsAllowed(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	world := requests()
	for range 150 {
		engine := authz.New(snapshotOf(randomGrants(rng)), authz.Options{Authorizers: []cluster.Authorizer{{Type: "RBAC"}}})
		for name, who := range identities {
			held, err := HeldBy(engine, who, []string{"bank", "shop"})
			if err != nil {
				t.Fatal(err)
			}
			for i := range world {
				a := world[i].By(who)
				if got, want := holds(held.Parts, &a), engine.Authorize(&a).Decision == authz.Allow; got != want {
					t.Fatalf("%s by %s is %v, and %v by the merged rights %+v", a, name, want, got, held.Parts)
				}
			}
		}
	}
}
