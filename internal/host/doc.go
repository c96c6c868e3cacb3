// Package host reads the machine that it runs on: which Kubernetes components run,
// with which arguments, which files they use and who may read those, which ports they
// listen on and how these answer.
//
// It looks at /proc from the outside and changes nothing. It works on Linux only, and
// as root only in full: what another user's process hides becomes a cluster.Gap.
//
// A machine is a network namespace. A static pod on the host network belongs to the
// machine although it has a mount and a PID namespace of its own; a kind node or a lab
// machine has its own network and is another machine, whatever runs it; and what runs
// in a pod's own network is a workload and no part of any machine.
//
// Values that look like credentials do not leave the package: they are cut out of
// arguments, and of environments only etcd's own settings are looked at. Of files that
// hold keys it learns the mode and the owner, not the content. One key is used, where
// Options.Stored says so: the API server's for etcd, to ask etcd which objects bear the
// mark of encryption. It is not kept, and neither is a value.
package host
