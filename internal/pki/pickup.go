package pki

import (
	"path"
	"strings"
)

// Pickup says what has to happen so that a renewed certificate is used. role is
// its name on its machine: apiserver, etcd/server, scheduler.conf, kubelet.
//
// Each answer was read in the sources of Kubernetes 1.36 and etcd 3.6, which
// are named beside it.
func Pickup(role string) string {
	switch role {
	case "apiserver":
		// k8s.io/apiserver/pkg/server/options/serving.go makes a
		// dynamiccertificates.DynamicCertKeyPairContent, which watches both files
		// and looks once a minute (dynamic_serving_content.go).
		return "by itself, within a minute"
	case "kube-controller-manager", "kube-scheduler":
		// Their serving certificates go through the same options/serving.go.
		return "by itself, within a minute"
	case "front-proxy-client":
		// k8s.io/kube-aggregator/pkg/apiserver/apiserver.go: the proxy's client
		// certificate is dynamic serving content as well.
		return "by itself, within a minute"
	case "apiserver-kubelet-client":
		// k8s.io/kubernetes/pkg/kubelet/client/kubelet_client.go sets
		// ReloadTLSFiles; k8s.io/client-go/transport/cert_rotation.go looks every
		// five minutes and closes the connections of the old certificate.
		return "by itself, within five minutes"
	case "apiserver-etcd-client":
		// k8s.io/apiserver/pkg/storage/storagebackend/factory/etcd3.go uses etcd's
		// transport.TLSInfo, whose GetClientCertificate reads the files in every
		// handshake (go.etcd.io/etcd/client/pkg/v3/transport/listener.go). A
		// connection that stands is not broken.
		return "by itself, with the next connection; restart kube-apiserver to be rid of the old one at once"
	case "etcd/server", "etcd/peer":
		// go.etcd.io/etcd/client/pkg/v3/transport/listener.go: GetCertificate and
		// GetClientCertificate read the files in every handshake.
		return "by itself, with the next connection"
	case "etcd/healthcheck-client":
		return "nothing: each health check reads it"
	case "kubelet":
		// k8s.io/kubernetes/pkg/kubelet/kubelet.go with the feature
		// ReloadKubeletServerCertificateFile, on by default since 1.31.
		return "by itself, within a minute; restart kubelets older than 1.31"
	case "controller-manager.conf":
		// k8s.io/client-go/transport/transport.go reloads certificates that are
		// files; one that is embedded in a kubeconfig is read once, at the start.
		return "restart kube-controller-manager"
	case "scheduler.conf":
		return "restart kube-scheduler" // as controller-manager.conf
	case "kube-proxy.conf":
		return "restart kube-proxy" // as controller-manager.conf
	case "kubelet.conf":
		// k8s.io/kubernetes/cmd/kubelet/app/server.go: with rotateCertificates an
		// embedded certificate only starts the kubelet off; from then on
		// kubelet-client-current.pem is used, and renewed by the kubelet.
		return "restart the kubelet, unless it rotates its own"
	case "docker":
		return "restart dockerd: it reads its certificate at the start"
	}
	switch {
	case strings.HasSuffix(role, ".conf"):
		return "hand the file to whoever uses it"
	case strings.HasPrefix(role, "docker/"):
		return "hand the pair to whoever uses it"
	}
	return "restart whatever reads " + path.Base(role)
}
