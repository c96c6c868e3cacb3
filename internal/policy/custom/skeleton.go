package custom

import "strings"

// IsID reports whether a text can name a control of one's own.
func IsID(id string) bool { return idPattern.MatchString(id) && !strings.HasPrefix(id, "policy.") }

// A File is one to write, its path with slashes.
type File struct{ Path, Text string }

// Skeleton is a control to begin with. It compiles and its cases pass.
func Skeleton(id string) []File {
	named := func(text string) string { return strings.ReplaceAll(text, "ID", id) }
	return []File{
		{id + ".yaml", named(skeletonControl)},
		{"testdata/" + id + "/broken.txtar", named(skeletonBroken)},
		{"testdata/" + id + "/held.txtar", named(skeletonHeld)},
	}
}

const skeletonControl = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: ID
  annotations:
    bulwark.dev/title: Deployment runs a single replica
    bulwark.dev/severity: medium
    bulwark.dev/why: |
      When its node is drained or fails, the service is gone until a new pod is ready.
    bulwark.dev/fix: |
      Set spec.replicas to at least 2, and spread the pods over nodes.
    bulwark.dev/references: |
      https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
spec:
  matchConstraints:
    resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [deployments]
  variables:
  - name: replicas
    expression: object.spec.?replicas.orValue(1)
  validations:
  - expression: variables.replicas >= 2
    messageExpression: "'one node down takes ' + object.metadata.name + ' down'"
  # The evidence: which field, and what was wanted. Bulwark reads these three keys.
  auditAnnotations:
  - key: path
    valueExpression: "'spec.replicas'"
  - key: want
    valueExpression: "'2 or more'"
`

const skeletonBroken = `A Deployment that says one, and one that says nothing, which is one.
-- in/shop.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: cart, image: "cart:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
-- want --
deployment shop/cart: spec.replicas is 1, want 2 or more: one node down takes cart down
deployment shop/web: spec.replicas is not set, want 2 or more: one node down takes web down
`

const skeletonHeld = `Two replicas are enough.
-- in/shop.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: cart, image: "cart:1"}]}
-- want --
`
