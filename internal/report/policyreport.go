package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// What one object holds at most, so that etcd takes it. What is beyond goes into the
// next object, so nothing is lost and every object's counts are those of its results.
const (
	maxPolicyResults = 1000
	maxPolicyText    = 512 // bytes of one message or property
	maxPolicyBytes   = 900_000
)

type (
	policySummary struct{ pass, fail, warn, err, skip int }
	policyResult  struct {
		policy, category, severity, result, message string
		resource                                    *policyObject
		properties                                  []policyProperty
	}
	policyObject   struct{ apiVersion, kind, namespace, name string }
	policyProperty struct{ name, value string }
)

// A reportKind is a pair of kinds that hold policy results.
type reportKind struct {
	apiVersion, namespaced, cluster string
	source                          string // written at the top where the kind has it
}

func writePolicyReports(w io.Writer, r *scan.Result, o Options) error {
	return writeReports(w, r, o, reportKind{"wgpolicyk8s.io/v1alpha2", "PolicyReport", "ClusterPolicyReport", ""})
}

func writeOpenReports(w io.Writer, r *scan.Result, o Options) error {
	return writeReports(w, r, o, reportKind{"openreports.io/v1alpha1", "Report", "ClusterReport", "bulwark"})
}

func writeReports(w io.Writer, r *scan.Result, o Options, kind reportKind) error {
	byNamespace := policyResults(r, o)
	y := yamlWriter{bufio.NewWriter(w)}
	for _, ns := range slices.Sorted(maps.Keys(byNamespace)) {
		results := byNamespace[ns]
		for n := 0; n == 0 || len(results) > 0; n++ {
			fit := policyFit(results)
			y.report(kind, ns, n, results[:fit], r.Started)
			results = results[fit:]
		}
	}
	return y.Flush()
}

// policyFit is how many of the results one object holds.
func policyFit(results []policyResult) int {
	size := 0
	for i, r := range results {
		size += 200 + quoted(r.policy) + quoted(r.message)
		if o := r.resource; o != nil {
			size += quoted(o.kind) + quoted(o.namespace) + quoted(o.name)
		}
		for _, p := range r.properties {
			size += len(p.name) + 8 + quoted(p.value)
		}
		if i > 0 && (i == maxPolicyResults || size > maxPolicyBytes) {
			return i
		}
	}
	return len(results)
}

// quoted is about how many bytes a text takes in JSON, and never less.
func quoted(text string) int {
	n := len(text) + 2
	for i := range len(text) {
		if strings.IndexByte("\"\\<>&\xe2", text[i]) >= 0 {
			n += 5 // one of these may become \u003c
		}
	}
	return n
}

// A yamlWriter writes the part of wgpolicyk8s.io/v1alpha2 that we fill, which
// openreports.io/v1alpha1 took over. A general encoder takes ten times as long, and
// the shape is small. The Writer keeps the first error and Flush returns it.
type yamlWriter struct{ *bufio.Writer }

// field writes a key and a string, quoted as in JSON, which YAML reads alike.
func (y yamlWriter) field(key, value string) {
	if value == "" {
		return
	}
	text, _ := json.Marshal(value) // a string always has a form
	_, _ = y.WriteString(key + ": ")
	_, _ = y.Write(text)
	_ = y.WriteByte('\n')
}

// report writes the n-th object of a namespace, or of the cluster.
func (y yamlWriter) report(kind reportKind, ns string, n int, results []policyResult, started time.Time) {
	name, of := "bulwark", kind.namespaced
	if n > 0 {
		name = fmt.Sprintf("bulwark-%d", n+1)
	}
	if ns == "" {
		of = kind.cluster
	}
	fmt.Fprintf(y, "---\napiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", kind.apiVersion, of, name)
	y.field("  namespace", ns)
	fmt.Fprint(y, "  labels:\n    app.kubernetes.io/managed-by: bulwark\n")
	y.field("source", kind.source)
	s := summarize(results)
	fmt.Fprintf(y, "summary:\n  pass: %d\n  fail: %d\n  warn: %d\n  error: %d\n  skip: %d\n", s.pass, s.fail, s.warn, s.err, s.skip)
	if len(results) == 0 {
		fmt.Fprint(y, "results: []\n")
		return
	}
	fmt.Fprint(y, "results:\n")
	var when int64
	if !started.IsZero() {
		when = started.Unix()
	}
	for _, r := range results {
		fmt.Fprintf(y, "- source: bulwark\n  scored: true\n  timestamp: {seconds: %d, nanos: 0}\n", when)
		y.field("  policy", r.policy)
		y.field("  category", r.category)
		y.field("  severity", r.severity)
		y.field("  result", r.result)
		y.field("  message", r.message)
		if o := r.resource; o != nil {
			fmt.Fprint(y, "  resources:\n")
			y.field("  - kind", or(o.kind, "-"))
			y.field("    apiVersion", o.apiVersion)
			y.field("    namespace", o.namespace)
			y.field("    name", o.name)
		}
		fmt.Fprint(y, "  properties:\n")
		for _, p := range r.properties {
			y.field("    "+p.name, p.value)
		}
	}
}

// isNamespace tells what may be a namespace from what a file merely calls one.
var isNamespace = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// policyResults are the results by namespace; under "" stand those of the cluster,
// of machines, and the answers that are about no single thing.
func policyResults(r *scan.Result, o Options) map[string][]policyResult {
	out := map[string][]policyResult{"": nil}
	spots := locate(r, o)
	result := func(c *control.Control, severity control.Severity, outcome, message string) policyResult {
		family, _, _ := strings.Cut(c.ID, ".")
		properties := []policyProperty{{"title", short(c.Title)}}
		if r.Standard != nil {
			properties = append(properties, policyProperty{"standard", r.Standard.ID}, policyProperty{"items", strings.Join(itemsOf(r, c.ID), ", ")})
		}
		return policyResult{
			policy: c.ID, category: family, severity: severity.String(), result: outcome, message: short(message),
			properties: properties,
		}
	}
	for _, res := range r.Controls {
		c := res.Control
		refs := make([]string, len(c.Refs))
		for i, ref := range c.Refs {
			refs[i] = ref.String()
		}
		for _, f := range res.Findings {
			outcome := "fail"
			switch {
			case f.Outcome == control.Unknown:
				outcome = "error"
			case f.Waiver != nil:
				outcome = "skip"
			}
			p := result(c, res.SeverityOf(f), outcome, f.Evidence())
			ns := ""
			if at := f.Object; !at.OnMachine() && isNamespace.MatchString(at.Namespace) {
				ns = at.Namespace
			}
			m, waiver := mend(c, f), ""
			if f.Waiver != nil {
				waiver = waiverText(f.Waiver)
			}
			p.resource = &policyObject{apiVersions[f.Object.Kind], short(f.Object.Kind), ns, short(f.Object.Name)}
			for _, more := range []policyProperty{
				{"cluster", f.Object.Cluster},
				{"path", f.Path},
				{"got", f.Got},
				{"want", f.Want},
				{"file", fileLine(f, spots[f], o.Dir)},
				{"machine", objectJSON(f.Object).Machine},
				{"resourceVersion", f.Source.ResourceVersion},
				{"reach", reachText(f)},
				{"show", look(f).String()},
				{"fix", or(strings.Join(edits(f), "; "), m.Hand)},
				{"fixCommand", m.Command},
				{"references", strings.Join(refs, "; ")},
				{"standing", standing(f, r.Baseline != nil)},
				{"waiver", waiver},
				{"fingerprint", f.ID},
			} {
				p.properties = append(p.properties, policyProperty{more.name, short(more.value)})
			}
			out[ns] = append(out[ns], p)
		}
		switch {
		case res.Outcome == control.Holds:
			p := result(c, c.Severity, "pass", count(res.Held, "object")+" judged, none broken")
			p.properties = append(p.properties, policyProperty{"held", strconv.Itoa(res.Held)})
			out[""] = append(out[""], p)
		case res.Outcome == control.NotApplicable:
			out[""] = append(out[""], result(c, c.Severity, "skip", or(res.Reason, "no reason was given")))
		case res.Outcome == control.Unknown && len(res.Findings) == 0:
			out[""] = append(out[""], result(c, c.Severity, "error", or(res.Reason, "no reason was given")))
		}
	}
	return out
}

func summarize(results []policyResult) policySummary {
	var s policySummary
	for _, r := range results {
		switch r.result {
		case "pass":
			s.pass++
		case "fail":
			s.fail++
		case "error":
			s.err++
		case "skip":
			s.skip++
		}
	}
	return s
}

// short is a stranger's text, printable and bounded.
func short(text string) string {
	text = printable(text)
	if len(text) <= maxPolicyText {
		return text
	}
	end := maxPolicyText - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// apiVersions are those of the kinds that controls judge, so that a viewer can link to
// the object.
var apiVersions = map[string]string{
	"Pod": "v1", "Service": "v1", "ServiceAccount": "v1", "Secret": "v1", "ConfigMap": "v1", "Namespace": "v1", "Node": "v1",
	"ReplicationController": "v1", "PersistentVolume": "v1", "PersistentVolumeClaim": "v1", "PodTemplate": "v1",
	"Deployment": "apps/v1", "DaemonSet": "apps/v1", "StatefulSet": "apps/v1", "ReplicaSet": "apps/v1",
	"Job": "batch/v1", "CronJob": "batch/v1",
	"Ingress": "networking.k8s.io/v1", "NetworkPolicy": "networking.k8s.io/v1",
	"Role": "rbac.authorization.k8s.io/v1", "ClusterRole": "rbac.authorization.k8s.io/v1",
	"RoleBinding": "rbac.authorization.k8s.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
	"ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
}
