package store

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/advisory/feed"
)

var testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A mirror serves feeds by path, with what goes wrong on the way.
type mirror struct {
	mu    sync.Mutex
	files map[string]string
	log   []string // method-less: path, and what was asked for of it
	// fault answers instead, while it is set and returns true.
	fault func(w http.ResponseWriter, r *http.Request) bool
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	content, ok := m.files[r.URL.Path]
	fault := m.fault
	m.log = append(m.log, strings.TrimSpace(strings.Join([]string{r.URL.Path, r.Header.Get("Range"), r.Header.Get("If-None-Match")}, " ")))
	m.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", tag(content))
	if fault != nil && fault(w, r) {
		return
	}
	http.ServeContent(w, r, "", testNow.Add(-time.Hour), strings.NewReader(content))
}

func tag(content string) string {
	sum := sha256.Sum256([]byte(content))
	return fmt.Sprintf("%q", fmt.Sprintf("%x", sum[:6]))
}

func (m *mirror) set(path, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = content
}

func (m *mirror) setFault(f func(http.ResponseWriter, *http.Request) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

func (m *mirror) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	log := m.log
	m.log = nil
	return log
}

func record(id, ecosystem, name, fixed string) string {
	return fmt.Sprintf(`{"id": %q, "modified": "2026-08-01T00:00:00Z", "summary": "about %s", "affected": [{"package": {"ecosystem": %q, "name": %q}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": %q}]}]}]}`, id, id, ecosystem, name, fixed)
}

func zipOf(tb testing.TB, records ...string) string {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, r := range records {
		f, err := w.Create(fmt.Sprintf("%d.json", i))
		if err != nil {
			tb.Fatal(err)
		}
		fmt.Fprint(f, r)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

const secdb = `{"distroversion": "v3.20", "packages": [{"pkg": {"name": "curl", "secfixes": {"8.1-r0": ["CVE-2026-1"]}}}]}`

var testFeeds = []Feed{
	{Name: "alpine", Kind: feed.KindSecDB, URL: "https://feeds.invalid/main.json", Path: "secdb/main.json"},
	{Name: "osv Go", Kind: feed.KindOSV, URL: "https://feeds.invalid/all.zip", Path: "osv/Go/all.zip"},
}

// serve starts a mirror with both feeds.
func serve(t *testing.T) (*mirror, UpdateOptions) {
	t.Helper()
	m := &mirror{files: map[string]string{
		"/secdb/main.json": secdb,
		"/osv/Go/all.zip":  zipOf(t, record("GO-1", "Go", "example.com/a", "1.0.0")),
	}}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	return m, UpdateOptions{
		Options: Options{Now: testNow}, Feeds: testFeeds, Mirrors: []string{server.URL}, Client: server.Client(),
		pause: time.Millisecond, stall: time.Second,
	}
}

// fixedIn asks the database of a folder.
func fixedIn(t *testing.T, dir string, key advisory.Key, name string) string {
	t.Helper()
	db, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, ok, err := db.Shard(key)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return "no shard"
	}
	records, err := s.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(records) == 0 {
		return "no record"
	}
	return records[0].Ranges[0].Fixed
}

func failures(m *Manifest) []string {
	var all []string
	for _, s := range m.Sources {
		if s.Failed != "" {
			all = append(all, s.Name)
		}
	}
	return all
}

func TestUpdateFetchesOnlyWhatChanged(t *testing.T) {
	m, o := serve(t)
	dir := t.TempDir()
	if _, err := Update(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	if got := fixedIn(t, dir, "go", "example.com/a"); got != "1.0.0" {
		t.Errorf("got %s", got)
	}
	m.asked()

	// Nothing changed: the servers say so, and the database is as new as now.
	o.Now = testNow.Add(time.Hour)
	db, err := Update(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range m.asked() {
		if !strings.Contains(line, `"`) {
			t.Errorf("asked without what it has: %s", line)
		}
	}
	if !db.Built.Equal(o.Now) || !db.Sources[0].Fetched.Equal(o.Now) {
		t.Errorf("built %s, fetched %s, want %s", db.Built, db.Sources[0].Fetched, o.Now)
	}

	// One feed changed.
	m.set("/osv/Go/all.zip", zipOf(t, record("GO-1", "Go", "example.com/a", "1.0.1")))
	if _, err := Update(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	if got := fixedIn(t, dir, "go", "example.com/a"); got != "1.0.1" {
		t.Errorf("got %s", got)
	}
	if got := fixedIn(t, dir, "apk/alpine/3.20", "curl"); got != "8.1-r0" {
		t.Errorf("got %s", got)
	}
	info := func() time.Time {
		db, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s, _, err := db.Shard("apk/alpine/3.20")
		if err != nil {
			t.Fatal(err)
		}
		return s.Info().AsOf
	}
	if got, want := info(), testNow.Add(-time.Hour); !got.Equal(want) {
		t.Errorf("a feed without dates is as of %s, want what the server says, %s", got, want)
	}
}

func TestAFeedThatFailsKeepsWhatItHad(t *testing.T) {
	m, o := serve(t)
	dir := t.TempDir()
	if _, err := Update(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	for about, fail := range map[string]func(){
		"it is gone":      func() { m.mu.Lock(); delete(m.files, "/secdb/main.json"); m.mu.Unlock() },
		"it is damaged":   func() { m.set("/secdb/main.json", "<html>") },
		"it is empty":     func() { m.set("/secdb/main.json", `{"distroversion": "v3.20"}`) },
		"it is cut off":   func() { m.set("/osv/Go/all.zip", "PK\x03\x04") },
		"it is no longer": func() { m.set("/osv/Go/all.zip", zipOf(t)) },
	} {
		t.Run(about, func(t *testing.T) {
			fail()
			o.Now = o.Now.Add(time.Hour)
			db, err := Update(t.Context(), dir, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(failures(db)) != 1 {
				t.Errorf("failures: %v", failures(db))
			}
			if got := fixedIn(t, dir, "apk/alpine/3.20", "curl"); got != "8.1-r0" {
				t.Errorf("alpine: %s", got)
			}
			if got := fixedIn(t, dir, "go", "example.com/a"); got != "1.0.0" {
				t.Errorf("go: %s", got)
			}
			// And comes back.
			m.set("/secdb/main.json", secdb)
			m.set("/osv/Go/all.zip", zipOf(t, record("GO-1", "Go", "example.com/a", "1.0.0")))
			if db, err = Update(t.Context(), dir, o); err != nil || len(failures(db)) != 0 {
				t.Errorf("afterwards: %v, %v", err, failures(db))
			}
		})
	}
}

func TestWithoutDownloadsTheShardsThemselvesAreKept(t *testing.T) {
	m, o := serve(t)
	dir := t.TempDir()
	if _, err := Update(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	// As after an import: tables, but no files that they were built of.
	os.RemoveAll(filepath.Join(dir, "feeds"))
	m.mu.Lock()
	delete(m.files, "/osv/Go/all.zip")
	m.mu.Unlock()
	db, err := Update(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := fixedIn(t, dir, "go", "example.com/a"); got != "1.0.0" {
		t.Errorf("got %s", got)
	}
	if got := failures(db); len(got) != 1 || got[0] != "osv Go" {
		t.Errorf("failures: %v", got)
	}
	open, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if d, err := open.Detail("GO-1"); err != nil || d.Summary != "about GO-1" {
		t.Errorf("details: %v, %v", d, err)
	}
}

func TestFeedsThatAreNotAskedForStay(t *testing.T) {
	_, o := serve(t)
	dir := t.TempDir()
	if _, err := Update(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	o.Feeds = testFeeds[:1]
	db, err := Update(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(db.Sources) != 2 || fixedIn(t, dir, "go", "example.com/a") != "1.0.0" {
		t.Errorf("sources %v", db.Sources)
	}
}

func TestWhereNothingCanBeFetchedNothingLooksNewer(t *testing.T) {
	m, o := serve(t)
	dir := t.TempDir()
	first, err := Update(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	m.setFault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	o.Now = testNow.Add(time.Hour)
	if _, err := Update(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("got %v", err)
	}
	if _, have := there(dir); !have.Built.Equal(first.Built) {
		t.Errorf("built %s", have.Built)
	}
}

func TestDownloadsGoOn(t *testing.T) {
	big := zipOf(t, record("GO-1", "Go", "example.com/a", "1.0.0"), record("GO-2", "Go", "example.com/b", strings.Repeat("9", 20000)+".0.0"))
	for _, test := range []struct {
		about string
		// fault is told how many requests there were before.
		fault func(n int64, w http.ResponseWriter, r *http.Request) bool
		want  []string // what is asked for
	}{
		{
			"after it was cut off, from where it was",
			func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				if n > 0 {
					return false
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(big)))
				fmt.Fprint(w, big[:100])
				return true
			},
			[]string{"/osv/Go/all.zip", "/osv/Go/all.zip bytes=100-"},
		},
		{
			"after too many requests, when the server said",
			func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				if n > 1 {
					return false
				}
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			},
			[]string{"/osv/Go/all.zip", "/osv/Go/all.zip", "/osv/Go/all.zip"},
		},
		{
			"after the server fell silent",
			func(n int64, w http.ResponseWriter, r *http.Request) bool {
				if n > 0 {
					return false
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(big)))
				fmt.Fprint(w, big[:50])
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(20 * time.Second):
				}
				return true
			},
			[]string{"/osv/Go/all.zip", "/osv/Go/all.zip bytes=50-"},
		},
		{
			"from the beginning where the file changed meanwhile",
			func(n int64, w http.ResponseWriter, r *http.Request) bool {
				if n > 0 {
					r.Header.Set("If-Range", `"another"`) // as if the tag were new
					return false
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(big)))
				fmt.Fprint(w, strings.Repeat("x", 100))
				return true
			},
			[]string{"/osv/Go/all.zip", "/osv/Go/all.zip bytes=100-"},
		},
		{
			"anew where the checksum is another",
			func(n int64, w http.ResponseWriter, _ *http.Request) bool {
				if n > 0 {
					return false
				}
				sum := sha256.Sum256([]byte(big))
				w.Header().Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
				fmt.Fprint(w, big[:len(big)-1]+"x")
				return true
			},
			[]string{"/osv/Go/all.zip", "/osv/Go/all.zip"},
		},
	} {
		t.Run(test.about, func(t *testing.T) {
			m, o := serve(t)
			o.Feeds, o.stall = testFeeds[1:], 300*time.Millisecond
			m.set("/osv/Go/all.zip", big)
			var n atomic.Int64
			m.setFault(func(w http.ResponseWriter, r *http.Request) bool { return test.fault(n.Add(1)-1, w, r) })
			dir := t.TempDir()
			if _, err := Update(t.Context(), dir, o); err != nil {
				t.Fatal(err)
			}
			if got := fixedIn(t, dir, "go", "example.com/a"); got != "1.0.0" {
				t.Errorf("got %s", got)
			}
			if diff := cmp.Diff(test.want, m.asked()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMirrorsAreTriedInOrder(t *testing.T) {
	m, o := serve(t)
	dead := httptest.NewServer(http.NotFoundHandler())
	defer dead.Close()
	o.Mirrors = append([]string{dead.URL}, o.Mirrors...)
	dir := t.TempDir()
	db, err := Update(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(failures(db)) != 0 || len(m.asked()) != 2 || !strings.HasPrefix(db.Sources[0].URL, o.Mirrors[1]) {
		t.Errorf("sources %+v", db.Sources)
	}
	o.Mirrors = []string{"ftp://x"}
	if _, err := Update(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), "https://") {
		t.Errorf("got %v", err)
	}
}

func TestADownloadHasALimit(t *testing.T) {
	m, o := serve(t)
	o.limit = 2000
	m.set("/osv/Go/all.zip", strings.Repeat("x", 3000))
	dir := t.TempDir()
	db, err := Update(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"osv Go"}, failures(db)); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

func TestAFeedThatIsNotThereYetIsNoFailure(t *testing.T) {
	m, o := serve(t)
	o.Feeds = append(o.Feeds[:2:2], Feed{Name: "to come", Kind: feed.KindSecDB, Path: "secdb/v3.99.json", Maybe: true})
	db, err := Update(t.Context(), t.TempDir(), o)
	if err != nil || len(db.Sources) != 2 || len(failures(db)) != 0 {
		t.Errorf("%v, %+v", err, db)
	}
	m.setFault(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	m.set("/secdb/v3.99.json", secdb)
	o.Feeds = o.Feeds[2:]
	if _, err := Update(t.Context(), t.TempDir(), o); err == nil {
		t.Error("one that is there, and is not given, is a failure")
	}
}

func TestNobodyIsSentToWhereAnyoneMayListen(t *testing.T) {
	secure := httptest.NewTLSServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer secure.Close()
	client := secure.Client()
	client.CheckRedirect = onlySecure
	resp, err := client.Get(secure.URL)
	if err == nil {
		resp.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "without TLS") {
		t.Errorf("got %v", err)
	}
}

func TestAPointerNamesTheFileBesideIt(t *testing.T) {
	m, o := serve(t)
	m.set("/redhat/archive_latest.txt", "vex.tar.zst\n")
	m.set("/redhat/vex.tar.zst", "not one")
	o.Feeds = append(o.Feeds[:1:1], Feed{Name: "redhat", Kind: feed.KindCSAF, Path: "redhat/archive_latest.txt", Pointer: true})
	db, err := Update(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	if db.Sources[1].URL != o.Mirrors[0]+"/redhat/vex.tar.zst" {
		t.Errorf("source %+v", db.Sources[1])
	}
	m.set("/redhat/archive_latest.txt", "../../etc/passwd")
	if db, err = Update(t.Context(), t.TempDir(), o); err != nil || !strings.Contains(db.Sources[1].Failed, "names no file") {
		t.Errorf("%v, %+v", err, db)
	}
}

func TestAnUpdateCanBeInterrupted(t *testing.T) {
	m, o := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	m.setFault(func(_ http.ResponseWriter, r *http.Request) bool {
		cancel()
		<-r.Context().Done()
		return true
	})
	if _, err := Update(ctx, t.TempDir(), o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOfficialFeedsAreComplete(t *testing.T) {
	names, paths := map[string]bool{}, map[string]bool{}
	for _, f := range Feeds() {
		if names[f.Name] || paths[f.Path] || !strings.HasPrefix(f.URL, "https://") || strings.Contains(f.URL, " ") {
			t.Errorf("%+v", f)
		}
		names[f.Name], paths[f.Path] = true, true
	}
}
