package report

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/scan"
	"github.com/bulwark-k8s/bulwark/internal/standard"
)

// The controls below stand in for the catalogue, so that the golden files change when
// a format changes and not when a control does.
var fixtures = []*control.Control{
	pods("pod.privileged", "Container has all of its node's powers", control.Critical,
		"A privileged container has every capability, every device and no confinement. Whoever runs code in it **is root on the node** and, with the kubelet's credentials there, reads the secrets of every pod on it.",
		"Remove `privileged: true`. Where one capability is needed, add that one alone:\n\n```yaml\nsecurityContext:\n  capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}\n```",
		func(p *cluster.PodSpec, v *control.Verdict) {
			for _, c := range p.Containers {
				if sc := c.SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
					path := c.Path + ".securityContext.privileged"
					v.Broken(path, "true", "false").Set(path, false).Set(c.Path+".securityContext.allowPrivilegeEscalation", false)
				}
			}
		}),
	pods("pod.runtimesocket", "Pod holds the socket of the container runtime", control.Critical,
		"Whoever speaks to the runtime's socket starts any container with any mount: they own the node.",
		"Take the volume out. Agents that need container facts get them from the kubelet or through the API.",
		func(p *cluster.PodSpec, v *control.Verdict) {
			for i, vol := range p.Spec.Volumes {
				if vol.HostPath != nil && strings.HasSuffix(vol.HostPath.Path, ".sock") {
					v.Broken(fmt.Sprintf("%s.volumes[%s].hostPath.path", p.Path, vol.Name), vol.HostPath.Path, "").
						Because("container %s mounts it", p.Containers[i].Name)
				}
			}
		}),
	{
		ID: "listener.plaintext", Title: "Component answers without TLS", Severity: control.Critical, Since: "0.1.0",
		Over: []cluster.Need{cluster.Listeners}, Refs: []control.Ref{control.CIS("2.1"), control.NSA("Network separation and hardening")},
		Doc: prose("etcd holds every secret of the cluster. Without TLS and client certificates, whoever reaches the port reads and writes all of it; no audit log sees them.", "Start it with `--cert-file`, `--key-file`, `--client-cert-auth` and `--trusted-ca-file`, and bind it to the control plane's network alone."),
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, m := range s.Machines() {
				for _, l := range m.Listeners {
					v := r.On(cluster.ListenerRef(m.Name, l), m.Source)
					switch {
					case l.Unknown != "":
						v.Unknown("tls", l.Unknown)
					case l.TLS == nil:
						v.Broken("tls", "off", "TLS 1.2 or later").Because("it listens on every address")
					}
				}
			}
		},
	},
	pods("pod.hostnetwork", "Pod shares its node's network", control.High,
		"A pod with `hostNetwork: true` stands in the node's own network. It reaches what listens on the node's loopback, and no NetworkPolicy applies to it.",
		"Remove `hostNetwork`:\n- a workload that needs one port can use `hostPort`\n- an agent belongs in a namespace of its own ([Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/))",
		func(p *cluster.PodSpec, v *control.Verdict) {
			if p.Spec.HostNetwork {
				v.Broken(p.Path+".hostNetwork", "true", "false").Remove(p.Path + ".hostNetwork")
			}
		}),
	{
		ID: "rbac.clusteradmin", Title: "Cluster administrator is granted", Severity: control.High, Since: "0.1.0",
		Over: []cluster.Need{cluster.ClusterRoleBindings, cluster.RoleBindings}, Refs: []control.Ref{control.CIS("5.1.1"), control.MITRE("T1078")},
		Doc: prose("`cluster-admin` is every verb on every resource. A service account that holds it turns any code execution in its pods into the whole cluster.", "Find what the subject really uses in the audit log, grant that, and delete the binding."),
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, b := range s.Bindings() {
				if v := r.Object(b.Object); b.RoleRef.Name == "cluster-admin" {
					f := v.Broken("roleRef", "cluster-admin", "a role with only what is needed")
					for _, sub := range b.Subjects {
						f.Because("it makes %s administrator", sub).Through(cluster.Ref{Kind: sub.Kind, Namespace: sub.Namespace, Name: sub.Name})
					}
				}
			}
		},
	},
	{
		ID: "file.privatekey", Title: "Private key is readable by others", Severity: control.High, Since: "0.1.0",
		Over: []cluster.Need{cluster.HostFiles}, Refs: []control.Ref{control.CIS("1.1.21")},
		Doc: prose("Whoever reads a component's private key is that component.", "`chmod 0600` and `chown root:root` the file."),
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, m := range s.Machines() {
				for _, f := range m.Files {
					v := r.On(cluster.FileRef(m.Name, f.Path), m.Source)
					if f.Mode&0o077 != 0 {
						v.Broken("mode", fmt.Sprintf("%04o", f.Mode), "0600").Because("%s uses it", f.UsedBy)
					}
					if f.UID != 0 {
						v.Broken("owner", fmt.Sprintf("uid %d", f.UID), "root")
					}
				}
			}
		},
	},
	{
		ID: "apiserver.anonymousrequests", Title: "API server takes anonymous requests", Severity: control.Medium, Since: "0.1.0",
		Over: []cluster.Need{cluster.APIServerFlags}, Refs: []control.Ref{control.CIS("1.2.1")},
		Doc: prose("Anybody who reaches the port is `system:anonymous`. One careless binding to it opens the cluster to the network.", "Start kube-apiserver with `--anonymous-auth=false`."),
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, c := range s.Components("kube-apiserver") {
				v := r.On(c.Ref, c.Source)
				if c.Flags.Get("authentication-config", "") != "" {
					v.Unknown("--anonymous-auth", "a configuration file governs it, which was not read")
				} else if got := c.Flags.Get("anonymous-auth", "not set, so true"); got != "false" {
					v.Broken("--anonymous-auth", got, "false")
				}
			}
		},
	},
	pods("secret.environment", "Secret stands in environment variables", control.Medium,
		"Environment variables are inherited by every child process and land in crash dumps, debug pages and `kubectl describe`.",
		"Mount the Secret as a file with mode 0400 and let the program read it.",
		func(p *cluster.PodSpec, v *control.Verdict) {
			for _, c := range p.Containers {
				for _, e := range c.Env {
					if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
						v.Broken(fmt.Sprintf("%s.env[%s].valueFrom", c.Path, e.Name), "secret "+e.ValueFrom.SecretKeyRef.Name, "a mounted file").
							Through(cluster.Ref{Kind: "Secret", Namespace: p.Namespace(), Name: e.ValueFrom.SecretKeyRef.Name})
					}
				}
			}
		}),
	{
		ID: "namespace.podsecurity", Title: "Namespace admits dangerous pods", Severity: control.Medium, Since: "0.1.0",
		Over: []cluster.Need{cluster.Namespaces}, Refs: []control.Ref{control.PSS("enforce")},
		Doc: prose("Without Pod Security, whoever may create a pod may create one that owns its node.", "Label the namespace; try it with `--dry-run=server` first."),
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for o := range cluster.All[*corev1.Namespace](s, "Namespace") {
				const label = "pod-security.kubernetes.io/enforce"
				v := r.Object(o)
				if got := o.Meta.Labels[label]; got != "restricted" && got != "baseline" {
					if got == "" {
						got = "not set"
					}
					v.Broken("metadata.labels["+label+"]", got, "baseline or restricted").Set("metadata.labels["+label+"]", "baseline")
				}
			}
		},
	},
	pods("image.mutable", "Image can change under the same name", control.Low,
		"A tag such as `latest` is whatever was pushed last: nobody can say what runs, and a stolen registry account runs code in the cluster.",
		"Name the image by digest: `image: shop/cart@sha256:…`.",
		func(p *cluster.PodSpec, v *control.Verdict) {
			for _, c := range p.Containers {
				if !strings.Contains(c.Image, "@") && (strings.HasSuffix(c.Image, ":latest") || !strings.Contains(c.Image, ":")) {
					v.Broken(c.Path+".image", c.Image, "a version or a digest")
				}
			}
		}),
	pods("pod.limits", "Container may use all of its node", control.Low,
		"One container without limits can starve its node, and the ones beside it, by fault or by intent.",
		"Set `resources.requests` and `resources.limits.memory` from what it used in a busy week.",
		func(p *cluster.PodSpec, v *control.Verdict) {
			for _, c := range p.Containers {
				if len(c.Resources.Limits) == 0 {
					v.Broken(c.Path+".resources.limits", "empty", "memory at least")
				}
			}
		}),
	{
		ID: "kubelet.anonymous", Title: "Kubelet takes anonymous requests", Severity: control.Critical, Since: "0.1.0",
		Over: []cluster.Need{cluster.KubeletConfig}, Doc: prose("Whoever reaches the kubelet runs commands in its pods.", "Set `authentication.anonymous.enabled: false`."),
		Check: func(*cluster.Snapshot, *control.Report) {},
	},
	{
		ID: "kubelet.readonlyport", Title: "Kubelet serves its read-only port", Severity: control.High, Since: "0.1.0",
		Over: []cluster.Need{cluster.Nodes}, With: []cluster.Need{cluster.KubeletConfig}, Doc: prose("It lists every pod to anybody.", "Set `readOnlyPort: 0`."),
		Check: func(*cluster.Snapshot, *control.Report) {},
	},
	pods("pod.hostpid", "Pod sees its node's processes", control.High, "It reads their environment.", "Remove `hostPID`.",
		func(p *cluster.PodSpec, v *control.Verdict) {
			if p.Spec.HostPID {
				v.Broken(p.Path+".hostPID", "true", "false").Remove(p.Path + ".hostPID")
			}
		}),
	{
		ID: "ingress.plaintext", Title: "Ingress takes plain HTTP", Severity: control.Medium, Since: "0.1.0",
		Over: []cluster.Need{cluster.Ingresses}, Doc: prose("Sessions can be read on the way.", "Give it a certificate."),
		Check: func(*cluster.Snapshot, *control.Report) {},
	},
}

func pods(id, title string, severity control.Severity, why, fix string, judge func(*cluster.PodSpec, *control.Verdict)) *control.Control {
	return &control.Control{
		ID: id, Title: title, Severity: severity, Since: "0.1.0", Over: cluster.Workloads,
		Refs: []control.Ref{control.CIS("5.2.2"), control.MITRE("T1611")}, Doc: prose(why, fix),
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, p := range s.Pods() {
				judge(p, r.Pod(p))
			}
		},
	}
}

func prose(why, fix string) string {
	return "## Why\n" + why + "\n\n## Evidence\nThe field as the API shows it.\n\n## Fix\n" + fix +
		"\n\n## Prove\n`kubectl auth can-i` answers yes where it is open. A defender sees it in the audit log.\n\n## References\n- Kubernetes: Security Checklist\n"
}

// shop scans testdata/shop.yaml as if it were a live cluster of which a part could
// not be read.
func shop(t *testing.T) *scan.Result {
	t.Helper()
	return scanFile(t, fixtures, "testdata/shop.yaml",
		cluster.Gap{Need: cluster.KubeletConfig, Reason: "no access to nodes/proxy: grant it, or run on the node with --host"},
		cluster.Gap{Need: cluster.Secrets, Scope: "payments", Reason: "the server said 403"})
}

func scanFile(t *testing.T, controls []*control.Control, file string, gaps ...cluster.Gap) *scan.Result {
	t.Helper()
	res, _ := readFile(t, controls, file, gaps...)
	res.Live = true
	return res
}

// underStandard is the shop seen by a small standard that has an item of each outcome.
func underStandard(t *testing.T) *scan.Result {
	t.Helper()
	s := &standard.Standard{
		ID: "house-1", Title: "Rules of the house, 1", Catalogue: "CIS 1.12",
		Items: []standard.Item{
			{Number: "2.1", Title: "etcd speaks TLS", Section: "etcd", Manual: true},
			{Number: "5.1.1", Title: "Few are administrators", Section: "people", Note: "groups of an identity provider are not looked into"},
			{Number: "5.2.2", Title: "Nothing is privileged", Section: "pods"},
			{Number: "k", Title: "Kubelets know who asks", Controls: []string{"kubelet.anonymous"}},
			{Number: "p", Title: "There is a plan", Why: "a plan is for people to make"},
			{Number: "r", Title: "Certificates are renewed", By: []string{"`bulwark pki renew`"}},
			{Number: "s", Title: "Nobody reaches the runtime", Controls: []string{"pod.runtimesocket"}},
		},
	}
	plan := s.Plan(fixtures)
	res := scanFile(t, plan.Controls, "testdata/shop.yaml",
		cluster.Gap{Need: cluster.KubeletConfig, Reason: "no access to nodes/proxy: grant it, or run on the node with --host"})
	res.Under(plan)
	return res
}

// files scans testdata/shop.yaml as what it is, with its lines.
func files(t *testing.T) (*scan.Result, Options) {
	t.Helper()
	res, r := readFile(t, fixtures, "testdata/shop.yaml")
	return res, Options{Locate: r.Locate}
}

// live is a result as if it had been read from an API.
func live(r *scan.Result) *scan.Result {
	for _, res := range r.Controls {
		for _, f := range res.Findings {
			f.Source = cluster.Source{Origin: "/api/v1/pods", ResourceVersion: "42"}
		}
	}
	return r
}

func readFile(t *testing.T, controls []*control.Control, file string, gaps ...cluster.Gap) (*scan.Result, *manifest.Reader) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b := cluster.NewBuilder("prod-eu", false) // a live one would record gaps of its own
	b.SetVersion("v1.36.3")
	r := manifest.NewReader(b, "")
	r.Read(file, strings.NewReader(string(data)))
	if out := r.Outcome(); len(out.Problems)+len(out.Skipped) > 0 {
		t.Fatalf("reading %s: %v %v", file, out.Problems, out.Skipped)
	}
	for _, g := range gaps {
		b.Gap(g)
	}
	return stamp(scan.Run(b.Snapshot(), controls)), r
}

// stamp gives a result the same clock and version in every run.
func stamp(r *scan.Result) *scan.Result {
	r.Started = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	r.Took = 1432 * time.Millisecond
	r.Version = "0.1.0"
	return r
}

// clean is a result in which everything holds.
func clean() *scan.Result {
	return stamp(&scan.Result{
		Target: "hardened", ClusterVersion: "v1.36.3", Live: true, Objects: map[string]int{"Pod": 12, "Node": 1},
		Controls: []*scan.ControlResult{
			{Control: fixtures[0], Outcome: control.Holds, Held: 12},
			{Control: fixtures[3], Outcome: control.Holds, Held: 1},
			{Control: fixtures[14], Outcome: control.NotApplicable, Reason: "there is nothing of the kind it judges"},
		},
	})
}

// large is one control with n findings in n/50 namespaces.
func large(n int) *scan.Result {
	res := &scan.ControlResult{Control: fixtures[3], Outcome: control.Broken, Broken: n}
	for i := range n {
		res.Findings = append(res.Findings, &control.Finding{
			Outcome: control.Broken, Object: cluster.Ref{Kind: "Deployment", Namespace: fmt.Sprintf("team-%04d", i/50), Name: fmt.Sprintf("app-%05d", i)},
			Source: cluster.Source{Origin: "/apis/apps/v1/deployments", ResourceVersion: "42"},
			Path:   "spec.template.spec.hostNetwork", Got: "true", Want: "false", Pods: 3,
			Changes: []control.Change{{Op: control.Remove, Path: "spec.template.spec.hostNetwork"}},
		})
	}
	return stamp(&scan.Result{Target: "large", Live: true, Objects: map[string]int{"Deployment": n}, Controls: []*scan.ControlResult{res}})
}
