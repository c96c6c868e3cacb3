package match

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/advisory"
	"github.com/bulwark-k8s/bulwark/internal/image"
)

// linked says how much of what records of a Go module name is in the binary: the
// platform first, then the packages, then the functions. It answers as govulncheck does
// in binary mode (golang.org/x/vuln/internal/vulncheck/binary.go and vulncheck.go), but
// that binaries without a symbol table are told apart as well as others, and that a
// module which took another's place is looked up by its own name, which govulncheck finds
// nothing by.
func (m *matcher) linked(p *image.Package, records []*advisory.Record) (Reachable, *Aside, string) {
	b := p.Go
	if b == nil {
		return NotTold, nil, ""
	}
	// A source that names packages knows better than one that names none.
	if named := slices.DeleteFunc(slices.Clone(records), func(r *advisory.Record) bool { return len(r.Only.Imports) == 0 }); len(named) > 0 {
		records = named
	}
	var platforms, paths, symbols []string
	best, where := NotTold, ""
	told := b.Packages != nil
	for _, r := range records {
		if len(r.Only.Imports) == 0 {
			switch {
			case !told:
				return NotTold, nil, ""
			case m.present(p):
				best = max(best, PackageThere)
			default:
				paths = append(paths, p.Name)
			}
			continue
		}
		for _, i := range r.Only.Imports {
			if rest, ok := strings.CutPrefix(i.Path, p.Name); ok && p.Source != "" {
				i.Path = p.Source + rest // as it is imported, and named in the binary
			}
			switch {
			case !listed(i.GOOS, b.GOOS) || !listed(i.GOARCH, b.GOARCH):
				platforms = append(platforms, i.GOOS...)
				platforms = append(platforms, i.GOARCH...)
			case !told:
				return NotTold, nil, ""
			case !has(b.Packages, i.Path) || !m.belongs(i.Path, p):
				paths = append(paths, i.Path)
			case len(i.Symbols) == 0:
				best, where = SymbolThere, i.Path
			case b.Functions == nil:
				if best < PackageThere {
					best, where = PackageThere, i.Path
				}
			default:
				s := slices.IndexFunc(i.Symbols, func(s string) bool { return b.Functions.Has(i.Path, s) })
				if s >= 0 {
					if best < SymbolThere {
						best, where = SymbolThere, i.Path+"."+i.Symbols[s]
					}
				} else {
					symbols = append(symbols, i.Path)
				}
			}
		}
	}
	switch {
	case best == SymbolThere:
		return best, nil, where + " is linked in"
	case best == PackageThere && where != "":
		return best, nil, where + " is linked in, which of its functions is not known"
	case best == PackageThere:
		return best, nil, ""
	case len(symbols) > 0:
		return PackageThere, &Aside{By: BySymbol, Reason: "no vulnerable function of " + enumerate(symbols) + " is linked in"}, ""
	case len(paths) > 0:
		return NotTold, &Aside{By: ByPackage, Reason: enumerate(paths) + " is not linked in"}, ""
	}
	return NotTold, &Aside{By: ByPlatform, Reason: fmt.Sprintf("only on %s, the binary is for %s/%s", enumerate(platforms), b.GOOS, b.GOARCH)}, ""
}

// listed reports whether a platform is one of a list, in which nothing means any.
func listed(all []string, one string) bool {
	return one == "" || len(all) == 0 || slices.Contains(all, one)
}

func has(ordered []string, s string) bool {
	_, ok := slices.BinarySearch(ordered, s)
	return ok
}

func enumerate(all []string) string {
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > 3 {
		all = append(all[:3:3], fmt.Sprintf("%d more", len(all)-3))
	}
	return strings.Join(all, ", ")
}

// present reports whether any package of a module is in its binary.
func (m *matcher) present(p *image.Package) bool {
	return slices.ContainsFunc(p.Go.Packages, func(path string) bool { return m.belongs(path, p) })
}

// belongs reports whether a package is of a module rather than of another in the binary
// whose path is longer.
func (m *matcher) belongs(path string, p *image.Package) bool {
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return p.Name == "stdlib"
	}
	if !inside(path, p.SourceName()) {
		return false
	}
	modules, ok := m.modules[p.Go]
	if !ok {
		for i := range m.img.Packages {
			if q := &m.img.Packages[i]; q.Go == p.Go {
				modules = append(modules, q.SourceName())
			}
		}
		m.modules[p.Go] = modules
	}
	return !slices.ContainsFunc(modules, func(other string) bool { return len(other) > len(p.SourceName()) && inside(path, other) })
}

func inside(path, module string) bool {
	rest, ok := strings.CutPrefix(path, module)
	return ok && (rest == "" || rest[0] == '/')
}
