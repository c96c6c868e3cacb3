package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestImagesAreReproducible(t *testing.T) {
	bin := t.TempDir()
	for _, program := range []string{"pause", "probe", "coredns", "shop"} {
		if err := os.WriteFile(filepath.Join(bin, program), []byte("program "+program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, image := range images("v1") {
		t.Run(image.name, func(t *testing.T) {
			var tarballs [2][]byte
			for i := range tarballs {
				out := t.TempDir()
				if err := image.write(bin, out); err != nil {
					t.Fatal(err)
				}
				names, err := filepath.Glob(filepath.Join(out, "*.tar"))
				if err != nil || len(names) != 1 {
					t.Fatalf("files are %v, want one", names)
				}
				if tarballs[i], err = os.ReadFile(names[0]); err != nil {
					t.Fatal(err)
				}
				packed, err := tarball.ImageFromPath(names[0], nil)
				if err != nil {
					t.Fatal(err)
				}
				config, err := packed.ConfigFile()
				if err != nil {
					t.Fatal(err)
				}
				if got, want := config.Config.Entrypoint[0], "/"+image.program; got != want {
					t.Errorf("entrypoint is %s, want %s", got, want)
				}
				if config.Config.User != image.user {
					t.Errorf("user is %q, want %q", config.Config.User, image.user)
				}
			}
			if !bytes.Equal(tarballs[0], tarballs[1]) {
				t.Error("packing twice gives different bytes")
			}
		})
	}
}

func TestMissingProgram(t *testing.T) {
	if err := images("v1")[0].write(t.TempDir(), t.TempDir()); !os.IsNotExist(err) {
		t.Errorf("error is %v, want that the program does not exist", err)
	}
}
