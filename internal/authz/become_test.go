package authz

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

func (s store) pod(namespace, name, account string) store {
	s.b.Add("v1", "Pod", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.PodSpec{ServiceAccountName: account}}, cluster.Source{})
	return s
}

func (s store) token(namespace, name, account string) store {
	s.b.AddSecret(&metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: account}},
		cluster.SecretFacts{Type: string(corev1.SecretTypeServiceAccountToken)}, cluster.Source{})
	return s
}

// TestBecome has account shop/boss delete nodes; ann has what each case says.
func TestBecome(t *testing.T) {
	const rbac, certificates = "rbac.authorization.k8s.io", "certificates.k8s.io"
	for name, tt := range map[string]struct {
		in, rules string // of ann
		version   string
		want      string // how she gets there, empty for not at all
	}{
		"nothing":                           {"", "get core pods", "v1.36.0", ""},
		"impersonating it":                  {"shop", "impersonate core serviceaccounts boss", "v1.36.0", "impersonate serviceaccount shop/boss"},
		"impersonating another":             {"shop", "impersonate core serviceaccounts web", "v1.36.0", ""},
		"impersonating elsewhere":           {"bank", "impersonate core serviceaccounts", "v1.36.0", ""},
		"a group needs a user":              {"", "impersonate core groups", "v1.36.0", ""},
		"a group and a user":                {"", "impersonate core groups system:masters;impersonate core users joe", "v1.36.0", "impersonate group system:masters as some user"},
		"a token":                           {"shop", "create core serviceaccounts/token boss", "v1.36.0", "make a token of serviceaccount shop/boss"},
		"a pod":                             {"shop", "create core pods", "v1.36.0", "run pods in shop as serviceaccount shop/boss"},
		"a pod of a given name is none":     {"shop", "create core pods boss", "v1.36.0", ""},
		"a workload that is there":          {"shop", "patch apps deployments web", "v1.36.0", "change deployments in shop as serviceaccount shop/boss"},
		"commands in its pod":               {"shop", "create core pods/exec boss-1", "v1.36.0", "create pods/exec of a pod that runs as serviceaccount shop/boss"},
		"commands in another pod":           {"shop", "create core pods/exec web-1", "v1.36.0", ""},
		"commands by get, before 1.35":      {"shop", "get core pods/exec", "v1.34.0", "get pods/exec of a pod that runs as serviceaccount shop/boss"},
		"commands by get, since 1.35":       {"shop", "get core pods/exec", "v1.35.0", ""},
		"its Secret":                        {"shop", "get core secrets boss-token", "v1.36.0", "read a Secret with a token of serviceaccount shop/boss"},
		"another Secret":                    {"shop", "get core secrets other", "v1.36.0", ""},
		"a Secret to be made":               {"shop", "create,list core secrets", "v1.36.0", "have a token of serviceaccount shop/boss made in a Secret"},
		"binding without bind":              {"", "create " + rbac + " clusterrolebindings", "v1.36.0", ""},
		"bind without binding":              {"", "bind " + rbac + " clusterroles", "v1.36.0", ""},
		"bind of what has it":               {"", "create " + rbac + " clusterrolebindings;bind " + rbac + " clusterroles boss", "v1.36.0", "bind clusterrole boss to themselves"},
		"bind of something else":            {"", "create " + rbac + " clusterrolebindings;bind " + rbac + " clusterroles ann", "v1.36.0", ""},
		"bind in a namespace gives no node": {"shop", "create " + rbac + " rolebindings;bind " + rbac + " clusterroles", "v1.36.0", ""},
		"one's own role":                    {"", "escalate,update " + rbac + " clusterroles ann", "v1.36.0", "widen clusterrole ann, which they have"},
		"somebody's role":                   {"", "escalate,update " + rbac + " clusterroles boss", "v1.36.0", ""},
		"approving":                         {"", "create,get " + certificates + " certificatesigningrequests;update " + certificates + " certificatesigningrequests/approval;approve " + certificates + " signers kubernetes.io/*", "v1.36.0", "request and approve a certificate for serviceaccount shop/boss"},
		"approving for another signer":      {"", "create,get " + certificates + " certificatesigningrequests;update " + certificates + " certificatesigningrequests/approval;approve " + certificates + " signers x.io/y", "v1.36.0", ""},
		"the act alone":                     {"", "impersonate:serviceaccount authentication.k8s.io serviceaccounts boss;impersonate-on:serviceaccount:delete core nodes", "v1.36.0", "impersonate serviceaccount shop/boss for this alone"},
		"another act alone":                 {"", "impersonate:serviceaccount authentication.k8s.io serviceaccounts boss;impersonate-on:serviceaccount:get core nodes", "v1.36.0", ""},
		"the act alone, before 1.36":        {"", "impersonate:serviceaccount authentication.k8s.io serviceaccounts boss;impersonate-on:serviceaccount:delete core nodes", "v1.35.0", ""},
		"by way of another":                 {"shop", "create core serviceaccounts/token maker", "v1.36.0", "make a token of serviceaccount shop/maker, make a token of serviceaccount shop/boss"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore().
				role("", "boss", "delete core nodes").bind("", "boss", "ClusterRole", "boss", "ServiceAccount shop/boss").
				role("shop", "maker", "create core serviceaccounts/token boss").bind("shop", "maker", "Role", "maker", "ServiceAccount maker").
				role(tt.in, "ann", tt.rules).
				pod("shop", "boss-1", "boss").pod("shop", "web-1", "web").token("shop", "boss-token", "boss")
			kind := "Role"
			if tt.in == "" {
				kind = "ClusterRole"
			}
			e := New(s.bind(tt.in, "ann", kind, "ann", "User ann").b.Snapshot(), Options{Version: tt.version})
			got := ""
			for _, path := range e.Become(Request("delete", "", "nodes", "", "n1")) {
				if path[0].Who != userSubject("ann") {
					continue
				}
				var how []string
				for _, step := range path {
					how = append(how, step.How)
					for i, n := range step.Needs {
						if step.By[i] == (Origin{}) {
							t.Errorf("%s: nothing gives %s", step, n)
						}
					}
				}
				got = strings.Join(how, ", ")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
