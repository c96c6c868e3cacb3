package layer

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/image"
)

// Limits keep a hostile layer from costing more than it is worth. Zero values mean the
// defaults.
type Limits struct {
	// Bytes is the largest number of uncompressed bytes of one layer; default 64 GiB.
	Bytes int64
	// File is the largest file that finders are shown; default 2 GiB. A larger one that
	// a finder wants is a gap.
	File int64
	// Entries is the largest number of entries of one layer; default 4 million.
	Entries int
	// Names is the largest number of bytes that a layer's list of paths takes up;
	// default 64 MiB, about 3 million paths of common length.
	Names int
}

func (l Limits) defaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 64 << 30
	}
	if l.File == 0 {
		l.File = 2 << 30
	}
	if l.Entries == 0 {
		l.Entries = 4 << 20
	}
	if l.Names == 0 {
		l.Names = 64 << 20
	}
	return l
}

// Options are for Read and ReadFolder; the zero value works.
type Options struct {
	Limits Limits
	// Budget is what all layers of an image may have together; nil: no limit.
	Budget *Budget
	// TempDir is where files of more than a few MiB are held while finders look at them;
	// empty: the system's. They have no name there.
	TempDir string
}

const (
	// maxPath is the kernel's longest path: an entry with a longer one cannot have been
	// made from a file.
	maxPath = 4096
	// maxGaps is the number of gaps of one layer after which they are only counted.
	maxGaps = 1000
	// headSize is how much of a file Wants sees.
	headSize = 512

	whiteout = ".wh."
	// opaque hides what lower layers have in its folder; other names that begin with
	// twice the prefix are the AUFS driver's own.
	opaque = ".wh..wh..opq"
)

// Read reads a layer in one pass. Open gives its uncompressed bytes, a tar stream; it is
// called a second time only where a file that a finder wants is a hard link to one that
// was passed over. After an error the result is still what was read until then.
func Read(ctx context.Context, open func() (io.ReadCloser, error), finders []Finder, o Options) (*Result, error) {
	p := newPass(ctx, finders, o)
	defer p.spool.close()
	err := p.stream(open, o.Budget, p.entry)
	p.result.Entries = p.journal.journal()
	if err == nil && len(p.missed) > 0 {
		size := p.result.Size
		err = p.stream(open, nil, p.again) // these bytes were counted
		p.result.Size = size
	}
	return p.result, p.end(err)
}

// A pass is one reading of one layer.
type pass struct {
	ctx     context.Context
	finders []Finder
	o       Options
	limits  Limits
	result  *Result
	journal journalist
	spool   spool
	head    [headSize]byte
	gaps    int
	tooMany bool // finds
	spooled int64

	// file is shown to finders; one for all, since they do not keep it.
	file File
	want []Finder
	// read are the places in the journal of files that some finder was shown, by path:
	// hard links to them need no second look.
	read map[string]int
	// missed are hard links that finders want and whose file was passed over, by that
	// file's path.
	missed map[string][]missed
}

type missed struct {
	entry int
	path  string
}

func newPass(ctx context.Context, finders []Finder, o Options) *pass {
	return &pass{
		ctx: ctx, finders: finders, o: o, limits: o.Limits.defaults(), result: &Result{},
		spool: spool{dir: o.TempDir}, read: map[string]int{},
	}
}

// stream hands a tar stream's entries to each.
func (p *pass) stream(open func() (io.ReadCloser, error), budget *Budget, each func(*tar.Header, io.Reader) error) error {
	rc, err := open()
	if err != nil {
		return err
	}
	defer rc.Close()
	in := readAhead(p.ctx, rc, p.limits.Bytes, budget)
	defer in.close()
	tr := tar.NewReader(in)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = each(h, tr)
		}
		if err != nil {
			p.result.Size = in.at
			return fmt.Errorf("entry %d: %w", n+1, err)
		}
	}
	err = in.drain()
	p.result.Size = in.at
	return err
}

// clean makes an entry's name a path from the image's root; empty is the root itself.
func clean(name string) string { return path.Clean("/" + name)[1:] }

// entry takes note of one entry, and shows it to whoever wants it.
func (p *pass) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if p.journal.count >= p.limits.Entries {
		return &limitError{fmt.Sprintf("more than %d entries", p.limits.Entries)}
	}
	if len(p.journal.bytes) > p.limits.Names {
		return &limitError{fmt.Sprintf("the paths take more than %d bytes", p.limits.Names)}
	}
	before := len(p.journal.bytes)
	defer func() {
		p.o.Budget.take(ofNames, int64(len(p.journal.bytes)-before))
	}()
	if h.Typeflag == tar.TypeSymlink && !p.o.Budget.take(ofLinks, 1) {
		return &limitError{"more symbolic links than an image may have"}
	}
	if p.o.Budget.spent(ofNames) {
		return &limitError{"the paths take more than an image's may"}
	}
	name := clean(h.Name)
	if len(name) > maxPath || len(h.Linkname) > maxPath {
		p.gap(image.Gap{Path: name[:min(len(name), 100)], Reason: "a path of more than 4096 bytes, which no file system has"})
		return nil
	}
	dir, base := path.Split(name)
	if base == opaque {
		p.result.Opaques = append(p.result.Opaques, strings.TrimSuffix(dir, "/"))
		return nil
	}
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		if hidden != "" && !strings.HasPrefix(hidden, whiteout) {
			p.result.Whiteouts = append(p.result.Whiteouts, dir+hidden)
		}
		return nil
	}
	if name == "" {
		return nil
	}
	switch h.Typeflag {
	case tar.TypeDir:
		p.journal.add(name, folder, "", nil)
	case tar.TypeSymlink:
		p.journal.add(name, symlink, h.Linkname, nil)
	case tar.TypeLink:
		target := clean(h.Linkname)
		p.journal.add(name, hardlink, target, nil)
		p.link(name, target)
	case tar.TypeReg, tar.TypeRegA, tar.TypeCont, tar.TypeGNUSparse: //nolint:staticcheck // SA1019: old archives have TypeRegA
		f := File{Path: name, Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid, Size: h.Size}
		g, err := gains(f.Mode, h.Uid, h.Gid, h.PAXRecords["SCHILY.xattr.security.capability"])
		if err != nil {
			p.gap(image.Gap{Path: name, Reason: err.Error()})
		}
		at := p.journal.count
		p.journal.add(name, file, "", g)
		if len(p.finders) == 0 {
			return nil
		}
		n, err := io.ReadFull(r, p.head[:min(headSize, h.Size)])
		if err != nil {
			return short(err)
		}
		f.Head = p.head[:n]
		return p.show(at, f, r)
	default:
		p.journal.add(name, other, "", nil)
	}
	return nil
}

// show lets the finders that want a file read it. R is what follows its head.
func (p *pass) show(at int, f File, r io.Reader) error {
	p.file = f
	p.want = p.want[:0]
	for _, x := range p.finders {
		if x.Wants(&p.file) {
			p.want = append(p.want, x)
		}
	}
	if len(p.want) == 0 {
		delete(p.read, f.Path)
		return nil
	}
	if f.Size > p.limits.File {
		p.find(at, f.Path, "", &Found{Gaps: []image.Gap{{Path: f.Path, Reason: fmt.Sprintf("%d bytes, over the limit of %d for one file", f.Size, p.limits.File)}}})
		return nil
	}
	// A sparse file may be far larger than what the archive has of it.
	if p.spooled += f.Size; p.spooled > p.limits.Bytes {
		return &limitError{fmt.Sprintf("the files are larger than the limit of %d bytes", p.limits.Bytes)}
	}
	content, err := p.spool.load(f.Head, r, f.Size)
	if err != nil {
		if pe := (*os.PathError)(nil); errors.As(err, &pe) {
			return fmt.Errorf("holding %s: %w", f.Path, err)
		}
		return err
	}
	p.read[f.Path] = at
	p.file.Content = content
	p.ask(at)
	return p.ctx.Err()
}

// ask lets those who want p.file read it.
func (p *pass) ask(at int) {
	for _, x := range p.want {
		found, err := read(p.ctx, x, &p.file)
		if err != nil {
			if p.ctx.Err() != nil {
				return
			}
			found = &Found{Gaps: []image.Gap{{Path: p.file.Path, Reason: x.Name() + ": " + err.Error()}}}
		}
		if found != nil {
			p.find(at, p.file.Path, x.Name(), found)
		}
	}
}

// read asks one finder. Libraries that finders rest on were not all written for files of
// strangers: where one panics, the file is a gap and not the end of the scan.
func read(ctx context.Context, x Finder, f *File) (found *Found, err error) {
	defer func() {
		if r := recover(); r != nil {
			found, err = nil, fmt.Errorf("unreadable: %v", r)
		}
	}()
	return x.Read(ctx, f)
}

// find keeps what was found, and packs what is large.
func (p *pass) find(at int, name, finder string, found *Found) {
	if !p.o.Budget.take(ofFinds, 1) {
		p.tooMany = true
		return
	}
	f := Find{Entry: at, Path: name, Finder: finder, Found: *found}
	for _, g := range found.Gaps[min(len(found.Gaps), max(0, maxGaps-p.gaps)):] {
		p.gap(g)
	}
	f.Found.Gaps = found.Gaps[:min(len(found.Gaps), max(0, maxGaps-p.gaps))]
	p.gaps += len(f.Found.Gaps)
	for owner, paths := range found.Owned {
		f.Owned = append(f.Owned, Owned{owner, packPaths(paths)})
	}
	slices.SortFunc(f.Owned, func(a, b Owned) int { return strings.Compare(a.Owner, b.Owner) })
	f.Found.Owned = nil
	p.result.Finds = append(p.result.Finds, f)
}

func (p *pass) gap(g image.Gap) {
	if p.gaps++; p.gaps <= maxGaps {
		p.result.Gaps = append(p.result.Gaps, g)
	}
}

// link notes a hard link that somebody wants for its path, where the file that it is
// was not read. What is in a file, whatever its path, was asked for when it passed.
func (p *pass) link(name, target string) {
	if _, ok := p.read[target]; ok {
		// What the file says by its content holds for the link too; Merge sees to it.
		if p.same(name, target) {
			return
		}
	}
	p.file = linked(name)
	if slices.ContainsFunc(p.finders, func(x Finder) bool { return x.Wants(&p.file) }) {
		if p.missed == nil {
			p.missed = map[string][]missed{}
		}
		p.missed[target] = append(p.missed[target], missed{p.journal.count - 1, name})
	}
}

// linked is a hard link as finders are asked of it before its file is known: as if it
// were a program, so that whoever goes by the name of programs says yes.
func linked(name string) File { return File{Path: name, Mode: 0o755, Size: 1} }

// same reports whether the same finders want both paths, so that nothing new can come
// of reading the second.
func (p *pass) same(a, b string) bool {
	x, y := linked(a), linked(b)
	return !slices.ContainsFunc(p.finders, func(f Finder) bool { return f.Wants(&x) && !f.Wants(&y) })
}

// again shows the files that were passed over, under the names of their links.
func (p *pass) again(h *tar.Header, r io.Reader) error {
	name := clean(h.Name)
	links, ok := p.missed[name]
	if !ok || h.Typeflag != tar.TypeReg {
		return nil
	}
	delete(p.missed, name)
	if h.Size > p.limits.File {
		return nil
	}
	if p.spooled += h.Size; p.spooled > p.limits.Bytes {
		return &limitError{fmt.Sprintf("the files are larger than the limit of %d bytes", p.limits.Bytes)}
	}
	content, err := p.spool.load(nil, r, h.Size)
	if err != nil {
		return err
	}
	head := p.head[:min(headSize, h.Size)]
	if _, err := content.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, l := range links {
		p.file = File{Path: l.path, Mode: h.FileInfo().Mode(), UID: h.Uid, GID: h.Gid, Size: h.Size, Head: head}
		p.want = p.want[:0]
		for _, x := range p.finders {
			if x.Wants(&p.file) {
				p.want = append(p.want, x)
			}
		}
		p.file.Content = content
		p.ask(l.entry)
	}
	return p.ctx.Err()
}

func (p *pass) end(err error) error {
	if p.gaps > maxGaps {
		p.result.Gaps = append(p.result.Gaps, image.Gap{Reason: fmt.Sprintf("%d further gaps", p.gaps-maxGaps)})
	}
	slices.SortStableFunc(p.result.Finds, func(a, b Find) int { return a.Entry - b.Entry })
	if err == nil && p.tooMany {
		err = &limitError{"more files that mean something than an image may have; what the others say is missing"}
	}
	return err
}

// gains says what a file gives to whoever runs it; nil: nothing.
func gains(mode fs.FileMode, uid, gid int, capabilities string) (*gain, error) {
	g := &gain{mode: mode, uid: uid, gid: gid}
	var err error
	if capabilities != "" {
		g.capabilities, err = decodeCapabilities([]byte(capabilities))
	}
	if mode&(fs.ModeSetuid|fs.ModeSetgid) == 0 && g.capabilities == "" {
		return nil, err
	}
	return g, err
}

// capabilityNames are the kernel's, in the order of their numbers
// (include/uapi/linux/capability.h).
var capabilityNames = [...]string{
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid",
	"setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
	"ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct",
	"sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod",
	"lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
	"wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
}

// decodeCapabilities writes a vfs_cap_data of version 2 or 3 as setcap takes it:
// "cap_net_raw+ep", several with spaces where their flags are not the same.
func decodeCapabilities(b []byte) (string, error) {
	const v2, v3 = 0x02000000, 0x03000000
	if len(b) < 4 {
		return "", errors.New("capabilities: shorter than their header")
	}
	magic := binary.LittleEndian.Uint32(b)
	if v := magic &^ 0xffffff; v == v2 && len(b) != 20 || v == v3 && len(b) != 24 || v != v2 && v != v3 {
		return "", fmt.Errorf("capabilities: version %#x with %d bytes, want 2 with 20 or 3 with 24", magic>>24, len(b))
	}
	u := func(at int) uint64 { return uint64(binary.LittleEndian.Uint32(b[at:])) }
	permitted, inheritable := u(4)|u(12)<<32, u(8)|u(16)<<32
	effective := magic&1 != 0
	var groups []string
	for _, g := range []struct {
		set   uint64
		flags string
	}{{permitted &^ inheritable, "p"}, {permitted & inheritable, "ip"}, {inheritable &^ permitted, "i"}} {
		var names []string
		for i := range 64 {
			if g.set&(1<<i) != 0 {
				if i < len(capabilityNames) {
					names = append(names, "cap_"+capabilityNames[i])
				} else {
					names = append(names, fmt.Sprintf("cap_%d", i))
				}
			}
		}
		if len(names) == 0 {
			continue
		}
		flags := g.flags
		if effective && strings.Contains(flags, "p") {
			flags = "e" + flags
		}
		groups = append(groups, strings.Join(names, ",")+"+"+flags)
	}
	return strings.Join(groups, " "), nil
}
