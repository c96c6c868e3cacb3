// Package pki makes the certificates, keys and kubeconfigs of a Kubernetes
// cluster.
//
// It knows what a cluster needs (its authorities, who is served, who is a
// client, under which names) and where kubeadm keeps each file, so what it
// writes drops into an existing cluster. What is needed is plain data: a [Plan]
// for one machine, a [Bundle] for a whole [Config]. Issuing is done by an
// [Issuer]. [Init] makes what is missing of a bundle, [Import] installs what
// somebody else has signed, [Renew] renews what lies in a folder, and [Pickup]
// says what has to happen then. What they write happens together or not at
// all, whenever they are killed; what they replace is kept.
//
// It refuses to know the clock, the network and the cluster: the time is handed
// in, addresses are handed in, and nothing is read back from a running
// component. It never logs, and no error carries key material.
package pki
