package secret

import (
	"regexp"
	"strings"
)

// A rule recognises one kind of credential.
type rule struct {
	id    string
	about string // what it is, for people
	// words are what a text must hold for the rule to be asked; four bytes or more each.
	words []string
	// anyCase is set where the words may be in either case.
	anyCase bool
	// inside is set where a word may stand within a longer one.
	inside bool
	// generic is set where the form is everybody's: among tests it means nothing.
	generic bool
	// pattern is what must begin at the word; its first group is the credential.
	pattern *regexp.Regexp
	// is decides on the credential, nil: the pattern does.
	is func(value []byte) bool
	// at decides at a word in place of pattern and is, and returns the credential's place.
	at func(text []byte, at int) (from, to int, ok bool)
	// files and find are those of a rule that goes by a file's name: its places in it.
	files func(name string) bool
	find  func(text []byte) places

	order int
}

type places = func(yield func(int) bool)

// reach is how far from its word a pattern may reach.
const reach = 4096

func (r *rule) look(text []byte, at int) (from, to int, ok bool) {
	if !r.inside && !bounded(text, at) {
		return 0, 0, false
	}
	if r.at != nil {
		return r.at(text, at)
	}
	m := r.pattern.FindSubmatchIndex(window(text, at, reach))
	if m == nil || m[2] < 0 {
		return 0, 0, false
	}
	value := text[at+m[2] : at+m[3]]
	return at + m[2], at + m[3], r.is == nil || r.is(value)
}

// end is what may follow a token whose characters are those of a word.
const end = `(?:[^A-Za-z0-9_-]|$)`

func token(form string) *regexp.Regexp { return regexp.MustCompile(`^(` + form + `)` + end) }

// assigned is the rest of a name, a sign that assigns, and a value of a form.
func assigned(form string) *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z_.-]{1,40}["']?\s{0,4}(?:=>|:=|[=:,])\s{0,4}["']?(` + form + `)` + `(?:[^A-Za-z0-9_/+=.~-]|$)`)
}

// withLetter makes words of a beginning that is too short to be one.
func withLetter(prefix string) []string {
	var out []string
	for c := 'a'; c <= 'z'; c++ {
		out = append(out, prefix+string(c))
	}
	return out
}

// rules are in the order in which they count where several find the same. Forms are the
// issuers' own: of GitHub and npm with the checksum that they have published for it.
var rules = []*rule{
	{
		id: "gcp-service-account", about: "the key of a service account of Google Cloud", words: []string{`"service_account"`}, inside: true,
		at: serviceAccount,
	},
	{
		id: "kubernetes-token", about: "the token of a Kubernetes service account", words: []string{"eyJhbGciOi"},
		pattern: regexp.MustCompile(`^(eyJ[\w-]{10,}\.eyJ[\w-]{20,}\.[\w-]{20,})`), is: kubernetesToken,
	},
	{
		id: "kubeconfig", about: "a kubeconfig with a key in it", words: []string{"client-key-data"}, generic: true,
		pattern: regexp.MustCompile(`^client-key-data"?\s*:\s*"?([A-Za-z0-9+/]{60,})`), is: random(4),
	},
	{id: "private-key", about: "a private key", words: []string{"-----BEGIN "}, inside: true, generic: true, at: plainKey},
	{
		id: "encrypted-private-key", about: "a private key behind a password", words: []string{"-----BEGIN "}, inside: true, generic: true,
		at: encryptedKey,
	},
	{
		id: "putty-private-key", about: "a private key of PuTTY", words: []string{"PuTTY-User-Key-File-"}, generic: true,
		pattern: regexp.MustCompile(`(?s)^PuTTY-User-Key-File-\d: .{0,300}?Encryption: none.{0,900}?(Private-Lines)`),
	},
	{
		id: "age-secret-key", about: "a secret key of age", words: []string{"AGE-SECRET-KEY-1"},
		pattern: token(`AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}`), is: random(3.5),
	},
	{
		id: "aws-access-key", about: "an access key of AWS, with its secret", words: []string{"AKIA", "ASIA"}, at: awsPair,
	},
	{
		id: "aws-secret-key", about: "the secret of an access key of AWS", words: []string{"aws_secret_access_key", "awssecretaccesskey", "aws_secret_key", "secretaccesskey"},
		anyCase: true, inside: true,
		pattern: regexp.MustCompile(`^[A-Za-z_]+["']?\s{0,4}(?:=>|:=|[=:,])\s{0,4}["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)`), is: awsSecret,
	},
	{
		id: "azure-storage-key", about: "the key of an account of Azure's storage", words: []string{"AccountKey"}, inside: true,
		pattern: regexp.MustCompile(`^AccountKey\s?=\s?([A-Za-z0-9+/]{86}==)`),
		is: func(v []byte) bool { // the emulator's is everybody's: learn.microsoft.com, "Use the Azurite emulator"
			return random(4.5)(v) && !strings.HasPrefix(string(v), "Eby8vdM0")
		},
	},
	{
		id: "azure-shared-key", about: "a shared key of Azure", words: []string{"SharedAccessKey"}, inside: true,
		pattern: regexp.MustCompile(`^SharedAccessKey\s?=\s?([A-Za-z0-9+/]{43}=)`), is: random(4),
	},
	{
		id: "azure-client-secret", about: "the secret of an application of Azure", words: []string{"client_secret", "clientsecret", "client-secret"}, anyCase: true, inside: true,
		pattern: assigned(`[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}`), is: random(3.5),
	},
	{
		id: "github-token", about: "a token of GitHub", words: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, inside: true,
		pattern: token(`gh[pousr]_[A-Za-z0-9]{36}`), is: checked("_"),
	},
	{
		id: "github-token", about: "a token of GitHub", words: []string{"github_pat_"}, inside: true,
		pattern: token(`github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}`), is: random(4),
	},
	{
		id: "gitlab-token", about: "a token of GitLab", words: []string{"glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glsoat-", "glagent-"},
		pattern: regexp.MustCompile(`^(gl[a-z]{2,6}-(?:[\w-]{20,60}|[\w-]{27,300}\.[0-9a-z]{2}\.[0-9a-z]{7,9}))(?:[^\w.-]|$)`), is: random(3.5),
	},
	{
		id: "slack-token", about: "a token of Slack", words: []string{"xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-", "xoxe-"},
		pattern: token(`(?:xox[abeprs]|xapp)-(?:[0-9]{1,2}-)?[A-Z0-9]{9,13}-[A-Za-z0-9-]{20,200}`), is: random(3),
	},
	{
		id: "slack-webhook", about: "an address by which anybody writes to Slack", words: []string{"hooks.slack.com/"}, inside: true,
		pattern: regexp.MustCompile(`^hooks\.slack\.com/(?:services|workflows)/(T[A-Z0-9]{8,12}/[A-Z0-9]{8,12}/[A-Za-z0-9]{20,26})`), is: random(3.5),
	},
	{
		id: "stripe-key", about: "a secret key of Stripe", words: []string{"sk_live_", "rk_live_"},
		pattern: token(`[rs]k_live_[A-Za-z0-9]{24,250}`), is: random(3.5),
	},
	{
		id: "npm-token", about: "a token of npm", words: []string{"npm_"},
		pattern: token(`npm_[A-Za-z0-9]{36}`), is: checked("_"),
	},
	{
		id: "npm-auth", about: "what npm or yarn logs in with", words: []string{"_authToken", "npmAuthToken", "npmAuthIdent", ":_password", ":_auth"}, inside: true, generic: true,
		pattern: regexp.MustCompile(`^(?:_authToken|:_auth|:_password|npmAuthToken|npmAuthIdent)["']?\s{0,2}[=:]\s{0,2}["']?([A-Za-z0-9+/=_.:-]{16,300})(?:["'\s]|$)`), is: random(3.2),
	},
	{
		id: "pypi-token", about: "a token of PyPI", words: []string{"pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZ"},
		pattern: token(`pypi-Ag[A-Za-z0-9_-]{60,}`), is: random(4),
	},
	{
		id: "rubygems-key", about: "a key of RubyGems", words: []string{"rubygems_"},
		pattern: token(`rubygems_[a-f0-9]{48}`), is: random(3),
	},
	{
		id: "dockerhub-token", about: "a token of Docker Hub", words: []string{"dckr_pat_", "dckr_oat_"},
		pattern: token(`dckr_[po]at_[A-Za-z0-9_-]{27,36}`), is: random(3.5),
	},
	{
		id: "openai-key", about: "a key of OpenAI", words: []string{openAIMark}, inside: true, at: openAI,
	},
	{
		id: "anthropic-key", about: "a key of Anthropic", words: []string{"sk-ant-"},
		pattern: token(`sk-ant-(?:api|admin|oat)[0-9]{2}-[A-Za-z0-9_-]{80,120}`), is: random(4),
	},
	{
		id: "huggingface-token", about: "a token of Hugging Face", words: withLetter("hf_"), anyCase: true,
		pattern: token(`hf_[A-Za-z]{34}`), is: random(4),
	},
	{
		id: "sendgrid-key", about: "a key of SendGrid", words: []string{"sendgrid"}, anyCase: true, inside: true,
		pattern: regexp.MustCompile(`^(?:sendgrid|SENDGRID|SendGrid)[^\n]{0,40}(SG\.[\w-]{22}\.[\w-]{43})` + end), is: random(4),
	},
	{
		id: "vault-token", about: "a token of HashiCorp Vault", words: []string{"hvs.", "hvb.", "hvr."},
		pattern: token(`hv[sbr]\.[A-Za-z0-9_-]{24,300}`), is: random(3.8),
	},
	{
		id: "terraform-token", about: "a token of Terraform Cloud", words: []string{".atlasv1."}, inside: true,
		pattern: regexp.MustCompile(`^(\.atlasv1\.[A-Za-z0-9_=-]{60,70})` + end), is: random(4),
	},
	{
		id: "digitalocean-token", about: "a token of DigitalOcean", words: []string{"dop_v1_", "doo_v1_", "dor_v1_"},
		pattern: token(`do[opr]_v1_[a-f0-9]{64}`), is: random(3),
	},
	{
		id: "grafana-token", about: "a token of Grafana", words: []string{"glsa_", "glc_eyJ"},
		pattern: token(`glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_eyJ[A-Za-z0-9+/=]{40,300}`), is: random(3.5),
	},
	{
		id: "databricks-token", about: "a token of Databricks", words: []string{"dapi"},
		pattern: token(`dapi[a-f0-9]{32}(?:-[0-9])?`), is: random(3),
	},
	{
		id: "tailscale-key", about: "a key of Tailscale", words: []string{"tskey-auth-", "tskey-api-", "tskey-client-"},
		pattern: token(`tskey-(?:auth|api|client)-[A-Za-z0-9]{8,24}-[A-Za-z0-9]{20,40}`), is: random(3.5),
	},
	{
		id: "git-credentials", about: "a password or token in an address of a repository", words: []string{"https://", "http://"}, inside: true, generic: true, at: repositoryAddress,
	},

	// By the file's name.
	{
		id: "docker-auth", about: "what Docker logs in to registries with",
		files: ends(".docker/config.json", ".dockercfg", ".dockerconfigjson", "containers/auth.json", "kaniko/config.json"), find: dockerAuth,
	},
	{id: "netrc", about: "passwords of hosts", files: bases(".netrc", "_netrc"), find: netrc},
	{id: "pgpass", about: "passwords of PostgreSQL", files: bases(".pgpass", "pgpass.conf"), find: pgpass},
	{id: "client-password", about: "a password in a client's settings", files: bases(".my.cnf", ".mylogin.cnf", ".pypirc", ".s3cfg", ".boto", ".rediscli_auth"), find: assignments(false)},
	{id: "password-hash", about: "hashes of passwords, which can be guessed at leisure", files: hashFiles, find: hashes},
	{id: "terraform-state", about: "the state of Terraform, with what it made in plain text", files: ends(".tfstate", ".tfstate.backup"), find: terraformState},
	{id: "kubeconfig-token", about: "a kubeconfig with a token or password in it", files: kubeconfigs, find: kubeconfig},
	{id: "env-file", about: "a credential in a file of settings", files: envFiles, find: assignments(true)},
}

// keystore is the rule of files that are known by their names alone.
var keystore = &rule{id: "keystore", about: "a store of keys", order: len(rules)}

// theFilter and the indexes of rules are made of the table, once.
var theFilter, ruleByID, byName = build()

func build() (*filter, map[string]*rule, []*rule) {
	f, ids := &filter{}, map[string]*rule{keystore.id: keystore}
	var named []*rule
	for i, r := range rules {
		r.order = i
		if ids[r.id] == nil {
			ids[r.id] = r
		}
		for _, w := range r.words {
			f.add(keyword{w, r})
		}
		if r.files != nil {
			named = append(named, r)
		}
	}
	return f, ids, named
}

// named returns the rule for files of a name, or nil.
func named(name string) *rule {
	for _, r := range byName {
		if r.files(name) {
			return r
		}
	}
	return nil
}
