// Package e2e tests Bulwark on real clusters that it starts itself: etcd, API server,
// controllers, scheduler and nodes, in network namespaces of this machine. It drives
// the bulwark binary as its users do and looks at what the clusters do.
//
//	make e2e
//
// The clusters are shared: a test must leave its cluster as it found it, in a
// namespace of its own. A test that breaks a cluster starts one for itself.
package e2e
