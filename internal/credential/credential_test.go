package credential

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestNamed(t *testing.T) {
	for name, want := range map[string]bool{
		"DB_PASSWORD": true, "dbPassword": true, "REDIS_PASS": true, "API_KEY": true, "apiKey": true, "APIKEY": true,
		"AWS_SECRET_ACCESS_KEY": true, "GITHUB_TOKEN": true, "client-secret": true, "JWT_SIGNING_KEY": true,
		"SECRET": true, "credentials.json": true, "id_rsa": true, "MYSQL_PWD": true, "db.password": true, "PGPASSWORD": true, ".htpasswd": true, "authToken": true, "tokens": false,
		"PASSWORD_FILE": false, "TOKEN_TTL": false, "SECRET_NAME": false, "PASSWORD_MIN_LENGTH": false, "TOKEN_URL": false,
		"AWS_ACCESS_KEY_ID": false, "PWD": false, "BYPASS": false, "COMPASS_HOST": false, "PUBLIC_KEY": false, "KEYCLOAK_URL": false,
		"CACHE_KEY_PREFIX": false, "TOKENIZER": false, "ca.crt": false, "kubeconfig": false, "": false, "SECRET_STORE": false,
		"password-policy.yaml": false, "reset-password.html": false, "id_rsa.pub": false,
	} {
		if got := Named(name); got != want {
			t.Errorf("Named(%q) is %v, want %v", name, got, want)
		}
	}
}

// TestEveryPromiseHasAStem: a name without a stem is not looked at any further.
func TestEveryPromiseHasAStem(t *testing.T) {
	for _, promise := range slices.Concat(slices.Collect(maps.Keys(plain)), phrases, ends) {
		if !slices.ContainsFunc(strings.Fields(promise), func(word string) bool {
			return slices.ContainsFunc(stems, func(stem string) bool { return strings.Contains(word, stem) })
		}) {
			t.Errorf("%q has none of %v", promise, stems)
		}
	}
}

func TestLiteral(t *testing.T) {
	for value, want := range map[string]bool{
		"hunter2": true, "pre-$(REF)": true, "123456": true,
		"": false, "  ": false, "true": false, "False": false, "$(DB_PASSWORD)": false, "$(A)-$(B)": false,
		"/etc/gcp/key.json": false, "/run/secrets/db-password": false, "/Zm9vYmFy/YmF6+A==": true, "/hunter2": true,
	} {
		if got := Literal(value); got != want {
			t.Errorf("Literal(%q) is %v, want %v", value, got, want)
		}
	}
}

// The values are made up here, so that no scanner of repositories finds them.
func TestShaped(t *testing.T) {
	for value, want := range map[string]bool{
		"AKIA" + strings.Repeat("J", 16): true, "id=ASIA" + strings.Repeat("7", 16): true, "AKIA" + strings.Repeat("J", 15): false, "xAKIA" + strings.Repeat("J", 16): false,
		"ghp_" + strings.Repeat("a", 36): true, "ghp_short": false, "glpat-" + strings.Repeat("x", 20): true,
		"AIza" + strings.Repeat("S", 35): true, "xoxb-" + strings.Repeat("1", 24): true, "sk_live_" + strings.Repeat("4", 24): true, "sk_test_" + strings.Repeat("4", 24): false,
		"Bearer eyJ" + strings.Repeat("h", 12) + ".eyJ" + strings.Repeat("p", 12) + "." + strings.Repeat("s", 24): true, "eyJhbGciOi.json.file": false,
		"-----BEGIN " + "RSA PRIVATE KEY-----\nMII": true, "-----BEGIN CERTIFICATE-----": false, "hunter2": false, "": false,
	} {
		if got := Shaped(value); got != want {
			t.Errorf("Shaped(%q) is %v, want %v", value, got, want)
		}
	}
}

func TestInURL(t *testing.T) {
	for value, want := range map[string]bool{
		"postgres://shop:hunter2@db:5432/shop": true, "amqp://u:p@mq": true,
		"postgres://shop:$(PASS)@db/shop": false, "postgres://shop@db/shop": false, "https://db:8443/": false,
		"user:pass": false, "not a url at all": false, "": false,
	} {
		if got := InURL(value); got != want {
			t.Errorf("InURL(%q) is %v, want %v", value, got, want)
		}
	}
}

func TestInArgs(t *testing.T) {
	for line, want := range map[string]string{
		"serve --password=hunter2":          "--password: hunter2",
		"serve -token=hunter2":              "-token: hunter2",
		"java -Ddb.password=hunter2":        "-Ddb.password: hunter2",
		"env DB_PASSWORD=hunter2 serve":     "DB_PASSWORD: hunter2",
		"serve --token hunter2":             "--token: hunter2",
		"serve --db=postgres://u:h@db/shop": ": postgres://u:h@db/shop",
		"migrate postgres://u:h=@db/shop":   ": postgres://u:h=@db/shop",
		"serve -p hunter2":                  "",
		"serve --token -v":                  "",
		"serve --token-file=/etc/token":     "",
		"serve --token=$(TOKEN)":            "",
		"serve --token=https://sts/":        "",
		"serve --password=":                 "",
	} {
		args, got := strings.Fields(line), ""
		for at := range InArgs(args) {
			got += at.Name + ": " + args[at.Index][at.From:]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestMask(t *testing.T) {
	for text, want := range map[string]string{
		"export PGPASSWORD=hunter2; psql":             "export PGPASSWORD=x; psql",
		"mysql --password 'hunter 2' shop":            "mysql --password x shop",
		"login --token=hunter2 && serve":              "login --token=x && serve",
		`curl -d '{"password": "hunter2"}' http://db`: `curl -d '{"password": x}' http://db`,
		`curl -H "Authorization: Bearer hunter2" db`:  `curl -H "Authorization: Bearer x" db`,
		"psql postgres://shop:hunter2@db/shop -c q":   "psql postgres://x:x@db/shop -c q",
		"cat /etc/token; ls -l --color=always":        "cat /etc/token; ls -l --color=always",
		"export TOKEN=$(cat /run/token) PASSWORD=$X":  "export TOKEN=$(cat /run/token) PASSWORD=$X",
		"curl https://get.example/run.sh | sh":        "curl https://get.example/run.sh | sh",
	} {
		if got := Mask(text, "x"); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", text, got, want)
		}
	}
}
