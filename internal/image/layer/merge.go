package layer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// Merged is what the layers hold together, as a container sees them. Layer is an index
// into the results that were merged.
type Merged struct {
	// Systems are what files say of the system, by their paths: one may be left over from
	// another's, and which of them to believe is not for a layer to say.
	Systems map[string]image.OS
	// Packages are ordered by type, name, version, path.
	Packages         []image.Package
	Files            []image.File
	Shells, Managers []string
	Secrets          []image.Secret
	Gaps             []image.Gap
}

// Merge lays results on top of each other, the base first, by the rules of the OCI image
// specification: what a layer hides is hidden only of the layers below it, wherever in
// the layer that is said; a folder over a folder adds to it, and anything else over
// anything is there instead of it. Parents that are symbolic links are followed as
// containerd does (its archive/tar.go), never out of the image.
//
// Only what some finder had something to say of is kept track of, with the symbolic
// links that lead there, so that an image of a million files costs what a small one does.
func Merge(results []*Result) *Merged {
	t := &tree{root: &node{}}
	for i, r := range results {
		t.apply(i, r)
	}
	return t.merged(results)
}

// A tree is the root file system, less the files that nobody has anything to say of.
type tree struct {
	root *node
	// hidden are the files that the current layer removed or replaced, by path: where
	// it brings them back, what they list keeps the layer that first had it.
	hidden map[string]*content
	// layer is the one that is laid on, deleted are files that some layer hid.
	layer   int
	deleted []hidden
	// dir is the folder that the last entry was in, dirPath its path in the journal; nil:
	// nothing is known of it. It stays good while a layer is laid on: only what lies in
	// it is taken away before another folder is asked for.
	dir     *node
	dirPath string
	dirGood bool
}

// A node is one path. It may at once be what a link was and hold children: an image
// whose links lead in a circle is not read less for it.
type node struct {
	parent   *node
	depth    int
	name     string
	children map[string]*node
	link     string // of a symbolic link, its target
	content  *content
	owner    string
}

// A content is a file; hard links share it.
type content struct {
	finds []*placed
	gain  *gain
	layer int // of gain
}

// A hidden is a file that a layer removed or replaced.
type hidden struct {
	*content
	by int // the layer
}

// A placed is a find in its layer.
type placed struct {
	*Find
	layer int
	path  string
	since []int // of each package, the layer that brought it
}

func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	var names []string
	for ; n.parent != nil; n = n.parent {
		names = append(names, n.name)
	}
	slices.Reverse(names)
	return strings.Join(names, "/")
}

func (n *node) child(name string, create bool) *node {
	c := n.children[name]
	if c == nil && create && n.depth < maxDepth {
		if n.children == nil {
			n.children = map[string]*node{}
		}
		c = &node{parent: n, depth: n.depth + 1, name: name}
		n.children[name] = c
	}
	return c
}

// maxLinks is how many symbolic links are followed for one path, as in the kernel.
const maxLinks = 40

// resolve walks to a folder, following links. Without create it gives nil where nothing
// is known of the folder.
func (t *tree) resolve(dir string, create bool) *node {
	n := t.root
	rest := dir
	for links := 0; rest != ""; {
		name, after, _ := strings.Cut(rest, "/")
		rest = after
		switch name {
		case "", ".":
			continue
		case "..":
			if n.parent != nil {
				n = n.parent
			}
			continue
		}
		c := n.child(name, create)
		if c == nil {
			return nil
		}
		if c.link != "" && links < maxLinks && len(c.link)+len(rest) < 4*maxPath {
			links++
			if strings.HasPrefix(c.link, "/") {
				n = t.root
			}
			rest = c.link + "/" + rest
			continue
		}
		n = c
	}
	return n
}

// parent is resolve for an entry's folder, which is mostly the last entry's.
func (t *tree) parent(dir string, create bool) *node {
	if t.dirGood && t.dirPath == dir && (t.dir != nil || !create) {
		return t.dir
	}
	t.dir, t.dirPath, t.dirGood = t.resolve(dir, create), strings.Clone(dir), true
	return t.dir
}

func split(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// remove takes away what is at a node and beneath it.
func (t *tree) remove(n *node) {
	t.hide(n, n.path())
	delete(n.parent.children, n.name)
}

// hide notes the files at a node and beneath it as gone.
func (t *tree) hide(n *node, path string) {
	if n.content != nil {
		t.hidden[path] = n.content
		t.deleted = append(t.deleted, hidden{n.content, t.layer})
	}
	t.hideBelow(n, path)
}

func (t *tree) hideBelow(n *node, path string) {
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		t.hide(n.children[name], below(path, name))
	}
}

func below(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

func (t *tree) apply(layer int, r *Result) {
	t.layer, t.hidden, t.dirGood = layer, map[string]*content{}, false
	for _, dir := range r.Opaques {
		if n := t.resolve(dir, false); n != nil {
			t.hideBelow(n, n.path())
			n.children = nil
		}
	}
	for _, path := range r.Whiteouts {
		dir, base := split(path)
		if p := t.parent(dir, false); p != nil {
			if n := p.children[base]; n != nil {
				t.remove(n)
			}
		}
	}
	at := 0
	for i, e := range r.Entries.all() {
		from := at
		for at < len(r.Finds) && r.Finds[at].Entry == i {
			at++
		}
		t.entry(layer, e, r.Finds[from:at])
	}
}

func (t *tree) entry(layer int, e *entry, finds []Find) {
	dir, base := split(string(e.path))
	// What is at the end of a hard link is looked up first: the link may take the place
	// of a folder on the way there.
	var shared *node
	if e.kind == hardlink {
		d, b := split(e.target)
		if p := t.resolve(d, false); p != nil {
			shared = p.children[b]
		}
	}
	keep := len(finds) > 0 || e.gain != nil || e.kind == symlink && e.target != "" || shared != nil && (shared.content != nil || shared.link != "")
	parent := t.parent(dir, keep)
	if parent == nil {
		return
	}
	n := parent.children[base]
	if shared != nil && shared == n {
		return // a link to itself changes nothing
	}
	if n != nil {
		if e.kind == folder && n.link == "" && n.content == nil {
			return
		}
		t.remove(n)
	}
	if !keep {
		return
	}
	if n = parent.child(base, true); n == nil {
		return // deeper than any path
	}
	if e.kind == symlink {
		n.link = e.target
		return
	}
	if shared != nil {
		n.link, n.content = shared.link, shared.content
		if len(finds) == 0 {
			return
		}
	}
	path := n.path()
	c := &content{gain: e.gain, layer: layer}
	if shared != nil && shared.content != nil {
		c.finds, c.gain, c.layer = slices.Clone(shared.content.finds), shared.content.gain, shared.content.layer
	}
	for i := range finds {
		p := &placed{Find: &finds[i], layer: layer, path: path}
		p.inherit(t.hidden[path])
		// A link has what the file says by itself, unless it was asked about again.
		c.finds = slices.DeleteFunc(c.finds, func(o *placed) bool { return o.Finder == p.Finder && e.kind == hardlink })
		c.finds = append(c.finds, p)
	}
	n.content = c
}

// inherit gives each package that was in the same file before the layer that brought
// it: a database is written anew with every change, and most of what it lists stays.
func (p *placed) inherit(before *content) {
	p.since = make([]int, len(p.Found.Packages))
	for i := range p.since {
		p.since[i] = p.layer
	}
	if before == nil {
		return
	}
	type key struct {
		image.Type
		name, version, arch string
	}
	since := map[key]int{}
	for _, old := range before.finds {
		if old.Finder != p.Finder {
			continue
		}
		for i := range old.Found.Packages {
			q := &old.Found.Packages[i]
			since[key{q.Type, q.Name, q.Version, q.Arch}] = old.since[i]
		}
	}
	for i := range p.since {
		q := &p.Found.Packages[i]
		if s, ok := since[key{q.Type, q.Name, q.Version, q.Arch}]; ok {
			p.since[i] = s
		}
	}
}

// walk visits what is there in the order of paths.
func (n *node) walk(path string, visit func(path string, n *node)) {
	if n.content != nil {
		visit(path, n)
	}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		n.children[name].walk(below(path, name), visit)
	}
}

func (t *tree) merged(results []*Result) *Merged {
	t.own()
	m := &Merged{Systems: map[string]image.OS{}}
	for i, r := range results {
		for _, g := range r.Gaps {
			g.Layer = i
			m.Gaps = append(m.Gaps, g)
		}
	}
	alive := map[*placed]bool{}
	t.root.walk("", func(path string, n *node) {
		if g := n.content.gain; g != nil {
			m.Files = append(m.Files, image.File{Path: path, Mode: g.mode, UID: g.uid, GID: g.gid, Layer: n.content.layer, Capabilities: g.capabilities, Owner: n.owner})
		}
		for _, p := range n.content.finds {
			if !alive[p] {
				alive[p] = true
				m.add(path, n.owner, p)
			}
		}
	})
	m.lost(t.deleted)
	gone := map[*placed]bool{}
	for _, c := range t.deleted {
		for _, p := range c.finds {
			if !alive[p] && !gone[p] {
				gone[p] = true
				m.secrets(p.path, p, true)
			}
		}
	}
	m.order()
	return m
}

// lost tells of databases of installed packages that were taken away, or emptied, with
// nothing in their place: what they listed is mostly still there, and who wants to look
// clean need do no more.
func (m *Merged) lost(deleted []hidden) {
	known := map[image.Type]bool{}
	for _, p := range m.Packages {
		known[p.Type] = true
	}
	for _, h := range slices.Backward(deleted) { // the last to go knew most
		for _, p := range h.finds {
			if len(p.Found.Packages) == 0 {
				continue
			}
			if t := p.Found.Packages[0].Type; t.OS() && !known[t] {
				known[t] = true
				m.Gaps = append(m.Gaps, image.Gap{
					Path: p.path, Layer: h.by, Type: t,
					Reason: fmt.Sprintf("the list of installed packages was taken away: the %d that it named may still be there", len(p.Found.Packages)),
				})
			}
		}
	}
}

// add takes over what a find says of the file at path.
func (m *Merged) add(path, owner string, p *placed) {
	// A finder knows the path in its layer; where a folder on the way is a link, the
	// file is elsewhere.
	place := func(said string) string {
		if inside, ok := strings.CutPrefix(said, p.Path); ok && (inside == "" || strings.HasPrefix(inside, "!/")) || said == "" {
			return path + inside
		}
		return said
	}
	for i, q := range p.Found.Packages {
		q.Path, q.Layer = place(q.Path), p.since[i]
		if q.Owner == "" && !q.Type.OS() {
			q.Owner = owner
		}
		m.Packages = append(m.Packages, q)
	}
	for _, g := range p.Found.Gaps {
		g.Path, g.Layer = place(g.Path), p.layer
		m.Gaps = append(m.Gaps, g)
	}
	if p.Found.OS != nil {
		m.Systems[path] = *p.Found.OS
	}
	if p.Found.Shell {
		m.Shells = append(m.Shells, path)
	}
	if p.Found.Manager {
		m.Managers = append(m.Managers, path)
	}
	// What a package of the OS ships everybody has, so it is no secret; its settings below
	// etc are the user's to fill in.
	if owner == "" || strings.HasPrefix(path, "etc/") {
		m.secrets(path, p, false)
	}
}

func (m *Merged) secrets(path string, p *placed, deleted bool) {
	for _, s := range p.Found.Secrets {
		if s.Path == "" || s.Path == p.Path {
			s.Path = path
		}
		s.Layer, s.Deleted = p.layer, deleted
		m.Secrets = append(m.Secrets, s)
	}
}

func (m *Merged) order() {
	slices.SortStableFunc(m.Packages, func(a, b image.Package) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Arch, b.Arch))
	})
	slices.SortStableFunc(m.Secrets, func(a, b image.Secret) int {
		return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	slices.SortStableFunc(m.Gaps, func(a, b image.Gap) int {
		return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Reason, b.Reason))
	})
	slices.Sort(m.Shells)
	m.Shells = slices.Compact(m.Shells)
	slices.Sort(m.Managers)
	m.Managers = slices.Compact(m.Managers)
}

// own says of each file which OS package it belongs to. Lists of files have the paths as
// they are in the package, which may lead through links: dpkg's say lib/x of what has
// been usr/lib/x since the two were merged.
func (t *tree) own() {
	var lists []*placed
	t.root.walk("", func(_ string, n *node) {
		for _, p := range n.content.finds {
			if len(p.Owned) > 0 {
				lists = append(lists, p)
			}
		}
	})
	t.dirGood = false
	for _, p := range lists {
		for _, o := range p.Owned {
			for path := range o.Paths.All() {
				dir, base := split(string(path))
				parent := t.parent(dir, false)
				if parent == nil {
					continue
				}
				// Of two owners (a diversion, two architectures) the first by name.
				if n := parent.children[base]; n != nil && n.content != nil && (n.owner == "" || o.Owner < n.owner) {
					n.owner = o.Owner
				}
			}
		}
	}
}
