package standard

// nsa are the chapters of the Kubernetes Hardening Guide of NSA and CISA, version 1.2,
// with our own words for what they ask.
var nsa = Standard{
	ID: "nsa", Title: "NSA/CISA Kubernetes Hardening Guide", Catalogue: "NSA/CISA",
	Items: []Item{
		{Number: "Non-root containers", Title: "Containers run as somebody without rights", Controls: []string{"pod.rootuser", "pod.rootgroup"}},
		{Number: "Immutable container file systems", Title: "Containers cannot write to their own files"},
		{Number: "Image integrity", Title: "Images are named so that they stay what was checked", Controls: []string{"image.undigested", "image.latest", "image.frozenregistry"}},
		{Number: "Pod security enforcement", Title: "Pods cannot have what opens the node, and admission refuses them", Controls: []string{"pod.privileged", "pod.hostpid", "pod.hostipc", "pod.hostnetwork", "pod.hostpath", "pod.runtimesocket", "pod.privilegeescalation", "pod.capabilities", "pod.procmount", "pod.sysctls", "pod.volumetypes", "storage.hostpathvolume", "apiserver.podsecurityplugin"}},
		{Number: "Service account tokens", Title: "Tokens are mounted only where they are needed", Controls: []string{"pod.tokenmount", "pod.longtoken", "secret.accounttoken"}},
		{Number: "Hardened container runtime", Title: "Containers are confined by seccomp, AppArmor or SELinux", Controls: []string{"pod.seccomp", "pod.apparmor", "pod.selinux", "kubelet.seccompdefault"}},
		{Number: "Network separation", Title: "Namespaces and policies divide the network", Controls: []string{"network"}},
		{Number: "Resource policies", Title: "Workloads have limits"},
		{Number: "Control plane hardening", Title: "The control plane is closed to whoever need not reach it", Controls: []string{"controllermanager.kcmbind", "apiserver.apiprofiling", "controllermanager.kcmprofiling", "scheduler.schedulerprofiling"}},
		{Number: "etcd", Title: "Only the API server reads etcd, by certificate", Controls: []string{"etcd", "listener.noclientcert", "file.datadir"}},
		{Number: "Kubeconfig files", Title: "Nobody else reads credentials in files", Controls: []string{"file.kubeconfig", "file.privatekey"}},
		{Number: "Worker nodes", Title: "Kubelets answer only whom they know, and may do only what is theirs", Controls: []string{"kubelet", "apiserver.nodeauthorizer", "apiserver.noderestriction", "apiserver.kubeletverify", "rbac.nodegroup"}},
		{Number: "Transport layer security", Title: "Traffic is encrypted by current TLS", Controls: []string{"apiserver.apitls"}},
		{Number: "Secrets", Title: "Secrets are encrypted at rest and not spread", Controls: []string{"apiserver.encryption", "encryption", "secret.literal", "secret.inconfigmap", "secret.inarguments", "secret.lastapplied", "file.secretconfig", "rbac.readsecrets"}},
		{Number: "Cloud metadata", Title: "Pods do not reach the cloud's metadata", Controls: []string{"network.metadata"}},
		{Number: "Authentication and authorization", Title: "Who asks is known, and may do only what is needed", Controls: []string{"rbac", "apiserver.authorizationmode", "apiserver.tokenfile", "workload.takeover", "controllermanager.sharedcredentials"}},
		{Number: "Audit logging", Title: "What is done is recorded"},
		{Number: "Logging and threat detection", Title: "Logs are gathered, watched, and somebody is told", Why: "it is about a system beside the cluster"},
		{Number: "Upgrading and application security practices", Title: "Supported versions and recent fixes", Controls: []string{"node.versionskew", "ingress.retirednginx"}},
	},
}
