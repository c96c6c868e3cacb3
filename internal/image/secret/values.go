package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
	"math"
	"regexp"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/credential"
)

// entropy is the Shannon entropy of a value's bytes, in bits for each.
func entropy(v []byte) float64 {
	var counts [256]int
	for _, c := range v {
		counts[c]++
	}
	h, n := 0.0, float64(len(v))
	for _, c := range counts {
		if c > 0 {
			p := float64(c) / n
			h -= p * math.Log2(p)
		}
	}
	return h
}

// random accepts values with at least so many bits of entropy a byte that nobody wrote as
// an example.
func random(bits float64) func([]byte) bool {
	return func(v []byte) bool { return entropy(v) >= bits && !placeholder(string(v)) }
}

// checked accepts tokens that end with the checksum of what stands after sep: CRC-32 in
// six digits of base 62 (github.blog, "Behind GitHub's new authentication token formats").
func checked(sep string) func([]byte) bool {
	return func(v []byte) bool {
		_, body, _ := bytes.Cut(v, []byte(sep))
		if len(body) < 7 {
			return false
		}
		want := checksum(body[:len(body)-6])
		return string(body[len(body)-6:]) == string(want[:])
	}
}

func checksum(body []byte) (out [6]byte) {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := crc32.ChecksumIEEE(body)
	for i := 5; i >= 0; i-- {
		out[i] = digits[sum%62]
		sum /= 62
	}
	return out
}

// examples are parts of values that stand for one.
var examples = []string{
	"example", "changeme", "change_me", "change-me", "change-this", "placeholder", "your-", "your_", "yourpass", "<", ">", "${", "$(", "{{", "%(",
	"xxxx", "****", "....", "____", "dummy", "sample", "insert", "redacted", "replace", "todo", "fixme", "fake", "not-a-", "notreal", "secret_here", "-here", "_here",
	"0123456789", "1234567890", "abcdef0123", "123456789a", "abcdefgh", "deadbeef",
}

// words alone are nobody's password, or everybody's.
var plainWords = map[string]bool{
	"password": true, "passwd": true, "secret": true, "token": true, "pass": true, "none": true, "null": true, "nil": true,
	"undefined": true, "string": true, "test": true, "testing": true, "unset": true, "empty": true, "default": true, "disabled": true,
	"required": true, "optional": true, "foo": true, "bar": true, "foobar": true, "prompt": true, "ask": true, "keyring": true,
	"plaintext": true, "mypassword": true, "mysecret": true, "somepassword": true, "generated": true, "random": true, "env": true,
}

// placeholder reports whether a value stands for a credential rather than being one.
func placeholder(v string) bool {
	low := strings.ToLower(v)
	for _, e := range examples {
		if strings.Contains(low, e) {
			return true
		}
	}
	return plainWords[low] || v != "" && strings.Trim(v, v[:1]) == ""
}

// references are the beginnings of values that name where the credential is.
var references = []string{"$", "vault:", "arn:", "enc(", "enc[", "file:", "env:", "ref+", "op://", "ssm:", "sops:", "secretsmanager:", "gcpsm:", "azurekv:", "projects/", "@", "{cipher}", "{env:", "env(", "process.env", "os.environ", "config.", "this.", "new ", "get", "ref(", "!", "&", "*", "|", "["}

// guessable accepts values of names that promise a credential: those that could be one
// by themselves.
func guessable(v string) bool {
	low := strings.ToLower(v)
	for _, r := range references {
		if strings.HasPrefix(low, r) {
			return false
		}
	}
	return credential.Literal(v) && !placeholder(v) && !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "./") && (!strings.Contains(v, "://") || credential.InURL(v))
}

// strong accepts what guessable does and looks as if it were made up to be secret: of
// some length, of several kinds of characters, not one of a few letters over and over.
func strong(v string) bool {
	kinds := 0
	for _, set := range []string{"abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"} {
		if strings.ContainsAny(v, set) {
			kinds++
		}
	}
	if strings.Trim(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- ") != "" {
		kinds++
	}
	return len(v) >= 8 && len(v) <= 500 && !strings.Contains(strings.TrimSpace(v), " ") &&
		(kinds >= 2 || len(v) >= 20) && entropy([]byte(v)) >= 2.7 && guessable(v)
}

var awsToken = regexp.MustCompile(`[A-Za-z0-9/+]{40,}={0,2}`)

// awsPair finds an identifier of a key with something near it that could be its secret;
// the identifier alone is none.
func awsPair(text []byte, at int) (int, int, bool) {
	end := at + 20
	if end > len(text) || !keyID.Match(text[at:end]) || end < len(text) && wordByte(text[end]) || bytes.HasSuffix(text[at:end], []byte("EXAMPLE")) {
		return 0, 0, false
	}
	near := text[max(0, at-300):min(len(text), end+300)]
	for _, v := range awsToken.FindAll(near, -1) {
		if len(v) == 40 && awsSecret(v) {
			return at, end, true
		}
	}
	return 0, 0, false
}

var keyID = regexp.MustCompile(`^A[KS]IA[A-Z2-7]{16}$`)

var hexadecimal = regexp.MustCompile(`^[0-9a-fA-F]+$`)

// awsSecret accepts forty characters as AWS makes them; sums in hexadecimal are none.
func awsSecret(v []byte) bool {
	return entropy(v) >= 4 && !hexadecimal.Match(v) && !bytes.Contains(v, []byte("EXAMPLE")) && bytes.ContainsAny(v, "0123456789") &&
		bytes.ContainsAny(v, "abcdefghijklmnopqrstuvwxyz") && bytes.ContainsAny(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

// serviceAccount finds the key in the JSON around "service_account".
func serviceAccount(text []byte, at int) (int, int, bool) {
	from := max(0, at-4000)
	near := text[from:min(len(text), at+4000)]
	i := bytes.Index(near, []byte(`"private_key"`))
	if i < 0 || !bytes.Contains(near, []byte(`"client_email"`)) {
		return 0, 0, false
	}
	j := bytes.Index(near[i:], []byte("-----BEGIN "))
	if j < 0 || j > 40 {
		return 0, 0, false
	}
	if from, to, ok := plainKey(text, from+i+j); ok {
		return from, to, true
	}
	return 0, 0, false
}

// kubernetesToken accepts signed tokens that Kubernetes issued, old and new
// (k8s.io/kubernetes/pkg/serviceaccount, legacy.go and claims.go).
func kubernetesToken(v []byte) bool {
	parts := bytes.Split(v, []byte("."))
	payload, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	if err != nil {
		return false
	}
	var claims struct {
		Issuer     string          `json:"iss"`
		Kubernetes json.RawMessage `json:"kubernetes.io"`
	}
	return json.Unmarshal(payload, &claims) == nil && (claims.Issuer == "kubernetes/serviceaccount" || len(claims.Kubernetes) > 2)
}

const openAIMark = "T3BlbkFJ"

var openAIKey = regexp.MustCompile(`sk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{20,80}` + openAIMark + `[A-Za-z0-9_-]{20,80}`)

// openAI finds keys by the mark in their middle.
func openAI(text []byte, at int) (int, int, bool) {
	if !bytes.HasPrefix(text[at:], []byte(openAIMark)) {
		return 0, 0, false
	}
	from := max(0, at-100)
	m := openAIKey.FindIndex(text[from:min(len(text), at+100)])
	if m == nil || !random(4)(text[from+m[0]:from+m[1]]) {
		return 0, 0, false
	}
	return from + m[0], from + m[1], true
}

var address = regexp.MustCompile(`^https?://[A-Za-z0-9._%+-]{0,60}:([^\s/@:"'<>]{6,200})@[A-Za-z0-9.-]{3,100}`)

// repositoryAddress finds a password in an address that git or a package manager uses.
func repositoryAddress(text []byte, at int) (int, int, bool) {
	m := address.FindSubmatchIndex(window(text, at, 400))
	if m == nil {
		return 0, 0, false
	}
	from, to := at+m[2], at+m[3]
	return from, to, strong(string(text[from:to]))
}
