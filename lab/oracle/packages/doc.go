// Package packages holds what Bulwark finds in images against what others find in the
// same files: govulncheck in Go binaries, osv-scalibr in everything that the package
// managers of languages leave. Where they differ, the test says why.
//
// It is apart from the oracles of Kubernetes, with which it shares nothing and which take
// minutes to link.
package packages
