package packages

import (
	"testing"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

const shopDeps = `{
  "runtimeTarget": {"name": ".NETCoreApp,Version=v8.0/linux-x64"},
  "targets": {".NETCoreApp,Version=v8.0/linux-x64": {"Shop/1.0.0": {"dependencies": {"Newtonsoft.Json": "12.0.1"}}}},
  "libraries": {
    "Shop/1.0.0": {"type": "project", "serviceable": false, "sha512": ""},
    "Newtonsoft.Json/12.0.1": {"type": "package", "serviceable": true, "sha512": "sha512-x"},
    "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.1": {"type": "runtimepack"},
    "System.Text.Json/8.0.0-rc.1": {"type": "package"},
    "Shop.Native.Reference/1.0.0.0": {"type": "reference"}
  }
}`

func TestNuGet(t *testing.T) {
	sameAs(t, image.NuGet, "a program's", []image.Package{
		want("Microsoft.NETCore.App.Runtime.linux-x64", "8.0.1"), want("Newtonsoft.Json", "12.0.1"), want("System.Text.Json", "8.0.0-rc.1"),
	}, read(t, file("app/Shop.deps.json", shopDeps)).Packages)
	if _, err := tryRead(t, file("app/Shop.deps.json", "[]")); err == nil {
		t.Error("a list is read without an error")
	}
}

// FuzzNuGet: what is found is ordered, so that a file is always read alike, and has names.
func FuzzNuGet(f *testing.F) {
	f.Add([]byte(shopDeps))
	f.Add([]byte(`{"libraries":{"/":{"type":"package"},"a":{"type":"package"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := tryRead(t, file("app/Shop.deps.json", string(b)))
		if err != nil {
			return
		}
		for i, p := range found.Packages {
			if p.Name == "" || i > 0 && found.Packages[i-1].Name > p.Name {
				t.Errorf("%+v", found.Packages)
			}
		}
	})
}
