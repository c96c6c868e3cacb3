package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// guess opens what a reference without a kind seems to be.
func guess(ctx context.Context, ref string, o Options) (*Source, error) {
	file, _ := splitName(ref)
	fi, err := os.Stat(file)
	if err != nil {
		// What only a path can be is not asked of a registry.
		if strings.HasPrefix(ref, "/") || strings.HasPrefix(ref, "./") || strings.HasPrefix(ref, "../") {
			return nil, err
		}
		return openRegistry(ctx, ref, o)
	}
	if fi.IsDir() {
		switch {
		case exists(filepath.Join(file, "index.json")):
			return openLayout(ctx, ref, o)
		case exists(filepath.Join(file, "etc")) || exists(filepath.Join(file, "usr")) || exists(filepath.Join(file, "bin")) || exists(filepath.Join(file, "var")):
			return openFolder(ctx, ref, o)
		case strings.ContainsAny(file, "/"+string(filepath.Separator)) || file == ".":
			return nil, fmt.Errorf("%s: is a folder, but neither an OCI layout nor a root file system; with dir: before it, it is read as one", file)
		}
		// A folder that happens to have the name of an image.
		return openRegistry(ctx, ref, o)
	}
	f, err := openFile(file)
	if err != nil {
		return nil, err
	}
	head := make([]byte, sniffed)
	n, err := io.ReadFull(f, head)
	f.Close()
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if isDocument(head[:n]) {
		return openDocument(ctx, ref, o)
	}
	return openArchiveAs(ctx, "", ref, o)
}

// sniffed is how much is looked at to know a bill of materials: what says so is among
// its first members.
const sniffed = 4096

// isDocument reports whether a file is a bill of materials, by its first bytes.
func isDocument(head []byte) bool {
	head = bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
	switch {
	case bytes.HasPrefix(head, []byte("{")), bytes.HasPrefix(head, []byte("<")), bytes.HasPrefix(head, []byte("SPDXVersion:")), bytes.HasPrefix(head, []byte("#")):
		return !bytes.ContainsRune(head, 0)
	}
	return false
}

func openDocument(_ context.Context, name string, _ Options) (*Source, error) {
	f, err := openFile(name)
	if err != nil {
		return nil, err
	}
	return &Source{Kind: SBOM, Name: name, Config: &v1.ConfigFile{}, SBOM: f, closers: []io.Closer{f}}, nil
}

// openStdin holds what comes through the pipe in a temporary file, since an archive's
// table of contents may be its last member.
func openStdin(ctx context.Context, name string, o Options) (*Source, error) {
	if o.Stdin == nil {
		return nil, errors.New("standard input: there is none")
	}
	in := bufio.NewReaderSize(o.Stdin, 64<<10)
	head, err := in.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	f, err := spool(ctx, in, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if isDocument(head) {
		return &Source{Kind: SBOM, Name: name, Config: &v1.ConfigFile{}, SBOM: f, closers: []io.Closer{f, held(f.Name())}}, nil
	}
	s, err := fromArchive(ctx, "", f, name, "", o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.closers = append(s.closers, held(f.Name()))
	return s, nil
}
