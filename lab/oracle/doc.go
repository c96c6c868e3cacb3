// Package oracle holds Bulwark's semantics against Kubernetes' own code, which only
// this module links: the same input to both, and no difference allowed.
package oracle
