package layer

import (
	"context"
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

// ReadFolder reads a folder that holds an image's unpacked root file system as if it were
// one layer. Nothing outside the folder is opened, whatever its symbolic links say. What
// cannot be read is a gap. The top folders proc, sys and dev are the kernel's on a
// machine that runs and are passed over.
func ReadFolder(ctx context.Context, root *os.Root, finders []Finder, o Options) (*Result, error) {
	p := newPass(ctx, finders, o)
	defer p.spool.close()
	w := &walk{pass: p, root: root, seen: map[[2]uint64]string{}}
	err := w.folder(".", 0)
	p.result.Entries = p.journal.journal()
	return p.result, p.end(err)
}

type walk struct {
	*pass
	root *os.Root
	// seen are the files with several links, by device and number.
	seen map[[2]uint64]string
}

// maxDepth is more than a path of 4096 bytes can have; bind mounts may have more.
const maxDepth = maxPath / 2

func (w *walk) folder(dir string, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	entries, err := w.list(dir)
	if err != nil {
		w.unreadable(dir, err)
		return nil
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if w.journal.count >= w.limits.Entries {
			return &limitError{fmt.Sprintf("more than %d entries", w.limits.Entries)}
		}
		if len(w.journal.bytes) > w.limits.Names {
			return &limitError{fmt.Sprintf("the paths take more than %d bytes", w.limits.Names)}
		}
		if e.Type() == fs.ModeSymlink && !w.o.Budget.take(ofLinks, 1) {
			return &limitError{"more symbolic links than an image may have"}
		}
		switch {
		case len(name) > maxPath:
			w.gap(image.Gap{Path: name[:100], Reason: "a path of more than 4096 bytes"})
		case e.IsDir():
			w.journal.add(name, folder, "", nil)
			if depth < maxDepth && name != "proc" && name != "sys" && name != "dev" {
				if err := w.folder(name, depth+1); err != nil {
					return err
				}
			}
		case e.Type() == fs.ModeSymlink:
			target, err := w.root.Readlink(name)
			if err != nil {
				w.unreadable(name, err)
			}
			w.journal.add(name, symlink, target, nil)
		case e.Type().IsRegular():
			if err := w.regular(name, e); err != nil {
				return err
			}
		default:
			w.journal.add(name, other, "", nil)
		}
	}
	return nil
}

func (w *walk) list(dir string) ([]fs.DirEntry, error) {
	f, err := w.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

func (w *walk) unreadable(name string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return // gone since it was listed
	}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	w.gap(image.Gap{Path: clean(name), Reason: err.Error()})
}

func (w *walk) regular(name string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		w.unreadable(name, err)
		return nil
	}
	f := File{Path: name, Mode: info.Mode(), Size: info.Size()}
	id, several := identify(info, &f)
	if several {
		if first, ok := w.seen[id]; ok {
			w.journal.add(name, hardlink, first, nil)
			if _, read := w.read[first]; read && w.same(name, first) {
				return nil
			}
			return w.open(w.journal.count-1, f)
		}
		w.seen[id] = name
	}
	w.result.Size += info.Size()
	// A file is opened for its head and its capabilities; without finders neither the
	// one nor, unless it may be run, the other matters.
	if len(w.finders) == 0 && f.Mode.Perm()&0o111 == 0 {
		w.journal.add(name, file, "", nil)
		return nil
	}
	return w.open(-1, f)
}

// open shows a file to the finders. Without a place in the journal it is given one.
func (w *walk) open(at int, f File) error {
	in, err := w.root.OpenFile(f.Path, openFlags, 0)
	if err != nil {
		if at < 0 {
			g, _ := gains(f.Mode, f.UID, f.GID, "")
			w.journal.add(f.Path, file, "", g)
		}
		w.unreadable(f.Path, err)
		return nil
	}
	defer in.Close()
	if at < 0 {
		g, err := gains(f.Mode, f.UID, f.GID, capabilities(in))
		if err != nil {
			w.gap(image.Gap{Path: f.Path, Reason: err.Error()})
		}
		at = w.journal.count
		w.journal.add(f.Path, file, "", g)
	}
	n, err := in.ReadAt(w.head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		w.unreadable(f.Path, err)
		return nil
	}
	f.Head = w.head[:min(int64(n), f.Size)]
	w.file = f
	w.want = w.want[:0]
	for _, x := range w.finders {
		if x.Wants(&w.file) {
			w.want = append(w.want, x)
		}
	}
	if len(w.want) == 0 {
		return nil
	}
	if f.Size > w.limits.File {
		w.find(at, f.Path, "", &Found{Gaps: []image.Gap{{Path: f.Path, Reason: fmt.Sprintf("%d bytes, over the limit of %d for one file", f.Size, w.limits.File)}}})
		return nil
	}
	w.read[f.Path] = at
	w.file.Content = io.NewSectionReader(in, 0, f.Size)
	w.ask(at)
	return w.ctx.Err()
}
