// Package oracle holds Bulwark's semantics against Kubernetes' own code, and what it reads
// of images against other readers', which only this module links: the same input to both,
// and no difference allowed but those that a test explains.
//
// It requires k8s.io/kubernetes itself, where components are built by modules of their
// own. Those pin every dependency because what they build is run. Here only packages with
// few dependencies are imported, so that few versions move and a cold build stays short.
package oracle
