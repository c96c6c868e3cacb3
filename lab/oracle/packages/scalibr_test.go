package packages

import (
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/osv-scalibr/extractor"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/language/dotnet/depsjson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/golang/gobinary"
	"github.com/google/osv-scalibr/extractor/filesystem/language/java/archive"
	"github.com/google/osv-scalibr/extractor/filesystem/language/javascript/packagejson"
	"github.com/google/osv-scalibr/extractor/filesystem/language/python/wheelegg"
	"github.com/google/osv-scalibr/extractor/filesystem/language/ruby/gemspec"
	"github.com/google/osv-scalibr/extractor/filesystem/language/rust/cargoauditable"
	scalibrfs "github.com/google/osv-scalibr/fs"
	"github.com/google/osv-scalibr/log"

	"github.com/bulwark-k8s/bulwark/internal/image"
	finders "github.com/bulwark-k8s/bulwark/internal/image/packages"

	cpb "github.com/google/osv-scalibr/binary/proto/config_go_proto"
)

var root = flag.String("root", "/usr/lib", "the folder whose files are read too, besides scalibr's own fixtures")

// A reader is scalibr's for one kind of package.
type reader struct {
	new func(*cpb.PluginConfig) (filesystem.Extractor, error)
	// fixtures is the folder of its tests, in extractor/filesystem/language.
	fixtures string
	typ      image.Type
	// as is where in an image a fixture would be; the file's own path where it is nil.
	as func(p string) string
	// differs takes from what scalibr found what it should not have, and says why.
	differs func(p string, theirs, ours []string) ([]string, string)
}

var readers = []reader{
	{gobinary.New, "golang/gobinary", image.Go, nil, goDiffers},
	{archive.New, "java/archive", image.Maven, nil, mavenDiffers},
	{packagejson.New, "javascript/packagejson", image.NPM, func(p string) string {
		return "node_modules/" + path.Base(p) + "/package.json"
	}, func(p string, theirs, ours []string) ([]string, string) {
		if len(theirs) == 0 && foreign[filepath.Base(p)] {
			return ours, "for an editor or a game, which the folder tells us and the engine scalibr"
		}
		return theirs, ""
	}},
	{wheelegg.New, "python/wheelegg", image.PyPI, nil, func(p string, theirs, ours []string) ([]string, string) {
		if strings.HasSuffix(p, ".whl") {
			return ours, "a wheel is not installed"
		}
		return theirs, ""
	}},
	{gemspec.New, "ruby/gemspec", image.Gem, func(p string) string { return "specifications/" + path.Base(p) }, func(p string, theirs, ours []string) ([]string, string) {
		if notWritten[filepath.Base(p)] {
			return ours, "not as RubyGems writes it"
		}
		return theirs, ""
	}},
	{depsjson.New, "dotnet/depsjson", image.NuGet, func(p string) string { return p + ".deps.json" }, func(_ string, theirs, _ []string) ([]string, string) {
		return slices.DeleteFunc(theirs, func(s string) bool { return s == "TestLibrary 1.0.0" }), "a project is the application itself"
	}},
	{cargoauditable.New, "rust/cargoauditable", image.Cargo, nil, nil},
}

// goDiffers: what was built from a folder has no version that says what was in it.
func goDiffers(_ string, theirs, _ []string) ([]string, string) {
	return slices.DeleteFunc(theirs, func(s string) bool {
		name, version, _ := strings.Cut(s, " ")
		return version == "(devel)" || name == "stdlib" && strings.Contains(version, "-RC") || strings.HasSuffix(version, "+dirty")
	}), "built from folders"
}

// mavenDiffers: scalibr makes a group of what the manifest says, and if it says nothing,
// of the artifact. Of the guesses that are met here most are wrong: what is called
// org.objectweb.asm:asm is org.ow2.asm:asm.
func mavenDiffers(p string, theirs, ours []string) ([]string, string) {
	why := ""
	var kept []string
	for _, s := range theirs {
		_, artifact, _ := strings.Cut(s, ":")
		switch {
		case filepath.Base(p) == "nested_at_10.jar":
			why = "deeper than we look, which is a gap"
		case s == "unknown unknown":
			why = "scalibr knows nothing of it"
			for _, o := range ours {
				if !strings.Contains(o, ":") {
					kept = append(kept, o)
				}
			}
		case strings.HasPrefix(s, "org.objectweb.asm") && slices.Contains(ours, "org.ow2.asm:"+artifact):
			why = "the group is a guess, and wrong"
			kept = append(kept, "org.ow2.asm:"+artifact)
		case slices.Contains(ours, artifact):
			why, s = "the group is a guess", artifact
			kept = append(kept, s)
		case len(ours) == 0 && len(theirs) == 1 && withoutClasses[filepath.Base(p)]:
			why = "holds no class"
		case filepath.Base(p) == "activation.jar":
			why = "the artifact is a guess, too"
			kept = append(kept, "activation 1.1.1")
		default:
			kept = append(kept, s)
		}
	}
	return kept, why
}

var (
	foreign    = map[string]bool{"unity-package.json": true, "vscode-extension-only-required.json": true, "vscode-extension.json": true}
	notWritten = map[string]bool{"badspec.gemspec": true, "invalid.gemspec": true, "version_inline.gemspec": true}
)

var withoutClasses = map[string]bool{
	"com.google.src.yolo-0.1.2.jar": true, "no_pom_properties-2.4.0.jar": true, "org.eclipse.sisu.inject-0.3.5.jar": true,
	"pom_missing_group_id-2.4.0.jar": true,
}

type quiet struct{}

func (quiet) Errorf(string, ...any) {}
func (quiet) Error(...any)          {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Warn(...any)           {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Info(...any)           {}
func (quiet) Debugf(string, ...any) {}
func (quiet) Debug(...any)          {}

// TestScalibr: in every file, both find the same names and versions, or the test knows
// why not.
func TestScalibr(t *testing.T) {
	log.SetLogger(quiet{})
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	if err != nil {
		t.Fatal(err)
	}
	module := strings.TrimSpace(string(out))
	for _, r := range readers {
		t.Run(r.fixtures, func(t *testing.T) {
			x, err := r.new(&cpb.PluginConfig{})
			if err != nil {
				t.Fatal(err)
			}
			compared, packages := 0, 0
			visit := func(as func(string) string) fs.WalkDirFunc {
				return func(p string, d fs.DirEntry, err error) error {
					if err != nil || !d.Type().IsRegular() {
						return nil //nolint:nilerr // a folder that may not be read holds nothing to compare
					}
					theirs, ours := r.both(t, x, p, as)
					if len(theirs)+len(ours) == 0 {
						return nil
					}
					compared++
					packages += len(ours)
					if r.differs != nil && !slices.Equal(theirs, ours) {
						var why string
						if theirs, why = r.differs(p, theirs, ours); why != "" {
							t.Logf("%s: %s", filepath.Base(p), why)
						}
					}
					if diff := cmp.Diff(theirs, ours, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("%s (-scalibr +bulwark):\n%s", p, diff)
					}
					return nil
				}
			}
			for _, err := range []error{
				filepath.WalkDir(filepath.Join(module, "extractor/filesystem/language", r.fixtures, "testdata"), visit(r.as)),
				filepath.WalkDir(*root, visit(nil)),
			} {
				if err != nil {
					t.Error(err)
				}
			}
			t.Logf("%d files, %d packages", compared, packages)
			if compared == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

// both has one file read by scalibr and by us.
func (r reader) both(t *testing.T, x filesystem.Extractor, p string, as func(string) string) (theirs, ours []string) {
	t.Helper()
	in := p
	if as != nil {
		in = as(p)
	}
	info, err := os.Stat(p)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	var all []image.Package
	file := layerFile(in, info, f)
	for _, finder := range finders.Finders() {
		if !finder.Wants(file) {
			continue
		}
		if got, err := finder.Read(t.Context(), file); err == nil && got != nil {
			all = append(all, got.Packages...)
		}
	}
	for _, p := range all {
		if p.Type == r.typ && !p.Dev && p.Version != "" {
			ours = append(ours, p.Name+" "+p.Version)
		}
	}
	if x.FileRequired(api{in, program{info}}) {
		got, err := x.Extract(t.Context(), &filesystem.ScanInput{FS: scalibrfs.DirFS("/"), Path: strings.TrimPrefix(in, "/"), Root: "/", Info: info, Reader: f})
		if err == nil {
			for _, p := range got.Packages {
				if p.Version != "" {
					theirs = append(theirs, r.named(p))
				}
			}
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	return slices.Compact(theirs), slices.Compact(ours)
}

func (r reader) named(p *extractor.Package) string {
	name, version := p.Name, p.Version
	switch {
	case r.typ == image.PyPI:
		name = image.PyPIName(name)
	case r.typ == image.Go && name == "go":
		name = "stdlib"
	}
	return name + " " + version
}

// A program is a file that may be run: the module cache takes that from all.
type program struct{ fs.FileInfo }

func (p program) Mode() fs.FileMode { return p.FileInfo.Mode() | 0o111 }

// api is what scalibr asks of a file.
type api struct {
	path string
	info fs.FileInfo
}

func (a api) Path() string               { return a.path }
func (a api) Stat() (fs.FileInfo, error) { return a.info, nil }
