package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// An Image is what is known of one container image of one platform: how it was built,
// what it shows an attacker, and what is known to be wrong with what is in it.
type Image struct {
	// Name is the reference or path under which it was read.
	Name string `json:"name"`
	// Digest is the manifest's, "sha256:…"; empty where there is none.
	Digest string `json:"digest,omitempty"`
	// Digests are others under which a runtime may know it: the configuration's, and that
	// of the index from which the platform was chosen.
	Digests  []string `json:"digests,omitempty"`
	Platform string   `json:"platform,omitempty"` // "linux/amd64"
	// User is as the configuration has it: "", "root", "1000:1000".
	User string `json:"user,omitempty"`
	// Unconfigured is set where there was no configuration to read: of a folder, or of
	// another tool's bill of materials. What it would say is then not judged.
	Unconfigured bool `json:"unconfigured,omitempty"`
	// Ports are as written: "8080/tcp".
	Ports []string `json:"ports,omitempty"`
	// Env are names.
	Env     []string          `json:"env,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	History []ImageStep       `json:"history,omitempty"` // oldest first
	Base    *ImageBase        `json:"base,omitempty"`    // nil: not known
	OS      ImageOS           `json:"os,omitzero"`
	Secrets []ImageSecret     `json:"secrets,omitempty"`
	Files   []ImageFile       `json:"files,omitempty"`
	// Shells and Managers are paths of shells, and of programs that install packages.
	Shells   []string `json:"shells,omitempty"`
	Managers []string `json:"managers,omitempty"`
	// Packages are names of the OS's packages, sorted.
	Packages []string `json:"packages,omitempty"`
	// Matched is set where vulnerabilities were looked for. What was not covered then is
	// in NotAssessed.
	Matched         bool            `json:"matched,omitempty"`
	Vulnerabilities []Vulnerability `json:"vulnerabilities,omitempty"`
	NotAssessed     []NotAssessed   `json:"notAssessed,omitempty"`
	// Seen is when it was looked at; zero where nobody says. Whether support has ended is
	// judged by it.
	Seen   time.Time `json:"seen,omitzero"`
	Source Source    `json:"-"`
}

// An ImageStep is one line of an image's history.
type ImageStep struct {
	// Command is as the builder wrote it, without values that look like credentials.
	Command string `json:"command"`
	// Base is set on the base image's steps.
	Base bool `json:"base,omitempty"`
}

// An ImageBase is the image that another was built on. Either field may be empty.
type ImageBase struct {
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// An ImageOS is the distribution that an image is of; zero in one from scratch.
type ImageOS struct {
	Name    string `json:"name,omitempty"` // "Debian GNU/Linux 12 (bookworm)"
	ID      string `json:"id,omitempty"`
	Version string `json:"version,omitempty"`
	// EndOfLife is the day on which free support ends; zero where that is not known.
	EndOfLife time.Time `json:"endOfLife,omitzero"`
}

// An ImageSecret is a credential that lies in an image; never its value.
type ImageSecret struct {
	Rule  string `json:"rule"` // "aws-access-key"
	About string `json:"about,omitempty"`
	// Path is a file, or "config.Env[NAME]", "history[3]".
	Path string `json:"path"`
	Line int    `json:"line,omitempty"`
	// Deleted is set where a later layer hides the file, which takes it from nobody.
	Deleted bool `json:"deleted,omitempty"`
	// Base is set on what comes with the base image.
	Base bool `json:"base,omitempty"`
}

// An ImageFile is one that gives whoever runs it more than it had.
type ImageFile struct {
	Path string `json:"path"`
	// Mode is as stat(2) has it, with setuid and setgid.
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	// Capabilities are "cap_net_raw+ep"; empty without.
	Capabilities string `json:"capabilities,omitempty"`
	// Owner is the OS package that it belongs to: "deb:passwd".
	Owner string `json:"owner,omitempty"`
	Base  bool   `json:"base,omitempty"`
}

// A Vulnerability is one in one package of an image.
type Vulnerability struct {
	ID  string   `json:"id"`
	IDs []string `json:"ids,omitempty"` // all names, ID too
	// Package is the type and name: "deb:libc6".
	Package   string   `json:"package"`
	Installed string   `json:"installed,omitempty"`
	FixedIn   []string `json:"fixedIn,omitempty"`
	// Severity is critical, high, medium, low, negligible, or unrated.
	Severity string `json:"severity"`
	// State is the source's word: affected, fixed, wont-fix, deferred, under-investigation.
	State string `json:"state,omitempty"`
	// Exploited is set where it is in the catalogue of known exploited vulnerabilities.
	Exploited bool `json:"exploited,omitempty"`
	// EPSS is the probability that it is exploited in the next 30 days, 0 to 1.
	EPSS float32 `json:"epss,omitempty"`
	// Reachable is "package" or "symbol" where that is known to be in the binary.
	Reachable string `json:"reachable,omitempty"`
	// Path is the file that says that the package is there.
	Path string `json:"path,omitempty"`
	// Base is set on packages of the base image.
	Base bool `json:"base,omitempty"`
}

// NotAssessed is a group of packages of an image that could not be judged, or a part of
// it that could not be read.
type NotAssessed struct {
	Type     string `json:"type,omitempty"` // of package; empty: any
	Packages int    `json:"packages,omitempty"`
	Reason   string `json:"reason"`
}

// An ImageUse is one image that pods run, or would.
type ImageUse struct {
	// Reference is as the pod spec has it, "shop/web:1.4".
	Reference string
	// Digest is what the runtime says that it runs, "sha256:…": a manifest's, an index's,
	// or that of the configuration of an image that was never in a registry. Empty where
	// no pod runs.
	Digest string
	// By are the specs that declare it, templates and pods of nobody's, in the order of
	// Snapshot.Pods.
	By []*PodSpec
}

// Images returns what is known of images, ordered by name, digest and platform.
func (s *Snapshot) Images() []*Image { return s.images }

// ImageRef is the subject of findings on an image: its name, with the digest where
// several images of the snapshot have that name.
func (s *Snapshot) ImageRef(i *Image) Ref {
	r := Ref{Kind: imageKind, Name: i.Name}
	if s.imageNames[i.Name] > 1 {
		switch {
		case i.Digest != "" && !strings.Contains(i.Name, "@"):
			r.Name += "@" + i.Digest
		default:
			r.Name += " " + i.Platform
		}
	}
	return r
}

const imageKind = "Image"

// ImageOf returns the image that a Ref of ImageRef names, or nil.
func (s *Snapshot) ImageOf(r Ref) *Image {
	if r.Kind == imageKind {
		for _, i := range s.images {
			if s.ImageRef(i) == r {
				return i
			}
		}
	}
	return nil
}

// AddImage takes what is known of one image. It reports false for one with the name,
// digest and platform of another; the first one stays.
func (b *Builder) AddImage(i *Image) bool {
	b.Looked(Images)
	if slices.ContainsFunc(b.s.images, func(have *Image) bool { return compareImages(have, i) == 0 }) {
		return false
	}
	b.s.images = append(b.s.images, i)
	return true
}

func compareImages(a, b *Image) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Digest, b.Digest), strings.Compare(a.Platform, b.Platform))
}

// Uses returns every image that the cluster's pods run or would run, each reference and
// digest once, ordered by both.
func (s *Snapshot) Uses() []ImageUse {
	type key struct{ reference, digest string }
	found := map[key]*ImageUse{}
	add := func(reference, digest string, by *PodSpec) {
		if reference == "" {
			return
		}
		k := key{reference, digest}
		if found[k] == nil {
			found[k] = &ImageUse{Reference: reference, Digest: digest}
		}
		if u := found[k]; !slices.Contains(u.By, by) {
			u.By = append(u.By, by)
		}
	}
	for _, p := range s.pods {
		by := p
		if p.Of != nil {
			by = p.Of
		}
		pod, running := p.Object.Value.(*corev1.Pod)
		if !running && len(p.Running) > 0 {
			continue // its pods say so themselves, with the digest
		}
		for _, c := range p.Containers {
			digest := ""
			if running {
				digest = runningDigest(pod, c.Name)
			}
			add(c.Image, digest, by)
		}
		for i := range p.Spec.Volumes {
			if v := &p.Spec.Volumes[i]; v.Image != nil {
				add(v.Image.Reference, "", by)
			}
		}
	}
	out := make([]ImageUse, 0, len(found))
	for _, u := range found {
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b ImageUse) int {
		return cmp.Or(strings.Compare(a.Reference, b.Reference), strings.Compare(a.Digest, b.Digest))
	})
	return out
}

// runningDigest is the digest at the end of a container's imageID, which runtimes write
// as "docker-pullable://name@sha256:…", "name@sha256:…" or "sha256:…".
func runningDigest(pod *corev1.Pod, container string) string {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == container {
				return digestOf(list[i].ImageID)
			}
		}
	}
	return ""
}

func digestOf(reference string) string {
	i := strings.LastIndex(reference, "sha256:")
	if i < 0 || i > 0 && !strings.ContainsRune("@/", rune(reference[i-1])) {
		return ""
	}
	return reference[i:]
}

// RunBy returns the pod specs that run an image, or would, ordered by their objects:
// those whose pods' digest, or whose reference's, is one of the image's; and where no
// digest is known, those that name it as it was named. A template stands for its pods.
func (s *Snapshot) RunBy(i *Image) []*PodSpec {
	var out []*PodSpec
	for _, u := range s.imageUses() {
		if !i.is(u) {
			continue
		}
		for _, p := range u.By {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b *PodSpec) int { return a.Object.Compare(b.Object.Ref) })
	return out
}

// is reports whether the image is the one that a pod spec uses.
func (i *Image) is(u ImageUse) bool {
	digest := cmp.Or(u.Digest, digestOf(u.Reference))
	own := cmp.Or(i.Digest, digestOf(i.Name))
	if digest != "" && (own != "" || len(i.Digests) > 0) {
		return digest == own || slices.Contains(i.Digests, digest)
	}
	return wholeReference(i.Name) == wholeReference(u.Reference)
}

// wholeReference fills in what a runtime assumes of a short reference: the registry
// docker.io, its folder library, and the tag latest (github.com/distribution/reference,
// normalize.go).
func wholeReference(ref string) string {
	name, digest, _ := strings.Cut(ref, "@")
	host, rest, ok := strings.Cut(name, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, rest = "docker.io", name
	}
	if host == "index.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	switch {
	case digest != "":
		return host + "/" + rest + "@" + digest
	case !strings.Contains(rest[strings.LastIndexByte(rest, '/')+1:], ":"):
		rest += ":latest"
	}
	return host + "/" + rest
}

// indexImages orders the images and counts their names.
func (s *Snapshot) indexImages() {
	slices.SortStableFunc(s.images, compareImages)
	s.imageUses = sync.OnceValue(s.Uses)
	s.imageNames = map[string]int{}
	for _, i := range s.images {
		s.imageNames[i.Name]++
	}
}

// WithImages returns the snapshot with what is known of its images, which could only be
// asked for once it was known what runs. What could not be read of them are gaps.
func (s *Snapshot) WithImages(images []*Image, gaps []Gap) *Snapshot {
	out := *s
	out.images, out.gaps = slices.Clone(images), append(slices.Clone(s.gaps), gaps...)
	out.looked = maps.Clone(s.looked)
	out.looked[Images] = true
	out.shared = new(sync.Map) // what was worked out without them
	out.indexImages()
	return &out
}
