// Package lab runs a real Kubernetes cluster on this machine: etcd, apiserver,
// controller manager, scheduler, and nodes with containerd and kubelet.
//
// A cluster has one folder, and everything that exists of it can be found from
// that folder's name alone: its processes carry the name in their environment,
// and its control groups are called after it. [Down] needs nothing else, so it
// works after any crash.
//
// One owner process per cluster holds what must be held: it is the parent of
// the machines, its thread is in the cluster's network namespace, and it
// carries connections from the loopback address to the apiservers. When it
// dies, the kernel ends all the rest.
//
// As root every machine has namespaces and a root file system of its own
// (package machine) on a network of its own (package fabric), and inside looks
// like a machine that kubeadm has set up. Without root there are no nodes, and
// the control plane's processes run on the loopback address.
//
// What distinguishes a hardened cluster from a weak one is data: [Profile].
package lab
