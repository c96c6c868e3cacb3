package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/compare"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/scan"
	"github.com/bulwark-k8s/bulwark/internal/standard"
	"github.com/bulwark-k8s/bulwark/internal/waiver"
)

// standOptions are the flags that say which faults may stand.
type standOptions struct {
	config   string
	waivers  string
	baseline string
}

func (o *standOptions) addFlags(f *pflag.FlagSet) {
	addConfig(f, &o.config)
	f.StringVar(&o.waivers, "waivers", "all", "which waivers count: all, file (no annotations) or none")
	f.StringVar(&o.baseline, "baseline", "", "an older JSON report: only what it does not have ends with exit code 3")
}

func addConfig(f *pflag.FlagSet, config *string) {
	f.StringVar(config, "config", "", "the `file` with waivers and kinds of workloads (default "+waiver.FileName+" beside each PATH and in the working folder)")
}

// A stand is what may stand, read before the scan so that a mistake costs no time.
type stand struct {
	written     []*waiver.Waiver
	annotations bool
	none        bool
	name        string
	baseline    *compare.Report
	// known reports whether a control, a family or a pattern names anything.
	known func(string) bool
	// workloads are the kinds that the files name.
	workloads []cluster.CustomKind
	// vulnerabilities of images that may stand.
	vulnerabilities []*waiver.Vulnerability
}

// readWorkloads returns the kinds of workloads that the files name.
func readWorkloads(config string, paths []string) ([]cluster.CustomKind, error) {
	s := &stand{known: func(string) bool { return true }}
	err := s.readFiles(config, paths)
	return s.workloads, err
}

func (o *standOptions) read(paths []string, known func(string) bool) (*stand, error) {
	s := &stand{known: known, annotations: o.waivers == "all", none: o.waivers == "none"}
	switch o.waivers {
	case "all", "file", "none":
	default:
		return nil, misuse("", "--waivers: %q: want all, file or none", o.waivers)
	}
	if err := s.readFiles(o.config, paths); err != nil {
		return nil, err
	}
	if o.baseline != "" {
		var err error
		if s.baseline, err = readReport(o.baseline); err != nil {
			return nil, fmt.Errorf("--baseline %w", err)
		}
		s.name = o.baseline
	}
	return s, nil
}

func (s *stand) readFiles(config string, paths []string) error {
	files := []string{config}
	if config == "" {
		files = beside(paths)
	}
	for _, file := range files {
		data, err := readBounded(file, waiver.MaxFileSize)
		if config == "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, cause(err))
		}
		f, err := waiver.Parse(file, data, s.known)
		if err != nil {
			return &exitError{code: exitFailed, err: err, hint: "docs/waivers.md shows how a waiver is written, docs/inputs.md a kind of workload"}
		}
		s.written = append(s.written, f.Waivers...)
		s.vulnerabilities = append(s.vulnerabilities, f.Vulnerabilities...)
		s.annotations = s.annotations && !f.IgnoreAnnotations
		for _, k := range f.Workloads {
			i := slices.IndexFunc(s.workloads, func(have cluster.CustomKind) bool { return have.Name() == k.Name() })
			switch {
			case i < 0:
				s.workloads = append(s.workloads, k)
			case !reflect.DeepEqual(s.workloads[i], k):
				return fmt.Errorf("%s: workload %s is another one in a file that was read before", file, k.Name())
			}
		}
	}
	return nil
}

// beside are the places where a file of waivers is looked for, each once.
func beside(paths []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, p := range slices.Concat(paths, []string{"."}) {
		if p == "-" {
			continue
		}
		if info, err := os.Stat(p); err != nil || !info.IsDir() {
			p = filepath.Dir(p)
		}
		file := filepath.Join(p, waiver.FileName)
		abs, err := filepath.Abs(file)
		if err != nil {
			abs = file
		}
		if !seen[abs] {
			seen[abs] = true
			out = append(out, file)
		}
	}
	return out
}

// knownControl reports whether a control, a family or a pattern names anything.
func knownControl(pattern string) bool {
	if strings.Trim(pattern, "*") == "" {
		return true
	}
	for _, c := range append(controls.All(), standard.PodSecurity()...) {
		if waiver.Names(pattern, c.ID) {
			return true
		}
	}
	return false
}

// book is where what may stand is looked up.
func (s *stand) book(now time.Time) *waiver.Book {
	written := s.written
	if s.none {
		written = nil
	}
	return waiver.NewBook(written, waiver.Options{Now: now, Known: s.known, Annotations: s.annotations && !s.none})
}

// judge says what is wrong with the waivers, and marks what the baseline knows.
func (s *stand) judge(r *scan.Result, waivers *waiver.Book) {
	waivers.Judge(r)
	if s.baseline != nil {
		compare.Mark(r, s.name, s.baseline)
	}
}

// allControls are the catalogue and the controls that judge waivers.
func allControls() []*control.Control { return append(controls.All(), waiver.Controls()...) }

func readReport(file string) (*compare.Report, error) {
	data, err := readBounded(file, compare.MaxReportSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, cause(err))
	}
	r, err := compare.Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// readBounded reads a file up to a size.
func readBounded(file string, size int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, size+1))
	if err == nil && int64(len(data)) > size {
		err = fmt.Errorf("it is larger than %d bytes", size)
	}
	return data, err
}
