// Package network answers what may talk to what in one cluster: allowed, denied, or
// unknown with the reason. It holds the semantics of NetworkPolicy
// (networking.k8s.io/v1), ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2),
// AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1), with what the networks
// that enforce them leave open as a table of profiles.
//
// An answer is about the first packet of a connection: replies always pass. It is about
// policies, not about routes, listeners or firewalls beside them. Policies of Cilium and
// Calico are followed to whom they isolate; what they let through is unknown.
//
// Pods that no policy can tell apart form a class. Selectors are compiled once and each
// is asked only of those that its labels lead to, so that a World of 100,000 pods is
// built in about a second; all pairs are then pairs of classes. A World does not change
// once made and serves concurrent readers.
package network
