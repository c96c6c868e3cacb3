package nodes

import (
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rights is what the pod of a Job is given, in words for whoever is asked to agree.
const Rights = "root with SYS_PTRACE and DAC_READ_SEARCH in the node's process and network namespaces; no token, no mount, a root file system that cannot be written"

// namespace holds the Jobs of one run.
func namespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "bulwark-nodes-",
		Labels: map[string]string{
			managedBy:    program,
			purposeLabel: purpose,
			// What the pods need, baseline forbids.
			"pod-security.kubernetes.io/enforce": "privileged",
			"pod-security.kubernetes.io/audit":   "privileged",
			"pod-security.kubernetes.io/warn":    "privileged",
		},
	}}
}

// job runs the program once on a node. It sees the node's processes, and through them
// its files (SYS_PTRACE opens /proc/PID/root, DAC_READ_SEARCH folders that are closed
// to others); the ports that listen on loopback need the node's network. No scheduler
// is asked, so that a full or tainted node answers too.
func job(node string, index int, opts Options) *batchv1.Job {
	seconds := int64(opts.Timeout.Seconds())
	labels := map[string]string{managedBy: program, purposeLabel: purpose, nodeLabel: strconv.Itoa(index)}
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "node-" + strconv.Itoa(index), Labels: labels},
		Spec: batchv1.JobSpec{
			BackoffLimit:            new(int32(0)),
			ActiveDeadlineSeconds:   &seconds,
			TTLSecondsAfterFinished: new(int32(600)),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeName:                      node,
					Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
					RestartPolicy:                 corev1.RestartPolicyNever,
					HostPID:                       true,
					HostNetwork:                   true,
					DNSPolicy:                     corev1.DNSDefault,
					AutomountServiceAccountToken:  new(false),
					EnableServiceLinks:            new(false),
					TerminationGracePeriodSeconds: new(int64(1)),
					SecurityContext: &corev1.PodSecurityContext{
						RunAsUser: new(int64(0)), RunAsGroup: new(int64(0)),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
						// Both of them keep a container from other processes' files otherwise.
						AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined},
						SELinuxOptions:  &corev1.SELinuxOptions{Type: "spc_t"},
					},
					Containers: []corev1.Container{{
						Name:                     "facts",
						Image:                    opts.Image,
						Args:                     opts.Args,
						ImagePullPolicy:          corev1.PullIfNotPresent,
						TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
						Env:                      []corev1.EnvVar{{Name: "NODE_NAME", Value: node}},
						SecurityContext: &corev1.SecurityContext{
							AllowPrivilegeEscalation: new(false),
							ReadOnlyRootFilesystem:   new(true),
							Capabilities: &corev1.Capabilities{
								Drop: []corev1.Capability{"ALL"},
								Add:  []corev1.Capability{"SYS_PTRACE", "DAC_READ_SEARCH"},
							},
						},
						Resources: corev1.ResourceRequirements{
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
							Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
						},
					}},
				},
			},
		},
	}
}
