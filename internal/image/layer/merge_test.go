package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// A reader of files called f, g and so on: each line of them is "name version".
type lister struct{ wants func(*File) bool }

func (lister) Name() string { return "lister" }
func (lister) Version() int { return 1 }
func (l lister) Wants(f *File) bool {
	if l.wants != nil {
		return l.wants(f)
	}
	return true
}

func (lister) Read(_ context.Context, f *File) (*Found, error) {
	b, err := io.ReadAll(io.NewSectionReader(f.Content, 0, f.Size))
	if err != nil {
		return nil, err
	}
	found := &Found{}
	for line := range strings.Lines(string(b)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "secret":
			found.Secrets = append(found.Secrets, image.Secret{Rule: version})
		case "owns":
			if found.Owned == nil {
				found.Owned = map[string][]string{}
			}
			owner, p, _ := strings.Cut(version, " ")
			found.Owned[owner] = append(found.Owned[owner], p)
		case "os":
			found.OS = &image.OS{ID: version}
		default:
			found.Packages = append(found.Packages, image.Package{Type: image.NPM, Name: name, Version: version})
		}
	}
	return found, nil
}

// An item is one entry of a tar archive to be made: "a/" is a folder, "a -> b" a
// symbolic link, "a => b" a hard link, "a" a file, with its content.
type item struct{ what, content string }

func pack(t testing.TB, items []item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h := &tar.Header{Name: i.what, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(i.content))}
		if name, target, ok := strings.Cut(i.what, " -> "); ok {
			h.Typeflag, h.Name, h.Linkname = tar.TypeSymlink, name, target
		} else if name, target, ok := strings.Cut(i.what, " => "); ok {
			h.Typeflag, h.Name, h.Linkname = tar.TypeLink, name, target
		} else if strings.HasSuffix(i.what, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func opener(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

func readItems(t testing.TB, items []item, finders ...Finder) *Result {
	t.Helper()
	r, err := Read(t.Context(), opener(pack(t, items)), finders, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mergeOf(t testing.TB, layers ...[]item) *Merged {
	t.Helper()
	var results []*Result
	for _, l := range layers {
		results = append(results, readItems(t, l, lister{}))
	}
	return Merge(results)
}

// lines tells packages and secrets in short.
func lines(m *Merged) []string {
	var all []string
	for _, p := range m.Packages {
		s := fmt.Sprintf("%s %s %s layer %d", p.Name, p.Version, p.Path, p.Layer)
		if p.Owner != "" {
			s += " of " + p.Owner
		}
		all = append(all, s)
	}
	for _, s := range m.Secrets {
		all = append(all, fmt.Sprintf("secret %s %s layer %d deleted %t", s.Rule, s.Path, s.Layer, s.Deleted))
	}
	for _, p := range slices.Sorted(maps.Keys(m.Systems)) {
		all = append(all, p+" "+m.Systems[p].ID)
	}
	return all
}

func TestMerge(t *testing.T) {
	for _, tc := range []struct {
		name   string
		layers [][]item
		want   []string
	}{
		{
			"a whiteout hides what is below it and not what is in its own layer",
			[][]item{{{"a/f", "x 1"}, {"b/f", "y 1"}}, {{"a/.wh.f", ""}, {"b/f", "y 2"}, {"b/.wh.f", ""}}},
			[]string{"y 2 b/f layer 1"},
		},
		{
			"a whiteout of a folder hides all of it",
			[][]item{{{"a/b/f", "x 1"}, {"a/b/c/g", "y 1"}, {"ab/f", "z 1"}}, {{"a/.wh.b", ""}}},
			[]string{"z 1 ab/f layer 0"},
		},
		{
			"an opaque folder hides lower layers only, wherever its mark stands",
			[][]item{{{"a/", ""}, {"a/f", "x 1"}, {"a/b/g", "y 1"}, {"f", "z 1"}}, {{"a/f", "x 2"}, {"a/.wh..wh..opq", ""}, {"a/h", "w 1"}}},
			[]string{"w 1 a/h layer 1", "x 2 a/f layer 1", "z 1 f layer 0"},
		},
		{
			"an opaque root hides everything",
			[][]item{{{"a/f", "x 1"}}, {{".wh..wh..opq", ""}, {"b/f", "y 1"}}},
			[]string{"y 1 b/f layer 1"},
		},
		{
			"a file over a folder, and a folder over a file",
			[][]item{{{"a/f", "x 1"}, {"b", "y 1"}}, {{"a", "z 1"}, {"b/", ""}, {"b/f", "w 1"}}},
			[]string{"w 1 b/f layer 1", "z 1 a layer 1"},
		},
		{
			"a file that nobody knows over one that somebody does",
			[][]item{{{"a/f", "x 1"}}, {{"a/f", ""}}},
			nil,
		},
		{
			"a folder over a folder adds to it",
			[][]item{{{"a/", ""}, {"a/f", "x 1"}}, {{"a/", ""}, {"a/g", "y 1"}}},
			[]string{"x 1 a/f layer 0", "y 1 a/g layer 1"},
		},
		{
			"a parent that is a link of a lower layer is followed",
			[][]item{{{"usr/lib/", ""}, {"lib -> usr/lib", ""}, {"usr/lib/f", "x 1"}}, {{"lib/f", "x 2"}, {"lib/g", "y 1"}}},
			[]string{"x 2 usr/lib/f layer 1", "y 1 usr/lib/g layer 1"},
		},
		{
			"a whiteout through a link hides what is there",
			[][]item{{{"usr/lib/f", "x 1"}, {"lib -> /usr/lib", ""}}, {{"lib/.wh.f", ""}}},
			nil,
		},
		{
			"a folder over a link is there instead of it",
			[][]item{{{"usr/lib/f", "x 1"}, {"lib -> usr/lib", ""}}, {{"lib/", ""}, {"lib/f", "y 1"}}},
			[]string{"x 1 usr/lib/f layer 0", "y 1 lib/f layer 1"},
		},
		{
			"links do not lead out of the image",
			[][]item{{{"a -> ../../../etc", ""}}, {{"a/f", "x 1"}}},
			[]string{"x 1 etc/f layer 1"},
		},
		{
			"links in a circle",
			[][]item{{{"a -> b", ""}, {"b -> a", ""}, {"c -> c", ""}}, {{"a/f", "x 1"}, {"c/f", "y 1"}}},
			[]string{"x 1 a/f layer 1", "y 1 c/f layer 1"},
		},
		{
			"what a database still has keeps the layer that brought it",
			[][]item{{{"status", "x 1\ny 1"}}, {{"status", "x 1\ny 2\nz 1"}}, {{"status", "x 1\ny 2"}}},
			[]string{"x 1 status layer 0", "y 2 status layer 1"},
		},
		{
			"a database that is deleted and written anew in one layer",
			[][]item{{{"db/status", "x 1"}}, {{"db/.wh..wh..opq", ""}, {"db/status", "x 1\ny 1"}}},
			[]string{"x 1 db/status layer 0", "y 1 db/status layer 1"},
		},
		{
			"a hard link keeps the content when the first name is gone",
			[][]item{{{"a/f", "x 1"}, {"a/g => a/f", ""}}, {{"a/.wh.f", ""}}},
			[]string{"x 1 a/g layer 0"},
		},
		{
			"hard links are one file",
			[][]item{{{"a/f", "x 1"}, {"a/g => a/f", ""}}},
			[]string{"x 1 a/f layer 0"},
		},
		{
			"a hard link to itself, and to nothing",
			[][]item{{{"f", "x 1"}, {"f => f", ""}, {"g => nothing", ""}}},
			[]string{"x 1 f layer 0"},
		},
		{
			"secrets of files that are gone are still in the image",
			[][]item{{{"a/f", "secret s"}, {"g", "secret t"}, {"h", "secret u"}}, {{"a/.wh.f", ""}, {"g", ""}}},
			[]string{"secret s a/f layer 0 deleted true", "secret t g layer 0 deleted true", "secret u h layer 0 deleted false"},
		},
		{
			"what a package ships is no secret, but for its settings",
			[][]item{{{"info/p.list", "owns deb:p opt/f\nowns deb:p etc/f"}, {"opt/f", "secret s"}, {"etc/f", "secret t"}, {"opt/g", "secret u"}}},
			[]string{"secret t etc/f layer 0 deleted false", "secret u opt/g layer 0 deleted false"},
		},
		{
			"owners are found through the merged folders, from the databases that are left",
			[][]item{
				{{"usr/lib/f", "x 1"}, {"lib -> usr/lib", ""}, {"info/p.list", "owns deb:p lib/f"}, {"g", "y 1"}, {"info/q.list", "owns deb:q g"}},
				{{"info/.wh.q.list", ""}},
			},
			[]string{"x 1 usr/lib/f layer 0 of deb:p", "y 1 g layer 0"},
		},
		{
			"releases are told by the paths where they are",
			[][]item{{{"etc/os-release -> ../usr/lib/os-release", ""}, {"usr/lib/os-release", "os debian"}}, {{"lib -> usr/lib", ""}, {"lib/os-release", "os other"}}},
			[]string{"usr/lib/os-release other"},
		},
		{
			"names that climb, repeat and begin with a slash",
			[][]item{{{"../../a//f", "x 1"}, {"/b/./f", "y 1"}, {"./c/../c/f", "z 1"}}},
			[]string{"x 1 a/f layer 0", "y 1 b/f layer 0", "z 1 c/f layer 0"},
		},
		{
			"the same path again counts the last time",
			[][]item{{{"f", "x 1"}, {"f", "x 2"}}},
			[]string{"x 2 f layer 0"},
		},
		{
			"marks of the AUFS driver hide nothing",
			[][]item{{{"f", "x 1"}}, {{".wh..wh.plnk", ""}, {".wh..wh.aufs", ""}, {".wh.", ""}}},
			[]string{"x 1 f layer 0"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, lines(mergeOf(t, tc.layers...))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A naive root file system, into which layers are unpacked one entry after the other, as
// tools that make real folders do: the oracle for Merge.
type naive struct {
	// entries are what is there by path: "/" for a folder, "-> target" for a link,
	// anything else is a file's content and the layer it is of.
	entries map[string]string
}

// real follows the links of a folder's path.
func (n *naive) real(dir string, links int) (string, bool) {
	at := ""
	for i, c := range strings.Split(dir, "/") {
		switch c {
		case "", ".":
			continue
		case "..":
			at = path.Dir("/" + at)[1:]
			continue
		}
		next := path.Join(at, c)
		if target, ok := strings.CutPrefix(n.entries[next], "-> "); ok {
			if links == 0 {
				return "", false
			}
			rest := strings.Join(strings.Split(dir, "/")[i+1:], "/")
			if !strings.HasPrefix(target, "/") {
				target = at + "/" + target
			}
			return n.real(target+"/"+rest, links-1)
		}
		at = next
	}
	return at, true
}

func (n *naive) remove(p string) {
	maps.DeleteFunc(n.entries, func(k, _ string) bool { return k == p || strings.HasPrefix(k, p+"/") })
}

func (n *naive) unpack(layer int, items []item) bool {
	for _, i := range items {
		dir, base := path.Split(i.what)
		real, ok := n.real(dir, 40)
		if !ok {
			return false
		}
		if base == opaque {
			maps.DeleteFunc(n.entries, func(k, _ string) bool { return k != real && (real == "" || strings.HasPrefix(k, real+"/")) })
		}
	}
	for _, i := range items {
		dir, base := path.Split(i.what)
		if hidden, ok := strings.CutPrefix(base, whiteout); ok && base != opaque {
			real, ok := n.real(dir, 40)
			if !ok {
				return false
			}
			n.remove(path.Join(real, hidden))
		}
	}
	for _, i := range items {
		name, target, link := strings.Cut(i.what, " -> ")
		folder := strings.HasSuffix(name, "/")
		name = strings.TrimSuffix(name, "/")
		dir, base := path.Split(name)
		if strings.HasPrefix(base, whiteout) {
			continue
		}
		real, ok := n.real(dir, 40)
		if !ok {
			return false
		}
		for up := real; up != "" && up != "."; up = path.Dir(up) {
			if e, ok := n.entries[up]; ok && e != "/" {
				return false // a file where a folder would have to be: no tool makes such a layer
			}
			n.entries[up] = "/"
		}
		p := path.Join(real, base)
		if folder {
			if n.entries[p] != "/" {
				n.remove(p)
			}
			n.entries[p] = "/"
			continue
		}
		n.remove(p)
		n.entries[p] = fmt.Sprintf("%s %s layer %d", i.content, p, layer)
		if link {
			n.entries[p] = "-> " + target
		}
	}
	return true
}

func (n *naive) lines() []string {
	var all []string
	for _, p := range slices.Sorted(maps.Keys(n.entries)) {
		if e := n.entries[p]; e != "/" && !strings.HasPrefix(e, "-> ") {
			all = append(all, e)
		}
	}
	slices.Sort(all)
	return all
}

// stack makes layers at random from few names, so that they meet.
func stack(r *rand.Rand) [][]item {
	name := func() string {
		parts := make([]string, 1+r.IntN(3))
		for i := range parts {
			parts[i] = string('a' + rune(r.IntN(3)))
		}
		return strings.Join(parts, "/")
	}
	var layers [][]item
	version := 0
	for range 1 + r.IntN(4) {
		var items []item
		for range 1 + r.IntN(6) {
			version++
			p := name()
			switch r.IntN(8) {
			case 0:
				items = append(items, item{p + "/", ""})
			case 1:
				target := name()
				if r.IntN(2) == 0 {
					target = "/" + target
				} else if r.IntN(3) == 0 {
					target = "../" + target
				}
				items = append(items, item{p + " -> " + target, ""})
			case 2:
				dir, base := path.Split(p)
				items = append(items, item{dir + whiteout + base, ""})
			case 3:
				items = append(items, item{p + "/" + opaque, ""})
			default:
				items = append(items, item{p, fmt.Sprintf("p%03d 1", version)})
			}
		}
		layers = append(layers, items)
	}
	return layers
}

func TestMergeIsAnUnpackedImage(t *testing.T) {
	rounds := 5000
	if testing.Short() {
		rounds = 1000
	}
	checked := 0
	for seed := range rounds {
		if compareWithNaive(t, stack(rand.New(rand.NewPCG(uint64(seed), 1)))) {
			checked++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if checked < rounds/4 {
		t.Errorf("%d of %d stacks could be unpacked: too few to say anything", checked, rounds)
	}
}

func compareWithNaive(t testing.TB, layers [][]item) bool {
	t.Helper()
	n := naive{entries: map[string]string{}}
	for i, items := range layers {
		if !n.unpack(i, items) {
			return false
		}
	}
	got := lines(mergeOf(t, layers...))
	slices.Sort(got)
	if diff := cmp.Diff(n.lines(), got); diff != "" {
		t.Errorf("%v\n(-unpacked +merged)\n%s", layers, diff)
	}
	return true
}
