// Command lab-images packs static programs into container images, one file
// each, without a registry. The images are tarballs as "ctr images import" and
// "docker load" read them, and the same programs always give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const registry = "lab.bulwark.test"

// image says what is in an image and how it starts.
type image struct {
	name    string // repository and tag
	program string // file in the folder of programs, and at the root of the image
	args    []string
	user    string // empty means root
}

func images(coredns string) []image {
	list := []image{
		{name: "pause:1", program: "pause", user: "65535:65535"},
		{name: "probe:1", program: "probe", args: []string{"sleep"}},
		{name: "coredns:" + coredns, program: "coredns", user: "65532:65532"},
	}
	for _, part := range []string{"front", "cart", "worker", "payments", "store", "shopper"} {
		list = append(list, image{name: "shop-" + part + ":latest", program: "shop", args: []string{part}})
	}
	list = append(list, image{name: "shop-tools:latest", program: "shop", args: []string{"admin"}})
	return list
}

func main() {
	bin := flag.String("bin", "", "`folder` of the programs")
	out := flag.String("out", "", "`folder` for the tarballs")
	coredns := flag.String("coredns", "latest", "`tag` for the image of CoreDNS")
	only := flag.String("only", "", "pack nothing but this `image`: name:tag of the program of that name")
	flag.Parse()
	list := images(*coredns)
	if program, _, ok := strings.Cut(*only, ":"); ok {
		list = []image{{name: *only, program: program, user: "65532:65532"}}
	}
	for _, image := range list {
		if err := image.write(*bin, *out); err != nil {
			fmt.Fprintf(os.Stderr, "lab-images: error: image %s: %v\n", image.name, err)
			os.Exit(1)
		}
	}
}

// write puts the image into out, named after it.
func (i image) write(bin, out string) error {
	program, err := os.ReadFile(filepath.Join(bin, i.program))
	if err != nil {
		return err
	}
	packed, err := i.pack(program)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(registry + "/" + i.name)
	if err != nil {
		return err
	}
	file := strings.NewReplacer(":", "-").Replace(i.name) + ".tar"
	return tarball.WriteToFile(filepath.Join(out, file), tag, packed)
}

// pack makes the image: the program at the root, and a user database that gives
// its users names.
func (i image) pack(program []byte) (v1.Image, error) {
	files, err := archive([]file{
		{"etc/passwd", 0o644, []byte("root:x:0:0:root:/:/\nnonroot:x:65532:65532:nonroot:/:/\nnobody:x:65534:65534:nobody:/:/\n")},
		{"etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\nnobody:x:65534:\n")},
		{i.program, 0o755, program},
	})
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	})
	if err != nil {
		return nil, err
	}
	packed, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := packed.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{
		User:       i.user,
		Entrypoint: []string{"/" + i.program},
		Cmd:        i.args,
		WorkingDir: "/",
	}
	return mutate.ConfigFile(packed, config)
}

type file struct {
	name string
	mode int64
	data []byte
}

func archive(files []file) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, f := range files {
		header := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
