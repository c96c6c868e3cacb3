package oracle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuretesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/kubernetes/pkg/auth/authorizer/abac"
	"k8s.io/kubernetes/pkg/auth/nodeidentifier"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/node"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"github.com/bulwark-k8s/bulwark/internal/apiconfig"
	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// A nodeWorld is what relates things to nodes.
type nodeWorld struct {
	pods        []*corev1.Pod
	volumes     []*corev1.PersistentVolume
	attachments []*storagev1.VolumeAttachment
	slices      []*resourcev1.ResourceSlice
	requests    []*certificatesv1beta1.PodCertificateRequest
}

func (w *nodeWorld) add(b *cluster.Builder) {
	for _, o := range w.pods {
		b.Add("v1", "Pod", o.DeepCopy(), cluster.Source{})
	}
	for _, o := range w.volumes {
		b.Add("v1", "PersistentVolume", o, cluster.Source{})
	}
	for _, o := range w.attachments {
		b.Add("storage.k8s.io/v1", "VolumeAttachment", o, cluster.Source{})
	}
	for _, o := range w.slices {
		b.Add("resource.k8s.io/v1", "ResourceSlice", o, cluster.Source{})
	}
	for _, o := range w.requests {
		b.Add("certificates.k8s.io/v1beta1", "PodCertificateRequest", o, cluster.Source{})
	}
}

// server populates the real graph as graph_populator.go does.
func (w *nodeWorld) server() *node.NodeAuthorizer {
	g := node.NewGraph()
	for _, o := range w.pods {
		if o.Spec.NodeName != "" {
			g.AddPod(o)
		}
	}
	for _, o := range w.volumes {
		g.AddPV(o)
	}
	for _, o := range w.attachments {
		g.AddVolumeAttachment(o.Name, o.Spec.NodeName)
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.DynamicResourceAllocation) {
		for _, o := range w.slices {
			name := ""
			if o.Spec.NodeName != nil {
				name = *o.Spec.NodeName
			}
			g.AddResourceSlice(o.Name, name)
		}
	}
	if utilfeature.DefaultFeatureGate.Enabled(features.PodCertificateRequest) {
		for _, o := range w.requests {
			g.AddPodCertificateRequest(o)
		}
	}
	return node.NewAuthorizer(g, nodeidentifier.NewDefaultNodeIdentifier(), bootstrappolicy.NodeRules())
}

func (w *nodeWorld) String() string {
	text, err := json.Marshal([]any{w.pods, w.volumes, w.attachments, w.slices, w.requests})
	if err != nil {
		return err.Error()
	}
	return string(text)
}

var (
	nodeNames  = []string{"n1", "n2", "n3"}
	thingNames = []string{"x", "y", "z", "p0-x"}
)

func (m maker) name() string  { return pick(m.generator, thingNames...) }
func (m maker) space() string { return pick(m.generator, someSpaces...) }
func (m maker) node() string  { return pick(m.generator, append(nodeNames, "")...) }
func (m maker) local() *corev1.LocalObjectReference {
	if m.maybe(0.3) {
		return nil
	}
	return &corev1.LocalObjectReference{Name: pick(m.generator, append(thingNames, "")...)}
}

func (m maker) reference() *corev1.SecretReference {
	if m.maybe(0.3) {
		return nil
	}
	return &corev1.SecretReference{Name: pick(m.generator, append(thingNames, "")...), Namespace: pick(m.generator, "", "a", "b")}
}

func (m maker) containers() []corev1.Container {
	var out []corev1.Container
	for range m.IntN(2) {
		c := corev1.Container{}
		if m.maybe(0.3) {
			c.EnvFrom = append(c.EnvFrom, corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: m.name()}}})
		}
		if m.maybe(0.3) {
			c.EnvFrom = append(c.EnvFrom, corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: m.name()}}})
		}
		if m.maybe(0.3) {
			c.Env = append(c.Env, corev1.EnvVar{ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: m.name()}}}})
		}
		if m.maybe(0.3) {
			c.Env = append(c.Env, corev1.EnvVar{}, corev1.EnvVar{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: m.name()}}}})
		}
		out = append(out, c)
	}
	return out
}

// volume has one source of the many, sometimes two, of which the first one counts.
func (m maker) volume() corev1.Volume {
	v := corev1.Volume{Name: m.name()}
	for range 1 + m.IntN(2) {
		switch m.IntN(15) {
		case 0:
			v.AzureFile = &corev1.AzureFileVolumeSource{SecretName: m.name()}
		case 1:
			v.CephFS = &corev1.CephFSVolumeSource{SecretRef: m.local()}
		case 2:
			v.Cinder = &corev1.CinderVolumeSource{SecretRef: m.local()}
		case 3:
			v.FlexVolume = &corev1.FlexVolumeSource{SecretRef: m.local()}
		case 4:
			v.Projected = &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: m.name()}}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: m.name()}}},
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}},
			}}
		case 5:
			v.RBD = &corev1.RBDVolumeSource{SecretRef: m.local()}
		case 6:
			v.Secret = &corev1.SecretVolumeSource{SecretName: m.name()}
		case 7:
			v.ScaleIO = &corev1.ScaleIOVolumeSource{SecretRef: m.local()}
		case 8:
			v.ISCSI = &corev1.ISCSIVolumeSource{SecretRef: m.local()}
		case 9:
			v.StorageOS = &corev1.StorageOSVolumeSource{SecretRef: m.local()}
		case 10:
			v.CSI = &corev1.CSIVolumeSource{NodePublishSecretRef: m.local()}
		case 11:
			v.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: m.name()}}
		case 12, 13:
			v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pick(m.generator, append(thingNames, "")...)}
		case 14:
			v.Ephemeral = &corev1.EphemeralVolumeSource{}
		}
	}
	return v
}

func (m maker) pod(i int) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(m.space(), fmt.Sprintf("p%d", i)), Spec: corev1.PodSpec{
		NodeName: m.node(), ServiceAccountName: pick(m.generator, append(thingNames, "")...),
		InitContainers: m.containers(), Containers: m.containers(),
	}}
	if m.maybe(0.15) {
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: ""}
	}
	if m.maybe(0.3) {
		p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: m.name()}, {}}
	}
	for _, c := range m.containers() {
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Env: c.Env, EnvFrom: c.EnvFrom}})
	}
	for range m.IntN(3) {
		p.Spec.Volumes = append(p.Spec.Volumes, m.volume())
	}
	optional := func() *string {
		if m.maybe(0.4) {
			return nil
		}
		name := m.name()
		return &name
	}
	for range m.IntN(2) {
		c := corev1.PodResourceClaim{Name: m.name(), ResourceClaimName: optional()}
		if c.ResourceClaimName == nil {
			c.ResourceClaimTemplateName = optional()
		}
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, c)
		p.Status.ResourceClaimStatuses = append(p.Status.ResourceClaimStatuses, corev1.PodResourceClaimStatus{Name: m.name(), ResourceClaimName: optional()})
	}
	if m.maybe(0.2) {
		p.Status.ExtendedResourceClaimStatus = &corev1.PodExtendedResourceClaimStatus{ResourceClaimName: pick(m.generator, append(thingNames, "")...)}
	}
	p.Status.Phase = pick(m.generator, corev1.PodRunning, corev1.PodSucceeded)
	return p
}

func (m maker) persistent(name string) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{ObjectMeta: meta("", name)}
	if m.maybe(0.8) {
		v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: m.space(), Name: m.name()}
	}
	s := &v.Spec.PersistentVolumeSource
	switch m.IntN(9) {
	case 0:
		s.AzureFile = &corev1.AzureFilePersistentVolumeSource{SecretName: m.name()}
		if m.maybe(0.5) {
			namespace := pick(m.generator, "", "a", "b")
			s.AzureFile.SecretNamespace = &namespace
		}
	case 1:
		s.CephFS = &corev1.CephFSPersistentVolumeSource{SecretRef: m.reference()}
	case 2:
		s.Cinder = &corev1.CinderPersistentVolumeSource{SecretRef: m.reference()}
	case 3:
		s.FlexVolume = &corev1.FlexPersistentVolumeSource{SecretRef: m.reference()}
	case 4:
		s.RBD = &corev1.RBDPersistentVolumeSource{SecretRef: m.reference()}
	case 5:
		s.ScaleIO = &corev1.ScaleIOPersistentVolumeSource{SecretRef: m.reference()}
	case 6:
		s.ISCSI = &corev1.ISCSIPersistentVolumeSource{SecretRef: m.reference()}
	case 7:
		s.StorageOS = &corev1.StorageOSPersistentVolumeSource{}
		if r := m.reference(); r != nil {
			s.StorageOS.SecretRef = &corev1.ObjectReference{Namespace: r.Namespace, Name: r.Name}
		}
	case 8:
		s.CSI = &corev1.CSIPersistentVolumeSource{
			ControllerPublishSecretRef: m.reference(), ControllerExpandSecretRef: m.reference(),
			NodePublishSecretRef: m.reference(), NodeStageSecretRef: m.reference(), NodeExpandSecretRef: m.reference(),
		}
	}
	return v
}

func (m maker) nodeWorld() *nodeWorld {
	w := new(nodeWorld)
	for i := range m.IntN(6) {
		w.pods = append(w.pods, m.pod(i))
	}
	for _, name := range thingNames {
		if m.maybe(0.5) {
			w.volumes = append(w.volumes, m.persistent(name))
		}
		if m.maybe(0.5) {
			w.attachments = append(w.attachments, &storagev1.VolumeAttachment{ObjectMeta: meta("", name), Spec: storagev1.VolumeAttachmentSpec{NodeName: m.node()}})
		}
		if m.maybe(0.5) {
			s := &resourcev1.ResourceSlice{ObjectMeta: meta("", name)}
			if at := m.node(); m.maybe(0.8) {
				s.Spec.NodeName = &at
			}
			w.slices = append(w.slices, s)
		}
		if m.maybe(0.5) {
			w.requests = append(w.requests, &certificatesv1beta1.PodCertificateRequest{ObjectMeta: meta(m.space(), name), Spec: certificatesv1beta1.PodCertificateRequestSpec{NodeName: types.NodeName(pick(m.generator, nodeNames...))}})
		}
	}
	return w
}

var nodeVerbs = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"}

// nodeResources are all that the authorizer knows, and some that it does not.
var nodeResources = [][2]string{
	{"", "secrets"},
	{"", "configmaps"},
	{"", "pods"},
	{"", "pods/status"},
	{"", "pods/eviction"},
	{"", "pods/exec"},
	{"", "persistentvolumeclaims"},
	{"", "persistentvolumeclaims/status"},
	{"", "persistentvolumes"},
	{"", "persistentvolumes/status"},
	{"", "serviceaccounts"},
	{"", "serviceaccounts/token"},
	{"", "nodes"},
	{"", "nodes/status"},
	{"", "nodes/proxy"},
	{"", "services"},
	{"", "endpoints"},
	{"", "events"},
	{"", "namespaces"},
	{"events.k8s.io", "events"},
	{"resource.k8s.io", "resourceclaims"},
	{"resource.k8s.io", "resourceclaims/status"},
	{"resource.k8s.io", "resourceslices"},
	{"resource.k8s.io", "resourceslices/x"},
	{"storage.k8s.io", "volumeattachments"},
	{"storage.k8s.io", "volumeattachments/status"},
	{"storage.k8s.io", "csinodes"},
	{"storage.k8s.io", "csinodes/x"},
	{"storage.k8s.io", "csidrivers"},
	{"coordination.k8s.io", "leases"},
	{"coordination.k8s.io", "leases/x"},
	{"node.k8s.io", "runtimeclasses"},
	{"apps", "secrets"},
	{"apps", "pods"},
	{"certificates.k8s.io", "certificatesigningrequests"},
	{"certificates.k8s.io", "clustertrustbundles"},
	{"certificates.k8s.io", "podcertificaterequests"},
	{"certificates.k8s.io", "podcertificaterequests/status"},
	{"authentication.k8s.io", "tokenreviews"},
	{"authorization.k8s.io", "subjectaccessreviews"},
}

func (m maker) nodeAct() authz.Attributes {
	if m.maybe(0.02) {
		return authz.URL("get", "/m")
	}
	r := pick(m.generator, nodeResources...)
	namespace := pick(m.generator, "a", "b", "a", "b", "", "kube-node-lease")
	name := pick(m.generator, "x", "y", "z", "p0", "p1", "p2", "p0-x", "n1", "n2", "")
	a := authz.Request(pick(m.generator, nodeVerbs...), r[0], r[1], namespace, name)
	switch {
	case m.maybe(0.6) && (r[1] == "persistentvolumes" || r[1] == "volumeattachments" || r[1] == "resourceslices"):
		a.Namespace = ""
	case m.maybe(0.6) && r[1] == "leases":
		a.Namespace = "kube-node-lease"
	}
	if m.maybe(0.3) {
		a.Fields = append(a.Fields, [2]string{pick(m.generator, "spec.nodeName", "metadata.name"), pick(m.generator, nodeNames...)})
	}
	return a
}

// TestAuthorizeNodes holds random graphs against the real one, in every version that the
// authorizer can still be, with its features as they were then and turned the other way.
func TestAuthorizeNodes(t *testing.T) {
	kubelets := []authz.User{authz.Node("n1"), authz.Node("n2"), authz.Node("n3"), authz.Node("gone")}
	const selectors, nodeSelectors = "AuthorizeWithSelectors", "AuthorizeNodeWithSelectors"
	for minor, turns := range map[int][]featuretesting.FeatureOverrides{
		31: {{}, {selectors: true, nodeSelectors: true}, {features.DynamicResourceAllocation: true}},
		32: {{}, {selectors: false, nodeSelectors: false}},
		33: {{}, {features.KubeletServiceAccountTokenForCredentialProviders: true}, {features.ClusterTrustBundle: true}},
		34: {{}, {features.DynamicResourceAllocation: false}, {features.PodCertificateRequest: true}, {features.KubeletServiceAccountTokenForCredentialProviders: false}},
		35: {{}, {features.PodCertificateRequest: true}, {features.ClusterTrustBundle: true}},
		36: {{}, {features.PodCertificateRequest: true, features.KubeletServiceAccountTokenForCredentialProviders: false}, {features.ClusterTrustBundle: true}},
	} {
		for i, turned := range turns {
			t.Run(fmt.Sprintf("1.%d %v", minor, turned), func(t *testing.T) {
				gates := utilfeature.DefaultMutableFeatureGate
				featuretesting.SetFeatureGateEmulationVersionDuringTest(t, gates, version.MajorMinor(1, uint(minor)))
				featuretesting.SetFeatureGatesDuringTest(t, gates, turned)
				var flags []string
				for name, on := range turned {
					flags = append(flags, fmt.Sprintf("--feature-gates=%s=%v", name, on))
				}
				m := newMaker(uint64(minor*10 + i))
				var n tally
				for range scaled(120) {
					w := m.nodeWorld()
					s := new(world).snapshot(w.add, func(b *cluster.Builder) {
						b.SetVersion(fmt.Sprintf("v1.%d.0", minor))
						b.AddMachine(&cluster.Machine{Name: "cp", Processes: []cluster.Process{{
							Component: "kube-apiserver", Args: append([]string{"kube-apiserver", "--authorization-mode=Node"}, flags...),
						}}})
					})
					e, server := authz.New(s, authz.Options{}), w.server()
					for range 200 {
						a := m.nodeAct()
						holders := map[string]bool{}
						for _, h := range e.WhoCan(a) {
							holders[h.Subject.Name] = true
						}
						for _, u := range kubelets {
							b := a.By(u)
							n.compare(t, e, server, &b, w)
							named := holders["system:nodes"] || holders[u.Name]
							if answer := e.Authorize(&b); named != (answer.Decision == authz.Allow) && u.Name != "system:node:gone" {
								t.Fatalf("%s by %s is %s, and WhoCan names it: %v\n%s", a, u.Name, answer.Decision, named, w)
							}
						}
					}
				}
				n.report(t, 50_000, 5, 60)
			})
		}
	}
}

// TestAuthorizeABAC holds random policy files, read by each its own parser.
func TestAuthorizeABAC(t *testing.T) {
	m := newMaker(11)
	everybody := users()
	var n tally
	word := func(key string, from ...string) string {
		if m.maybe(0.3) {
			return ""
		}
		return fmt.Sprintf(`,%q:%q`, key, pick(m.generator, from...))
	}
	for i := range scaled(1500) {
		var lines []string
		for range m.IntN(4) {
			spec := `"readonly":` + pick(m.generator, "true", "false") + word("user", "ann", "x", "*", "system:serviceaccount:a:x") + word("group", "devs", "*", "system:nodes", "system:authenticated") +
				word("namespace", "a", "b", "*") + word("resource", "pods", "secrets", "*")
			line := "{" + spec + "}"
			if m.maybe(0.7) {
				line = `{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{` + spec + word("apiGroup", "", "apps", "*") + word("nonResourcePath", "/m", "/m*", "*", "/h/*") + "}}"
			}
			lines = append(lines, line, pick(m.generator, "", "# rights", "  "))
		}
		text := strings.Join(lines, "\n")
		path := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := abac.NewFromFile(path)
		if err != nil {
			t.Fatal(err)
		}
		config, err := apiconfig.ParseABAC([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		w := m.world()
		s := w.snapshot(func(b *cluster.Builder) { b.AddConfig(config) })
		e, server := authz.New(s, authz.Options{}), w.server(list)
		for range 8 {
			a := m.act()
			for _, u := range everybody {
				b := a.By(u)
				n.compare(t, e, server, &b, abacFile{w, text})
			}
		}
	}
	n.report(t, 100_000, 10, 60)
}

type abacFile struct {
	*world
	text string
}

func (f abacFile) String() string { return f.world.String() + f.text }
