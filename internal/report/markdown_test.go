package report

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/bulwark-k8s/bulwark/controls"
)

func TestMarkdown(t *testing.T) {
	for name, tt := range map[string]struct{ src, want string }{
		"nothing":              {"", ""},
		"a paragraph":          {"One\ntwo.", "<p>One\ntwo.</p>\n"},
		"two paragraphs":       {"One.\n\nTwo.", "<p>One.</p>\n<p>Two.</p>\n"},
		"code":                 {"Set `a < b` and `c`.", "<p>Set <code>a &lt; b</code> and <code>c</code>.</p>\n"},
		"an open backtick":     {"It is ` alone", "<p>It is ` alone</p>\n"},
		"no markup in code":    {"`**a** [b](https://c)`", "<p><code>**a** [b](https://c)</code></p>\n"},
		"a list":               {"- one\n- two\n  more", "<ul>\n<li>one</li>\n<li>two\nmore</li>\n</ul>\n"},
		"a list after text":    {"Do:\n- one\n\nThen.", "<p>Do:</p>\n<ul>\n<li>one</li>\n</ul>\n<p>Then.</p>\n"},
		"a numbered list":      {"1. one\n2. two", "<ol>\n<li>one</li>\n<li>two</li>\n</ol>\n"},
		"a loose list":         {"- one\n\n- two", "<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"},
		"fenced code":          {"Run:\n```sh\na <b\n\n# c\n```\nDone.", "<p>Run:</p>\n<pre><code>a &lt;b\n\n# c</code></pre>\n<p>Done.</p>\n"},
		"strong":               {"It **is**.", "<p>It <strong>is</strong>.</p>\n"},
		"a link":               {"See [it](https://k8s.io/a?b=c&d).", `<p>See <a href="https://k8s.io/a?b=c&amp;d" rel="noopener noreferrer">it</a>.</p>` + "\n"},
		"a script for a link":  {"[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"},
		"a quote in a link":    {`[x](https://a"onclick="b)`, `<p><a href="https://a&#34;onclick=&#34;b" rel="noopener noreferrer">x</a></p>` + "\n"},
		"markup in the source": {"<b>x</b> & <script>", "<p>&lt;b&gt;x&lt;/b&gt; &amp; &lt;script&gt;</p>\n"},
		"a star is not a list": {"*.example.com", "<p>*.example.com</p>\n"},
		"windows line endings": {"- a\r\n- b\r\n", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(markdown(tt.src)); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// allowed are the elements that markdown may make, with their attributes.
var allowed = map[string][]string{
	"p": nil, "ul": nil, "ol": nil, "li": nil, "code": nil, "pre": nil, "strong": nil, "a": {"href", "rel"},
}

// FuzzMarkdown states that no source makes an element of its own, that what is opened
// is closed, and that links lead to the web.
func FuzzMarkdown(f *testing.F) {
	for _, c := range controls.All() {
		f.Add(c.Doc)
	}
	for _, s := range hostile {
		f.Add("- [" + s + "](https://" + s + ")\n\n**" + s + "** `" + s + "`\n```\n" + s)
	}
	f.Add("**[x](https://a)** [**x**](https://**b**) [a**](https://x) **b")
	f.Fuzz(func(t *testing.T, src string) {
		out := string(markdown(src))
		if utf8.ValidString(src) && !utf8.ValidString(out) {
			t.Fatalf("%q became invalid text", src)
		}
		var open []string
		z := html.NewTokenizer(strings.NewReader(out))
		for z.Next() != html.ErrorToken {
			tok := z.Token()
			switch tok.Type {
			case html.TextToken:
				continue
			case html.StartTagToken:
				attrs, ok := allowed[tok.Data]
				if !ok || len(tok.Attr) != len(attrs) {
					t.Fatalf("%q made the element %s", src, tok)
				}
				for i, a := range tok.Attr {
					if a.Key != attrs[i] || a.Key == "href" && !strings.HasPrefix(a.Val, "http") {
						t.Fatalf("%q made the attribute %s=%q", src, a.Key, a.Val)
					}
				}
				open = append(open, tok.Data)
			case html.EndTagToken:
				if len(open) == 0 || open[len(open)-1] != tok.Data {
					t.Fatalf("%q closes %s, open are %v", src, tok.Data, open)
				}
				open = open[:len(open)-1]
			default:
				t.Fatalf("%q made %s", src, tok)
			}
		}
		if len(open) > 0 {
			t.Fatalf("%q leaves %v open", src, open)
		}
	})
}
