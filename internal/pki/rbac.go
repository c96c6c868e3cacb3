package pki

import _ "embed"

//go:embed rbac.yaml
var rbac []byte

// RBAC returns the objects that give the identities of a Bundle what they may
// do: for an apiserver, kubectl apply -f.
func RBAC() []byte { return rbac }
