package packages

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

func TestApk(t *testing.T) {
	in := `C:Q1xyz=
P:busybox
V:1.36.1-r29
A:x86_64
S:509123
L:GPL-2.0-only
o:busybox
t:1700000000
D:so:libc.musl-x86_64.so.1
p:cmd:busybox=1.36.1-r29
F:bin
R:busybox
a:0:0:755
Z:Q1abc=
F:etc
F:etc/network
M:0:0:1777
R:.keep dir

C:Q1abc=
P:ssl_client
V:1.36.1-r29
A:x86_64
L:GPL-2.0-only AND MIT
o:busybox
F:usr/bin
R:ssl_client

P:.build-deps
V:20240101.000000
A:noarch

V:nameless
`
	for _, path := range []string{"lib/apk/db/installed", "usr/lib/apk/db/installed"} {
		found := read(t, file(path, in))
		want := []image.Package{
			{Type: image.Apk, Name: "busybox", Version: "1.36.1-r29", Arch: "x86_64", Licenses: []string{"GPL-2.0-only"}, Path: path},
			{Type: image.Apk, Name: "ssl_client", Version: "1.36.1-r29", Source: "busybox", Arch: "x86_64", Licenses: []string{"GPL-2.0-only AND MIT"}, Path: path},
			{Type: image.Apk, Name: ".build-deps", Version: "20240101.000000", Arch: "noarch", Path: path},
		}
		if diff := cmp.Diff(want, found.Packages); diff != "" {
			t.Errorf("packages (-want +got):\n%s", diff)
		}
		owned := map[string][]string{
			"apk:busybox":    {"bin/busybox", "etc/network/.keep dir"},
			"apk:ssl_client": {"usr/bin/ssl_client"},
		}
		if diff := cmp.Diff(owned, found.Owned); diff != "" {
			t.Errorf("owned (-want +got):\n%s", diff)
		}
	}
}
