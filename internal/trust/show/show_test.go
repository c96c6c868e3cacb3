package show

import (
	"bytes"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/trust"
	"github.com/bulwark-k8s/bulwark/internal/trust/trusttest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// careless is a cluster with something of everything.
func careless(t *testing.T) *trust.Result {
	t.Helper()
	s := trusttest.New(t)
	s.Target = "careless"
	s.AddKubeconfig("", "/home/ann/.kube/config", s.Issue(s.CA, "ann", []string{pki.GroupMasters}, pki.Client, nil), "https://10.0.0.1:6443")
	s.Key("/etc/kubernetes/pki/apiserver.key").File = &trust.File{Mode: fs.FileMode(0o644), Owner: "root", Group: "root"}
	s.Access("/etc/kubernetes/scheduler.conf").Insecure = true
	hooks := s.Authority("guard-ca")
	s.Components = []trust.Component{{Name: "kube-apiserver", Source: "/flagz", Flags: cluster.ParseFlags([]string{"--etcd-servers=http://10.0.0.1:2379", "--authorization-mode=Node,RBAC"})}}
	s.Cluster = &trust.Cluster{
		Name: "careless", Version: "v1.36.3", RBAC: cluster.NewBuilder("careless", true).Snapshot(), RootCAs: []*x509.Certificate{s.CA.Certificate},
		Hooks: []trust.Hook{
			{Kind: "ValidatingWebhookConfiguration", Object: "guard", Name: "a.guard.test", Service: "guard", Namespace: "shop", HasBundle: true, CABundle: []*x509.Certificate{hooks.Certificate}},
			{Kind: "APIService", Object: "v1beta1.metrics.k8s.io", Service: "metrics", Namespace: "kube-system", Insecure: true},
		},
	}
	s.Endpoints = []trust.Endpoint{
		{Address: "10.0.0.1:2379", Component: "etcd", Machine: "cp-1", Plain: true, Asked: true},
		{Address: "10.0.0.9:1234", Unknown: "cannot be reached from here", Asked: true},
	}
	s.Gaps = []trust.Gap{{What: "/etc/kubernetes/pki/x.key", Reason: "permission denied"}}
	return s.Judge()
}

// hostile is what a stranger may call himself.
func hostile(t *testing.T) *trust.Result {
	t.Helper()
	r := careless(t)
	const bad = "\x1b[2J</style><script>alert(1)</script>\u202e{{.}}\xff\n"
	r.Target = bad
	for i := range r.Identities {
		r.Identities[i].User, r.Identities[i].May, r.Identities[i].Groups = bad, []string{bad}, []string{bad}
	}
	for i := range r.Channels {
		r.Channels[i].CA, r.Channels[i].Client, r.Channels[i].Server = bad, bad, bad
	}
	for i := range r.Findings {
		r.Findings[i].Subject, r.Findings[i].Evidence, r.Findings[i].Machine, r.Findings[i].Fix = bad, bad, bad, bad
	}
	for i := range r.Certificates {
		r.Certificates[i].Subject, r.Certificates[i].Chain, r.Certificates[i].Names = bad, []string{bad}, []string{bad}
		r.Certificates[i].Places[0].Name = bad
	}
	for i := range r.Authorities {
		r.Authorities[i].Name, r.Authorities[i].BelievedBy = bad, []string{bad}
	}
	for k := range r.Boxes {
		r.Boxes[k] = []string{bad, bad, bad}
	}
	r.Gaps = []trust.Gap{{What: bad, Reason: bad}}
	return r
}

func render(t *testing.T, format string, r *trust.Result, o Options) []byte {
	t.Helper()
	f, err := Find(format)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: want -, got + (go test ./internal/trust/show -update writes it anew)\n%s", path, diff)
	}
}

func TestTable(t *testing.T) {
	golden(t, "careless.txt", render(t, "table", careless(t), Options{}))
	golden(t, "sound.txt", render(t, "table", trusttest.New(t).Judge(), Options{Width: 100}))
}

// TestTableFits: no line is wider than the terminal, where a line can be broken.
func TestTableFits(t *testing.T) {
	for line := range strings.SplitSeq(string(render(t, "table", careless(t), Options{Width: 160, All: true})), "\n") {
		if n := len([]rune(line)); n > 160 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestStrangersCannotDrawOnTheTerminal(t *testing.T) {
	for _, b := range render(t, "table", hostile(t), Options{All: true}) {
		if b == 0x1b || b < ' ' && b != '\n' {
			t.Fatalf("byte %#x reaches the terminal", b)
		}
	}
	if text := string(render(t, "table", hostile(t), Options{All: true})); strings.ContainsRune(text, '\u202e') {
		t.Error("a character that turns the text round reaches the terminal")
	}
}

func TestPicture(t *testing.T) {
	for name, r := range map[string]*trust.Result{"careless": careless(t), "sound": trusttest.New(t).Judge()} {
		var b bytes.Buffer
		if err := pageTemplate.ExecuteTemplate(&b, "picture", draw(r)); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".svg", b.Bytes())
		well(t, b.Bytes())
	}
}

// well checks that markup is well formed and that the picture can be read aloud.
func well(t *testing.T, svg []byte) {
	t.Helper()
	title, desc := false, false
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is not well formed: %v", err)
		}
		if e, ok := tok.(xml.StartElement); ok {
			title, desc = title || e.Name.Local == "title", desc || e.Name.Local == "desc"
			if e.Name.Local == "script" {
				t.Error("a script in the picture")
			}
		}
	}
	if !title || !desc {
		t.Error("want a title and a description")
	}
}

// TestEveryChannelHasItsRoute: what Judge can say, the picture can draw.
func TestEveryChannelHasItsRoute(t *testing.T) {
	r := careless(t)
	p := draw(r)
	if len(p.Edges) != len(r.Channels) {
		t.Errorf("%d channels, %d edges", len(r.Channels), len(p.Edges))
	}
	for _, c := range r.Channels {
		if !strings.Contains(p.Desc, c.To) {
			t.Errorf("%s → %s is not in the description", c.From, c.To)
		}
	}
}

func TestPageIsSealed(t *testing.T) {
	for name, r := range map[string]*trust.Result{"careless": careless(t), "hostile": hostile(t), "nothing": {}} {
		page := string(render(t, "html", r, Options{Version: "v0"}))
		for _, bad := range []string{"<script", "javascript:", " onerror", " onload", "http://www.", "src="} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		if !strings.Contains(page, `content="default-src &#39;none&#39;; style-src &#39;sha256-`) {
			t.Errorf("%s: no policy", name)
		}
		if strings.Contains(page, "style=") {
			t.Errorf("%s: a style that the policy does not let through", name)
		}
		for _, m := range regexp.MustCompile(`href="#([a-z]+)"`).FindAllStringSubmatch(page, -1) {
			if !strings.Contains(page, `id="`+m[1]+`"`) {
				t.Errorf("%s: a link to #%s, which is not there", name, m[1])
			}
		}
		if strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s: a value was put where it is not safe", name)
		}
	}
}

func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join("..", "..", "..", "docs", "schema", "pki-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJSONFitsItsSchema(t *testing.T) {
	s := schema(t)
	for name, r := range map[string]*trust.Result{"careless": careless(t), "sound": trusttest.New(t).Judge(), "hostile": hostile(t), "nothing": {}} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(render(t, "json", r, Options{Version: "v0"})))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s does not fit the schema: %v", name, err)
		}
	}
}

// TestSchemaKnowsEveryField fails when a field is added to the report and not to its
// schema, or the other way round.
func TestSchemaKnowsEveryField(t *testing.T) {
	s := schema(t)
	items := func(name string) *jsonschema.Schema { return s.Properties[name].Items2020 }
	for def, structure := range map[*jsonschema.Schema]any{
		s: jsonResult{}, s.Properties["cluster"]: jsonCluster{}, s.Properties["summary"]: jsonSummary{},
		items("identities"): jsonIdentity{}, items("channels"): jsonChannel{}, items("authorities"): jsonAuthority{},
		items("certificates"): jsonCertificate{}, items("certificates").Properties["places"].Items2020: jsonPlace{},
		items("endpoints"): jsonEndpoint{}, items("endpoints").Properties["tls"]: jsonTLS{},
		items("findings"): jsonFinding{}, items("gaps"): jsonGap{},
	} {
		required := map[string]bool{}
		for _, name := range def.Required {
			required[name] = true
		}
		n := 0
		for field := range reflect.TypeOf(structure).Fields() {
			name, option, _ := strings.Cut(field.Tag.Get("json"), ",")
			n++
			if def.Properties[name] == nil {
				t.Errorf("%T.%s: the schema does not know %q", structure, field.Name, name)
			}
			if always := option != "omitempty"; always != required[name] {
				t.Errorf("%T.%s: always written is %v, required in the schema is %v", structure, field.Name, always, required[name])
			}
		}
		if n != len(def.Properties) {
			t.Errorf("%T has %d fields, the schema %d", structure, n, len(def.Properties))
		}
	}
}
