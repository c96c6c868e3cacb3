package trust

import (
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestJudgingIsPure: what judges may not read. Facts come from package gather, and the
// time is handed in.
func TestJudgingIsPure(t *testing.T) {
	forbidden := map[string]string{
		"os": "files are read in gather", "net/http": "nobody is asked here", "io/ioutil": "files are read in gather", "crypto/tls": "handshakes are made in gather",
		"k8s.io/client-go": "clusters are asked in gather", "github.com/bulwark-k8s/bulwark/internal/trust/gather": "arrows run down only",
		"github.com/bulwark-k8s/bulwark/internal/trust/show": "a verdict does not know how it is shown",
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		source, err := os.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), source, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			for prefix, why := range forbidden {
				if path == prefix || strings.HasPrefix(path, prefix+"/") {
					t.Errorf("%s imports %s: %s", e.Name(), path, why)
				}
			}
		}
		for _, clock := range []string{"time.Now(", "time.Since(", "time.Until("} {
			if strings.Contains(string(source), clock) {
				t.Errorf("%s has a clock: %s is handed in as Options.Now", e.Name(), clock)
			}
		}
	}
}
