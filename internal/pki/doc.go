// Package pki makes the certificates, keys and kubeconfigs of a Kubernetes
// cluster.
//
// It knows what a cluster needs (three authorities, who is served, who is a
// client, under which names) and where kubeadm keeps each file, so what it
// writes drops into an existing cluster. What is needed is plain data, a
// [Plan]; issuing is done by an [Issuer]; writing by [Files].
//
// It refuses to know the clock, the network and the cluster: the time is handed
// in, addresses are handed in, and nothing is read back from a running
// component. It never logs, and no error carries key material.
package pki
