package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A platform is what a binary is for, in Go's names.
type platform struct{ os, arch string }

const defaultPlatforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64"

func (p platform) String() string { return p.os + "/" + p.arch }

// archive is the name of the platform's archive, the same for every version, so that
// one address with the version in its folder leads to it.
func (p platform) archive() string { return "bulwark_" + p.os + "_" + p.arch + ".tar.gz" }

func (p platform) binary() string {
	if p.os == "windows" {
		return "bulwark.exe"
	}
	return "bulwark"
}

// releases are the versions that krew and Go take: v1.2.3, v1.2.3-rc.1.
var releases = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

// release writes the archives, their checksums and krew's manifest.
func release(ctx context.Context, o options) error {
	if !releases.MatchString(o.version) {
		return fmt.Errorf("-version: %q, want a release as v1.2.3", o.version)
	}
	if err := os.MkdirAll(o.archives, 0o755); err != nil {
		return err
	}
	licence, err := os.ReadFile(filepath.Join(o.source, "LICENSE"))
	if err != nil {
		return err
	}
	sums := map[platform]string{}
	for _, p := range o.platforms {
		binary, err := build(ctx, o, p)
		if err != nil {
			return fmt.Errorf("building for %s: %w", p, err)
		}
		data, err := pack([]file{{p.binary(), 0o755, binary}, {"LICENSE", 0o644, licence}}, o.time)
		if err != nil {
			return fmt.Errorf("packing for %s: %w", p, err)
		}
		sum := sha256.Sum256(data)
		sums[p] = hex.EncodeToString(sum[:])
		if err := write(o.archives, p.archive(), data); err != nil {
			return err
		}
	}
	manifest, err := krewManifest(o.version, o.url, o.platforms, sums)
	if err != nil {
		return fmt.Errorf("krew manifest: %w", err)
	}
	if err := write(o.archives, "bulwark.yaml", manifest); err != nil {
		return err
	}
	return write(o.archives, "checksums.txt", checksums(o.platforms, sums))
}

func write(dir, name string, data []byte) error {
	return os.WriteFile(filepath.Join(dir, name), data, 0o644) //nolint:gosec // everybody may read it
}

// build compiles the program as the Makefile does.
func build(ctx context.Context, o options, p platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "bulwark-dist-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, p.binary())
	ldflags := "-s -w -X github.com/bulwark-k8s/bulwark/internal/cli.release=" + strings.TrimPrefix(o.version, "v")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", out, "./cmd/bulwark")
	cmd.Dir = o.source
	cmd.Env = append(os.Environ(), "GOOS="+p.os, "GOARCH="+p.arch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return os.ReadFile(out)
}

// A file is one entry of an archive.
type file struct {
	name string
	mode int64
	data []byte
}

// pack makes a .tar.gz that depends on nothing but the files and the time.
func pack(files []file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: at, Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// checksums are in the format of sha256sum.
func checksums(platforms []platform, sums map[platform]string) []byte {
	var lines []string
	for _, p := range platforms {
		lines = append(lines, sums[p]+"  "+p.archive()+"\n")
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}
