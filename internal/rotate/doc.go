// Package rotate replaces a cluster's authority, or the key that signs its
// service accounts' tokens, while the cluster runs.
//
// A rotation is a [Plan]: phases of turns of steps, all of it data. Every file
// that it will write is known before the first one is, and is kept by its
// digest: a step that is repeated finds its work done, and going back is
// writing what was there. [Run] carries a plan out through an [Executor] and
// writes down, before and after every step, where it is.
//
// The package knows what Kubernetes' components read and when they read it
// again. It does not know how to reach a machine, and opens no file.
package rotate
