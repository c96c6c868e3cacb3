package inspect_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/klauspost/compress/gzip"

	"github.com/bulwark-k8s/bulwark/internal/image/inspect"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
	"github.com/bulwark-k8s/bulwark/internal/image/packages"
	"github.com/bulwark-k8s/bulwark/internal/image/secret"
	"github.com/bulwark-k8s/bulwark/internal/image/source"
)

// What the benchmarks time runs in a process of its own, so that processor time and
// memory are its alone.
const (
	envWhat  = "BULWARK_INSPECT"
	envImage = "BULWARK_INSPECT_IMAGE"
	envCache = "BULWARK_INSPECT_CACHE"
)

func TestMain(m *testing.M) {
	var err error
	switch what := os.Getenv(envWhat); what {
	case "":
		os.Exit(m.Run())
	case "walk":
		err = justWalk(context.Background(), os.Getenv(envImage))
	case "inspect":
		err = inspectOnce(context.Background(), os.Getenv(envImage), os.Getenv(envCache))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, peak())
}

// peak is the most memory that this process had resident, in kilobytes. Rusage knows it
// too, but there a process inherits its parent's.
func peak() string {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.Fields(kb)[0]
		}
	}
	return "0"
}

func inspectOnce(ctx context.Context, ref, cache string) error {
	s, err := source.Open(ctx, ref, source.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	o := inspect.Options{}
	if cache != "" {
		o.Cache = layer.NewCache(cache, 0)
	}
	img, err := inspect.Image(ctx, s, append(packages.Finders(), secret.Finder{}), o)
	if err != nil {
		return err
	}
	if len(img.Packages) == 0 {
		return errors.New("no packages were found")
	}
	return nil
}

// justWalk is what cannot be avoided: each layer decompressed once and its entries
// visited, as many at once as there are processors, nothing verified or looked at.
func justWalk(ctx context.Context, dir string) error {
	index, err := layout.ImageIndexFromPath(strings.TrimPrefix(dir, "oci:"))
	if err != nil {
		return err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return err
	}
	img, err := index.Image(m.Manifests[0].Digest)
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	todo := make(chan v1.Layer, len(layers))
	for _, l := range layers {
		todo <- l
	}
	close(todo)
	var group sync.WaitGroup
	errs := make(chan error, len(layers))
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for l := range todo {
				rc, err := l.Compressed()
				if err != nil {
					errs <- err
					return
				}
				z, err := gzip.NewReader(rc)
				if err != nil {
					errs <- err
					return
				}
				for r := tar.NewReader(z); err == nil && ctx.Err() == nil; {
					_, err = r.Next()
				}
				if !errors.Is(err, io.EOF) {
					errs <- err
				}
				rc.Close()
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

// BenchmarkImage prints, for images like those that people have, what reading them takes
// and how that compares with merely decompressing and walking their layers (the ratio,
// of processor time, which is to stay below 1.2).
func BenchmarkImage(b *testing.B) {
	m := newMaterial(b)
	for _, i := range []struct {
		name string
		make func(*material) []func(*tar.Writer) error
	}{{"rootfs-170MB", rootfs}, {"application-630MB", application}} {
		var ref string
		b.Run(i.name, func(b *testing.B) {
			ref = "oci:" + makeImage(b, m, i.make(m))
			var walk time.Duration
			b.Run("walk", func(b *testing.B) { walk = child(b, "walk", ref, func() string { return "" }) })
			ratio := func(b *testing.B, cpu time.Duration) {
				if walk > 0 {
					b.ReportMetric(cpu.Seconds()/walk.Seconds(), "ratio")
				}
			}
			b.Run("uncached", func(b *testing.B) { ratio(b, child(b, "inspect", ref, func() string { return "" })) })
			b.Run("cold", func(b *testing.B) { ratio(b, child(b, "inspect", ref, b.TempDir)) })
			b.Run("warm", func(b *testing.B) {
				cache := b.TempDir()
				if err := inspectOnce(b.Context(), ref, cache); err != nil {
					b.Fatal(err)
				}
				ratio(b, child(b, "inspect", ref, func() string { return cache }))
			})
		})
	}
}

// child runs this program again for each round, and gives the processor time of the
// quickest.
func child(b *testing.B, what, ref string, cache func() string) time.Duration {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	var least time.Duration
	var rss int64
	for b.Loop() {
		c := exec.CommandContext(b.Context(), self)
		c.Env = append(os.Environ(), envWhat+"="+what, envImage+"="+ref, envCache+"="+cache())
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		if err := c.Run(); err != nil {
			b.Fatalf("%v: %s", err, &stderr)
		}
		cpu := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		if least == 0 || cpu < least {
			least = cpu
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(stdout.String()), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		rss = max(rss, kb)
	}
	b.ReportMetric(float64(least.Milliseconds()), "cpu-ms")
	b.ReportMetric(float64(rss)/1024, "MB-peak")
	return least
}

// Material is what images are made of: Go's own sources as text, and its programs as
// machine code, both of which compress as an image's content does.
type material struct {
	text   [][]byte
	code   []byte
	binary []byte // a whole Go program
	atText int
	atCode int
}

func newMaterial(b *testing.B) *material {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		b.Fatal(err)
	}
	root := strings.TrimSpace(string(out))
	m := &material{}
	total := 0
	err = filepath.WalkDir(filepath.Join(root, "src"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || total > 40<<20 || !d.Type().IsRegular() {
			return err
		}
		c, err := os.ReadFile(p)
		m.text = append(m.text, c)
		total += len(c)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range []string{filepath.Join(root, "bin", "go"), self} {
		if m.binary, err = os.ReadFile(p); err != nil {
			b.Fatal(err)
		}
		if f, err := elf.NewFile(bytes.NewReader(m.binary)); err == nil {
			if s := f.Section(".text"); s != nil {
				c, _ := s.Data()
				m.code = append(m.code, c...)
			}
		}
	}
	if len(m.code) == 0 {
		m.code = m.binary
	}
	return m
}

// words gives n bytes of text.
func (m *material) words(n int) []byte {
	var out []byte
	for len(out) < n {
		m.atText = (m.atText + 1) % len(m.text)
		out = append(out, m.text[m.atText][:min(len(m.text[m.atText]), n-len(out))]...)
	}
	return out
}

// library gives an ELF file of n bytes that is no Go program.
func (m *material) library(n int) []byte {
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		panic(err)
	}
	for b.Len() < n {
		m.atCode = (m.atCode + 40960) % (len(m.code) - 4096)
		b.Write(m.code[m.atCode:][:min(n-b.Len(), len(m.code)-m.atCode, 1<<20)])
	}
	return b.Bytes()
}

func put(w *tar.Writer, name string, mode int64, content []byte) error {
	h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content))}
	if strings.HasSuffix(name, "/") {
		h.Typeflag = tar.TypeDir
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// debian writes n packages with their database, libraries, programs and papers.
func debian(w *tar.Writer, m *material, first, n, size int) error {
	var status bytes.Buffer
	for i := range first + n {
		fmt.Fprintf(&status, "Package: lib%d\nStatus: install ok installed\nPriority: optional\nSection: libs\nMaintainer: Somebody <somebody@example.org>\nArchitecture: amd64\nSource: src%d (1.%d-1)\nVersion: 1:1.%d-1+b1\nDepends: libc6 (>= 2.34)\nDescription: library %d\n does what libraries do\n\n", i, i/2, i, i, i)
	}
	for i := first; i < first+n; i++ {
		dir := fmt.Sprintf("usr/share/doc/lib%d/", i)
		var list strings.Builder
		files := map[string][]byte{}
		for j := range 60 {
			files[fmt.Sprintf("%sfile%d", dir, j)] = m.words(size / 300)
		}
		files[fmt.Sprintf("usr/lib/x86_64-linux-gnu/lib%d.so.1", i)] = m.library(size / 2)
		files[fmt.Sprintf("usr/bin/tool%d", i)] = m.library(size * 3 / 10)
		if err := put(w, dir, 0o755, nil); err != nil {
			return err
		}
		for name, c := range files {
			fmt.Fprintf(&list, "/%s\n", name)
			if err := put(w, name, 0o755, c); err != nil {
				return err
			}
		}
		if err := put(w, fmt.Sprintf("var/lib/dpkg/info/lib%d.list", i), 0o644, []byte(list.String())); err != nil {
			return err
		}
	}
	return put(w, "var/lib/dpkg/status", 0o644, status.Bytes())
}

func rootfs(m *material) []func(*tar.Writer) error {
	return []func(*tar.Writer) error{func(w *tar.Writer) error {
		if err := put(w, "etc/os-release", 0o644, []byte("ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")); err != nil {
			return err
		}
		return debian(w, m, 0, 88, 1_930_000)
	}}
}

func application(m *material) []func(*tar.Writer) error {
	return append(rootfs(m),
		func(w *tar.Writer) error { return debian(w, m, 88, 87, 1_700_000) },
		func(w *tar.Writer) error { // npm
			for i := range 105 {
				dir := fmt.Sprintf("app/node_modules/module%d/", i)
				if err := put(w, dir+"package.json", 0o644, fmt.Appendf(nil, `{"name":"module%d","version":"%d.2.3","license":"MIT"}`, i, i)); err != nil {
					return err
				}
				for j := range 120 {
					if err := put(w, fmt.Sprintf("%slib/file%d.js", dir, j), 0o644, m.words(9000)); err != nil {
						return err
					}
				}
			}
			return nil
		},
		func(w *tar.Writer) error { // Go programs
			for i := range 160 << 20 / len(m.binary) {
				if err := put(w, fmt.Sprintf("usr/local/bin/program%d", i), 0o755, m.binary); err != nil {
					return err
				}
			}
			return nil
		},
		func(w *tar.Writer) error { // jars, and what the layers before have too much
			for i := range 40 {
				var b bytes.Buffer
				z := zip.NewWriter(&b)
				for j := range 100 {
					f, err := z.Create(fmt.Sprintf("org/example/part%d/Class%d.class", i, j))
					if err != nil {
						return err
					}
					f.Write(m.words(40000))
				}
				f, err := z.Create(fmt.Sprintf("META-INF/maven/org.example/part%d/pom.properties", i))
				if err != nil {
					return err
				}
				fmt.Fprintf(f, "groupId=org.example\nartifactId=part%d\nversion=%d.0\n", i, i)
				if err := z.Close(); err != nil {
					return err
				}
				if err := put(w, fmt.Sprintf("usr/share/java/part%d.jar", i), 0o644, b.Bytes()); err != nil {
					return err
				}
			}
			for _, name := range []string{"app/node_modules/module1/.wh..wh..opq", "app/node_modules/.wh.module2", "usr/bin/.wh.tool3"} {
				if err := put(w, name, 0o644, nil); err != nil {
					return err
				}
			}
			return nil
		},
	)
}

// makeImage writes an OCI layout.
func makeImage(b *testing.B, _ *material, layers []func(*tar.Writer) error) string {
	b.Helper()
	dir := b.TempDir()
	img := empty.Image
	var plain, packed int64
	for i, write := range layers {
		name := filepath.Join(dir, fmt.Sprint(i))
		f, err := os.Create(name)
		if err != nil {
			b.Fatal(err)
		}
		z, err := gzip.NewWriterLevel(f, 6)
		if err != nil {
			b.Fatal(err)
		}
		w := tar.NewWriter(io.MultiWriter(z, (*length)(&plain)))
		if err := errors.Join(write(w), w.Close(), z.Close(), f.Close()); err != nil {
			b.Fatal(err)
		}
		l, err := tarball.LayerFromFile(name)
		if err != nil {
			b.Fatal(err)
		}
		n, _ := l.Size()
		packed += n
		if img, err = mutate.AppendLayers(img, l); err != nil {
			b.Fatal(err)
		}
	}
	out := filepath.Join(dir, "image")
	p, err := layout.Write(out, empty.Index)
	if err == nil {
		err = p.AppendImage(img)
	}
	if err != nil {
		b.Fatal(err)
	}
	for i := range layers {
		os.Remove(filepath.Join(dir, fmt.Sprint(i)))
	}
	b.Logf("%d MB in %d layers, %d MB compressed", plain>>20, len(layers), packed>>20)
	return out
}

type length int64

func (n *length) Write(p []byte) (int, error) {
	*n += length(len(p))
	return len(p), nil
}
