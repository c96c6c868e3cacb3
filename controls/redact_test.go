package controls

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestRedactPod(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
		HTTPGet: &corev1.HTTPGetAction{HTTPHeaders: []corev1.HTTPHeader{{Name: "Authorization", Value: "Bearer hunter2"}, {Name: "Host", Value: "shop"}}},
	}}
	hook := &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"leave", "--token=hunter2"}}}}
	container := func(env, arg string) corev1.Container {
		return corev1.Container{
			Env:  []corev1.EnvVar{{Name: "GREETING", Value: env}, {Name: "ON", Value: "true"}, {Name: "REF", Value: "$(OTHER)"}},
			Args: []string{"serve", arg}, RestartPolicy: &always,
		}
	}
	spec := &corev1.PodSpec{
		InitContainers:      []corev1.Container{container("hunter2", "--db=postgres://u:hunter2@db/x")},
		Containers:          []corev1.Container{container("postgres://u:hunter2@db/x", "--password=hunter2")},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon(container("hunter2", "--password-file=/x"))}},
	}
	spec.Containers[0].LivenessProbe, spec.Containers[0].Lifecycle = probe.DeepCopy(), hook.DeepCopy()
	RedactPod(spec)

	want := &corev1.PodSpec{
		InitContainers:      []corev1.Container{container(redacted, "--db="+redactedURL)},
		Containers:          []corev1.Container{container(redactedURL, "--password="+redacted)},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon(container(redacted, "--password-file=/x"))}},
	}
	want.Containers[0].LivenessProbe, want.Containers[0].Lifecycle = probe.DeepCopy(), hook.DeepCopy()
	want.Containers[0].LivenessProbe.HTTPGet.HTTPHeaders[0].Value = redacted
	want.Containers[0].Lifecycle.PreStop.Exec.Command[1] = "--token=" + redacted
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRedactArgs(t *testing.T) {
	for in, want := range map[string]string{
		"hunter2": redacted, "/etc/token": "/etc/token", "$(TOKEN)": "$(TOKEN)", "-x": "-x", "https://sts": "https://sts",
	} {
		args := []string{"--token", in}
		if RedactArgs(args); args[1] != want {
			t.Errorf("--token %s became %s, want %s", in, args[1], want)
		}
	}
}

func TestRedactWhatIsNoFlag(t *testing.T) {
	args := []string{"sh", "-c", "export PGPASSWORD=hunter2\npsql", "-password=hunter2"}
	RedactArgs(args)
	if diff := cmp.Diff([]string{"sh", "-c", "export PGPASSWORD=" + redacted + "\npsql", "-password=" + redacted}, args); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	spec := &corev1.PodSpec{Volumes: []corev1.Volume{
		{VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{VolumeAttributes: map[string]string{"accountKey": "hunter2", "share": "s", "secretName": "n"}}}},
		{VolumeSource: corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{Options: map[string]string{"password": "hunter2", "at": "smb://u:hunter2@nas"}}}},
	}}
	RedactPod(spec)
	want := []map[string]string{{"accountKey": redacted, "share": "s", "secretName": "n"}, {"password": redacted, "at": redactedURL}}
	if diff := cmp.Diff(want, []map[string]string{spec.Volumes[0].CSI.VolumeAttributes, spec.Volumes[1].FlexVolume.Options}); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}
