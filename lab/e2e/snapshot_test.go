//go:build e2e

package e2e

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// carried are values that are planted in a cluster and must be in no file.
const carried = "c4rr1ed-and-never-told"

const carriedObjects = `
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: e2e-carried}
stringData: {password: ` + carried + `}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: e2e-carried}
data: {smtp-password: ` + carried + `}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: user, namespace: e2e-carried}
spec:
  replicas: 0
  selector: {matchLabels: {app: user}}
  template:
    metadata: {labels: {app: user}}
    spec:
      containers:
      - name: c
        image: lab.bulwark.test/probe:1
        args: [sleep, --token=` + carried + `]
        env:
        - {name: DB_PASSWORD, value: ` + carried + `}
`

// plant puts the values into a namespace of the cluster.
func (c *cluster) plant(t *testing.T) {
	t.Helper()
	c.namespace(t, "e2e-carried")
	c.apply(t, carriedObjects, "apply", "-f", "-")
	t.Cleanup(func() { // the next test plants them again
		command(context.Background(), "", []string{"KUBECONFIG=" + c.kubeconfig}, filepath.Join(bin, "lab", "kubectl"),
			"delete", "namespace", "e2e-carried", "--wait=true")
	})
}

// told is what a report says, apart from where it was read: a line for each control and
// for each of its findings.
func (r report) told(controls func(id string) bool) []string {
	var out []string
	for _, c := range r.Controls {
		if !controls(c.ID) {
			continue
		}
		out = append(out, fmt.Sprintf("%s %s %s %v", c.ID, c.Severity, c.Outcome, c.Counts))
		for _, f := range c.Findings {
			out = append(out, fmt.Sprintf("%s %s %s %s/%s %s", c.ID, f.Outcome, f.Object.Kind, f.Object.Namespace, f.Object.Name, f.Evidence))
		}
	}
	slices.Sort(out)
	return out
}

func every(string) bool { return true }

// onlyIn are the lines of a that b has not, indented.
func onlyIn(a, b []string) string {
	out := ""
	for _, line := range a {
		if !slices.Contains(b, line) {
			out += "    " + line + "\n"
		}
	}
	return out
}

func different(what string, a, b []string) string {
	if slices.Equal(a, b) {
		return ""
	}
	return fmt.Sprintf("only in the live scan:\n%sonly in %s:\n%s", onlyIn(a, b), what, onlyIn(b, a))
}

func decodeReport(t *testing.T, r result) report {
	t.Helper()
	var out report
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	return out
}

// TestSnapshotAgrees: a cluster says the same live and as a file, with its machines and
// without, and the file holds no value of a secret.
func TestSnapshotAgrees(t *testing.T) {
	for _, c := range []*cluster{weak, kubeadm, hardened} {
		t.Run(c.profile, func(t *testing.T) {
			c.get(t)
			c.plant(t)
			for _, args := range [][]string{nil, {"--host"}} {
				file := filepath.Join(t.TempDir(), "site.gz")
				complaint := ""
				for range 3 { // what a cluster is about to change may lie between the two
					live, _ := c.scanReport(t, args...)
					if r := bulwark(t, append([]string{"snapshot", "--kubeconfig", c.kubeconfig, "-o", file}, args...)...); r.code != 0 {
						t.Fatalf("snapshot: exit code %d\n%s", r.code, r.all())
					}
					there := decodeReport(t, bulwark(t, "scan", file, "-o", "json"))
					if complaint = different("the snapshot", live.told(every), there.told(every)); complaint == "" {
						break
					}
				}
				if complaint != "" {
					t.Errorf("%v: %s", args, complaint)
				}
				holdsNoSecret(t, file)
			}
		})
	}
}

func holdsNoSecret(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for _, value := range []string{carried, base64.StdEncoding.EncodeToString([]byte(carried)), "PRIVATE KEY"} {
		if strings.Contains(text, value) {
			t.Errorf("the file holds %q", value)
		}
	}
	for _, name := range []string{"DB_PASSWORD", "smtp-password", `"e2e-carried"`} {
		if !strings.Contains(text, name) {
			t.Errorf("the file does not name %s, so it proves nothing", name)
		}
	}
}

// TestDumpAgrees: what kubectl writes of a whole cluster says of its objects what the
// live scan says.
func TestDumpAgrees(t *testing.T) {
	c := kubeadm.get(t)
	c.plant(t)
	var kinds []string
	for kind := range strings.FieldsSeq(c.must(t, "api-resources", "--verbs=list", "-o", "name")) {
		if !strings.HasPrefix(kind, "events") && kind != "componentstatuses" {
			kinds = append(kinds, kind)
		}
	}
	for _, format := range []string{"yaml", "json"} {
		t.Run(format, func(t *testing.T) {
			complaint := ""
			for range 3 {
				live, _ := c.scanReport(t)
				file := filepath.Join(t.TempDir(), "dump."+format)
				dump := c.must(t, "get", strings.Join(kinds, ","), "--all-namespaces", "--show-managed-fields", "-o", format)
				if !strings.Contains(dump, "managedFields") || !strings.Contains(dump, "last-applied-configuration") {
					t.Fatal("the dump is not of the shape that it should be")
				}
				if err := os.WriteFile(file, []byte(dump), 0o600); err != nil {
					t.Fatal(err)
				}
				there := decodeReport(t, bulwark(t, "scan", file, "-o", "json"))
				judged, n := func(id string) bool {
					// It judges the API server's own version too, which is no object.
					return id != "node.endoflife" && ofObjects(live, id) && ofObjects(there, id)
				}, 0
				for _, control := range there.Controls {
					if judged(control.ID) {
						n++
					}
				}
				if n < 60 {
					t.Fatalf("only %d controls judge the dump", n)
				}
				if complaint = different("the dump", live.told(judged), there.told(judged)); complaint == "" {
					break
				}
			}
			if complaint != "" {
				t.Error(complaint)
			}
		})
	}
}

// ofObjects reports whether a control could judge all that it is about.
func ofObjects(r report, id string) bool {
	for _, c := range r.Controls {
		if c.ID == id {
			return (c.Outcome == "broken" || c.Outcome == "holds") && c.Counts["unknown"] == 0
		}
	}
	return false
}

// TestSeveralClusters: two clusters and one that does not answer are one report, which
// says of each what a scan of it alone says.
func TestSeveralClusters(t *testing.T) {
	clusters := []*cluster{hardened.get(t), weak.get(t)}
	kubeconfig := oneKubeconfig(t, clusters)
	r := bulwark(t, "scan", "--kubeconfig", kubeconfig, "--contexts", "all", "-o", "json")
	if r.code != 3 {
		t.Errorf("exit code %d, want 3\n%s", r.code, r.stderr)
	}
	if !strings.Contains(r.stderr, "bulwark: error: dead: cluster https://127.0.0.1:1: connection refused") {
		t.Errorf("stderr does not name the one that is not there:\n%s", r.stderr)
	}
	var all struct {
		Clusters []struct{ Name, Fault string }
		Controls []struct {
			ID       string
			Outcome  string
			Findings []struct {
				finding
				Object struct{ Kind, Namespace, Name, Cluster string } `json:"object"`
			}
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Clusters) != 3 {
		t.Fatalf("clusters: %+v", all.Clusters)
	}
	for _, c := range all.Clusters {
		if (c.Fault != "") != (c.Name == "dead") {
			t.Errorf("cluster %s: fault %q\n%s", c.Name, c.Fault, r.stderr)
		}
	}
	together := map[string][]string{}
	for _, c := range all.Controls {
		if c.Outcome == "holds" {
			t.Errorf("%s holds, and one cluster was not read", c.ID)
		}
		for _, f := range c.Findings {
			if f.Outcome == "broken" {
				together[f.Object.Cluster] = append(together[f.Object.Cluster], fmt.Sprintf("%s %s %s/%s %s", c.ID, f.Object.Kind, f.Object.Namespace, f.Object.Name, f.Path))
			}
		}
	}
	for _, c := range clusters {
		var alone []string
		live, _ := c.scanReport(t)
		for _, control := range live.Controls {
			for _, f := range control.Findings {
				if f.Outcome == "broken" {
					alone = append(alone, fmt.Sprintf("%s %s %s/%s %s", control.ID, f.Object.Kind, f.Object.Namespace, f.Object.Name, f.Path))
				}
			}
		}
		slices.Sort(alone)
		slices.Sort(together[c.name])
		if complaint := different("the scan of all", alone, together[c.name]); complaint != "" {
			t.Errorf("%s: %s", c.name, complaint)
		}
	}
	if len(together["dead"]) > 0 {
		t.Errorf("broken in a cluster that was not read: %v", together["dead"])
	}
}

// oneKubeconfig joins the clusters' kubeconfigs, in which users have the same name, and
// adds a cluster that does not answer. Contexts have the names of the clusters.
func oneKubeconfig(t *testing.T, clusters []*cluster) string {
	t.Helper()
	type entry map[string]any
	all := map[string][]entry{
		"clusters": {{"name": "dead", "cluster": entry{"server": "https://127.0.0.1:1"}}},
		"users":    {{"name": "dead", "user": entry{"token": "t"}}},
		"contexts": {{"name": "dead", "context": entry{"cluster": "dead", "user": "dead"}}},
	}
	for _, c := range clusters {
		var one map[string]json.RawMessage
		if err := json.Unmarshal([]byte(c.must(t, "config", "view", "--raw", "--flatten", "--minify", "-o", "json")), &one); err != nil {
			t.Fatal(err)
		}
		for _, list := range []string{"clusters", "users"} {
			var entries []entry
			if err := json.Unmarshal(one[list], &entries); err != nil || len(entries) != 1 {
				t.Fatalf("%s of %s: %v", list, c.name, err)
			}
			entries[0]["name"] = c.name
			all[list] = append(all[list], entries[0])
		}
		all["contexts"] = append(all["contexts"], entry{"name": c.name, "context": entry{"cluster": c.name, "user": c.name}})
	}
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "clusters": all["clusters"], "users": all["users"], "contexts": all["contexts"],
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
