package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func TestImagesAreReproducible(t *testing.T) {
	bin := t.TempDir()
	for _, program := range []string{"pause", "probe", "coredns", "shop"} {
		if err := os.WriteFile(filepath.Join(bin, program), []byte("program "+program), 0o600); err != nil {
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

// The manifests of the demo and of the cluster's DNS are what the API server
// takes, field by field, and ask only for images that are made here.
func TestManifests(t *testing.T) {
	gomod, err := os.ReadFile("../../components/coredns/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`coredns/coredns (v\S+)`).FindSubmatch(gomod)
	if version == nil {
		t.Fatal("the go.mod of coredns requires no coredns")
	}
	var made []string
	for _, image := range images(string(version[1])) {
		made = append(made, registry+"/"+image.name)
	}
	names, err := filepath.Glob("../../demo/manifests/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("found %d manifests, error %v", len(names), err)
	}
	names = append(names, "../../../internal/lab/manifests/coredns.yaml", "../../../internal/lab/manifests/lab-net-rbac.yaml")
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		documents := yaml.NewDocumentDecoder(file)
		buffer := make([]byte, 64<<10)
		for {
			n, err := documents.Read(buffer)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			object, kind, err := strict.Decode(buffer[:n], nil, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			spec := podSpec(object)
			for _, container := range slices.Concat(spec.InitContainers, spec.Containers) {
				if !slices.Contains(made, container.Image) {
					t.Errorf("%s: %s wants image %s, which is not made here", name, kind.Kind, container.Image)
				}
				if container.ImagePullPolicy != corev1.PullIfNotPresent {
					t.Errorf("%s: container %s would be pulled from a registry", name, container.Name)
				}
			}
		}
	}
}

func podSpec(object runtime.Object) corev1.PodSpec {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return o.Spec.Template.Spec
	case *appsv1.DaemonSet:
		return o.Spec.Template.Spec
	case *batchv1.CronJob:
		return o.Spec.JobTemplate.Spec.Template.Spec
	}
	return corev1.PodSpec{}
}
