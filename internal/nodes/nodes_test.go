package nodes

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

func node(name, system string, ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status: corev1.NodeStatus{
			NodeInfo:   corev1.NodeSystemInfo{OperatingSystem: system},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Reason: "KubeletNotReady"}},
		},
	}
}

func scratchSpace(name, manager string, age time.Duration, now time.Time) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age)),
		Labels: map[string]string{purposeLabel: purpose, managedBy: manager},
	}}
}

// TestPlan: who will be asked, who cannot be and why, and what is left of a run that died.
func TestPlan(t *testing.T) {
	now := time.Now()
	client := fake.NewClientset([]runtime.Object{
		node("b", "linux", corev1.ConditionTrue), node("a", "linux", corev1.ConditionTrue),
		node("w", "windows", corev1.ConditionTrue), node("down", "linux", corev1.ConditionUnknown),
		scratchSpace("bulwark-nodes-old", program, time.Hour, now),
		scratchSpace("bulwark-nodes-busy", program, time.Minute, now),
		scratchSpace("somebody-elses", "helm", time.Hour, now),
	}...)
	p, err := New(t.Context(), client, Options{Timeout: time.Minute}, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, p.Ask); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bulwark-nodes-old"}, p.Left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	skipped := map[string]string{}
	for _, s := range p.Skip {
		skipped[s.Node] = s.Err.Error()
	}
	want := map[string]string{"down": "it is not ready: KubeletNotReady", "w": "its system is windows, and only Linux can be read"}
	if diff := cmp.Diff(want, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	if len(client.Actions()) != 2 {
		t.Errorf("making a plan did %v", client.Actions())
	}
}

// TestRightsAreTold: the words that people agree to are what the pod has, and no more.
func TestRightsAreTold(t *testing.T) {
	pod := job("n", 0, Options{Image: "i", Timeout: time.Minute}).Spec.Template.Spec
	c := pod.Containers[0]
	for _, added := range c.SecurityContext.Capabilities.Add {
		if !strings.Contains(Rights, string(added)) {
			t.Errorf("%s is not told", added)
		}
	}
	switch {
	case len(pod.Containers)+len(pod.InitContainers) != 1, len(pod.Volumes) != 0, len(c.VolumeMounts) != 0,
		pod.HostIPC, *pod.AutomountServiceAccountToken, c.SecurityContext.Privileged != nil,
		!*c.SecurityContext.ReadOnlyRootFilesystem, *c.SecurityContext.AllowPrivilegeEscalation,
		c.SecurityContext.Capabilities.Drop[0] != "ALL":
		t.Errorf("the pod has more than %q", Rights)
	}
}

func TestWhyNot(t *testing.T) {
	state := func(phase corev1.PodPhase, s corev1.ContainerState) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{Phase: phase, Reason: "DeadlineExceeded", ContainerStatuses: []corev1.ContainerStatus{{State: s}}}}
	}
	none := state(corev1.PodFailed, corev1.ContainerState{})
	for want, got := range map[string]string{
		"it ended with exit code 1: bulwark: error: no": failure(state(corev1.PodFailed, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "bulwark: error: no\n"}})),
		"it ended with exit code 137: OOMKilled":        failure(state(corev1.PodFailed, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}})),
		"DeadlineExceeded":                              failure(none),
		"ImagePullBackOff not found":                    refused(state(corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}})),
		"":                                              refused(state(corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}})),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
