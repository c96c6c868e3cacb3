package controls

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/reach"
)

// TestTimeIsLinear holds every control, and reach, to time that grows with the number of
// objects, in the shape that is worst for joins: all in one namespace. A join that looks
// at every pair takes sixteen times as long for four times the objects.
func TestTimeIsLinear(t *testing.T) {
	const small, big = 1500, 6000
	for name, labels := range map[string]func(app int) map[string]string{
		"each its own label": func(app int) map[string]string { return map[string]string{"app": fmt.Sprint(app), "tier": "web"} },
		"all the same label": func(int) map[string]string { return map[string]string{"tier": "web"} },
	} {
		t.Run(name, func(t *testing.T) {
			few, many := crowd(small, labels), crowd(big, labels)
			linear := func(what string, do func(s *cluster.Snapshot)) {
				var before, after time.Duration
				for range 5 { // the collector's work falls on whoever runs
					before, after = processor(t, func() { do(few) }), processor(t, func() { do(many) })
					if after < 9*before || after < 100*time.Millisecond {
						return
					}
				}
				t.Errorf("%s: %d of each kind take %v, %d take %v: want time that grows with their number", what, small, before, big, after)
			}
			for _, c := range All() {
				linear(c.ID, func(s *cluster.Snapshot) { c.Check(s, new(control.Report)) })
			}
			linear("reach", func(s *cluster.Snapshot) { reach.New(s) })
		})
	}
}

// processor is the processor time of this process that do takes.
func processor(t *testing.T, do func()) time.Duration {
	t.Helper()
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := now()
	do()
	return now() - before
}

// crowd is n applications in one namespace, each with whatever may be joined to its pods.
func crowd(n int, labels func(app int) map[string]string) *cluster.Snapshot {
	b := cluster.NewBuilder("crowd", true)
	for _, c := range All() {
		b.Looked(c.Needs()...)
	}
	b.Looked(reach.Needs...)
	add := func(apiVersion, kind string, o metav1.Object) {
		b.Add(apiVersion, kind, o, cluster.Source{Origin: "test"})
	}
	add("v1", "Namespace", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "crowd"}})
	one := intstr.FromInt32(1)
	for app := range n {
		own := labels(app)
		meta := metav1.ObjectMeta{Namespace: "crowd", Name: fmt.Sprintf("app-%05d", app), Labels: own}
		selector := metav1.LabelSelector{MatchLabels: own}
		pod := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: own}, Spec: corev1.PodSpec{
			ServiceAccountName: meta.Name, HostPID: true,
			Volumes: []corev1.Volume{
				{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: meta.Name}}},
				{Name: "c", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}}}},
			},
			Containers: []corev1.Container{{
				Name: "a", Image: "registry.example/a:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}},
				Env: []corev1.EnvVar{{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}, Key: "password"}}}},
			}},
		}}
		add("apps/v1", "Deployment", &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: &selector, Template: pod}})
		add("v1", "Service", &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: own, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("http")}},
		}})
		add("networking.k8s.io/v1", "Ingress", &networkingv1.Ingress{ObjectMeta: meta, Spec: networkingv1.IngressSpec{
			DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: meta.Name}},
			TLS:            []networkingv1.IngressTLS{{Hosts: []string{meta.Name + ".example"}, SecretName: meta.Name}},
		}})
		add("networking.k8s.io/v1", "NetworkPolicy", &networkingv1.NetworkPolicy{ObjectMeta: meta, Spec: networkingv1.NetworkPolicySpec{
			PodSelector: selector, Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &selector}}}},
		}})
		add("policy/v1", "PodDisruptionBudget", &policyv1.PodDisruptionBudget{ObjectMeta: meta, Spec: policyv1.PodDisruptionBudgetSpec{Selector: &selector, MinAvailable: &one}})
		add("autoscaling/v2", "HorizontalPodAutoscaler", &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: meta.Name},
		}})
		add("v1", "ServiceAccount", &corev1.ServiceAccount{ObjectMeta: meta})
		add("v1", "Secret", &corev1.Secret{ObjectMeta: meta, Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"password": {}}})
		add("v1", "ConfigMap", &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"a": ""}})
		rules := []rbacv1.PolicyRule{{Verbs: []string{"get", "create"}, APIGroups: []string{""}, Resources: []string{"secrets", "pods"}}}
		subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "crowd", Name: meta.Name}}
		add("rbac.authorization.k8s.io/v1", "Role", &rbacv1.Role{ObjectMeta: meta, Rules: rules})
		add("rbac.authorization.k8s.io/v1", "RoleBinding", &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: meta.Name}, Subjects: subjects})
		meta.Namespace = ""
		add("rbac.authorization.k8s.io/v1", "ClusterRole", &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules})
		add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: meta.Name}, Subjects: subjects})
	}
	return b.Snapshot()
}
