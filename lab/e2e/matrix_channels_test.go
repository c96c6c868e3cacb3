//go:build e2e

package e2e

var (
	etcdClient  = caller{who: "the apiserver's etcd client", from: "control-plane-1", file: "pki/apiserver-etcd-client"}
	etcdHealth  = caller{who: "etcd's health check", from: "control-plane-1", file: "pki/etcd/healthcheck-client"}
	etcdPeer    = caller{who: "an etcd member", from: "control-plane-1", file: "pki/etcd/peer"}
	toKubelets  = caller{who: "the apiserver's kubelet client", from: "control-plane-1", file: "pki/apiserver-kubelet-client"}
	frontProxy  = caller{who: "the front proxy", from: "control-plane-1", file: "pki/front-proxy-client"}
	forgedProxy = caller{who: "another name of the front proxy's authority", from: "control-plane-1", file: "pki/front-proxy-ca", forged: "another-proxy"}
	apiServing  = caller{who: "the apiserver's serving certificate", from: "control-plane-1", file: "pki/apiserver"}
	manager     = caller{who: "the controller manager", from: "control-plane-1", file: "controller-manager.conf"}
	approver    = caller{who: "the approver", from: "control-plane-1", file: "kubelet-serving-approver.conf"}
	scheduler   = caller{who: "the scheduler", from: "control-plane-1", file: "scheduler.conf"}
	admin       = caller{who: "the administrator", from: "control-plane-1", file: "admin.conf"}
	kubelet     = caller{who: "node-1's kubelet", from: "node-1", file: "kubelet.conf"}
	kubelet2    = caller{who: "node-2's kubelet", from: "node-2", file: "kubelet.conf"}
	kubeProxy   = caller{who: "kube-proxy", from: "node-1", file: "kube-proxy.conf"}
	labNet      = caller{who: "the network agent", from: "node-1", file: "lab-net.conf"}
)

const (
	matrixPod     = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "made", "namespace": "matrix"}, "spec": {"containers": [{"name": "c", "image": "lab.bulwark.test/probe:1"}]}}`
	matrixBinding = `{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "made"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]}`
	whoAmI        = `{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}`
)

// What is asked for. Changes are dry runs: authorized and admitted, and not stored.
var (
	inMatrix        = "/api/v1/namespaces/matrix"
	readKey         = request{what: "reads a key of the apiserver's", key: "/registry/namespaces/default", says: "/registry/namespaces/default"}
	readSecretKey   = request{what: "reads the key of a secret", key: "/registry/secrets/matrix/of-here", says: "/registry/secrets/matrix/of-here"}
	readPeers       = request{what: "asks a member who the others are", path: "/members", http1: true, says: `"peerURLs"`}
	readMetrics     = request{what: "reads metrics", path: "/metrics", says: "# TYPE"}
	readConfig      = request{what: "reads the configuration", path: "/configz", says: "{"}
	readNodes       = request{what: "lists nodes", path: "/api/v1/nodes", says: `"NodeList"`}
	readOwnNode     = request{what: "reads its Node", path: "/api/v1/nodes/node-1", says: `"node-1"`}
	readOwnSecret   = request{what: "reads a secret that its pod mounts", path: inMatrix + "/secrets/of-here", says: `"of-here"`}
	readOtherSecret = request{what: "reads a secret of another node's pod", path: inMatrix + "/secrets/of-there", says: `"of-there"`}
	readOtherConfig = request{what: "reads a config map of another node's pod", path: inMatrix + "/configmaps/of-there", says: `"of-there"`}
	readSecrets     = request{what: "lists all secrets", path: "/api/v1/secrets", says: `"SecretList"`}
	readPods        = request{what: "lists pods", path: "/api/v1/pods", says: `"PodList"`}
	readServices    = request{what: "lists services", path: "/api/v1/services", says: `"ServiceList"`}
	readPolicies    = request{what: "lists network policies", path: "/apis/networking.k8s.io/v1/networkpolicies", says: `"NetworkPolicyList"`}
	readRequests    = request{what: "lists requests for certificates", path: "/apis/certificates.k8s.io/v1/certificatesigningrequests", says: `"CertificateSigningRequestList"`}
	approveOwn      = request{what: "approves a request of its own", method: "PUT", path: "/apis/certificates.k8s.io/v1/certificatesigningrequests/own/approval?dryRun=All", body: `{"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "own"}}`}
	deletePolicies  = request{what: "deletes network policies", method: "DELETE", path: "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies?dryRun=All", says: `"kind"`}
	changeOtherNode = request{what: "changes another node", method: "PATCH", path: "/api/v1/nodes/node-2?dryRun=All", body: `{"metadata": {"labels": {"x": "y"}}}`, says: `"node-2"`}
	labelOwnNode    = request{what: "gives itself a label that placement trusts", method: "PATCH", path: "/api/v1/nodes/node-1?dryRun=All", body: `{"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}}`, says: `"node-1"`}
	createPod       = request{what: "creates a pod", method: "POST", path: inMatrix + "/pods?dryRun=All", body: matrixPod, says: `"made"`}
	bindAdmin       = request{what: "makes somebody cluster-admin", method: "POST", path: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings?dryRun=All", body: matrixBinding, says: `"mallory"`}
	runInPod        = request{what: "runs a command in a pod", method: "POST", path: "/run/matrix/here/probe?cmd=/probe%20id", says: "uid"}
	podLogs         = request{what: "reads a pod's log", path: "/containerLogs/matrix/here/probe"}
	kubeletPods     = request{what: "lists the node's pods", path: "/pods", says: `"PodList"`}
	beAlice         = request{what: "speaks for alice", method: "POST", path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", body: whoAmI, header: map[string]string{"X-Remote-User": "alice", "X-Remote-Group": "system:masters"}, says: `"alice"`}
	speakForNobody  = request{what: "speaks for nobody", method: "POST", path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", body: whoAmI, says: `"username"`}
)

// readRemotely asks for metrics by the machine's address instead of on loopback.
func readRemotely(port string) request {
	return request{what: "reads metrics by the machine's address", path: "/metrics", says: "# TYPE", to: "control-plane-1:" + port}
}

// channels are all ways in which components talk, and what is tried on each. Where no
// second verdict is given, the weak cluster does as the hardened one.
var channels = []channel{
	{
		name: "kube-apiserver → etcd", from: "control-plane-1", to: "control-plane-1:2379", ca: "etcd/ca", as: etcdClient,
		business: []request{readKey, readSecretKey},
		works:    wants{answered, answeredPlain}, without: wants{inHandshake, answeredPlain}, stranger: wants{inHandshake, answeredPlain},
		others: []other{
			{kubelet, readSecretKey, wants{inHandshake, answeredPlain}},
			{toKubelets, readSecretKey, wants{inHandshake, answeredPlain}},
			{frontProxy, readSecretKey, wants{inHandshake, answeredPlain}},
			{admin, readSecretKey, wants{inHandshake, answeredPlain}},
			// Signed by etcd's authority, but no user who may read this.
			{etcdHealth, readSecretKey, wants{forbidden, answeredPlain}},
			{etcdPeer, readSecretKey, wants{forbidden, answeredPlain}},
		},
		paper: paper{
			protocol:   "gRPC, TLS 1.2 or newer",
			server:     "etcd's certificate for that machine",
			client:     "its own certificate of etcd's authority, demanded in the handshake",
			authorized: "etcd, by the certificate's name: the apiserver may use /registry/, and no other name may",
			lost:       "read or write the cluster's state around the API: no certificate of a node, of an administrator or of another component is one of etcd's",
		},
	},
	{
		name: "etcd → etcd", from: "control-plane-1", to: "control-plane-2:2380", ca: "etcd/ca", as: etcdPeer,
		business: []request{readPeers},
		works:    wants{answered, answeredPlain}, without: wants{inHandshake, answeredPlain}, stranger: wants{inHandshake, answeredPlain},
		others: []other{
			{etcdClient, readPeers, wants{inHandshake, answeredPlain}},
			{etcdHealth, readPeers, wants{inHandshake, answeredPlain}},
			{kubelet, readPeers, wants{inHandshake, answeredPlain}},
			{admin, readPeers, wants{inHandshake, answeredPlain}},
		},
		paper: paper{
			protocol:   "HTTP, TLS 1.2 or newer",
			server:     "the member's certificate",
			client:     "the member's certificate, demanded in the handshake",
			authorized: "etcd, by the names of the members",
			lost:       "join the members or feed one of them: not even with another certificate of etcd's authority",
		},
	},
	{
		name: "kubelet → kube-apiserver", from: "node-1", to: "balancer:6443", ca: "ca", as: kubelet,
		business: []request{readOwnNode, readOwnSecret},
		works:    wants{answered, ""}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{kubelet, readOtherSecret, wants{forbidden, answered}},
			{kubelet, readOtherConfig, wants{forbidden, answered}},
			{kubelet, readSecrets, wants{forbidden, answered}},
			{kubelet, changeOtherNode, wants{forbidden, answered}},
			{kubelet, labelOwnNode, wants{forbidden, answered}},
			{kubelet, createPod, wants{forbidden, answered}},
			{kubelet, bindAdmin, wants{forbidden, ""}},
			{etcdClient, readOwnNode, wants{unauthenticated, ""}},
			{etcdPeer, readOwnNode, wants{unauthenticated, ""}},
			{etcdHealth, readOwnNode, wants{unauthenticated, ""}},
			{apiServing, readOwnNode, wants{unauthenticated, ""}},
		},
		paper: paper{
			protocol:   "HTTPS through the balancer",
			server:     "the apiserver's certificate",
			client:     "system:node:NAME in system:nodes",
			authorized: "the Node authorizer and NodeRestriction",
			lost:       "use one node's certificate for more than that node: other nodes' secrets and config maps, other Nodes, labels that placement trusts, pods elsewhere",
		},
	},
	{
		name: "kube-apiserver → kubelet", from: "control-plane-1", to: "node-1:10250", ca: "ca", as: toKubelets,
		business: []request{kubeletPods, podLogs, runInPod},
		works:    wants{answered, answeredByWhom}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{kubelet2, runInPod, wants{forbidden, answered}},
			{kubelet2, kubeletPods, wants{forbidden, answered}},
			{scheduler, runInPod, wants{forbidden, answered}},
			{kubeProxy, podLogs, wants{forbidden, answered}},
			{etcdClient, runInPod, wants{unauthenticated, ""}},
			{frontProxy, runInPod, wants{unauthenticated, ""}},
		},
		paper: paper{
			protocol:   "HTTPS",
			server:     "a certificate of the cluster's authority with the node's address, which the kubelet asked for and the owner approved",
			client:     "kube-apiserver-kubelet-client",
			authorized: "the kubelet, which asks the apiserver",
			lost:       "run commands in pods or read their logs around the API: not without a certificate, and not with another node's or a component's",
		},
	},
	{
		name: "kube-controller-manager → kube-apiserver", from: "control-plane-1", to: "control-plane-1:6443", ca: "ca", as: manager,
		business: []request{readNodes},
		works:    wants{answered, ""}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{manager, createPod, wants{forbidden, answered}},
			{manager, bindAdmin, wants{forbidden, answered}},
			{manager, changeOtherNode, wants{forbidden, answered}},
		},
		paper: paper{
			protocol:   "HTTPS",
			server:     "the apiserver's certificate",
			client:     "system:kube-controller-manager",
			authorized: "RBAC; each controller acts as an account of its own",
			lost:       "be the administrator with the controller manager's certificate, or make pods with it",
		},
	},
	{
		name: "kube-scheduler → kube-apiserver", from: "control-plane-1", to: "control-plane-1:6443", ca: "ca", as: scheduler,
		business: []request{readPods},
		works:    wants{answered, ""}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{scheduler, readSecrets, wants{forbidden, ""}},
			{scheduler, createPod, wants{forbidden, ""}},
			{scheduler, changeOtherNode, wants{forbidden, ""}},
			{scheduler, bindAdmin, wants{forbidden, ""}},
		},
		paper: paper{
			protocol:   "HTTPS",
			server:     "the apiserver's certificate",
			client:     "system:kube-scheduler",
			authorized: "RBAC",
			lost:       "read secrets or change nodes with the scheduler's certificate",
		},
	},
	{
		name: "kube-proxy → kube-apiserver", from: "node-1", to: "balancer:6443", ca: "ca", as: kubeProxy,
		business: []request{readServices},
		works:    wants{answered, ""}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{kubeProxy, createPod, wants{forbidden, ""}},
			{kubeProxy, readSecrets, wants{forbidden, ""}},
			{kubeProxy, changeOtherNode, wants{forbidden, ""}},
		},
		paper: paper{
			protocol:   "HTTPS through the balancer",
			server:     "the apiserver's certificate",
			client:     "system:kube-proxy",
			authorized: "RBAC",
			lost:       "do more with it than look up services, endpoints and nodes",
		},
	},
	{
		name: "lab-net → kube-apiserver", from: "node-1", to: "balancer:6443", ca: "ca", as: labNet,
		business: []request{readPolicies},
		works:    wants{answered, ""}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{labNet, deletePolicies, wants{forbidden, ""}},
			{labNet, readSecrets, wants{forbidden, ""}},
			{labNet, createPod, wants{forbidden, ""}},
		},
		paper: paper{
			protocol:   "HTTPS through the balancer",
			server:     "the apiserver's certificate",
			client:     "system:lab-net",
			authorized: "RBAC",
			lost:       "open the network: the agent reads policies and cannot change them",
		},
	},
	{
		name: "serving approver → kube-apiserver", from: "balancer", to: "balancer:6443", ca: "ca", as: approver, hardenedOnly: true,
		business: []request{readRequests},
		works:    wants{hardened: answered}, without: wants{hardened: unauthenticated}, stranger: wants{hardened: unauthenticated},
		others: []other{
			{approver, readSecrets, wants{hardened: forbidden}},
			{approver, createPod, wants{hardened: forbidden}},
			{approver, bindAdmin, wants{hardened: forbidden}},
			{kubelet, approveOwn, wants{hardened: forbidden}},
			{kubelet2, approveOwn, wants{hardened: forbidden}},
		},
		paper: paper{
			protocol:   "HTTPS through the balancer",
			server:     "the apiserver's certificate",
			client:     "bulwark:kubelet-serving-approver",
			authorized: "RBAC, for one signer",
			lost:       "have a certificate approved in a kubelet's name, or use who approves them for anything else",
		},
	},
	{
		name: "administrator → kube-apiserver", from: "balancer", to: "balancer:6443", ca: "ca", as: admin,
		business: []request{readNodes, readSecrets},
		works:    wants{answered, ""}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{toKubelets, readSecrets, wants{forbidden, answered}},
			{toKubelets, bindAdmin, wants{forbidden, answered}},
			{scheduler, beAlice, wants{claimIgnored, ""}},
		},
		paper: paper{
			protocol:   "HTTPS through the balancer",
			server:     "the apiserver's certificate",
			client:     "kubernetes-admin in kubeadm:cluster-admins, which can be taken away",
			authorized: "RBAC",
			lost:       "do an administrator's work with the identity that the apiserver has towards kubelets, or by claiming to be somebody in a header",
		},
	},
	{
		name: "front proxy → kube-apiserver", from: "control-plane-2", to: "control-plane-1:6443", ca: "ca", as: frontProxy,
		business: []request{beAlice},
		works:    wants{answered, ""}, without: wants{unauthenticated, claimIgnored}, stranger: wants{unauthenticated, ""},
		others: []other{
			{frontProxy, speakForNobody, wants{unauthenticated, ""}},
			{forgedProxy, beAlice, wants{unauthenticated, ""}},
			{admin, beAlice, wants{claimIgnored, ""}},
			{kubelet, beAlice, wants{claimIgnored, ""}},
		},
		paper: paper{
			protocol:   "HTTPS",
			server:     "the apiserver's certificate",
			client:     "front-proxy-client, of an authority of its own",
			authorized: "the apiserver, by the certificate's name",
			lost:       "be anybody by saying so in X-Remote-User: the header counts only with that one certificate",
		},
	},
	{
		name: "monitoring → etcd", from: "control-plane-1", to: "control-plane-1:2379", ca: "etcd/ca", as: etcdHealth,
		business: []request{readMetrics},
		works:    wants{answered, answeredPlain}, without: wants{inHandshake, answeredPlain}, stranger: wants{inHandshake, answeredPlain},
		others: []other{
			{kubelet, readMetrics, wants{inHandshake, answeredPlain}},
			{admin, readMetrics, wants{inHandshake, answeredPlain}},
		},
		paper: paper{
			protocol:   "HTTPS",
			server:     "etcd's certificate",
			client:     "etcd's health check, demanded in the handshake",
			authorized: "etcd's authority",
			lost:       "watch etcd without a certificate of its authority",
		},
	},
	{
		name: "monitoring → kube-apiserver", from: "node-1", to: "balancer:6443", ca: "ca", as: admin,
		business: []request{readMetrics},
		works:    wants{answered, ""}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{kubeProxy, readMetrics, wants{forbidden, ""}},
			{kubelet, readMetrics, wants{forbidden, ""}},
		},
		paper: paper{
			protocol:   "HTTPS through the balancer",
			server:     "the apiserver's certificate",
			client:     "a user whom RBAC lets read /metrics",
			authorized: "RBAC",
			lost:       "learn from metrics who asks for what",
		},
	},
	{
		name: "monitoring → kube-controller-manager", from: "control-plane-1", to: "localhost:10257", ca: "ca", as: admin,
		business: []request{readMetrics, readConfig},
		works:    wants{answered, answeredByWhom}, without: wants{forbidden, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{scheduler, readMetrics, wants{forbidden, ""}},
			{scheduler, readConfig, wants{forbidden, ""}},
			{kubelet, readMetrics, wants{forbidden, ""}},
			{nobody, readRemotely("10257"), wants{notListening, answered}},
			{admin, readRemotely("10257"), wants{notListening, answered}},
		},
		paper: paper{
			protocol:   "HTTPS on loopback",
			server:     "its certificate of the cluster's authority",
			client:     "a user whom RBAC lets read /metrics",
			authorized: "the controller manager, which asks the apiserver",
			lost:       "reach it from another machine, or learn anything but that it is up",
		},
	},
	{
		name: "monitoring → kube-scheduler", from: "control-plane-1", to: "localhost:10259", ca: "ca", as: admin,
		business: []request{readMetrics, readConfig},
		works:    wants{answered, answeredByWhom}, without: wants{forbidden, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{manager, readMetrics, wants{forbidden, answered}},
			{kubeProxy, readMetrics, wants{forbidden, ""}},
			{nobody, readRemotely("10259"), wants{notListening, answered}},
			{admin, readRemotely("10259"), wants{notListening, answered}},
		},
		paper: paper{
			protocol:   "HTTPS on loopback",
			server:     "its certificate of the cluster's authority",
			client:     "a user whom RBAC lets read /metrics",
			authorized: "the scheduler, which asks the apiserver",
			lost:       "reach it from another machine, or learn anything but that it is up",
		},
	},
	{
		name: "monitoring → kubelet", from: "control-plane-1", to: "node-1:10250", ca: "ca", as: admin,
		business: []request{readMetrics, readConfig},
		works:    wants{answered, answeredByWhom}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{scheduler, readMetrics, wants{forbidden, answered}},
			{kubeProxy, readConfig, wants{forbidden, answered}},
			{nobody, request{what: "lists the node's pods on the read-only port", path: "/pods", says: `"PodList"`, to: "node-1:10255"}, wants{notListening, answeredPlain}},
		},
		paper: paper{
			protocol:   "HTTPS",
			server:     "a certificate of the cluster's authority",
			client:     "a user whom RBAC lets read nodes/metrics",
			authorized: "the kubelet, which asks the apiserver",
			lost:       "learn what runs on a node",
		},
	},
	{
		name: "kubelet → containerd", from: "node-1", unix: "/run/containerd/containerd.sock",
		works: wants{answered, ""}, without: wants{byFileMode, ""}, stranger: wants{notAsked, ""},
		business: []request{{what: "asks for the version"}},
		paper: paper{
			protocol:   "gRPC on a socket in the file system",
			server:     "the folder, which is root's",
			client:     "being root",
			authorized: "the socket's mode, 0660 of root",
			lost:       "start a container, and so be root, as an unprivileged user of the node; there is no port for it, with or without certificates",
		},
	},
}
