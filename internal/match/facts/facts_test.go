package facts_test

import (
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/match"
	"github.com/bulwark-k8s/bulwark/internal/match/facts"
)

func TestOf(t *testing.T) {
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	img := &image.Image{
		Name: "shop", Digest: "sha256:a", ID: "sha256:b", Platform: image.Platform{OS: "linux", Architecture: "arm64"},
		Layers:   []image.Layer{{Base: true}, {}},
		History:  []image.Step{{Command: "ADD rootfs /", Layer: 0}, {Command: "USER root", Layer: -1}},
		Files:    []image.File{{Path: "usr/bin/su", Mode: fs.ModeSetuid | 0o755, Layer: 0}},
		Packages: []image.Package{{Type: image.Deb, Name: "z"}, {Type: image.Deb, Name: "a"}, {Type: image.Deb, Name: "a", Arch: "i386"}, {Type: image.NPM, Name: "left-pad"}},
		Secrets:  []image.Secret{{Rule: "private-key", Path: "root/.ssh/id_rsa", Layer: 1, Deleted: true}},
	}
	want := &cluster.Image{
		Name: "shop", Digest: "sha256:a", Digests: []string{"sha256:b"}, Platform: "linux/arm64", Seen: now,
		History:  []cluster.ImageStep{{Command: "ADD rootfs /", Base: true}, {Command: "USER root"}},
		Files:    []cluster.ImageFile{{Path: "usr/bin/su", Mode: 0o4755, Base: true}},
		Packages: []string{"a", "z"},
		Secrets:  []cluster.ImageSecret{{Rule: "private-key", Path: "root/.ssh/id_rsa", Deleted: true}},
	}
	if diff := cmp.Diff(want, facts.Of(img, nil, now)); diff != "" {
		t.Errorf("nobody looked for vulnerabilities (-want +got):\n%s", diff)
	}
	want.Matched = true
	want.Vulnerabilities = []cluster.Vulnerability{{
		ID: "CVE-1", IDs: []string{"CVE-1"}, Package: "deb:z", Installed: "1", FixedIn: []string{"2"}, Severity: "high", State: "fixed", Exploited: true, Reachable: "symbol", Base: true,
	}}
	want.NotAssessed = []cluster.NotAssessed{{Type: "npm", Packages: 1, Reason: "no data"}}
	got := facts.Of(img, &match.Result{
		Findings: []match.Finding{{
			ID: "CVE-1", IDs: []string{"CVE-1"}, Package: &image.Package{Type: image.Deb, Name: "z", Version: "1"}, FixedIn: []string{"2"},
			Severity: advisory.High, Exploited: now, Reachable: match.SymbolThere,
		}},
		NotAssessed: []match.NotAssessed{{Type: image.NPM, Packages: 1, Reason: "no data"}},
	}, now)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with what is known (-want +got):\n%s", diff)
	}
}
