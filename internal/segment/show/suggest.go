package show

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/bulwark-k8s/bulwark/internal/segment/suggest"
)

// proved is the proof in a line.
func proved(p *suggest.Proof) string {
	pairs := fmt.Sprintf("%s, %s", count(p.Workloads, "workload"), count(p.Pairs, "pair"))
	switch {
	case p.Refused():
		return fmt.Sprintf("refused: %s, %d allow more than is needed, %d less", pairs, p.ExtraPairs, p.MissingPairs)
	case !p.Exact():
		return fmt.Sprintf("not proved: %s, of %d the engine cannot tell", pairs, p.Untold)
	}
	return fmt.Sprintf("proved: %s, %d of them may talk, exactly as needed, on every port", pairs, p.Wanted)
}

// few are the first of a list, one a line.
func few(w io.Writer, head string, lines []string, total int) {
	const most = 12
	for i, line := range lines {
		if i == most {
			break
		}
		fmt.Fprintf(w, "bulwark: %s: %s\n", head, printable(line))
	}
	if more := total - min(len(lines), most); more > 0 {
		fmt.Fprintf(w, "bulwark: %s: and %d more\n", head, more)
	}
}

// WriteProof says, beside the policies, what there is to know of them.
func WriteProof(w io.Writer, plan *suggest.Plan, proof *suggest.Proof) {
	if o := plan.Observation; o != nil {
		fmt.Fprintf(w, "bulwark: %s: %d are answers, %d need no policy, %d of other namespaces\n", count(o.Flows, "observed connection"), o.Replies, o.Own, o.Other)
		var unknown []string
		for _, name := range slices.SortedFunc(maps.Keys(o.Unknown), func(a, b string) int { return o.Unknown[b] - o.Unknown[a] }) {
			unknown = append(unknown, fmt.Sprintf("%s (%s)", name, count(o.Unknown[name], "connection")))
		}
		few(w, "nobody here is", unknown, len(unknown))
		var silent []string
		for _, r := range o.Silent {
			silent = append(silent, r.String())
		}
		if len(silent) > 0 {
			fmt.Fprintf(w, "bulwark: never seen, so nothing but names is allowed to them: %s\n", printable(list(silent)))
		}
	}
	few(w, "note", plan.Notes, len(plan.Notes))
	few(w, "cannot be expressed", plan.Cannot, len(plan.Cannot))
	few(w, "allowed and not needed", proof.Extra, proof.ExtraPairs)
	few(w, "needed and not allowed", proof.Missing, proof.MissingPairs)
	few(w, "cannot be told", proof.Unknown, proof.Untold)
	few(w, "denied all the same by policies of other namespaces", proof.Elsewhere, len(proof.Elsewhere))
	if len(plan.Replaces) > 0 {
		var names []string
		for _, r := range plan.Replaces {
			names = append(names, r.Namespace+"/"+r.Name)
		}
		fmt.Fprintf(w, "bulwark: note: they take the place of those that are there, which have to be deleted: %s\n", printable(list(names)))
	}
	fmt.Fprintf(w, "bulwark: %s\n", proved(proof))
}

// WritePlan writes policies to be applied, under a comment that says what they are.
func WritePlan(w io.Writer, plan *suggest.Plan, proof *suggest.Proof, policies []suggest.Policy) error {
	what := "what the objects declare"
	if plan.Observation != nil {
		what = "what was observed"
	}
	var head strings.Builder
	fmt.Fprintf(&head, "# NetworkPolicies that allow %s and nothing else.\n# %s\n", what, proved(proof))
	if len(plan.Replaces) > 0 {
		head.WriteString("# Policies only ever add to what is allowed, so those that were there have to go:\n")
		for _, r := range plan.Replaces {
			if slices.ContainsFunc(policies, func(p suggest.Policy) bool { return p.Namespace == r.Namespace }) {
				fmt.Fprintf(&head, "#   kubectl delete networkpolicy -n %s %s\n", printable(r.Namespace), printable(r.Name))
			}
		}
	}
	if _, err := io.WriteString(w, head.String()+"\n"); err != nil {
		return err
	}
	return suggest.WriteYAML(w, policies)
}

// PlanSchema names the shape of the JSON. docs/schema/net-suggest-v1.json describes it.
const PlanSchema = "bulwark.net-suggest/v1"

type planJSON struct {
	Schema     string                        `json:"schema"`
	Namespaces []string                      `json:"namespaces"`
	Proof      proofJSON                     `json:"proof"`
	Notes      []string                      `json:"notes"`
	Cannot     []string                      `json:"cannot"`
	Replaces   []string                      `json:"replaces"`
	Policies   []*networkingv1.NetworkPolicy `json:"policies"`
}

type proofJSON struct {
	Exact     bool     `json:"exact"`
	Workloads int      `json:"workloads"`
	Pairs     int      `json:"pairs"`
	Wanted    int      `json:"wanted"`
	Unknown   int      `json:"unknown"`
	Elsewhere []string `json:"deniedElsewhere"`
}

// WritePlanJSON writes the same for programs.
func WritePlanJSON(w io.Writer, plan *suggest.Plan, proof *suggest.Proof) error {
	out := planJSON{
		PlanSchema, append([]string{}, plan.Namespaces...),
		proofJSON{proof.Exact(), proof.Workloads, proof.Pairs, proof.Wanted, proof.Untold, append([]string{}, proof.Elsewhere...)},
		append([]string{}, plan.Notes...), append([]string{}, plan.Cannot...),
		[]string{},
		nil,
	}
	for _, r := range plan.Replaces {
		out.Replaces = append(out.Replaces, strings.ToLower(r.Kind)+" "+r.Namespace+"/"+r.Name)
	}
	for _, p := range plan.Policies {
		out.Policies = append(out.Policies, p.NetworkPolicy)
	}
	return writeJSON(w, out)
}
