package cluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// running is a cluster with a deployment that declares images and one pod of it that runs
// others, as its status says, by container.
func running(declared string, runs map[string]string) *Snapshot {
	yes := true
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: declared}}}
	b := NewBuilder("test", true)
	b.Add("apps/v1", "Deployment", &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "1"},
		Spec:       appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: spec}},
	}, Source{})
	for name, id := range runs {
		b.Add("v1", "Pod", &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, OwnerReferences: []metav1.OwnerReference{{UID: "1", Controller: &yes}}},
			Spec:       spec,
			Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "c", Image: declared, ImageID: id}}},
		}, Source{})
	}
	return b.Snapshot()
}

// TestRunBy: an image is run by whoever runs its digest, and where nobody knows of
// digests by whoever names it.
func TestRunBy(t *testing.T) {
	for name, tt := range map[string]struct {
		declared string
		imageID  string // of the one pod; empty: none runs
		image    Image
		want     bool
	}{
		"the same name":                          {"shop/web:1", "", Image{Name: "shop/web:1"}, true},
		"another tag":                            {"shop/web:1", "", Image{Name: "shop/web:2"}, false},
		"a short name":                           {"nginx", "", Image{Name: "docker.io/library/nginx:latest"}, true},
		"docker hub's old name":                  {"index.docker.io/library/nginx", "", Image{Name: "nginx:latest"}, true},
		"a registry with a port":                 {"localhost:5000/web", "", Image{Name: "localhost:5000/web:latest"}, true},
		"a file of that name":                    {"web.tar", "", Image{Name: "/tmp/web.tar"}, false},
		"by the digest, whatever its name":       {"shop/web:1", "docker.io/shop/web@" + digestA, Image{Name: "/tmp/web.tar", Digest: digestA}, true},
		"the tag was moved since":                {"shop/web:1", "docker.io/shop/web@" + digestA, Image{Name: "shop/web:1", Digest: digestB}, false},
		"by docker's way of writing":             {"shop/web:1", "docker-pullable://shop/web@" + digestA, Image{Name: "x", Digest: digestA}, true},
		"by the index's digest":                  {"shop/web:1", "shop/web@" + digestA, Image{Name: "x", Digest: digestB, Digests: []string{digestA}}, true},
		"by the configuration's, without a pull": {"shop/web:1", digestA, Image{Name: "x", Digests: []string{digestA}}, true},
		"pinned in the pod spec":                 {"shop/web:1@" + digestA, "", Image{Name: "x", Digest: digestA}, true},
		"pinned to another":                      {"shop/web:1@" + digestA, "", Image{Name: "shop/web:1", Digest: digestB}, false},
		"only the running one has a digest":      {"shop/web:1", "shop/web@" + digestA, Image{Name: "shop/web:1"}, true},
		"only the image has one":                 {"shop/web:1", "", Image{Name: "shop/web:1", Digest: digestA}, true},
	} {
		t.Run(name, func(t *testing.T) {
			runs := map[string]string{}
			if tt.imageID != "" {
				runs["web-1"] = tt.imageID
			}
			got := running(tt.declared, runs).RunBy(&tt.image)
			if tt.want != (len(got) == 1 && got[0].Object.Ref == Ref{Kind: "Deployment", Namespace: "shop", Name: "web"}) {
				t.Errorf("run by %d", len(got))
			}
		})
	}
}

func TestUses(t *testing.T) {
	for name, tt := range map[string]struct {
		runs map[string]string
		want string
	}{
		"nothing runs":       {nil, "web:1 by web"},
		"one image runs":     {map[string]string{"a": "web@" + digestA, "b": "web@" + digestA}, "web:1 " + digestA + " by web"},
		"in a roll-out, two": {map[string]string{"a": "web@" + digestA, "b": "web@" + digestB}, "web:1 " + digestA + " by web, web:1 " + digestB + " by web"},
		"one is not there":   {map[string]string{"a": "web@" + digestA, "b": ""}, "web:1 by web, web:1 " + digestA + " by web"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, u := range running("web:1", tt.runs).Uses() {
				text := strings.TrimSuffix(u.Reference+" "+u.Digest, " ") + " by"
				for _, p := range u.By {
					text += " " + p.Object.Name
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestImageRefs: every image is a subject of its own, and its name alone where that tells it.
func TestImageRefs(t *testing.T) {
	b := NewBuilder("test", false)
	for _, i := range []*Image{
		{Name: "one:1", Digest: digestA},
		{Name: "two:1", Digest: digestA},
		{Name: "two:1", Digest: digestB},
		{Name: "file.tar", Platform: "linux/arm64"},
		{Name: "file.tar", Platform: "linux/amd64"},
	} {
		if !b.AddImage(i) {
			t.Errorf("%s is taken for another", i.Name)
		}
	}
	if b.AddImage(&Image{Name: "one:1", Digest: digestA}) {
		t.Error("one image is taken twice")
	}
	s := b.Snapshot()
	var got []string
	for _, i := range s.Images() {
		got = append(got, s.ImageRef(i).String())
		if s.ImageOf(s.ImageRef(i)) != i {
			t.Errorf("%s is not found by its name", s.ImageRef(i))
		}
	}
	want := []string{"image file.tar linux/amd64", "image file.tar linux/arm64", "image one:1", "image two:1@" + digestA, "image two:1@" + digestB}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !s.Looked(Images) || Images.IsObject() {
		t.Error("images are looked at, and are no object of the API")
	}
}

func TestImagesOfARunningCluster(t *testing.T) {
	b := NewBuilder("lab", true)
	before := b.Snapshot()
	if before.Looked(Images) {
		t.Fatal("nobody looked at images yet")
	}
	after := before.WithImages([]*Image{{Name: "b"}, {Name: "a"}}, []Gap{{Need: Images, Scope: "c", Reason: "not found"}})
	if before.Looked(Images) || len(before.Images()) > 0 {
		t.Error("a snapshot changed")
	}
	if !after.Looked(Images) || len(after.Images()) != 2 || after.Images()[0].Name != "a" {
		t.Errorf("images are %v", after.Images())
	}
	if g := after.Gaps(Images); len(g) != 1 || len(before.Gaps(Images)) > 0 {
		t.Errorf("gaps are %v", g)
	}
}
