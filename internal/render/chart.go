package render

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"
)

// A Chart is a Helm chart with what `helm template` would be told.
type Chart struct {
	// Path is a chart's folder or archive.
	Path string `json:"path"`
	// Values are files; Set are assignments as --set takes them.
	Values    []string `json:"values,omitempty"`
	Set       []string `json:"set,omitempty"`
	Release   string   `json:"release,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
	// KubeVersion is what the chart is told of the cluster: "v1.36.0".
	KubeVersion string `json:"kubeVersion"`
}

func (c *Chart) render() *Answer {
	a := new(Answer)
	ch, err := loader.Load(c.Path)
	if err != nil {
		return a.fault(fmt.Errorf("it is no chart that Helm can load: %w", err))
	}
	if ch.Metadata.Type == "library" {
		a.Nothing = "it is a library chart, which renders nothing by itself"
		return a
	}
	values, err := c.values()
	if err != nil {
		return a.fault(err)
	}
	names := dependencyNames(ch)
	// This takes out what a condition or a tag turns off, so that it is not missed.
	if err := chartutil.ProcessDependenciesWithMerge(ch, values); err != nil {
		return a.fault(err)
	}
	missing := missingDependencies(ch, names)
	kube, err := chartutil.ParseKubeVersion(c.KubeVersion)
	if err != nil {
		return a.fault(err)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = *kube
	release := chartutil.ReleaseOptions{Name: cmp.Or(c.Release, "release-name"), Namespace: cmp.Or(c.Namespace, "default"), Revision: 1, IsInstall: true}
	// Helm's own check of schemas would fetch what they refer to; see misfits.
	top, err := chartutil.ToRenderValuesWithSchemaValidation(ch, values, release, caps, true)
	if err != nil {
		return a.fault(err)
	}
	if err := misfits(ch, top["Values"]); err != nil {
		a.fault(err) // Helm would refuse to install it; what it would be is scanned all the same
	}
	// Without a client, lookup finds nothing, as with `helm template`.
	texts, err := engine.Render(ch, top)
	if err != nil {
		if len(missing) > 0 {
			return a.fault(missing[0])
		}
		f := c.where(ch, err)
		a.Faults = append(a.Faults, f)
		return a
	}
	for _, err := range missing {
		a.fault(err)
	}
	paths := c.templates(ch)
	marked := marks(ch, top)
	for name, text := range texts {
		file, ok := paths[name]
		if !ok || strings.TrimSpace(text) == "" || path.Base(name) == "NOTES.txt" {
			continue
		}
		a.Files = append(a.Files, File{Path: file.path, Text: text, Places: places(text, marked[name], file.text)})
	}
	slices.SortFunc(a.Files, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	return a
}

func (a *Answer) fault(err error) *Answer {
	a.Faults = append(a.Faults, Fault{Why: oneLine(err)})
	return a
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// values merges the files and assignments, later ones over earlier ones, as
// helm.sh/helm/v3/pkg/cli/values does without fetching any.
func (c *Chart) values() (map[string]any, error) {
	merged := map[string]any{}
	for _, file := range c.Values {
		v, err := chartutil.ReadValuesFile(file)
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			return nil, fmt.Errorf("values %s: %w", file, pathErr.Err)
		}
		if err != nil {
			return nil, fmt.Errorf("values %s: %w", file, err)
		}
		merged = chartutil.CoalesceTables(v.AsMap(), merged)
	}
	for _, set := range c.Set {
		if err := strvals.ParseInto(set, merged); err != nil {
			return nil, fmt.Errorf("--set %s: %w", set, err)
		}
	}
	return merged, nil
}

// dependencyNames are the names of a chart's dependencies by what it calls them.
func dependencyNames(ch *chart.Chart) map[string]string {
	out := map[string]string{}
	for _, d := range ch.Metadata.Dependencies {
		if d != nil {
			out[cmp.Or(d.Alias, d.Name)] = d.Name
		}
	}
	return out
}

// missingDependencies are what Chart.yaml names, nothing turns off, and charts/ does not
// hold. Dependencies were processed, so each goes by its alias.
func missingDependencies(ch *chart.Chart, names map[string]string) []error {
	var missing []error
	for _, want := range ch.Metadata.Dependencies {
		if !slices.ContainsFunc(ch.Dependencies(), func(have *chart.Chart) bool { return have.Name() == want.Name }) {
			missing = append(missing, fmt.Errorf("its dependency %s is not in charts/: run `helm dependency build`", cmp.Or(names[want.Name], want.Name)))
		}
	}
	return missing
}

// A template is one as its author wrote it.
type template struct{ path, text string }

// templates are the chart's and its subcharts' templates by the name that Helm's
// engine gives them, with the path at which a person finds them.
func (c *Chart) templates(ch *chart.Chart) map[string]template {
	out := map[string]template{}
	var walk func(*chart.Chart, string)
	walk = func(ch *chart.Chart, at string) {
		for _, t := range ch.Templates {
			out[path.Join(ch.ChartFullPath(), t.Name)] = template{filepath.Join(at, filepath.FromSlash(t.Name)), string(t.Data)}
		}
		for _, sub := range ch.Dependencies() {
			walk(sub, subchart(ch, sub, at))
		}
	}
	root := c.Path
	if info, err := os.Stat(root); err == nil && !info.IsDir() {
		root = filepath.Join(root, ch.Name()) // as the archive has it
	}
	walk(ch, root)
	return out
}

// subchart is where a subchart lies: a folder in charts/, or the folder of that name in
// an archive there. A dependency under an alias lies under its own name.
func subchart(parent, sub *chart.Chart, at string) string {
	name := sub.Name()
	for _, d := range parent.Metadata.Dependencies {
		if d.Alias == name {
			name = d.Name
		}
	}
	folder := filepath.Join(at, "charts", name)
	archive := folder + "-" + sub.Metadata.Version + ".tgz"
	if _, err := os.Stat(archive); err == nil {
		return filepath.Join(archive, name)
	}
	return folder
}

var inTemplate = regexp.MustCompile(`\(([^():]+):(\d+)(?::\d+)?\)|template: ([^:]+):(\d+)`)

// where finds the template and line that an error of the engine names.
func (c *Chart) where(ch *chart.Chart, err error) Fault {
	f := Fault{Why: oneLine(err)}
	m := inTemplate.FindStringSubmatch(f.Why)
	if m == nil {
		return f
	}
	if t, ok := c.templates(ch)[cmp.Or(m[1], m[3])]; ok {
		f.File = t.path
		f.Line, _ = strconv.Atoi(cmp.Or(m[2], m[4]))
		// "execution error at (cart/templates/a.yaml:3:4): the reason" repeats the place.
		if _, why, found := strings.Cut(f.Why, m[0]+": "); found {
			f.Why = why
		}
	}
	return f
}
