package store_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/klauspost/compress/zstd"

	"github.com/bulwark-k8s/bulwark/internal/advisory/store"
)

// keyPair is a key as `openssl genpkey` writes it, and its public half.
func keyPair(tb testing.TB, curve elliptic.Curve) (crypto.Signer, crypto.PublicKey) {
	tb.Helper()
	var private, public any
	if curve == nil {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		private, public = key, pub
	} else {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		private, public = key, key.Public()
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := store.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		tb.Fatal(err)
	}
	if der, err = x509.MarshalPKIXPublicKey(public); err != nil {
		tb.Fatal(err)
	}
	key, err := store.ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		tb.Fatal(err)
	}
	return signer, key
}

// set is the folder of the set that counts.
func set(tb testing.TB, dir string) string {
	tb.Helper()
	name, err := os.ReadFile(filepath.Join(dir, "current"))
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, "sets", strings.TrimSpace(string(name)))
}

// tables are the contents of all tables of a folder's database.
func tables(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(set(tb, dir), "*.table"))
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range found {
		data, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		all[filepath.Base(f)] = string(data)
	}
	return all
}

func TestTheSameFeedsMakeTheSameBytes(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	build(t, first, store.Options{})
	// The same records in another order, and in folders rather than zips.
	other := files(t, map[string]string{"a/3.json": almaRecord, "b/1.json": ghsaRecord, "c/2.json": goRecord, "d/broken.json": "{"})
	inputs, err := store.OSVInputs(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Build(t.Context(), second, inputs, store.Options{Now: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got, want := tables(t, second), tables(t, first); !maps.Equal(got, want) {
		t.Error("another order made other tables")
	}
}

func TestSignatures(t *testing.T) {
	edSigner, edKey := keyPair(t, nil)
	ecSigner, ecKey := keyPair(t, elliptic.P256())
	for about, test := range map[string]struct {
		sign  crypto.Signer
		key   crypto.PublicKey
		other crypto.PublicKey
	}{
		"ed25519":            {edSigner, edKey, ecKey},
		"ECDSA, as cosign's": {ecSigner, ecKey, edKey},
	} {
		t.Run(about, func(t *testing.T) {
			dir := t.TempDir()
			build(t, dir, store.Options{Sign: test.sign})
			if _, _, err := store.Verify(t.Context(), dir, test.key); err != nil {
				t.Error(err)
			}
			if _, _, err := store.Verify(t.Context(), dir, test.other); !errors.Is(err, store.ErrSignature) {
				t.Errorf("another key: %v", err)
			}
			db, err := store.OpenSigned(dir, test.key)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, ok, err := db.Shard("go"); !ok || err != nil {
				t.Errorf("a shard: %v, %v", ok, err)
			}
			// A table that is sound by itself, but is not the one that was signed.
			swapped := filepath.Join(set(t, dir), "go.table")
			data, err := os.ReadFile(filepath.Join(set(t, dir), "npm.table"))
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(swapped)
			if err := os.WriteFile(swapped, data, 0o644); err != nil {
				t.Fatal(err)
			}
			again, err := store.OpenSigned(dir, test.key)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if _, _, err := again.Shard("go"); err == nil {
				t.Error("a table that was not signed is taken")
			}
			if _, _, err := store.Verify(t.Context(), dir, nil); err == nil {
				t.Error("a table that is not the manifest's is verified")
			}
		})
	}
	unsigned := t.TempDir()
	build(t, unsigned, store.Options{})
	if _, err := store.OpenSigned(unsigned, edKey); !errors.Is(err, store.ErrSignature) {
		t.Errorf("without a signature: %v", err)
	}
}

func TestWhatCosignSignedIsTaken(t *testing.T) {
	// `cosign sign-blob --key` prints an ASN.1 signature over SHA-256 in base64.
	dir := t.TempDir()
	build(t, dir, store.Options{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(set(t, dir), "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(set(t, dir), "manifest.sig"), []byte(base64.StdEncoding.EncodeToString(sig)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Verify(t.Context(), dir, key.Public()); err != nil {
		t.Error(err)
	}
}

func TestAnOlderDatabaseIsRefused(t *testing.T) {
	dir, old := t.TempDir(), t.TempDir()
	build(t, old, store.Options{Now: now.Add(-time.Hour)})
	build(t, dir, store.Options{Now: now})
	var bundle bytes.Buffer
	if err := store.Export(t.Context(), old, &bundle, nil); err != nil {
		t.Fatal(err)
	}
	_, err := store.Import(t.Context(), dir, bytes.NewReader(bundle.Bytes()), store.Options{Now: now})
	if err == nil || !strings.Contains(err.Error(), "was built on 2026-11-21T11:00:00Z") {
		t.Errorf("got %v", err)
	}
	m, err := store.Import(t.Context(), dir, &bundle, store.Options{Now: now, AllowOlder: true})
	if err != nil || !m.Built.Equal(now.Add(-time.Hour)) {
		t.Errorf("asked for: %v, %v", m, err)
	}
}

func TestABundleCarriesADatabase(t *testing.T) {
	signer, key := keyPair(t, nil)
	from := t.TempDir()
	build(t, from, store.Options{Sign: signer})
	export := func(keys ...string) []byte {
		var b bytes.Buffer
		if err := store.Export(t.Context(), from, &b, keys); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	whole := export()
	if !bytes.Equal(whole, export()) {
		t.Error("the same database made another bundle")
	}
	to := t.TempDir()
	if _, err := store.Import(t.Context(), to, bytes.NewReader(whole), store.Options{Now: now, Key: key}); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(tables(t, to), tables(t, from)) {
		t.Error("other tables came than went")
	}

	part := t.TempDir()
	if _, err := store.Import(t.Context(), part, bytes.NewReader(export("rpm/almalinux")), store.Options{Now: now, Key: key}); err != nil {
		t.Fatal(err)
	}
	db := open(t, part)
	if _, ok, err := db.Shard("rpm/almalinux/8"); !ok || err != nil {
		t.Errorf("the shard that was asked for: %v, %v", ok, err)
	}
	if _, ok, _ := db.Shard("go"); ok || !db.Missing("go") || db.Missing("deb/debian/12") {
		t.Error("a shard that was not asked for is not missing")
	}
	if d, err := db.Detail("ALSA-2026:1"); err != nil || d.Summary == "" {
		t.Errorf("details: %v, %v", d, err)
	}
	if err := store.Export(t.Context(), from, io.Discard, []string{"deb/debian/12"}); err == nil {
		t.Error("a shard that is not there was exported")
	}
}

// repack changes the files of a bundle.
func repack(tb testing.TB, bundle []byte, change func(name string, data []byte) (string, []byte)) []byte {
	tb.Helper()
	z, err := zstd.NewReader(bytes.NewReader(bundle))
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	var b bytes.Buffer
	zw, err := zstd.NewWriter(&b)
	if err != nil {
		tb.Fatal(err)
	}
	w := tar.NewWriter(zw)
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			tb.Fatal(err)
		}
		name, data := change(h.Name, data)
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			tb.Fatal(err)
		}
		w.Write(data)
	}
	if err := errors.Join(w.Close(), zw.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestABundleThatWasTamperedWithChangesNothing(t *testing.T) {
	signer, key := keyPair(t, nil)
	from := t.TempDir()
	build(t, from, store.Options{Sign: signer})
	var b bytes.Buffer
	if err := store.Export(t.Context(), from, &b, nil); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	only := func(which string, change func([]byte) []byte) func(string, []byte) (string, []byte) {
		return func(name string, data []byte) (string, []byte) {
			if name == which {
				data = change(data)
			}
			return name, data
		}
	}
	for about, bundle := range map[string][]byte{
		"cut off":        whole[:len(whole)/2],
		"no bundle":      []byte("PK"),
		"empty":          nil,
		"another table":  repack(t, whole, only("go.table", func(d []byte) []byte { d[80] ^= 1; return d })),
		"a longer table": repack(t, whole, only("go.table", func(d []byte) []byte { return append(d, make([]byte, 1<<20)...) })),
		"another time":   repack(t, whole, only("manifest.json", func(d []byte) []byte { return bytes.Replace(d, []byte("2026-11-21"), []byte("2027-11-21"), 1) })),
		"a file more": repack(t, whole, func(name string, data []byte) (string, []byte) {
			if name == "npm.table" {
				name = "../../etc/passwd"
			}
			return name, data
		}),
	} {
		t.Run(about, func(t *testing.T) {
			dir := t.TempDir()
			build(t, dir, store.Options{Now: now.Add(-time.Hour)})
			before, sets := tables(t, dir), count(t, filepath.Join(dir, "sets"))
			if _, err := store.Import(t.Context(), dir, bytes.NewReader(bundle), store.Options{Now: now, Key: key}); err == nil {
				t.Error("it was taken")
			}
			if !maps.Equal(before, tables(t, dir)) || count(t, filepath.Join(dir, "sets")) != sets {
				t.Error("something is left of it")
			}
		})
	}
}

func count(tb testing.TB, dir string) int {
	tb.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return len(list)
}

func TestARegistryCarriesADatabase(t *testing.T) {
	var mu sync.Mutex
	var uploads, downloads []string
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if strings.Contains(r.URL.Path, "/blobs/") {
			switch r.Method {
			case http.MethodPut:
				uploads = append(uploads, r.URL.Path)
			case http.MethodGet:
				downloads = append(downloads, r.URL.Path)
			}
		}
		mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	counted := func() (up, down int) {
		mu.Lock()
		defer mu.Unlock()
		up, down = len(uploads), len(downloads)
		uploads, downloads = nil, nil
		return up, down
	}
	ref := strings.TrimPrefix(server.URL, "http://") + "/security/vulndb:v1"
	signer, key := keyPair(t, nil)
	from, to := t.TempDir(), t.TempDir()
	m := build(t, from, store.Options{Sign: signer})
	digest, err := store.Push(t.Context(), from, ref, store.RegistryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if up, _ := counted(); up != len(m.Tables)+1 {
		t.Errorf("%d uploads of %d tables and a manifest", up, len(m.Tables))
	}
	pull := func(dir string, o store.RegistryOptions) int {
		t.Helper()
		o.Now, o.Key = now, key
		_, fetched, err := store.Pull(t.Context(), dir, digest, o)
		if err != nil {
			t.Fatal(err)
		}
		return fetched
	}
	if got := pull(to, store.RegistryOptions{}); got != len(m.Tables) || !maps.Equal(tables(t, to), tables(t, from)) {
		t.Errorf("%d tables came", got)
	}
	counted()

	// Again: all is there.
	if got := pull(to, store.RegistryOptions{}); got != 0 {
		t.Errorf("%d tables came again", got)
	}
	if _, down := counted(); down != 1 { // the manifest
		t.Errorf("%d downloads", down)
	}

	// One feed more: only what it changes goes over the wire.
	inputs, err := store.OSVInputs(bucket(t))
	if err != nil {
		t.Fatal(err)
	}
	more := files(t, map[string]string{"x.json": `{"id": "RUSTSEC-1", "affected": [{"package": {"ecosystem": "crates.io", "name": "a"}, "versions": ["1.0.0"]}]}`})
	inputs = append(inputs, store.Input{Name: "rust", Kind: "osv", Path: more})
	if _, err := store.Build(t.Context(), from, inputs, store.Options{Now: now.Add(time.Hour), Sign: signer}); err != nil {
		t.Fatal(err)
	}
	if digest, err = store.Push(t.Context(), from, ref, store.RegistryOptions{}); err != nil {
		t.Fatal(err)
	}
	if up, _ := counted(); up != 3 { // crates, details, manifest
		t.Errorf("%d uploads", up)
	}
	if got := pull(to, store.RegistryOptions{}); got != 2 || !maps.Equal(tables(t, to), tables(t, from)) {
		t.Errorf("%d tables came", got)
	}

	// Some shards.
	some := t.TempDir()
	if got := pull(some, store.RegistryOptions{Shards: []string{"npm"}}); got != 3 {
		t.Errorf("%d tables came", got)
	}
	if _, missing, err := store.Verify(t.Context(), some, key); err != nil || len(missing) != len(m.Tables)+1-3 {
		t.Errorf("missing %v, %v", missing, err)
	}

	if _, _, err := store.Pull(t.Context(), some, ref, store.RegistryOptions{Shards: []string{"deb/debian/12"}, Options: store.Options{Now: now}}); err == nil {
		t.Error("a shard that is not there was pulled")
	}
	_, other := keyPair(t, nil)
	if _, _, err := store.Pull(t.Context(), t.TempDir(), ref, store.RegistryOptions{Options: store.Options{Now: now, Key: other}}); !errors.Is(err, store.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	if _, _, err := store.Pull(t.Context(), t.TempDir(), strings.TrimPrefix(server.URL, "http://")+"/nothing:v1", store.RegistryOptions{}); err == nil {
		t.Error("nothing was pulled")
	}
}

func TestReadersAreNotDisturbed(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, store.Options{})
	first := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				db, err := store.Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				s, ok, err := db.Shard("rpm/almalinux/8")
				if err != nil || !ok {
					t.Error(ok, err)
				} else if r, err := s.Lookup("nodejs"); err != nil || len(r) != 1 {
					t.Error(len(r), err)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 8 {
		build(t, dir, store.Options{Now: now.Add(time.Duration(i) * time.Minute)})
	}
	cancel()
	readers.Wait()
	// Whoever has had it open since before all that reads what there was.
	s, ok, err := first.Shard("go")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if r, err := s.Lookup("golang.org/x/sys"); err != nil || len(r) != 1 {
		t.Error(len(r), err)
	}
	if n := count(t, filepath.Join(dir, "sets")); n > 2 {
		t.Errorf("%d sets are kept", n)
	}
}

func TestAfterACrashThereIsTheOldOrTheNew(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, store.Options{})
	before := tables(t, dir)
	// What a process leaves that died before the switch: a set without its manifest, or
	// with all but the switch.
	for _, leave := range []map[string]string{
		{"go.table": "half"},
		{"go.table": "half", "manifest.json": "{}", "current": "20261121T130000Z-1\n"},
	} {
		left := filepath.Join(dir, "sets", "20261121T130000Z-1")
		if err := os.MkdirAll(left, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range leave {
			if err := os.WriteFile(filepath.Join(left, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if !maps.Equal(before, tables(t, dir)) {
			t.Error("the old one is gone")
		}
		if _, _, err := store.Verify(t.Context(), dir, nil); err != nil {
			t.Error(err)
		}
		build(t, dir, store.Options{Now: now.Add(time.Hour)})
		if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Error("what was left is not cleaned up")
		}
	}
}

func TestAnybodyMayRead(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, store.Options{})
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if want := fs.FileMode(0o644); !e.IsDir() && info.Mode().Perm()&want != want || info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("%s has mode %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestManifestsThatNobodyWroteAreRefused(t *testing.T) {
	table := func(key, file string) string {
		return fmt.Sprintf(`{"key": %q, "file": %q, "size": 1, "sha256": %q, "info": {"key": %q}}`, key, file, strings.Repeat("0", 64), key)
	}
	for about, text := range map[string]string{
		"no JSON":           `x`,
		"another schema":    `{"schema": 9, "built": "2026-11-21T00:00:00Z"}`,
		"no time":           `{"schema": 1}`,
		"a file elsewhere":  `{"schema": 1, "built": "2026-11-21T00:00:00Z", "tables": [` + table("go", "../go.table") + `]}`,
		"a key with dots":   `{"schema": 1, "built": "2026-11-21T00:00:00Z", "tables": [` + table("..", "...table") + `]}`,
		"the same twice":    `{"schema": 1, "built": "2026-11-21T00:00:00Z", "tables": [` + table("go", "go.table") + "," + table("go", "go.table") + `]}`,
		"a size beyond all": `{"schema": 1, "built": "2026-11-21T00:00:00Z", "tables": [{"key": "go", "file": "go.table", "size": 9000000000000}]}`,
	} {
		dir := t.TempDir()
		build(t, dir, store.Options{})
		if err := os.WriteFile(filepath.Join(set(t, dir), "manifest.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(dir); err == nil {
			t.Errorf("%s: opened", about)
		}
	}
	dir := files(t, map[string]string{"current": "../x\n"})
	if _, err := store.Open(dir); err == nil {
		t.Error("a pointer out of the folder is followed")
	}
}

func TestAliasesAreJoinedAcrossFeeds(t *testing.T) {
	osv := func(id, aliases string) string {
		return fmt.Sprintf(`{"id": %q, "aliases": [%s], "related": ["CVE-2020-9"], "affected": [{"package": {"ecosystem": "npm", "name": "p"}, "versions": ["1.0.0"]}]}`, id, aliases)
	}
	dir := t.TempDir()
	folder := files(t, map[string]string{
		"1.json": osv("GHSA-1", `"CVE-2020-10", "SNYK-1"`), "2.json": osv("OSV-2", `"SNYK-1", "CVE-2020-2"`), "3.json": osv("OSV-3", ""),
	})
	if _, err := store.Build(t.Context(), dir, []store.Input{{Name: "osv", Kind: "osv", Path: folder}}, store.Options{Now: now}); err != nil {
		t.Fatal(err)
	}
	s, _, err := open(t, dir).Shard("npm")
	if err != nil {
		t.Fatal(err)
	}
	records, err := s.Lookup("p")
	if err != nil {
		t.Fatal(err)
	}
	joined := []string{"CVE-2020-2", "CVE-2020-10", "GHSA-1", "OSV-2", "SNYK-1"} // by number, and nothing that is merely related
	want := map[string][]string{"GHSA-1": joined, "OSV-2": joined, "OSV-3": {"OSV-3"}}
	for _, r := range records {
		if diff := cmp.Diff([][]string{want[r.ID]}, r.IDs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.ID, diff)
		}
	}
}
