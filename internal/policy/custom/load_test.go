package custom

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/policy"
)

// TestSkeleton: what `controls new` writes compiles, and its cases pass.
func TestSkeleton(t *testing.T) {
	folder := t.TempDir()
	for _, f := range Skeleton("shop.replicas") {
		path := filepath.Join(folder, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, faults := Load(folder, policy.Stored())
	if len(found) != 1 || len(faults) > 0 {
		t.Fatalf("%d controls, faults %v", len(found), faults)
	}
	if err := found[0].Validate(); err != nil {
		t.Error(err)
	}
	r := Test(found[0])
	for _, c := range r.Cases {
		if c.Err != nil || c.Got != c.Want {
			t.Errorf("%s: %v\n%s", c.Name, c.Err, strings.Join(c.Diff(), "\n"))
		}
	}
	if r.Failed() {
		t.Error(r.Missing())
	}
}

// TestLinks: a control is not forgotten because it is mounted as Kubernetes mounts a
// ConfigMap, or because its folder is a link.
func TestLinks(t *testing.T) {
	top := t.TempDir()
	data := filepath.Join(top, "mounted", "..data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "c.yaml"), []byte(Skeleton("shop.replicas")[0].Text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"mounted/c.yaml": "..data/c.yaml", "link": "mounted"} {
		if err := os.Symlink(target, filepath.Join(top, name)); err != nil {
			t.Skipf("links cannot be made here: %v", err)
		}
	}
	for _, path := range []string{"mounted", "link", "mounted/c.yaml"} {
		found, faults := Load(filepath.Join(top, path), policy.Stored())
		if len(found) != 1 || len(faults) > 0 {
			t.Errorf("%s: %d controls, faults %v, want 1 and none", path, len(found), faults)
		}
	}
	if err := os.Symlink("gone", filepath.Join(top, "mounted", "d.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, faults := Load(filepath.Join(top, "link"), policy.Stored()); len(faults) != 1 {
		t.Errorf("faults %v, want that of the link that leads nowhere", faults)
	}
}

// TestFaults: every fault is named with its place.
func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, want string }{
		"a typing mistake in a block": {
			"  - expression: variables.replicas >= 2\n", "  - expression: |\n      variables.replicas >= 2 &&\n        objct.x\n",
			`c.yaml:27:9: spec.validations[0].expression: undeclared reference to 'objct' (in container '')`,
		},
		"in a line":            {"variables.replicas >= 2", "variables.replcas >= 2", "c.yaml:25:26: spec.validations[0].expression: undefined field 'replcas'"},
		"in quotes":            {"variables.replicas >= 2", "'variables.replcas >= 2'", "c.yaml:25:27: spec.validations[0].expression: undefined field 'replcas'"},
		"in a message":         {`"'one node`, `"1 + 'one node`, "c.yaml:26:27: spec.validations[0].messageExpression: found no matching overload for '_+_' applied to '(int, string)'"},
		"in a variable":        {".orValue(1)", ".orVlue(1)", "c.yaml:23:45: spec.variables[0].expression: undeclared reference to 'orVlue' (in container '')"},
		"no truth":             {"variables.replicas >= 2", "size('x')", "c.yaml:25:17: spec.validations[0].expression: must evaluate to bool but got int"},
		"an unknown field":     {"  validations:", "  valdations:", `c.yaml:1:1: unknown field "spec.valdations"`},
		"no title":             {"bulwark.dev/title: Deployment runs a single replica", "other: x", `c.yaml:6:5: annotation bulwark.dev/title is "", want the fault in a few words without a full stop`},
		"a severity":           {"severity: medium", "severity: grave", `c.yaml:7:27: annotation bulwark.dev/severity: severity "grave": want critical, high, medium or low`},
		"an annotation":        {"bulwark.dev/fix", "bulwark.dev/fixes", "c.yaml:10:24: annotation bulwark.dev/fixes is not known, want one of "},
		"an ID":                {"name: shop.replicas", "name: replicas", `c.yaml:4:9: metadata.name is "replicas", want the control's ID: family.name in lower case`},
		"a family":             {"name: shop.replicas", "name: policy.replicas", `c.yaml:4:9: metadata.name is "policy.replicas": the family policy is for the cluster's own policies`},
		"no resource":          {"resources: [deployments]", "resources: [deployments/scale]", "c.yaml:15:3: spec.matchConstraints.resourceRules names no resource that is read, only subresources"},
		"YAML":                 {"spec:\n", "spec: {\n", "c.yaml:"},
		"a key twice":          {"spec:\n", "kind: X\nspec:\n", "c.yaml:14: mapping key \"kind\" already defined at line 2"},
		"a Secret":             {"apiVersion: admission", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n---\napiVersion: admission", "c.yaml:1:1: a Secret is no parameter of a control: its values would be read"},
		"no object":            {"apiVersion: admission", "a: 1\n---\napiVersion: admission", "c.yaml:1:1: it has no apiVersion and kind, so it is no Kubernetes object"},
		"an unknown parameter": {"kind: ValidatingAdmissionPolicy", "kind: Widget", "c.yaml: there is no ValidatingAdmissionPolicy in it"},
	} {
		t.Run(name, func(t *testing.T) {
			text := Skeleton("shop.replicas")[0].Text
			if !strings.Contains(text, tt.old) {
				t.Fatalf("the skeleton has no %q", tt.old)
			}
			_, faults := Parse("c.yaml", []byte(strings.Replace(text, tt.old, tt.new, 1)), policy.Stored())
			if len(faults) == 0 || !strings.HasPrefix(faults[0].Error(), tt.want) {
				t.Errorf("faults %v\nwant %s", faults, tt.want)
			}
		})
	}
}

// FuzzParse: whatever the file holds, either every control of it is one that the catalogue
// would take, or there is a fault with a place.
func FuzzParse(f *testing.F) {
	skeleton := Skeleton("shop.replicas")[0].Text
	f.Add(skeleton)
	f.Add(strings.Replace(skeleton, "variables.replicas >= 2", "|\n\n      objct", 1))
	f.Add("a: &a [*a]\n---\n{}")
	f.Add("kind: ValidatingAdmissionPolicy\napiVersion: admissionregistration.k8s.io/v1\nspec: {validations: [{expression: >-\n  x\n  y}]}")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4000 {
			t.Skip()
		}
		found, faults := Parse("c.yaml", []byte(text), policy.Stored())
		if len(found)+len(faults) == 0 {
			t.Error("no control and no fault")
		}
		for _, fault := range faults {
			if !strings.HasPrefix(fault.Error(), "c.yaml:") {
				t.Errorf("a fault without a place: %v", fault)
			}
		}
		for _, c := range found {
			if !IsID(c.ID) || c.Check == nil || c.Severity == 0 || c.Title == "" {
				t.Errorf("control %+v", c.Control)
			}
		}
	})
}
