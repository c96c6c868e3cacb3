// Command lab-bootstrap writes the roles and bindings that every API server makes at its
// start, one object a line, for internal/authz. The lab's Kubernetes decides the version.
package main

import (
	"encoding/json"
	"io"
	"log"
	"maps"
	"os"
	"slices"

	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"
)

func main() {
	if err := write(os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	one := func(kind string, o any) error {
		return e.Encode(map[string]any{"kind": kind, "object": o})
	}
	for _, o := range slices.Concat(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()) {
		if err := one("ClusterRole", o); err != nil {
			return err
		}
	}
	for _, o := range slices.Concat(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()) {
		if err := one("ClusterRoleBinding", o); err != nil {
			return err
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(bootstrappolicy.NamespaceRoles())) {
		for _, o := range bootstrappolicy.NamespaceRoles()[namespace] {
			if err := one("Role", o); err != nil {
				return err
			}
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(bootstrappolicy.NamespaceRoleBindings())) {
		for _, o := range bootstrappolicy.NamespaceRoleBindings()[namespace] {
			if err := one("RoleBinding", o); err != nil {
				return err
			}
		}
	}
	return nil
}
