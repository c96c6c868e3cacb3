package standard

// seed is the checklist of the three articles that Bulwark set out to implement, item by
// item in our own words: securing the channels between components (1), practices for a
// whole cluster (2), and the API server (3). docs/checklist.md is written from it.
var seed = Standard{
	ID: "seed", Title: "Checklist of the three articles",
	Items: []Item{
		{Number: "1.1", Section: channels, Title: "The API server and its clients prove who they are by certificate", Controls: []string{"apiserver.apitls", "listener.plainlistener", "listener.oldtls"}, By: []string{check}},
		{Number: "1.2", Section: channels, Title: "The API server and the kubelets verify each other", Controls: []string{"apiserver.kubeletverify", "kubelet.clientca", "kubelet.anonymouskubelet", "kubelet.alwaysallow", "kubelet.readonlyport", "kubelet.selfsignedserving"}, By: []string{check}},
		{Number: "1.3", Section: channels, Title: "Scheduler, controller manager and kube-proxy use certificates of their own", Controls: []string{"controllermanager.sharedcredentials", "file.kubeconfig"}, By: []string{check}},
		{Number: "1.4", Section: channels, Title: "etcd and its peers speak TLS and ask for certificates", Controls: []string{"etcd", "listener.noclientcert"}, By: []string{check}},
		{Number: "1.5", Section: channels, Title: "Only the API server uses the cluster's etcd", Controls: []string{"file.datadir"}, By: []string{check}},
		{Number: "1.6", Section: channels, Title: "Components do not talk in plain text, nor on localhost", Controls: []string{"listener.plainlistener", "etcd.plainclient", "kubelet.readonlyport"}, By: []string{"`bulwark scan --host`"}},
		{Number: "1.7", Section: channels, Title: "The sockets of container runtimes are closed", Controls: []string{"pod.runtimesocket"}},
		{Number: "1.8", Section: channels, Title: "Users without rights find no credentials on machines", Controls: []string{"file"}, By: []string{"`bulwark scan --host`"}},
		{Number: "1.9", Section: channels, Title: "Containers run as users without rights, so that a break-out gains little", Controls: []string{"pod.rootuser", "pod.privilegeescalation", "pod.privileged"}},
		{Number: "1.10", Section: channels, Title: "A node's credential opens only what belongs to that node", Controls: []string{"apiserver.nodeauthorizer", "apiserver.noderestriction", "rbac.nodegroup"}},
		{Number: "1.11", Section: channels, Title: "Service accounts have the least rights", Controls: []string{"pod.tokenmount", "rbac.namespaceaccounts", "rbac.everyone", "workload.takeover"}},
		{Number: "1.12", Section: channels, Title: "The certificates can be maintained: made, renewed, replaced", By: []string{"`bulwark pki init`", "`bulwark pki renew`", "`bulwark pki rotate`"}},
		{Number: "1.13", Section: channels, Title: "People log in through an identity provider", Why: "where people come from is for the cluster's owner to say"},

		{Number: "2.1", Section: fundamentals, Title: "Pods have security contexts, and policies that enforce them", Controls: []string{"pod.rootuser", "pod.privilegeescalation", "pod.capabilities", "pod.dropall", "pod.seccomp", "pod.apparmor", "pod.selinux", "namespace.podsecurity", "apiserver.podsecurityplugin"}, By: []string{"`bulwark scan --standard pss-restricted`"}},
		{Number: "2.2", Section: fundamentals, Title: "RBAC gives each only what is needed", Controls: []string{"rbac", "apiserver.authorizationmode", "authorization"}},
		{Number: "2.3", Section: fundamentals, Title: "NetworkPolicies divide the network", Controls: []string{"network"}},
		{Number: "2.4", Section: components, Title: "The API server checks who asks, what they may do, and what they ask for", Controls: []string{"apiserver", "authentication", "authorization", "admission"}},
		{Number: "2.5", Section: components, Title: "etcd is encrypted at rest, and closed", Controls: []string{"apiserver.encryption", "encryption", "etcd", "file.datadir", "file.secretconfig"}, By: []string{"`bulwark pki encryption`"}},
		{Number: "2.6", Section: components, Title: "The keys of encryption are changed", By: []string{"`bulwark pki encryption rotate`"}},
		{Number: "2.7", Section: components, Title: "Kubelets and nodes are hardened", Controls: []string{"kubelet", "node"}},
		{Number: "2.8", Section: containers, Title: "Images are trusted and stay what was checked", Controls: []string{"image"}},
		{Number: "2.9", Section: containers, Title: "Images are scanned for vulnerabilities", Controls: []string{"image.exploited", "image.fixable", "image.unsupportedos"}, By: []string{"`bulwark image scan`"}},
		{Number: "2.10", Section: containers, Title: "Containers have few capabilities and rights", Controls: []string{"pod.capabilities", "pod.dropall", "pod.privileged", "pod.privilegeescalation", "pod.rootuser"}},
		{Number: "2.11", Section: containers, Title: "Containers cannot write to their own files", Controls: []string{"pod.writableroot"}},
		{Number: "2.12", Section: containers, Title: "Secrets are kept out of manifests, commands and ConfigMaps", Controls: []string{"secret"}},
		{Number: "2.13", Section: monitoring, Title: "Metrics and events are gathered and shown", Why: "it is about a system beside the cluster"},
		{Number: "2.14", Section: monitoring, Title: "What containers do is watched while they run", Why: "it is about a system beside the cluster"},
		{Number: "2.15", Section: monitoring, Title: "Somebody is told, and it is tried that they are", Why: "it is about a system beside the cluster"},
		{Number: "2.16", Section: monitoring, Title: "There is a plan for incidents, and lessons are learned", Why: "a plan is for people to make"},
		{Number: "2.17", Section: monitoring, Title: "Settings are reviewed again and again", By: []string{"`bulwark scan`"}},

		{Number: "3.1", Section: api, Title: "Who asks is known: certificates, tokens or an identity provider", Controls: []string{"apiserver.anonymousrequests", "apiserver.tokenfile", "authentication", "rbac.anonymousgrant"}},
		{Number: "3.2", Section: api, Title: "Clients' certificates come from an authority that the server verifies", By: []string{check, "`bulwark pki init`"}},
		{Number: "3.3", Section: api, Title: "Tokens are stored safely and change", Controls: []string{"secret.accounttoken", "secret.bootstraptoken", "pod.longtoken", "secret.literal"}},
		{Number: "3.4", Section: api, Title: "Roles are small and bound to who needs them", Controls: []string{"rbac", "apiserver.authorizationmode", "authorization"}},
		{Number: "3.5", Section: api, Title: "All traffic of the API is encrypted", Controls: []string{"apiserver.apitls", "listener.plainlistener", "listener.oldtls"}},
		{Number: "3.6", Section: api, Title: "The API server is reachable only from where it must be"},
		{Number: "3.7", Section: api, Title: "Requests are recorded", Controls: []string{"apiserver.auditlog", "audit"}},
		{Number: "3.8", Section: api, Title: "Audit logs are read, and what is odd is looked into", Why: "reading is for people and systems beside the cluster"},
	},
}

const check = "`bulwark pki check`"

const (
	channels     = "Channels between components"
	fundamentals = "Practices: fundamentals"
	components   = "Practices: components"
	containers   = "Practices: containers"
	monitoring   = "Practices: monitoring"
	api          = "The API server"
)
