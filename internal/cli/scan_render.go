package cli

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/manifest"
	"github.com/bulwark-k8s/bulwark/internal/render"
)

// kubeVersion is the version that charts are told of the cluster they are for: the one
// whose API this program was built with.
const kubeVersion = "v1.36.0"

// newRender is the process that renders: the program starts itself with it, so that a
// chart which grows without end can be ended.
func newRender(streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:    "render-input",
		Short:  "Render a chart or a kustomization for a scan",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return render.Serve(streams.In, streams.Out)
		},
	}
}

// chartOptions are the flags that a chart is rendered with.
type chartOptions struct {
	values, set []string
	release     string
}

// A renderer reads charts and kustomizations into a manifest.Reader.
type renderer struct {
	ctx       context.Context
	chart     chartOptions
	namespace string
	reader    *manifest.Reader
	process   render.Renderer
	progress  *progress

	kustomizations render.Kustomizations
	charts         int
	// elsewhere counts what could not be read only because it is not on this machine.
	elsewhere int
}

// path reads what a user named: a chart's archive or folder, a kustomization, or files.
func (r *renderer) path(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if isArchive(path) {
			r.renderChart(path)
			return nil
		}
		return r.reader.ReadPath(r.ctx, path)
	}
	r.kustomizations = render.FindKustomizations(foldersWith(path, func(dir string) bool { return render.KustomizationIn(dir) != "" }))
	first := true
	r.reader.Folder = func(dir string) bool {
		asked := first
		first = false
		return r.folder(dir, asked)
	}
	r.reader.File = r.file
	return r.reader.ReadPath(r.ctx, path)
}

// folder renders a chart's folder. A kustomization is built, and the folders below are
// read on: they may hold others.
func (r *renderer) folder(dir string, asked bool) bool {
	if info, err := os.Stat(filepath.Join(dir, "Chart.yaml")); err == nil && info.Mode().IsRegular() {
		r.renderChart(dir)
		return true
	}
	if render.KustomizationIn(dir) != "" && (asked || !r.kustomizations.Used(absolute(dir))) {
		r.build(dir)
	}
	return false
}

// file renders a chart's archive, and reports whether a file is scanned as what a chart or
// a kustomization makes of it, and not as it is.
func (r *renderer) file(file string) bool {
	if isArchive(file) {
		if holdsChart(file) {
			r.renderChart(file)
		}
		return true
	}
	return r.kustomizations.Used(absolute(file)) || render.KustomizationIn(filepath.Dir(file)) != ""
}

func isArchive(path string) bool {
	name := strings.ToLower(path)
	return strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar.gz")
}

// What is looked at of an archive to see whether it is a chart's: `helm package` puts
// Chart.yaml first.
const (
	mostEntries = 100
	mostBytes   = 16 << 20
)

// holdsChart reports whether an archive has a Chart.yaml in its outermost folder.
func holdsChart(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return false
	}
	t := tar.NewReader(io.LimitReader(z, mostBytes))
	for range mostEntries {
		h, err := t.Next()
		if err != nil {
			return false
		}
		if folder, name, ok := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/"); ok && folder != "" && name == "Chart.yaml" {
			return true
		}
	}
	return false
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real
	}
	return abs
}

// foldersWith are the folders below root that match, as absolute paths.
func foldersWith(root string, match func(string) bool) []string {
	var found []string
	// A folder that cannot be entered is reported when it is read.
	// With a separator at its end a root that is a link is entered too.
	_ = filepath.WalkDir(root+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // see above
		}
		if filepath.Clean(path) != filepath.Clean(root) && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if match(path) {
			found = append(found, absolute(path))
		}
		return nil
	})
	return found
}

func (r *renderer) renderChart(path string) {
	r.charts++
	r.progress.say("rendering the chart %s", path)
	answer, err := r.process.Render(r.ctx, render.Request{Chart: &render.Chart{
		Path: path, Values: r.chart.values, Set: r.chart.set, Release: r.chart.release,
		Namespace: r.namespace, KubeVersion: kubeVersion,
	}})
	if !r.take(path, answer, err) {
		return
	}
	for _, f := range answer.Files {
		r.reader.ReadRendering(manifest.Rendering{File: f.Path, Text: f.Text, Places: f.Places})
	}
}

func (r *renderer) build(path string) {
	r.progress.say("building the kustomization %s", path)
	answer, err := r.process.Render(r.ctx, render.Request{Kustomize: &render.Kustomize{Path: path}})
	if !r.take(path, answer, err) {
		return
	}
	for _, o := range answer.Objects {
		r.reader.ReadBuilt(o.Path, []byte(o.Text))
	}
}

// take reports what could not be rendered.
func (r *renderer) take(path string, answer *render.Answer, err error) bool {
	if err != nil {
		r.reader.Problem(path, 0, err)
		return false
	}
	for _, f := range answer.Faults {
		file := f.File
		if file == "" {
			file = path
		}
		r.reader.Problem(file, f.Line, errors.New(f.Why))
		if f.Elsewhere {
			r.elsewhere++
		}
	}
	if answer.Nothing != "" {
		r.reader.Skip(path, answer.Nothing)
	}
	return true
}

// self is how this program is started again to render.
func self() (render.Renderer, error) {
	program, err := os.Executable()
	if err != nil {
		return render.Renderer{}, fmt.Errorf("finding this program, to render with: %w", err)
	}
	return render.Renderer{Command: []string{program, "render-input"}}, nil
}
