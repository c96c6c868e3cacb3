package standard

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/podsec"
)

//go:embed pss.md
var pssPages string

// pss is a level of the Pod Security Standards. Each check of Kubernetes is an item and
// a control of its own, so that nothing of ours is in between: the house's controls of
// pods are stricter in places (they know CAP_CHOWN) and milder in others (they leave out
// kube-proxy and static pods).
func pss(level, version string) (*Standard, error) {
	policy, err := podsec.ParsePolicy(level, version)
	if err != nil {
		return nil, fmt.Errorf("standard pss-%s: %w", level, err)
	}
	s := &Standard{
		ID:    "pss-" + level + "@" + policy.Version(),
		Title: fmt.Sprintf("Pod Security Standards, %s, %s", level, policy.Version()),
	}
	for _, check := range policy.Checks() {
		c := pssControl(policy, check)
		s.Own = append(s.Own, c)
		s.Items = append(s.Items, Item{Number: check, Title: pssPage(check).name, Controls: []string{c.ID}})
	}
	return s, nil
}

// PodSecurity are the controls of all checks of the newest version, for who asks what
// one of them means.
func PodSecurity() []*control.Control {
	var all []*control.Control
	seen := map[string]bool{}
	for _, level := range []string{"baseline", "restricted"} {
		s, err := pss(level, "")
		if err != nil {
			panic(err) // both levels exist
		}
		for _, c := range s.Own {
			if !seen[c.ID] {
				seen[c.ID] = true
				all = append(all, c)
			}
		}
	}
	return all
}

func pssControl(policy podsec.Policy, check string) *control.Control {
	page := pssPage(check)
	severity := control.High
	if page.restricted {
		severity = control.Medium
	}
	return &control.Control{
		ID: "pss." + strings.ToLower(strings.ReplaceAll(check, "_", "")), Title: page.title, Severity: severity, Since: "0.1.0",
		Over: cluster.Workloads,
		Doc:  page.doc,
		Check: func(s *cluster.Snapshot, r *control.Report) {
			for _, p := range s.Pods() {
				v := r.Pod(p)
				for _, refusal := range policy.Judge(p) {
					if refusal.Check == check {
						tell(v, p, policy, refusal)
					}
				}
			}
		},
	}
}

// tell reports the fields for which the pod is refused. Should none be found, the verdict
// stands all the same.
func tell(v *control.Verdict, p *cluster.PodSpec, policy podsec.Policy, refusal podsec.Refusal) {
	fields := policy.Locate(refusal.Check, p)
	for _, field := range fields {
		f := v.Broken(field.Path, field.Got, field.Want)
		if field.Change != nil {
			f.Changes = append(f.Changes, *field.Change)
		}
	}
	if len(fields) == 0 {
		v.Broken(p.Path, "refused", "allowed").Because("%s", refusal.Says)
	}
}

type page struct {
	// name is what the Pod Security Standards call the check.
	name, title, doc string
	restricted       bool
}

// pssPage returns what pss.md says of a check. A check that a newer Kubernetes brings
// and the file lacks is still judged; a test keeps the file complete.
func pssPage(check string) page {
	_, text, ok := strings.Cut("\n"+pssPages, "\n# "+check+"\n")
	if !ok {
		return page{name: check, title: "Pod fails " + check}
	}
	text, _, _ = strings.Cut(text, "\n# ")
	parts := strings.SplitN(strings.TrimSpace(text), "\n\n", 4)
	level, name, _ := strings.Cut(parts[0], ": ")
	title, why, fix := parts[1], parts[2], parts[3]
	return page{
		name: name, title: title, restricted: level == "restricted",
		doc: fmt.Sprintf(`## Why

%s

## Evidence

The fields for which the evaluator of Pod Security admission refuses the pod; it is
linked from k8s.io/pod-security-admission and asked itself. Templates of workloads are
judged as the pods that are made from them. Labels of namespaces, exemptions and waivers
of admission do not matter here.

## Fix

%s

## Prove

`+"`kubectl label --dry-run=server --overwrite namespace NAME pod-security.kubernetes.io/enforce=%s`"+`
changes nothing and lists the pods that the level would refuse. A defender who sets
the labels warn and audit sees such pods in warnings and in the audit log.

## References

- The check %s of the level %s, https://kubernetes.io/docs/concepts/security/pod-security-standards/
`, why, fix, level, check, level),
	}
}
