// Package cluster holds what is known of one Kubernetes cluster at one moment:
// the Snapshot, its facts, their indexes, and the gaps where nothing could be read.
//
// A Snapshot is immutable once built and safe for concurrent readers. The package
// uses the plain structs of k8s.io/api and refuses to know where facts come from:
// it imports no client, opens no file, reads no clock. Adapters (internal/kube,
// internal/manifest, internal/host) fill a Builder.
//
// No value of a Secret is ever part of a Snapshot. Builder.Add takes the metadata,
// the type and the key names of a Secret and lets go of the rest.
package cluster
