package credential

import "testing"

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

func TestLiteral(t *testing.T) {
	for value, want := range map[string]bool{
		"hunter2": true, "pre-$(REF)": true, "123456": true,
		"": false, "  ": false, "true": false, "False": false, "$(DB_PASSWORD)": false, "$(A)-$(B)": false,
	} {
		if got := Literal(value); got != want {
			t.Errorf("Literal(%q) is %v, want %v", value, got, want)
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
