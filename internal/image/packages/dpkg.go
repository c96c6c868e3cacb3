package packages

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/bulwark-k8s/bulwark/internal/image"
	"github.com/bulwark-k8s/bulwark/internal/image/layer"
)

const (
	dpkgDir     = "var/lib/dpkg/"
	dpkgStatusD = dpkgDir + "status.d/"
	chiselWall  = "var/lib/chisel/manifest.wall"

	// maxDpkg is ten times the status file of a large desktop.
	maxDpkg = 64 << 20
	// maxList is ten times the longest list of files in Debian.
	maxList = 64 << 20
	// maxLine is as much of a line as is kept; the longest that is needed is a name.
	maxLine = 64 << 10
)

// Dpkg reads the database of Debian's and Ubuntu's package manager.
var dpkg = finder{
	name:    "dpkg",
	version: 1,
	wants: func(f *layer.File) bool {
		name, ok := strings.CutPrefix(f.Path, dpkgDir)
		if !ok {
			return false
		}
		dir, base := path.Split(name)
		switch dir {
		case "":
			return base == "status"
		case "status.d/":
			return true
		case "info/":
			return strings.HasSuffix(base, ".list")
		case "updates/":
			// dpkg's journal: its entries are numbers (lib/dpkg/dbmodify.c).
			return base != "" && strings.Trim(base, "0123456789") == ""
		}
		return false
	},
	read: func(ctx context.Context, f *layer.File) (*layer.Found, error) {
		switch dir, base := path.Split(f.Path); {
		case strings.HasSuffix(dir, "updates/"):
			return &layer.Found{Gaps: []image.Gap{{Path: f.Path, Type: image.Deb, Reason: "changes that dpkg has not written to its status: run dpkg --configure -a in the image"}}}, nil
		case strings.HasSuffix(dir, "info/"):
			return dpkgFiles(ctx, f, strings.TrimSuffix(base, ".list"), func(line string) string { return line })
		case strings.HasSuffix(base, ".md5sums"):
			return dpkgFiles(ctx, f, strings.TrimSuffix(base, ".md5sums"), func(line string) string {
				_, name, _ := strings.Cut(line, "  ")
				return name
			})
		default:
			return dpkgStatus(ctx, f)
		}
	},
}

// dpkgStatus reads the status file, or one record of status.d, where Bazel's images
// have a file for each package, which says no status.
func dpkgStatus(ctx context.Context, f *layer.File) (*layer.Found, error) {
	if f.Size > maxDpkg {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that are read", f.Path, f.Size, int64(maxDpkg))
	}
	found := &layer.Found{}
	fields := map[string]string{"package": "", "status": "", "version": "", "source": "", "architecture": ""}
	err := stanzas(ctx, io.NewSectionReader(f.Content, 0, f.Size), fields, func() error {
		if fields["package"] == "" {
			return nil
		}
		status := fields["status"]
		if status == "" && strings.HasPrefix(f.Path, dpkgStatusD) {
			status = "install ok installed"
		}
		there, known := onDisk(status)
		if !known {
			found.Gaps = append(found.Gaps, image.Gap{Path: f.Path, Type: image.Deb, Reason: fmt.Sprintf("package %s: its status %q is none of dpkg's", text(fields["package"]), text(status))})
		}
		if !there {
			return nil
		}
		if len(found.Packages) == maxPackages {
			return fmt.Errorf("more than %d packages", maxPackages)
		}
		p := image.Package{
			Type:    image.Deb,
			Name:    text(fields["package"]),
			Version: text(fields["version"]),
			Arch:    text(fields["architecture"]),
			Path:    f.Path,
		}
		// Source: util-linux (2.38.1-5+deb12u3)
		source, version, _ := strings.Cut(text(fields["source"]), " ")
		version = strings.TrimSpace(strings.Trim(strings.TrimSpace(version), "()"))
		if source != p.Name {
			p.Source = source
		}
		if version != p.Version {
			p.SourceVersion = version
		}
		found.Packages = append(found.Packages, p)
		return nil
	})
	if err != nil {
		found.Gaps = append(found.Gaps, image.Gap{Path: f.Path, Type: image.Deb, Reason: err.Error()})
	}
	if strings.HasPrefix(f.Path, dpkgStatusD) && len(found.Packages) == 0 && err == nil {
		return nil, errors.New(f.Path + ": names no package")
	}
	return found, nil
}

// onDisk reads a status: what is wanted, a flag, and the state (dpkg-query(1), "package
// states"). Only the state says what there is: a package on hold is as much installed
// as any other. All but not-installed and config-files have files of the package on the
// disk; of half-installed nobody knows how many, so it counts.
func onDisk(status string) (there, known bool) {
	if status == "" {
		return false, true // a package that was only ever heard of
	}
	words := strings.Fields(status)
	if len(words) != 3 {
		return true, false
	}
	switch words[2] {
	case "installed", "unpacked", "half-configured", "half-installed", "triggers-awaited", "triggers-pending",
		"postinst-failed", "removal-failed": // the last two are older names (lib/dpkg/parsehelp.c)
		return true, true
	case "not-installed", "config-files":
		return false, true
	}
	return true, false
}

// stanzas reads records of "Field: value" lines apart by empty lines, as deb-control(5)
// has them. For each, the fields asked for are filled in and the function is called;
// names are in lower case. Values that go on in further lines are cut at their first,
// which is where what is asked for stands.
func stanzas(ctx context.Context, r io.Reader, fields map[string]string, each func() error) error {
	clearAll := func() {
		for k := range fields {
			fields[k] = ""
		}
	}
	clearAll()
	any := false
	end := func() error {
		if !any {
			return nil
		}
		any = false
		err := each()
		clearAll()
		return err
	}
	err := lines(ctx, r, func(line string) error {
		if strings.TrimSpace(line) == "" {
			return end()
		}
		any = true
		if line[0] == ' ' || line[0] == '\t' {
			return nil
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil
		}
		key = strings.ToLower(strings.TrimRight(key, " \t"))
		if have, ok := fields[key]; ok && have == "" {
			fields[key] = strings.TrimSpace(value)
		}
		return nil
	})
	return errors.Join(err, end())
}

// lines calls a function for each line, which is cut at maxLine.
func lines(ctx context.Context, r io.Reader, each func(string) error) error {
	b := bufio.NewReaderSize(r, maxLine)
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			if e := each(strings.TrimRight(string(line), "\r\n")); e != nil {
				return e
			}
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = b.ReadSlice('\n')
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// dpkgFiles reads a list of files, one a line. A folder that is followed by something in
// it is left out.
func dpkgFiles(ctx context.Context, f *layer.File, name string, path func(line string) string) (*layer.Found, error) {
	if f.Size > maxList {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that are read", f.Path, f.Size, int64(maxList))
	}
	name, _, _ = strings.Cut(text(name), ":") // libc6:amd64
	var files owners
	last := ""
	err := lines(ctx, io.NewSectionReader(f.Content, 0, f.Size), func(line string) error {
		next := path(line)
		if last != "" && !strings.HasPrefix(next, last+"/") {
			files.add("deb:"+name, last)
		}
		last = next
		return nil
	})
	files.add("deb:"+name, last)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return &layer.Found{Owned: files.files, Gaps: files.gaps(image.Deb)}, nil
}

// Chisel reads what Ubuntu's chisel says of the slices of packages that it cut: JSON
// lines in zstd (github.com/canonical/chisel, public/jsonwall and public/manifest).
var chisel = finder{
	name:    "chisel",
	version: 1,
	wants:   func(f *layer.File) bool { return f.Path == chiselWall },
	read: func(ctx context.Context, f *layer.File) (*layer.Found, error) {
		z, err := zstd.NewReader(io.NewSectionReader(f.Content, 0, f.Size), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDpkg), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		defer z.Close()
		found := &layer.Found{Gaps: []image.Gap{{Path: f.Path, Type: image.Deb, Reason: "chisel does not say which source packages it cut: advisories that go by source are missed where the names differ"}}}
		var files owners
		limited := &io.LimitedReader{R: z, N: maxDpkg}
		err = lines(ctx, limited, func(line string) error {
			var entry struct {
				Kind, Name, Version, Arch, Path string
				Slice                           string
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				return err
			}
			switch {
			case entry.Kind == "package" && entry.Name != "":
				if len(found.Packages) == maxPackages {
					return fmt.Errorf("more than %d packages", maxPackages)
				}
				found.Packages = append(found.Packages, image.Package{Type: image.Deb, Name: text(entry.Name), Version: text(entry.Version), Arch: text(entry.Arch), Path: f.Path})
			case entry.Kind == "content" && !strings.HasSuffix(entry.Path, "/"):
				name, _, _ := strings.Cut(entry.Slice, "_") // libc6_libs
				files.add("deb:"+text(name), entry.Path)
			}
			return nil
		})
		if err == nil && limited.N == 0 {
			err = fmt.Errorf("more than %d bytes", int64(maxDpkg))
		}
		if err != nil {
			found.Gaps = append(found.Gaps, image.Gap{Path: f.Path, Type: image.Deb, Reason: err.Error()})
		}
		found.Owned = files.files
		found.Gaps = append(found.Gaps, files.gaps(image.Deb)...)
		return found, nil
	},
}
