package show

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/network"
	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/segment/expect"
	"github.com/bulwark-k8s/bulwark/internal/segment/suggest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func view(t *testing.T) *segment.View {
	t.Helper()
	b := cluster.NewBuilder("shop", false)
	r := manifest.NewReader(b, "")
	if err := r.ReadPath(t.Context(), filepath.Join("testdata", "in.yaml")); err != nil {
		t.Fatal(err)
	}
	if out := r.Outcome(); len(out.Problems)+len(out.Skipped) > 0 {
		t.Fatal(out)
	}
	calico, _ := network.FindProfile("calico")
	return segment.NewView(b.Snapshot(), network.Options{Profile: calico})
}

func pair(t *testing.T, v *segment.View, from, to string) segment.Pair {
	t.Helper()
	var ends [2]segment.Place
	for i, text := range []string{from, to} {
		n, err := segment.ParseName(text, "default")
		if err != nil {
			t.Fatal(err)
		}
		all, err := v.Resolve(n)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = all[0]
	}
	return v.Ask(ends[0], ends[1], nil)
}

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestScreens: what people see, on a narrow and a wide terminal. No line is wider than it.
func TestScreens(t *testing.T) {
	v := view(t)
	grid := v.Grid(segment.Scope{})
	tests, err := expect.Parse("tests.yaml", []byte("tests:\n- {name: nobody leaves, from: shop/*, to: internet, expect: denied}\n- {from: shop/deploy/nope, to: internet, expect: denied}\n- {from: internet, to: data/db, expect: denied}\n"), "default")
	if err != nil {
		t.Fatal(err)
	}
	suite := &Suite{File: "tests.yaml", Target: "shop"}
	for _, one := range tests {
		suite.Results = append(suite.Results, one.Run(v))
	}
	for name, write := range map[string]func(io.Writer, Options) error{
		"answer": func(w io.Writer, o Options) error {
			return WriteAnswer(w, []segment.Pair{pair(t, v, "shop/deploy/web", "data/svc/db")}, o)
		},
		"matrix": func(w io.Writer, o Options) error { return WriteGrid(w, "Who may talk to whom in shop", grid, o) },
		"overview": func(w io.Writer, o Options) error {
			return WriteOverview(w, "shop: 5 pods", grid, map[string]int{"shop": 2}, v.Profile(), o)
		},
		"exposed":  func(w io.Writer, o Options) error { return WriteExposed(w, v.Exposed(), o) },
		"expected": func(w io.Writer, o Options) error { return WriteSuite(w, suite, o) },
	} {
		for _, width := range []int{80, 120} {
			got := written(t, func(w io.Writer) error { return write(w, Options{Width: width}) })
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%s: a line of %d on %d: %s", name, n, width, line)
				}
			}
			golden(t, name+map[int]string{80: "-narrow.txt", 120: "-wide.txt"}[width], got)
		}
	}
}

// TestSchemas: what programs read is of the documented shapes.
func TestSchemas(t *testing.T) {
	v := view(t)
	grid := v.Grid(segment.Scope{})
	plan := suggest.Make(v.Snapshot, suggest.Options{})
	proof := plan.Prove(network.Options{Profile: v.Profile()})
	tests, err := expect.Parse("tests.yaml", []byte("tests:\n- {from: shop/*, to: internet, expect: denied}\n- {from: x}\n"), "default")
	if err != nil {
		t.Fatal(err)
	}
	suite := &Suite{File: "tests.yaml"}
	for _, one := range tests {
		suite.Results = append(suite.Results, one.Run(v))
	}
	for name, write := range map[string]func(io.Writer) error{
		"net-v1": func(w io.Writer) error {
			return WriteAnswerJSON(w, "calico", []segment.Pair{pair(t, v, "shop/deploy/web", "data/svc/db"), pair(t, v, "internet", "data/db")})
		},
		"net-matrix-v1":  func(w io.Writer) error { return WriteGridJSON(w, "calico", grid) },
		"net-exposed-v1": func(w io.Writer) error { return WriteExposedJSON(w, "calico", v.Exposed()) },
		"net-diff-v1": func(w io.Writer) error {
			d := segment.Diff(v, v)
			d.Gained = append(d.Gained, segment.Change{From: "a/b", To: "c/d", Ports: network.OnePort("TCP", 80), New: true})
			return WriteDiffJSON(w, "a", "b", d)
		},
		"net-results-v1": func(w io.Writer) error { return WriteSuiteJSON(w, suite) },
		"net-suggest-v1": func(w io.Writer) error { return WritePlanJSON(w, plan, proof) },
	} {
		schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "..", "docs", "schema", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := json.Unmarshal([]byte(written(t, write)), &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if WriteGridJSON(io.Discard, "x", segment.NewGrid(nil)) != nil {
		t.Error("an empty grid cannot be written")
	}
}

// TestPicture: it is well formed, needs nothing from elsewhere, and no name gets out of
// its text.
func TestPicture(t *testing.T) {
	const evil = `</text><script>alert(1)</script>`
	g := segment.NewGrid([]segment.Unit{{Kind: "Namespace", Name: evil, Pods: 1}, {Kind: "Namespace", Name: "\x1b[31m", Pods: 1}, {Kind: segment.Internet, Name: segment.Internet}})
	*g.At(0, 1) = segment.Cell{State: segment.Part, Ports: network.OnePort("TCP", 80), Pairs: 1, Reach: 1}
	*g.At(1, 0) = segment.Cell{State: segment.Untold, Untold: true}
	got := written(t, func(w io.Writer) error { return WriteSVG(w, evil, g) })
	d := xml.NewDecoder(strings.NewReader(got))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "image" || e.Name.Local == "a") {
			t.Errorf("there is a %s in it", e.Name.Local)
		}
	}
	golden(t, "matrix.svg", written(t, func(w io.Writer) error { return WriteSVG(w, "shop", view(t).Grid(segment.Scope{})) }))
}
