package render

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// A Kustomize is a folder with a kustomization.
type Kustomize struct {
	Path string `json:"path"`
}

// An Object is one that a kustomization builds.
type Object struct {
	// Path is the file that the object, or what generates it, was read from.
	Path string `json:"path"`
	Text string `json:"text"` // YAML
}

// maxFile is the largest file that a kustomization may read, in bytes.
const maxFile = 64 << 20

func (k *Kustomize) render() *Answer {
	a := new(Answer)
	root, err := filepath.Abs(k.Path)
	if err != nil {
		return a.fault(err)
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return a.fault(err)
	}
	t, err := readTree(root)
	if err != nil {
		return a.fault(err)
	}
	for _, r := range t.remote {
		a.Faults = append(a.Faults, Fault{File: k.shown(root, r.file), Why: fmt.Sprintf("it needs %s, and nothing is fetched: keep a copy beside it", r.name), Elsewhere: true})
	}
	for _, r := range t.charts {
		a.Faults = append(a.Faults, Fault{File: k.shown(root, r.file), Why: fmt.Sprintf("it has kustomize run Helm for the chart %s, which is not done here: scan what `kustomize build --enable-helm` prints", r.name), Elsewhere: true})
	}
	if len(a.Faults) > 0 {
		return a
	}
	if t.kinds[root] == types.ComponentKind {
		a.Nothing = "it is a component, which builds nothing by itself"
		return a
	}
	options := krusty.MakeDefaultOptions() // no plugins, no Helm, no files outside the folder
	m, err := krusty.MakeKustomizer(options).Run(overlay{filesys.MakeFsOnDisk(), t.files[root]}, root)
	if err != nil && len(t.missing) > 0 {
		for _, r := range t.missing {
			a.Faults = append(a.Faults, Fault{File: k.shown(root, r.file), Why: fmt.Sprintf("it names %s, and there is no such file or folder", r.name)})
		}
		return a
	}
	if err != nil {
		return a.fault(err)
	}
	for _, res := range m.Resources() {
		o := Object{Path: filepath.Join(k.Path, filepath.Base(t.files[root]))}
		if origin, err := res.GetOrigin(); err == nil && origin != nil {
			switch {
			case origin.Path != "":
				o.Path = filepath.Join(k.Path, origin.Path)
			case origin.ConfiguredIn != "":
				o.Path = filepath.Join(k.Path, origin.ConfiguredIn)
			}
		}
		if err := res.SetOrigin(nil); err != nil {
			return a.fault(err)
		}
		text, err := res.AsYAML()
		if err != nil {
			return a.fault(err)
		}
		o.Text = string(text)
		a.Objects = append(a.Objects, o)
	}
	return a
}

// shown is a file below the absolute root as a path that begins as the user's does.
func (k *Kustomize) shown(root, file string) string {
	if rel, err := filepath.Rel(root, file); err == nil {
		return filepath.Join(k.Path, rel)
	}
	return file
}

// An overlay is the disk with one thing changed: the kustomization asks for the origin
// of everything to be kept.
type overlay struct {
	filesys.FileSystem
	kustomization string
}

func (o overlay) ReadFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Size() > maxFile || !info.Mode().IsRegular() && !info.IsDir() {
		return nil, fmt.Errorf("%s: want a file of at most %d MB", name, maxFile>>20)
	}
	data, err := o.FileSystem.ReadFile(name)
	if err != nil || name != o.kustomization {
		return data, err
	}
	var m map[string]any
	if err := yaml.Unmarshal(data, &m); err != nil || m == nil {
		return data, nil //nolint:nilerr // kustomize says better what is wrong with it
	}
	asked, _ := m["buildMetadata"].([]any)
	if !slices.Contains(asked, any(types.OriginAnnotations)) {
		m["buildMetadata"] = append(asked, types.OriginAnnotations)
	}
	return yaml.Marshal(m)
}

// A tree is what a kustomization refers to, and what that refers to.
type tree struct {
	files map[string]string // kustomization file by folder
	kinds map[string]string // Kustomization or Component by folder
	used  map[string]bool   // folders and files that another one refers to
	// What it names and cannot be had: elsewhere, made by Helm, and not there.
	remote, charts, missing []reference
}

type reference struct{ file, name string }

func newTree() *tree {
	return &tree{files: map[string]string{}, kinds: map[string]string{}, used: map[string]bool{}}
}

func readTree(root string) (*tree, error) {
	t := newTree()
	if err := t.add(root); err != nil {
		return nil, err
	}
	return t, nil
}

// KustomizationIn returns the kustomization file of a folder, or "".
func KustomizationIn(folder string) string {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := filepath.Join(folder, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}

// add reads the kustomization of a folder and all that it refers to.
func (t *tree) add(folder string) error {
	if t.files[folder] != "" {
		return nil
	}
	file := KustomizationIn(folder)
	if file == "" {
		return fmt.Errorf("%s: there is no kustomization in it", folder)
	}
	t.files[folder] = file
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() > maxFile {
		return fmt.Errorf("%s: want a file of at most %d MB", file, maxFile>>20)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var k types.Kustomization
	if err := yaml.Unmarshal(data, &k); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	k.FixKustomization()
	t.kinds[folder] = k.Kind
	for _, c := range k.HelmCharts {
		t.charts = append(t.charts, reference{file, c.Name})
	}
	for _, name := range references(&k) {
		target := filepath.Join(folder, name)
		if filepath.IsAbs(name) {
			target = name
		}
		info, err := os.Stat(target)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) || looksRemote(name) {
				t.remote = append(t.remote, reference{file, name})
			} else {
				t.missing = append(t.missing, reference{file, name})
			}
			continue
		}
		t.used[target] = true
		if info.IsDir() && KustomizationIn(target) != "" {
			if err := t.add(target); err != nil {
				return err
			}
		}
	}
	return nil
}

// references are what a kustomization names: folders, files, and what is elsewhere.
func references(k *types.Kustomization) []string {
	names := slices.Concat(k.Resources, k.Components, k.Crds, k.Configurations, k.Generators, k.Transformers, k.Validators)
	for _, p := range slices.Concat(k.Patches, k.PatchesJson6902) { //nolint:staticcheck // deprecated, and still read by kustomize
		names = append(names, p.Path)
	}
	for _, p := range k.PatchesStrategicMerge { //nolint:staticcheck // likewise; a file's name, or the patch itself
		names = append(names, string(p))
	}
	for _, r := range k.Replacements {
		names = append(names, r.Path)
	}
	names = append(names, k.OpenAPI["path"])
	for _, c := range k.ConfigMapGenerator {
		names = append(names, sources(c.KvPairSources)...)
	}
	for _, s := range k.SecretGenerator {
		names = append(names, sources(s.KvPairSources)...)
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "" || strings.Contains(n, "\n") })
}

func sources(s types.KvPairSources) []string {
	names := append(slices.Clone(s.EnvSources), s.EnvSource)
	for _, f := range s.FileSources {
		if _, file, named := strings.Cut(f, "="); named {
			f = file
		}
		names = append(names, f)
	}
	return names
}

// looksRemote reports whether a name that is no file is something to fetch.
func looksRemote(name string) bool {
	host, _, path := strings.Cut(name, "/")
	return strings.Contains(name, "://") || strings.Contains(name, "?ref=") || strings.HasPrefix(name, "git@") ||
		path && strings.Contains(host, ".") && strings.Trim(host, ".") != ""
}

// Kustomizations are those below a folder, and who uses whom.
type Kustomizations struct{ tree *tree }

// FindKustomizations reads every kustomization among the folders. One that cannot be
// read uses nothing, and says why when it is built.
func FindKustomizations(folders []string) Kustomizations {
	t := newTree()
	for _, f := range folders {
		_ = t.add(f)
	}
	return Kustomizations{t}
}

// Used reports whether a kustomization refers to the file or folder.
func (k Kustomizations) Used(path string) bool { return k.tree.used[path] }
