//go:build system

package match_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
	"github.com/bulwark-k8s/bulwark/internal/advisory/store"
	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/inspect"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
	"github.com/bulwark-k8s/bulwark/internal/image/source"
	"github.com/bulwark-k8s/bulwark/internal/match"
)

// TestChangelogs holds the matcher to what a real Debian says of itself: the changelogs
// of its packages name the vulnerabilities that each version of a source fixed. Of a
// tracker that says the same, none may be found in the system as it is installed, and
// each must be, in every binary of its source, in the version before the one that fixed
// it. `make image-debian` installs debootstrap.
func TestChangelogs(t *testing.T) {
	root := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "debootstrap", "--variant=minbase", "bookworm", root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-2000):])
	}
	src, err := source.Open(t.Context(), "dir:"+root, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	img, err := inspect.Image(t.Context(), src, packages.OS(), inspect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	binaries := map[string][]*image.Package{} // by source
	for i := range img.Packages {
		p := &img.Packages[i]
		binaries[p.SourceName()] = append(binaries[p.SourceName()], p)
	}
	fixes := map[string][]fix{}
	for name, all := range binaries {
		for _, p := range all {
			if f := changelog(t, root, p.Name, name); len(f) > 0 {
				fixes[name] = f
				break
			}
		}
	}
	db := tracker(t, fixes)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r, err := match.Image(db, img, match.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(r.Findings, r.SetAside...) {
		t.Errorf("%s of %s %s is found, though %s", f.ID, f.Package.Name, f.Package.Version, f.Why)
	}
	if len(r.NotAssessed) > 0 {
		t.Errorf("not assessed: %+v", r.NotAssessed)
	}

	vulnerabilities, judged, traps := 0, 0, 0
	for name, all := range fixes {
		for _, f := range all {
			if f.before == "" {
				continue // the changelog was cut off there
			}
			vulnerabilities += len(f.ids)
			old := &image.Image{OS: img.OS}
			for _, p := range binaries[name] {
				q := *p
				if q.SourceVersion != "" {
					q.SourceVersion = f.before
					traps++
				} else {
					q.Version = f.before
				}
				old.Packages = append(old.Packages, q)
			}
			r, err := match.Image(db, old, match.Options{Now: now})
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]bool{}
			for _, x := range r.Findings {
				if slices.Contains(x.FixedIn, f.version) {
					found[x.ID+" "+x.Package.Name] = true
				}
			}
			for _, id := range f.ids {
				for _, p := range binaries[name] {
					judged++
					if !found[id+" "+p.Name] {
						t.Errorf("%s of %s, fixed in %s of %s, is not found in %s", id, p.Name, f.version, name, f.before)
					}
				}
			}
		}
	}
	t.Logf("%d packages of %d sources; %d vulnerabilities of %d sources, %d findings of old versions, %d of them by an explicit source version",
		len(img.Packages), len(binaries), vulnerabilities, len(fixes), judged, traps)
	if len(img.Packages) < 80 || vulnerabilities < 100 || traps == 0 {
		t.Error("too few to prove anything")
	}
}

// A fix is what one version of a source fixed.
type fix struct {
	version, before string
	ids             []string
}

var (
	entry = regexp.MustCompile(`(?m)^([a-z0-9][a-z0-9+.-]*) \(([^)]+)\) `)
	cve   = regexp.MustCompile(`CVE-\d{4}-\d{4,}`)
)

// changelog reads what a package says of its source, the newest version first. Where
// several entries name a vulnerability, the newest counts.
func changelog(t *testing.T, root, name, of string) []fix {
	t.Helper()
	var text []byte
	for _, file := range []string{"changelog.Debian.gz", "changelog.gz"} {
		f, err := os.Open(filepath.Join(root, "usr/share/doc", name, file))
		if err != nil {
			continue
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		if text, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
		break
	}
	var all []fix
	seen := map[string]bool{}
	heads := entry.FindAllSubmatchIndex(text, -1)
	for i, h := range heads {
		if string(text[h[2]:h[3]]) != of {
			break // it was called otherwise
		}
		f := fix{version: string(text[h[4]:h[5]])}
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		// What stands below may be the later one, where branches were joined.
		for _, older := range heads[i+1:] {
			v := string(text[older[4]:older[5]])
			if string(text[older[2]:older[3]]) == of && exec.CommandContext(t.Context(), "dpkg", "--compare-versions", v, "lt", f.version).Run() == nil {
				f.before = v
				break
			}
		}
		for _, id := range cve.FindAllString(string(text[h[1]:end]), -1) {
			if !seen[id] {
				seen[id] = true
				f.ids = append(f.ids, id)
			}
		}
		if len(f.ids) > 0 {
			all = append(all, f)
		}
	}
	return all
}

// tracker is a database of a tracker that says what the changelogs do.
func tracker(t *testing.T, fixes map[string][]fix) *store.Database {
	t.Helper()
	type release struct {
		Status string `json:"status"`
		Fixed  string `json:"fixed_version"`
	}
	all := map[string]map[string]map[string]map[string]release{}
	for _, name := range slices.Sorted(maps.Keys(fixes)) {
		issues := map[string]map[string]map[string]release{}
		for _, f := range fixes[name] {
			for _, id := range f.ids {
				issues[id] = map[string]map[string]release{"releases": {"bookworm": {"resolved", f.version}}}
			}
		}
		all[name] = issues
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	file, dir := filepath.Join(t.TempDir(), "tracker.json"), filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Build(t.Context(), dir, []store.Input{{Name: "debian", Kind: feed.KindDebian, Path: file}}, store.Options{Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
