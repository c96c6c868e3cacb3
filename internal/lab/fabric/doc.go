// Package fabric is the network of a lab cluster: a network namespace with a
// bridge, to which each machine's own namespace is joined, and the way in from
// the host.
//
// The host's own network is never touched. The only thing of a cluster that is
// there is a listener on the loopback address; its connections are carried
// into the namespace by file descriptor, so there is no interface, route or
// rule on the host that could carry anything else.
package fabric
