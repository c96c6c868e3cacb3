package secret

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

// found are the rules that find something in a file, as a layer's reader would ask.
func found(t *testing.T, name, text string) []string {
	t.Helper()
	f := &layer.File{Path: name, Mode: 0o644, Size: int64(len(text)), Head: []byte(text)[:min(512, len(text))], Content: strings.NewReader(text)}
	if !(Finder{}).Wants(f) {
		return nil
	}
	got, err := Finder{}.Read(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if got == nil {
		return nil
	}
	var rules []string
	for _, s := range got.Secrets {
		rules = append(rules, s.Rule)
	}
	return rules
}

// TestRules: every rule finds its own and leaves what only looks like it; what it leaves
// no other rule takes.
func TestRules(t *testing.T) {
	ids := map[string]bool{keystore.id: true}
	for _, r := range rules {
		ids[r.id] = true
	}
	for id := range ids {
		t.Run(id, func(t *testing.T) {
			c := cases[id]
			if len(c.yes) == 0 || len(c.no) == 0 {
				t.Fatalf("%d true and %d false positives, want some of each", len(c.yes), len(c.no))
			}
			for i, s := range c.yes {
				if got := found(t, cmp.Or(s.name, "app/config.txt"), s.text); !slices.Contains(got, id) {
					t.Errorf("sample %d in %s is not found; found %v", i, s.name, got)
				}
			}
			for i, s := range c.no {
				got := found(t, cmp.Or(s.name, "app/config.txt"), s.text)
				if slices.Contains(got, id) {
					t.Errorf("what is none is found: %d in %s", i, s.name)
				}
			}
		})
	}
	for id := range cases {
		if !ids[id] {
			t.Errorf("cases of a rule that is gone: %s", id)
		}
	}
	if len(rules) > 60 {
		t.Errorf("%d rules, and search counts for 64", len(rules))
	}
}

// TestPlaces: what is found is told with its line, once, and by the rule that says most.
func TestPlaces(t *testing.T) {
	for name, tt := range map[string]struct {
		path, text string
		want       []string
	}{
		"a service account's key is one secret": {"app/key.json", cases["gcp-service-account"].yes[0].text, []string{"gcp-service-account:1"}},
		"a key of several lines is one":         {"app/all.pem", publicKey() + edKey() + ecKey(), []string{"private-key:4", "private-key:7"}},
		"a key pair is told once a line": {
			"root/.aws/credentials", "[default]\naws_access_key_id = AKIA" + made(base32, 16) + "\naws_secret_access_key = " + made(base64s, 40) + "\n",
			[]string{"aws-access-key:2", "aws-secret-key:3"},
		},
		"a token in a file of settings bears its issuer's name": {"app/.env", "A=1\nGITHUB_TOKEN=" + signed("ghp_") + "\n", []string{"github-token:2"}},
		"a file of nothing but tokens":                          {"app/x", strings.Repeat(signed("ghp_")+"\n", 5000), slices.Repeat([]string{"github-token"}, maxFound)},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for i, s := range InFile(tt.path, []byte(tt.text)) {
				line := ":" + string(rune('0'+s.Line))
				if len(tt.want) == maxFound {
					line = ""
					if s.Line != i+1 {
						t.Errorf("line %d of the token on line %d", s.Line, i+1)
					}
				}
				got = append(got, s.Rule+line)
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWants: programs and what packages bring are not read.
func TestWants(t *testing.T) {
	for name, tt := range map[string]struct {
		file layer.File
		want bool
	}{
		"a text of the application":     {layer.File{Path: "app/config.json", Size: 100, Head: []byte("{")}, true},
		"a program":                     {layer.File{Path: "app/server", Size: 100, Head: []byte("\x7fELF\x00")}, false},
		"a large text":                  {layer.File{Path: "app/dump.sql", Size: MaxSize + 1, Head: []byte("INSERT")}, false},
		"a large store of keys":         {layer.File{Path: "app/server.jks", Size: MaxSize + 1, Head: []byte("\xfe\xed\x00")}, true},
		"an empty file":                 {layer.File{Path: "root/.netrc"}, false},
		"a manual":                      {layer.File{Path: "usr/share/man/man1/ls.1", Size: 100, Head: []byte(".TH")}, false},
		"a module of Node":              {layer.File{Path: "srv/node_modules/a/index.js", Size: 100, Head: []byte("x")}, false},
		"Node's folder for the program": {layer.File{Path: "usr/src/app/config.json", Size: 100, Head: []byte("x")}, true},
		"the web server's folder":       {layer.File{Path: "usr/share/nginx/html/env.js", Size: 100, Head: []byte("x")}, true},
		"a file named as a tree":        {layer.File{Path: "app/my_node_modules/a.js", Size: 100, Head: []byte("x")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Finder{}).Wants(&tt.file); got != tt.want {
				t.Errorf("wants it: %v, want %v", got, tt.want)
			}
		})
	}
}

// TestTooLarge: a file that by its name holds credentials and cannot be read is a gap,
// not nothing.
func TestTooLarge(t *testing.T) {
	f := &layer.File{Path: "root/.netrc", Size: MaxSize + 1, Head: []byte("machine")}
	if !(Finder{}).Wants(f) {
		t.Fatal("it is not wanted")
	}
	if _, err := (Finder{}).Read(t.Context(), f); err == nil {
		t.Error("it is passed over in silence")
	}
}

func TestInConfig(t *testing.T) {
	key := made(base64s, 40)
	for name, tt := range map[string]struct {
		env, history []string
		labels       map[string]string
		want         []string
	}{
		"nothing": {},
		"the usual variables": {env: []string{
			"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568", "PYTHON_SHA256=" + made(hexes, 64),
			"NODE_VERSION=20.1.0", "POSTGRES_PASSWORD_FILE=/run/secrets/pg", "TOKEN_TTL=3600", "SECRET_KEY_BASE=", "MYSQL_RANDOM_ROOT_PASSWORD=yes",
			"JWT_SECRET=${JWT_SECRET}", "PASSWORD=changeme", "MAX_TOKENS=4096", "NOT_A_VARIABLE",
		}},
		"a password":                    {env: []string{"DB_PASSWORD=hunter2"}, want: []string{"env-credential config.Env[DB_PASSWORD]"}},
		"a token by its form":           {env: []string{"THING=" + signed("ghp_")}, want: []string{"github-token config.Env[THING]"}},
		"an address":                    {env: []string{"DATABASE_URL=postgres://shop:hunter2@db/shop"}, want: []string{"env-credential config.Env[DATABASE_URL]"}},
		"an address without":            {env: []string{"DATABASE_URL=postgres://shop@db/shop", "PROXY=http://user:password@proxy"}},
		"a variable and its step":       {env: []string{"DB_PASSWORD=hunter2"}, history: []string{"/bin/sh -c #(nop)  ENV DB_PASSWORD=hunter2"}, want: []string{"env-credential config.Env[DB_PASSWORD]"}},
		"a variable that was set again": {env: []string{"DB_PASSWORD="}, history: []string{"ENV DB_PASSWORD=hunter2", "ENV DB_PASSWORD="}, want: []string{"history-credential history[0]"}},
		"a build argument":              {history: []string{"COPY . /app", "RUN |1 NPM_TOKEN=s3cr3t-0f-sh0p /bin/sh -c npm ci # buildkit"}, want: []string{"history-credential history[1]"}},
		"an argument's default":         {history: []string{"ARG API_TOKEN=s3cr3t0fsh0p"}, want: []string{"history-credential history[0]"}},
		"an argument without one":       {history: []string{"ARG API_TOKEN", "RUN --mount=type=secret,id=npm npm ci", "RUN /bin/sh -c docker login --password-stdin < /run/secrets/token"}},
		"a header":                      {history: []string{`RUN /bin/sh -c curl -H "Authorization: Bearer ` + made(alnum, 30) + `" https://x`}, want: []string{"history-credential history[0]"}},
		"chpasswd":                      {history: []string{`RUN /bin/sh -c echo 'root:hunter2' | chpasswd`}, want: []string{"history-credential history[0]"}},
		"chpasswd with a variable":      {history: []string{`RUN /bin/sh -c echo "root:$PASS" | chpasswd`}},
		"an option":                     {history: []string{`RUN /bin/sh -c tool --api-token s3cr3t0fsh0p`}, want: []string{"history-credential history[0]"}},
		"a clone with a password":       {history: []string{`RUN git clone https://dev:hunter2x@git.shop.example/a`}, want: []string{"git-credentials history[0]"}},
		"a key pair":                    {history: []string{"RUN AWS_ACCESS_KEY_ID=AKIA" + made(base32, 16) + " AWS_SECRET_ACCESS_KEY=" + key + " aws s3 cp s3://a b"}, want: []string{"aws-access-key history[0]"}},
		"a label":                       {labels: map[string]string{"com.shop.api-token": "s3cr3t0fsh0p", "maintainer": "a@b"}, want: []string{"label-credential config.Labels[com.shop.api-token]"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range InConfig(tt.env, tt.history, tt.labels) {
				got = append(got, s.Rule+" "+s.Path)
				if s.Layer != -1 || s.About == "" {
					t.Errorf("%+v", s)
				}
			}
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMask(t *testing.T) {
	for name, tt := range map[string]struct{ command, want string }{
		"nothing":       {"RUN apt-get update && apt-get install -y curl", "RUN apt-get update && apt-get install -y curl"},
		"a variable":    {"ENV DB_PASSWORD=hunter2", "ENV DB_PASSWORD=***"},
		"a token":       {"RUN echo " + signed("ghp_") + " > /x", "RUN echo *** > /x"},
		"chpasswd":      {"RUN echo 'root:hunter2' | chpasswd", "RUN echo 'root:***' | chpasswd"},
		"in an address": {"RUN git clone https://dev:hunter2@git.example/a", "RUN git clone https://***:***@git.example/a"},
		"a header":      {"RUN curl -H 'Authorization: Bearer " + made(alnum, 20) + "' https://x", "RUN curl -H 'Authorization: Bearer ***' https://x"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Mask(tt.command); got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

// FuzzNoValue states that nothing of a secret's value is in what is told of it, whatever
// stands around: no eight bytes of it in a row.
func FuzzNoValue(f *testing.F) {
	f.Add("app/.env", "A=1\nAPI_TOKEN=", "\n")
	f.Add("root/.npmrc", "//r/:_authToken=", "")
	f.Add("app/a.js", "x(\"", "\")")
	f.Add("root/.netrc", "machine a password ", "\n")
	f.Add("etc/shadow", "root:$6$", ":::")
	secret := made(alnum, 30)
	sum := checksum([]byte(secret))
	f.Fuzz(func(t *testing.T, name, before, after string) {
		if !fs.ValidPath(name) || len(before)+len(after) > 1<<16 {
			return
		}
		for _, value := range []string{"ghp_" + secret + string(sum[:]), secret} {
			if strings.Contains(name, value[:8]) {
				return
			}
			text := before + value + after
			all := InFile(name, []byte(text))
			all = append(all, InConfig([]string{text, "TOKEN=" + text}, []string{text, "ENV " + text}, map[string]string{"token": text})...)
			out, err := json.Marshal(all)
			if err != nil {
				t.Fatal(err)
			}
			// The name of a variable is told, and so what stands before its "=".
			variable, _, _ := strings.Cut(text, "=")
			for i := 0; i+8 <= len(value) && !strings.Contains(variable, value); i++ {
				if bytes.Contains(out, []byte(value[i:i+8])) {
					t.Fatalf("%q is in what is told: %s", value[i:i+8], out)
				}
			}
			for _, s := range all {
				if s.Line < 0 || s.Line > strings.Count(text, "\n")+1 {
					t.Fatalf("line %d", s.Line)
				}
			}
			if masked := Mask("RUN x " + value + " y"); value[0] == 'g' && strings.Contains(masked, value[5:20]) {
				t.Fatalf("the mask leaves it")
			}
		}
	})
}

func BenchmarkText(b *testing.B) {
	var text bytes.Buffer
	for text.Len() < 4<<20 {
		text.WriteString("server.port = 8080 # the port of https://host.example/path where tokens and passwords are asked for\n")
		text.WriteString(made(alnum+" .;=\"'", 97) + "\n")
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		InFile("app/big.txt", text.Bytes())
	}
}
