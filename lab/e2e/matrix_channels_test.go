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
	readPolicyAgain = request{what: "deletes network policies", method: "DELETE", path: "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies?dryRun=All", says: `"kind"`}
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
			// etcd's authority is the only gate: whom it signed may read everything.
			{etcdHealth, readSecretKey, wants{answered, answeredPlain}},
			{etcdPeer, readSecretKey, wants{answered, answeredPlain}},
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
	},
	{
		name: "lab-net → kube-apiserver", from: "node-1", to: "balancer:6443", ca: "ca", as: labNet,
		business: []request{readPolicies},
		works:    wants{answered, ""}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{labNet, readPolicyAgain, wants{forbidden, ""}},
			{labNet, readSecrets, wants{forbidden, ""}},
			{labNet, createPod, wants{forbidden, ""}},
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
	},
	{
		name: "monitoring → etcd", from: "control-plane-1", to: "control-plane-1:2379", ca: "etcd/ca", as: etcdHealth,
		business: []request{readMetrics},
		works:    wants{answered, answeredPlain}, without: wants{inHandshake, answeredPlain}, stranger: wants{inHandshake, answeredPlain},
		others: []other{
			{kubelet, readMetrics, wants{inHandshake, answeredPlain}},
			{admin, readMetrics, wants{inHandshake, answeredPlain}},
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
	},
	{
		name: "monitoring → kube-controller-manager", from: "control-plane-1", to: "localhost:10257", ca: "ca", as: admin,
		business: []request{readMetrics, readConfig},
		works:    wants{answered, answeredByWhom}, without: wants{forbidden, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{scheduler, readMetrics, wants{forbidden, ""}},
			{scheduler, readConfig, wants{forbidden, ""}},
			{kubelet, readMetrics, wants{forbidden, ""}},
		},
	},
	{
		name: "monitoring → kube-scheduler", from: "control-plane-1", to: "localhost:10259", ca: "ca", as: admin,
		business: []request{readMetrics, readConfig},
		works:    wants{answered, answeredByWhom}, without: wants{forbidden, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{manager, readMetrics, wants{forbidden, answered}},
			{kubeProxy, readMetrics, wants{forbidden, ""}},
		},
	},
	{
		name: "monitoring → kubelet", from: "control-plane-1", to: "node-1:10250", ca: "ca", as: admin,
		business: []request{readMetrics, readConfig},
		works:    wants{answered, answeredByWhom}, without: wants{unauthenticated, answered}, stranger: wants{unauthenticated, ""},
		others: []other{
			{scheduler, readMetrics, wants{forbidden, answered}},
			{kubeProxy, readConfig, wants{forbidden, answered}},
		},
	},
}
