//go:build e2e

package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// imagesReport is what the tests read of image scan -o json.
type imagesReport struct {
	Images []struct {
		Name     string
		Error    string
		ID       string
		Packages int
		Findings []struct {
			ID        string
			Reachable string
			FixedIn   []string
			Package   struct{ Name, Version, Purl string }
		}
		Remedies []struct{ What string }
	}
}

func imageScan(t *testing.T, r result) imagesReport {
	t.Helper()
	var out imagesReport
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("%v\n%s", err, r.all())
	}
	return out
}

// TestImagesOfACluster: the fault of the demo shop's image is found in the archive, in
// containerd's store, in its own bill of materials and, with the workload that runs it,
// by a scan of the cluster. An image that cannot be had is unknown.
func TestImagesOfACluster(t *testing.T) {
	const fault, front = "CVE-2022-32149", "lab.bulwark.test/shop-front:latest"
	c := kubeadm.get(t)
	dir := t.TempDir()
	db := filepath.Join(dir, "db")
	if r := bulwark(t, "image", "db", "build", "--db", db, "--osv", filepath.Join(bin, "..", "lab", "demo", "advisories", "osv")); r.code != 0 {
		t.Fatalf("db build: exit code %d\n%s", r.code, r.all())
	}
	archives := filepath.Join(bin, "lab", "images")

	found := func(t *testing.T, r result) imagesReport {
		t.Helper()
		if r.code != 3 {
			t.Errorf("exit code %d, want 3\n%s", r.code, r.all())
		}
		out := imageScan(t, r)
		if len(out.Images) != 1 || len(out.Images[0].Findings) != 1 {
			t.Fatalf("want one image with one finding:\n%s", r.stdout)
		}
		f := out.Images[0].Findings[0]
		if f.ID != fault || f.Reachable != "symbol" || !slices.Equal(f.FixedIn, []string{"0.3.8"}) {
			t.Errorf("found %+v", f)
		}
		return out
	}
	args := func(ref string) []string {
		return []string{"image", "scan", ref, "--db", db, "-o", "json", "--cache-dir", filepath.Join(dir, "cache")}
	}
	archive := found(t, bulwark(t, args(filepath.Join(archives, "shop-front-latest.tar"))...))
	bill := filepath.Join(dir, "front.cdx.json")
	if r := bulwark(t, "image", "sbom", "-o", "cyclonedx-json="+bill, filepath.Join(archives, "shop-front-latest.tar")); r.code != 0 {
		t.Fatalf("sbom: exit code %d\n%s", r.code, r.all())
	}
	found(t, bulwark(t, args(bill)...))
	// The node's own store, read on the node by the program that is its first process there.
	store := c.enter(t, "node-1", "/proc/1/exe", "image", "sbom", "--no-cache", "containerd:"+archive.Images[0].ID)
	if store.code != 0 {
		t.Fatalf("sbom of containerd's store: exit code %d\n%s", store.code, store.stderr)
	}
	found(t, command(t.Context(), store.stdout, nil, filepath.Join(bin, "bulwark"), args("-")...))

	const ns = "e2e-images"
	c.namespace(t, ns)
	c.apply(t, strings.ReplaceAll(probe(ns, "front", ""), `lab.bulwark.test/probe:1`, front)+`---
apiVersion: v1
kind: Pod
metadata: {name: nowhere, namespace: `+ns+`}
spec: {containers: [{name: c, image: "127.0.0.1:1/gone:1"}]}
`, "apply", "-f", "-")
	eventually(t, time.Minute, func() string {
		if c.kubectl(t, "-n", ns, "get", "pod", "front", "-o", "jsonpath={.status.containerStatuses[0].imageID}").stdout == "" {
			return "no image runs"
		}
		return ""
	})
	r, res := c.scanReport(t, "-n", ns, "--images", "--images-from", archives, "--db", db, "--controls", "image")
	if res.code != 3 {
		t.Errorf("exit code %d, want 3\n%s", res.code, res.stderr)
	}
	told := r.of("image.fixable")
	if !strings.Contains(told, fault) && !strings.Contains(told, "golang.org/x/text") {
		t.Errorf("image.fixable does not tell of %s:\n%s\n%s", fault, told, r.with("broken"))
	}
	if !strings.Contains(res.stdout, "127.0.0.1:1/gone:1") {
		t.Error("the image that is nowhere is not told")
	}
	table := c.scan(t, "-n", ns, "--images", "--images-from", archives, "--db", db, "--controls", "image")
	if !strings.Contains(table.stdout, "use golang.org/x/text 0.3.8 or later") {
		t.Errorf("the table does not say what to rebuild:\n%s", table.stdout)
	}
}

// of lists the findings of one control.
func (r report) of(id string) string {
	var lines []string
	for _, c := range r.Controls {
		if c.ID != id {
			continue
		}
		for _, f := range c.Findings {
			lines = append(lines, f.Object.Kind+" "+f.Object.Name+": "+f.Path+" "+f.Evidence+" "+f.Reason)
		}
	}
	return strings.Join(lines, "\n")
}
