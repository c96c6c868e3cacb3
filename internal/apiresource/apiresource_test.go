package apiresource

import "testing"

func TestNamed(t *testing.T) {
	for word, want := range map[string]string{
		"pods": "pods", "po": "pods", "pod": "pods", "deploy": "deployments.apps", "deployment": "deployments.apps",
		"netpol": "networkpolicies.networking.k8s.io", "events": "events", "users": "users", "signers": "signers.certificates.k8s.io",
		"widgets": "", "": "",
	} {
		got := ""
		if found := Named(word); len(found) > 0 {
			got = found[0].String()
		}
		if got != want {
			t.Errorf("%q is %q, want %q", word, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	if r := Find("", "namespaces"); r == nil || r.Namespaced {
		t.Errorf("namespaces is %+v, want a resource in no namespace", r)
	}
	if r := Find("apps", "pods"); r != nil {
		t.Errorf("pods.apps is %+v, want nothing", r)
	}
	if n := len(All()); n < 70 {
		t.Errorf("%d resources are known, want all of the table", n)
	}
}
