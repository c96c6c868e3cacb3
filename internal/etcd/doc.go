// Package etcd speaks to etcd as far as Bulwark needs: it reads what is stored
// without keeping it, and says who may read and write what.
//
// A unary call of gRPC is one POST over HTTP/2 with five bytes before the
// message, which net/http can do. etcd's own client would bring eight modules,
// and would hold every value whole in memory; etcd's JSON gateway cannot tell
// users apart by their certificates.
//
// It knows nothing of Kubernetes.
package etcd
