//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	facts "github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/kube"
)

// A giver is a user with rights of its own, in the test's namespace and everywhere.
type giver struct {
	name           string
	in, everywhere []rbacv1.PolicyRule
}

func rule(group string, verbs, resources []string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Verbs: verbs, Resources: resources, ResourceNames: names}
}

const giftNamespace = "e2e-gifts"

var (
	write = []string{"create", "update"}

	writeHere       = rule(rbacv1.GroupName, write, []string{"roles", "rolebindings"})
	writeEverywhere = rule(rbacv1.GroupName, write, []string{"clusterroles", "clusterrolebindings", "roles", "rolebindings"})
	seePods         = rule("", []string{"get", "list"}, []string{"pods"})
	everything      = rbacv1.PolicyRule{APIGroups: []string{"*"}, Verbs: []string{"*"}, Resources: []string{"*"}}
	everyURL        = rbacv1.PolicyRule{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}}
)

func giversOf() []giver {
	type rules = []rbacv1.PolicyRule
	return []giver{
		{"gift-nobody", nil, nil},
		{"gift-writer", rules{writeHere}, nil},
		{"gift-owner", rules{writeHere, seePods}, nil},
		{"gift-owner-elsewhere", rules{writeHere}, rules{seePods}},
		{"gift-escalator", rules{writeHere, rule(rbacv1.GroupName, []string{"escalate"}, []string{"roles"})}, nil},
		{"gift-escalator-of-one", rules{writeHere, rule(rbacv1.GroupName, []string{"escalate"}, []string{"roles"}, "there")}, nil},
		{"gift-escalator-only", rules{rule(rbacv1.GroupName, []string{"escalate"}, []string{"roles", "clusterroles"})}, nil},
		{"gift-binder", rules{writeHere, rule(rbacv1.GroupName, []string{"bind"}, []string{"clusterroles", "roles"})}, nil},
		{"gift-binder-of-view", rules{writeHere, rule(rbacv1.GroupName, []string{"bind"}, []string{"clusterroles"}, "view")}, nil},
		{"gift-binder-only", nil, rules{rule(rbacv1.GroupName, []string{"bind"}, []string{"clusterroles", "roles"})}},
		{"gift-writer-everywhere", nil, rules{writeEverywhere, seePods}},
		{"gift-binder-everywhere", nil, rules{writeEverywhere, rule(rbacv1.GroupName, []string{"bind"}, []string{"clusterroles"}, "cluster-admin")}},
		{"gift-all-resources", nil, rules{everything}},
		{"gift-all", nil, rules{everything, everyURL}},
	}
}

// A gift is a write that gives rights away. try does it without effect; ask is what the
// engine says.
type gift struct {
	name string
	try  func(context.Context, kubernetes.Interface) error
	ask  func(*authz.Engine, authz.User) authz.Decision
}

var dryRun = []string{metav1.DryRunAll}

// asking is the request to write.
func asking(u authz.User, verb, resource, namespace, name string) authz.Attributes {
	return authz.Request(verb, rbacv1.GroupName, resource, namespace, name).By(u)
}

func roleGift(name string, update bool, rules ...rbacv1.PolicyRule) gift {
	verb, object := "create", "" // a name is not known of what is created
	if update {
		verb, object = "update", "there"
	}
	return gift{
		"role " + name,
		func(ctx context.Context, c kubernetes.Interface) error {
			r := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "there"}, Rules: rules}
			var err error
			if update {
				_, err = c.RbacV1().Roles(giftNamespace).Update(ctx, r, metav1.UpdateOptions{DryRun: dryRun})
			} else {
				r.Name = "fresh"
				_, err = c.RbacV1().Roles(giftNamespace).Create(ctx, r, metav1.CreateOptions{DryRun: dryRun})
			}
			return err
		},
		func(e *authz.Engine, u authz.User) authz.Decision {
			return e.MayWriteRole(asking(u, verb, "roles", giftNamespace, object), authz.RoleChange{Rules: rules}).Decision
		},
	}
}

func clusterRoleGift(name string, aggregates bool, rules ...rbacv1.PolicyRule) gift {
	return gift{
		"clusterrole " + name,
		func(ctx context.Context, c kubernetes.Interface) error {
			r := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "e2e-gift"}, Rules: rules}
			if aggregates {
				r.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"gift": "yes"}}}}
			}
			_, err := c.RbacV1().ClusterRoles().Create(ctx, r, metav1.CreateOptions{DryRun: dryRun})
			return err
		},
		func(e *authz.Engine, u authz.User) authz.Decision {
			return e.MayWriteRole(asking(u, "create", "clusterroles", "", ""), authz.RoleChange{Rules: rules, Aggregates: aggregates}).Decision
		},
	}
}

func bindingGift(kind, role, namespace string) gift {
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "given"}}
	resource := "rolebindings"
	if namespace == "" {
		resource = "clusterrolebindings"
	}
	return gift{
		fmt.Sprintf("%s of %s %s", resource, kind, role),
		func(ctx context.Context, c kubernetes.Interface) error {
			meta := metav1.ObjectMeta{Name: "e2e-gift"}
			var err error
			if namespace == "" {
				_, err = c.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{DryRun: dryRun})
			} else {
				_, err = c.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{DryRun: dryRun})
			}
			return err
		},
		func(e *authz.Engine, u authz.User) authz.Decision {
			write := asking(u, "create", resource, namespace, "")
			if d := e.Authorize(&write).Decision; d != authz.Allow {
				return d
			}
			return e.MayBind(u, ref, namespace).Decision
		},
	}
}

func gifts() []gift {
	secrets := rule("", []string{"get"}, []string{"secrets"})
	onePod := rule("", []string{"get"}, []string{"pods"}, "one")
	log := rule("", []string{"get"}, []string{"pods/log"})
	metrics := rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}}
	return []gift{
		roleGift("empty", false), roleGift("of pods", false, seePods), roleGift("of one pod", false, onePod),
		roleGift("of secrets", false, secrets), roleGift("of pods and secrets", false, seePods, secrets), roleGift("of logs", false, log),
		roleGift("of everything", false, everything),
		roleGift("grows by secrets", true, seePods, secrets), roleGift("grows by a pod", true, seePods, onePod),
		clusterRoleGift("of pods", false, seePods), clusterRoleGift("of secrets", false, secrets), clusterRoleGift("of metrics", false, metrics),
		clusterRoleGift("that aggregates", true),
		bindingGift("Role", "there", giftNamespace), bindingGift("ClusterRole", "view", giftNamespace),
		bindingGift("ClusterRole", "cluster-admin", giftNamespace), bindingGift("ClusterRole", "view", ""), bindingGift("ClusterRole", "cluster-admin", ""),
	}
}

// TestGivingRightsAway: who may write which role and binding is what the API server says
// in a dry run.
func TestGivingRightsAway(t *testing.T) {
	c := hardened.get(t)
	c.namespace(t, giftNamespace)
	config := c.config(t)
	client := kubernetes.NewForConfigOrDie(config)
	ctx := t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(client.RbacV1().Roles(giftNamespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "there"}, Rules: []rbacv1.PolicyRule{seePods}}, metav1.CreateOptions{}))
	all := giversOf()
	for _, g := range all {
		meta := metav1.ObjectMeta{Name: g.name}
		subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: g.name}}
		if g.in != nil {
			must(client.RbacV1().Roles(giftNamespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: g.in}, metav1.CreateOptions{}))
			must(client.RbacV1().RoleBindings(giftNamespace).Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: g.name},
			}, metav1.CreateOptions{}))
		}
		if g.everywhere != nil {
			must(client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: g.everywhere}, metav1.CreateOptions{}))
			must(client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
				ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: g.name},
			}, metav1.CreateOptions{}))
			t.Cleanup(func() { c.kubectl(t, "delete", "clusterrole,clusterrolebinding", g.name) })
		}
	}
	b := facts.NewBuilder("e2e", true)
	if err := kube.Read(ctx, config, b, kube.Options{Needs: facts.RBAC}); err != nil {
		t.Fatal(err)
	}
	engine := authz.New(b.Snapshot(), authz.Options{Authorizers: []facts.Authorizer{{Type: "Node"}, {Type: "RBAC"}}})
	count := map[bool]int{}
	for _, g := range all {
		as := rest.CopyConfig(config)
		as.Impersonate = rest.ImpersonationConfig{UserName: g.name}
		client := kubernetes.NewForConfigOrDie(as)
		for _, gift := range gifts() {
			want := gift.ask(engine, authz.NewUser(g.name))
			// A binding that was just made is known to the API server within a moment.
			eventually(t, 10*time.Second, func() string {
				err := gift.try(ctx, client)
				if err != nil && !apierrors.IsForbidden(err) {
					return fmt.Sprintf("%s, %s: %v", g.name, gift.name, err)
				}
				if got := err == nil; got != (want == authz.Allow) || want == authz.Unknown {
					return fmt.Sprintf("%s, %s: %s by the engine; the API server: %v", g.name, gift.name, want, err)
				}
				return ""
			})
			count[want == authz.Allow]++
		}
	}
	t.Logf("%d writes of roles and bindings agree with the API server's dry run, %d of them allowed", count[true]+count[false], count[true])
}
