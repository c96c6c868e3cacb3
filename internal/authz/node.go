package authz

import (
	"slices"
	"strings"

	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// nodeAuthorizer lets kubelets read what the pods of their node need
// (plugin/pkg/auth/authorizer/node/node_authorizer.go). What it leaves open, such as which
// pods a node may delete, is narrowed by the admission plugin NodeRestriction.
type nodeAuthorizer struct {
	release release
	common  []rbacv1.PolicyRule
	graph   nodeGraph
	// unread are the kinds whose relations to nodes rest on lists that were not read.
	unread map[string]bool
	nodes  []string // that are known
}

// The kinds of things that a node is related to, as resources are called.
const (
	secretKind     = "secrets"
	configMapKind  = "configmaps"
	podKind        = "pods"
	claimKind      = "persistentvolumeclaims"
	volumeKind     = "persistentvolumes"
	attachmentKind = "volumeattachments"
	accountKind    = "serviceaccounts"
	deviceKind     = "resourceclaims"
	sliceKind      = "resourceslices"
	requestKind    = "podcertificaterequests"
)

// nodeField is what a node selects by.
const nodeField = "spec.nodeName"

// A thing is an object that a node may be related to.
type thing struct{ kind, namespace, name string }

// An edge relates a thing to a node.
type edge struct {
	thing
	node string
}

// A nodeGraph knows which things are related to which nodes, and by what: node <- pod <-
// secret, configmap, claim, account, device; claim <- volume <- secret; node <- attachment,
// slice, request (graph.go and graph_populator.go beside the authorizer).
type nodeGraph struct {
	// edges of each thing and node have the object that relates them.
	edges map[edge]cluster.Ref
	// behind are the claims that stand behind a volume, and the volumes behind a secret.
	behind map[thing][]thing
}

func newNodeAuthorizer(s *cluster.Snapshot, r release) *nodeAuthorizer {
	n := &nodeAuthorizer{release: r, common: nodeRules(r), unread: map[string]bool{}}
	n.graph = nodeGraph{map[edge]cluster.Ref{}, map[thing][]thing{}}
	g := &n.graph
	for o, pod := range cluster.All[*corev1.Pod](s, "Pod") {
		g.addPod(o, pod)
	}
	for o, v := range cluster.All[*corev1.PersistentVolume](s, "PersistentVolume") {
		g.addVolume(o, v)
	}
	for o, v := range cluster.All[*storagev1.VolumeAttachment](s, "VolumeAttachment") {
		g.relate(thing{attachmentKind, "", o.Name}, v.Spec.NodeName, o.Ref)
	}
	if r.has(deviceClaims) {
		for o, v := range cluster.All[*resourcev1.ResourceSlice](s, "ResourceSlice") {
			if v.Spec.NodeName != nil {
				g.relate(thing{sliceKind, "", o.Name}, *v.Spec.NodeName, o.Ref)
			}
		}
	}
	if r.has(podCertificates) {
		for o, v := range cluster.All[*certificatesv1beta1.PodCertificateRequest](s, "PodCertificateRequest") {
			g.relate(thing{requestKind, o.Namespace, o.Name}, string(v.Spec.NodeName), o.Ref)
		}
	}
	n.lookForUnread(s)
	for _, o := range s.Kind("Node") {
		n.nodes = append(n.nodes, o.Name)
	}
	for e := range g.edges {
		n.nodes = append(n.nodes, e.node)
	}
	slices.Sort(n.nodes)
	n.nodes = slices.Compact(n.nodes)
	return n
}

// lookForUnread notes what a running cluster has and the Snapshot may lack.
func (n *nodeAuthorizer) lookForUnread(s *cluster.Snapshot) {
	missing := func(need cluster.Need) bool { return len(s.Gaps(need)) > 0 || s.Live && !s.Looked(need) }
	note := func(kinds ...string) {
		for _, k := range kinds {
			n.unread[k] = true
		}
	}
	if missing(cluster.Pods) {
		note(secretKind, configMapKind, podKind, claimKind, volumeKind, accountKind, deviceKind)
	}
	if missing(cluster.PersistentVolumes) {
		note(volumeKind, secretKind)
	}
	if missing(cluster.VolumeAttachments) {
		note(attachmentKind)
	}
	if missing(cluster.DeviceSlices) {
		note(sliceKind)
	}
	if missing(cluster.PodCertificates) {
		note(requestKind)
	}
}

func (g *nodeGraph) relate(t thing, node string, by cluster.Ref) {
	if node == "" || t.name == "" {
		return
	}
	if _, ok := g.edges[edge{t, node}]; !ok {
		g.edges[edge{t, node}] = by
	}
}

func (g *nodeGraph) addPod(o *cluster.Object, pod *corev1.Pod) {
	node := pod.Spec.NodeName
	relate := func(kind, name string) {
		if name != "" {
			g.relate(thing{kind, o.Namespace, name}, node, o.Ref)
		}
	}
	relate(podKind, o.Name)
	if _, mirror := o.Meta.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return // or a node could make itself one that leads to anything
	}
	relate(accountKind, pod.Spec.ServiceAccountName)
	for _, r := range pod.Spec.ImagePullSecrets {
		relate(secretKind, r.Name)
	}
	container := func(from []corev1.EnvFromSource, env []corev1.EnvVar) {
		for _, f := range from {
			if f.SecretRef != nil {
				relate(secretKind, f.SecretRef.Name)
			}
			if f.ConfigMapRef != nil {
				relate(configMapKind, f.ConfigMapRef.Name)
			}
		}
		for _, v := range env {
			if v.ValueFrom == nil {
				continue
			}
			if r := v.ValueFrom.SecretKeyRef; r != nil {
				relate(secretKind, r.Name)
			}
			if r := v.ValueFrom.ConfigMapKeyRef; r != nil {
				relate(configMapKind, r.Name)
			}
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			container(list[i].EnvFrom, list[i].Env)
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		container(pod.Spec.EphemeralContainers[i].EnvFrom, pod.Spec.EphemeralContainers[i].Env)
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		for _, name := range volumeSecrets(&v.VolumeSource) {
			relate(secretKind, name)
		}
		for _, name := range volumeConfigMaps(&v.VolumeSource) {
			relate(configMapKind, name)
		}
		switch {
		case v.PersistentVolumeClaim != nil:
			relate(claimKind, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			relate(claimKind, o.Name+"-"+v.Name)
		}
	}
	for _, c := range pod.Spec.ResourceClaims {
		relate(deviceKind, deviceClaim(pod, &c))
	}
	if extended := pod.Status.ExtendedResourceClaimStatus; extended != nil {
		relate(deviceKind, extended.ResourceClaimName)
	}
}

// deviceClaim is the ResourceClaim that a pod uses; empty where there is none (yet)
// (k8s.io/dynamic-resource-allocation/resourceclaim, Name).
func deviceClaim(pod *corev1.Pod, c *corev1.PodResourceClaim) string {
	if c.ResourceClaimName != nil {
		return *c.ResourceClaimName
	}
	if c.ResourceClaimTemplateName != nil {
		for _, s := range pod.Status.ResourceClaimStatuses {
			if s.Name == c.Name && s.ResourceClaimName != nil {
				return *s.ResourceClaimName
			} else if s.Name == c.Name {
				return ""
			}
		}
	}
	return ""
}

// volumeSecrets are the secrets that a pod's volume names; of the sources that are set, the
// first one counts (pkg/api/v1/pod/util.go, VisitPodSecretNames).
func volumeSecrets(v *corev1.VolumeSource) []string {
	local := func(r *corev1.LocalObjectReference) []string {
		if r == nil {
			return nil
		}
		return []string{r.Name}
	}
	switch {
	case v.AzureFile != nil:
		return []string{v.AzureFile.SecretName}
	case v.CephFS != nil:
		return local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		return local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		return local(v.FlexVolume.SecretRef)
	case v.Projected != nil:
		var out []string
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				out = append(out, s.Secret.Name)
			}
		}
		return out
	case v.RBD != nil:
		return local(v.RBD.SecretRef)
	case v.Secret != nil:
		return []string{v.Secret.SecretName}
	case v.ScaleIO != nil:
		return local(v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		return local(v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		return local(v.StorageOS.SecretRef)
	case v.CSI != nil:
		return local(v.CSI.NodePublishSecretRef)
	}
	return nil
}

func volumeConfigMaps(v *corev1.VolumeSource) []string {
	switch {
	case v.Projected != nil:
		var out []string
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				out = append(out, s.ConfigMap.Name)
			}
		}
		return out
	case v.ConfigMap != nil:
		return []string{v.ConfigMap.Name}
	}
	return nil
}

func (g *nodeGraph) addVolume(o *cluster.Object, v *corev1.PersistentVolume) {
	claim := v.Spec.ClaimRef
	if claim == nil {
		return
	}
	volume := thing{volumeKind, "", o.Name}
	g.behind[volume] = []thing{{claimKind, claim.Namespace, claim.Name}}
	for _, r := range persistentSecrets(&v.Spec.PersistentVolumeSource, claim.Namespace) {
		if r.Name != "" {
			secret := thing{secretKind, r.Namespace, r.Name}
			g.behind[secret] = append(g.behind[secret], volume)
		}
	}
}

// persistentSecrets are the secrets of a volume that kubelets use. Some sources take the
// claim's namespace where the volume names none (pkg/api/v1/persistentvolume/util.go).
func persistentSecrets(v *corev1.PersistentVolumeSource, claim string) []corev1.SecretReference {
	as := func(namespace string, refs ...*corev1.SecretReference) []corev1.SecretReference {
		var out []corev1.SecretReference
		for _, r := range refs {
			if r == nil {
				continue
			}
			one := *r
			if one.Namespace == "" {
				one.Namespace = namespace
			}
			out = append(out, one)
		}
		return out
	}
	switch {
	case v.AzureFile != nil:
		r := &corev1.SecretReference{Name: v.AzureFile.SecretName}
		if v.AzureFile.SecretNamespace != nil {
			r.Namespace = *v.AzureFile.SecretNamespace
		}
		return as(claim, r)
	case v.CephFS != nil:
		return as(claim, v.CephFS.SecretRef)
	case v.Cinder != nil:
		return as("", v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		return as(claim, v.FlexVolume.SecretRef)
	case v.RBD != nil:
		return as(claim, v.RBD.SecretRef)
	case v.ScaleIO != nil:
		return as(claim, v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		return as(claim, v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		if r := v.StorageOS.SecretRef; r != nil {
			return []corev1.SecretReference{{Namespace: r.Namespace, Name: r.Name}}
		}
	case v.CSI != nil:
		return as("", v.CSI.NodePublishSecretRef, v.CSI.NodeStageSecretRef, v.CSI.NodeExpandSecretRef)
	}
	return nil
}

// related returns what relates a thing to a node, through whatever stands behind it.
func (g *nodeGraph) related(t thing, node string) (cluster.Ref, bool) {
	if by, ok := g.edges[edge{t, node}]; ok {
		return by, true
	}
	for _, next := range g.behind[t] { // secret, volume, claim: never a cycle
		if by, ok := g.related(next, node); ok {
			return by, true
		}
	}
	return cluster.Ref{}, false
}

// nodeOf returns the node that a user is (pkg/auth/nodeidentifier/default.go).
func nodeOf(u *User) (string, bool) {
	name, ok := strings.CutPrefix(u.Name, nodePrefix)
	return name, ok && name != "" && slices.Contains(u.Groups, nodes)
}

func (n *nodeAuthorizer) judge(a *Attributes) (opinion, Origin) {
	node, ok := nodeOf(&a.User)
	if !ok {
		return none, Origin{}
	}
	by := Origin{Authorizer: "Node"}
	switch what := n.asks(a); what {
	case never:
		return none, Origin{}
	case everyNode:
		return allows, by
	case own:
		if a.Name == node {
			return allows, by
		}
	case selected:
		if slices.Contains(a.Fields, [2]string{nodeField, node}) {
			return allows, by
		}
		if a.Resource == podKind && a.Name != "" {
			return n.related(a, node)
		}
	case related:
		return n.related(a, node)
	}
	return none, Origin{}
}

func (n *nodeAuthorizer) related(a *Attributes, node string) (opinion, Origin) {
	by := Origin{Authorizer: "Node"}
	if a.Name == "" {
		return none, Origin{}
	}
	through, ok := n.graph.related(thing{a.Resource, a.Namespace, a.Name}, node)
	switch {
	case ok:
		by.Through = through
		return allows, by
	case n.unread[a.Resource]:
		by.Detail = "what relates it to the node was not read"
		return mayAllow, by
	}
	return none, Origin{}
}

// A nodeAsk is what decides over a node's request.
type nodeAsk int

const (
	never     nodeAsk = iota
	everyNode         // every node may
	own               // the node whose name the object has
	selected          // with a field selector for the node, or a pod of it by name
	related           // the nodes that the graph relates the object to
)

// asks sorts a request that some node makes.
func (n *nodeAuthorizer) asks(a *Attributes) nodeAsk {
	if !a.ResourceRequest {
		return n.static(a)
	}
	verb, sub := a.Verb, a.Subresource
	reads := verb == "get" || verb == "list" || verb == "watch"
	writesOwn := slices.Contains([]string{"get", "create", "update", "patch", "delete"}, verb)
	relatedIf := func(ok bool) nodeAsk {
		if ok {
			return related
		}
		return never
	}
	switch a.Group + "/" + a.Resource {
	case "/secrets", "/configmaps":
		return relatedIf(reads && sub == "" && a.Namespace != "")
	case "/persistentvolumeclaims":
		if sub == "status" {
			return relatedIf(verb == "update" || verb == "patch")
		}
		return relatedIf(verb == "get" && sub == "")
	case "/persistentvolumes", "resource.k8s.io/resourceclaims", "storage.k8s.io/volumeattachments":
		return relatedIf(verb == "get" && sub == "")
	case "/serviceaccounts":
		if verb == "get" && sub == "" {
			return relatedIf(a.Namespace != "" && (n.release.has(nodeReadsAccount) || n.release.has(podCertificates)))
		}
		return relatedIf(verb == "create" && sub == "token")
	case "coordination.k8s.io/leases":
		if !writesOwn || a.Namespace != corev1.NamespaceNodeLease {
			return never
		}
		return createOr(own, verb)
	case "storage.k8s.io/csinodes":
		if !writesOwn || sub != "" {
			return never
		}
		return createOr(own, verb)
	case "resource.k8s.io/resourceslices":
		switch {
		case sub != "":
			return never
		case writesOwn:
			return createOr(related, verb)
		case verb == "watch" || verb == "list" || verb == "deletecollection":
			if n.release.has(nodeSelectors) {
				return selected
			}
			return everyNode
		}
		return never
	case "certificates.k8s.io/podcertificaterequests":
		if sub != "" || !n.release.has(podCertificates) || !n.release.has(nodeSelectors) {
			return never
		}
		switch verb {
		case "create":
			return everyNode
		case "get":
			return related
		case "list", "watch":
			return selected
		}
		return never
	case "/nodes":
		if n.release.has(nodeSelectors) {
			return asksNodes(verb, sub)
		}
	case "/pods":
		if n.release.has(nodeSelectors) {
			return asksPods(verb, sub)
		}
	}
	return n.static(a)
}

// createOr is for what a node may create under any name, which is not known then.
func createOr(ask nodeAsk, verb string) nodeAsk {
	if verb == "create" {
		return everyNode
	}
	return ask
}

func asksNodes(verb, sub string) nodeAsk {
	switch sub + "/" + verb {
	case "/create", "/update", "/patch", "status/update", "status/patch":
		return everyNode
	case "/get", "/list", "/watch":
		return own
	}
	return never
}

func asksPods(verb, sub string) nodeAsk {
	switch sub + "/" + verb {
	case "/create", "/delete", "status/update", "status/patch", "eviction/create":
		return everyNode
	case "/get":
		return related
	case "/list", "/watch":
		return selected
	}
	return never
}

func (n *nodeAuthorizer) static(a *Attributes) nodeAsk {
	for i := range n.common {
		if RuleAllows(&n.common[i], a) {
			return everyNode
		}
	}
	return never
}

// nodeRules are the rules that hold for every node
// (bootstrappolicy.NodeRules in plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go).
func nodeRules(r release) []rbacv1.PolicyRule {
	const read, own = "get list watch", "get create update patch delete"
	var out []rbacv1.PolicyRule
	add := func(verbs, group string, resources ...string) {
		out = append(out, rbacv1.PolicyRule{Verbs: strings.Fields(verbs), APIGroups: []string{group}, Resources: resources})
	}
	add("create", "authentication.k8s.io", "tokenreviews")
	add("create", "authorization.k8s.io", "subjectaccessreviews", "localsubjectaccessreviews")
	add(read, "", "services")
	add("create "+read+" update patch", "", "nodes")
	add("update patch", "", "nodes/status")
	add("create update patch", "", "events")
	add("create update patch", "events.k8s.io", "events")
	add(read+" create delete", "", "pods")
	add("update patch", "", "pods/status")
	add("create", "", "pods/eviction")
	add(read, "", "secrets", "configmaps")
	add("get", "", "persistentvolumeclaims", "persistentvolumes")
	add("get", "", "endpoints")
	add("create "+read, "certificates.k8s.io", "certificatesigningrequests")
	add(own, "coordination.k8s.io", "leases")
	add("get", "storage.k8s.io", "volumeattachments")
	add("create", "", "serviceaccounts/token")
	add("get update patch", "", "persistentvolumeclaims/status")
	add(read, "storage.k8s.io", "csidrivers")
	add(own, "storage.k8s.io", "csinodes")
	add(read, "node.k8s.io", "runtimeclasses")
	if r.has(deviceClaims) {
		add("get", "resource.k8s.io", "resourceclaims")
		add("deletecollection", "resource.k8s.io", "resourceslices")
	}
	if r.has(trustBundles) {
		add(read, "certificates.k8s.io", "clustertrustbundles")
	}
	if r.has(nodeReadsAccount) {
		add("get", "", "serviceaccounts")
	}
	if r.has(podCertificates) {
		add(read+" create", "certificates.k8s.io", "podcertificaterequests")
	}
	return out
}

// holders adds the nodes that may do it: all of them as the group that they are in, or each
// that the graph relates to it.
func (n *nodeAuthorizer) holders(a *need, out []Holder) []Holder {
	by := Origin{Authorizer: "Node"}
	switch ask := n.asks(&a.Attributes); ask {
	case never:
	case everyNode:
		out = append(out, Holder{Subject: groupSubject(nodes), By: by})
	case own, selected, related:
		if ask == own && a.Name != "" {
			return append(out, Holder{Subject: userSubject(nodePrefix + a.Name), By: by})
		}
		candidates := n.nodes
		for _, f := range a.Fields {
			if _, known := slices.BinarySearch(n.nodes, f[1]); !known && f[0] == nodeField {
				candidates = append(slices.Clone(candidates), f[1])
			}
		}
		for _, node := range candidates {
			b := a.By(Node(node))
			switch says, by := n.judge(&b); says {
			case allows:
				out = append(out, Holder{Subject: userSubject(nodePrefix + node), By: by})
			case mayAllow:
				return append(out, Holder{Subject: groupSubject(nodes), Unknown: true, By: by})
			case none, denies, mayDo:
			}
		}
	}
	return out
}

// rules adds those that hold for every node; what the graph adds is no rule, and the origin
// says so.
func (n *nodeAuthorizer) rules(u *User, _ string, out []Rule) []Rule {
	if _, ok := nodeOf(u); !ok {
		return out
	}
	for _, r := range n.common {
		out = append(out, Rule{PolicyRule: r, By: Origin{Authorizer: "Node", Detail: "narrowed to what its pods need"}})
	}
	return out
}
