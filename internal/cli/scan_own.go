package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/policy"
	"github.com/bulwark-k8s/bulwark/internal/policy/custom"
	"github.com/bulwark-k8s/bulwark/internal/waiver"
)

// ownOptions are the controls of a scan beside the catalogue's: a team's own, and the
// policies of the cluster itself.
type ownOptions struct {
	folders  []string
	policies bool

	controls []*control.Control // of the folders
}

func (o *ownOptions) addFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.folders, "controls-dir", nil, "also the controls of this `folder`, repeatable; `bulwark controls test` tries them")
	f.BoolVar(&o.policies, "policies", false, "also the ValidatingAdmissionPolicies that are read: what would they refuse today?")
}

// load reads the folders.
func (o *ownOptions) load() error {
	for _, folder := range o.folders {
		found, faults := custom.Load(folder, policy.Stored())
		if len(faults) > 0 {
			return misuse("`bulwark controls test "+folder+"` tries them", "--controls-dir: %w", errors.Join(faults...))
		}
		for _, c := range found {
			if taken(o.controls, c) {
				return misuse("", "--controls-dir: %s:%d: control %s: the ID is taken", c.File, c.Line, c.ID)
			}
			o.controls = append(o.controls, c.Control)
		}
		if len(found) == 0 {
			return misuse("", "--controls-dir: %s: there is no control in it", folder)
		}
	}
	return nil
}

func taken(others []*control.Control, c *custom.Control) bool {
	_, ours := controls.Find(c.ID)
	return ours || slices.ContainsFunc(others, func(o *control.Control) bool { return o.ID == c.ID })
}

// known reports whether a waiver's control names anything: a control of the catalogue, of
// the folders, or a policy, which may be of another cluster.
func (o *ownOptions) known(pattern string) bool {
	return knownControl(pattern) || pattern == "policy" || strings.HasPrefix(pattern, "policy.") ||
		slices.ContainsFunc(o.controls, func(c *control.Control) bool { return waiver.Names(pattern, c.ID) })
}

// catalogue takes out of --controls what names only controls of one's own, and reports
// whether nothing of the catalogue is asked for.
func (o *ownOptions) catalogue(patterns []string) (rest []string, none bool) {
	positive := false
	for _, p := range patterns {
		name := strings.TrimPrefix(p, "-")
		family, _, _ := strings.Cut(name, ".")
		mine := o.policies && family == "policy" || slices.ContainsFunc(o.controls, func(c *control.Control) bool { return named(c, name) })
		if _, err := controls.Select([]string{name}); err == nil || !mine {
			rest = append(rest, p)
		} else if name == p {
			positive = true
		}
	}
	return rest, positive && !slices.ContainsFunc(rest, func(p string) bool { return !strings.HasPrefix(p, "-") })
}

func named(c *control.Control, pattern string) bool {
	family, _, _ := strings.Cut(c.ID, ".")
	return c.ID == pattern || family == pattern
}

// chosen are the controls beside the catalogue's that --controls asks for.
func (o *ownOptions) chosen(s *cluster.Snapshot, patterns []string) ([]*control.Control, error) {
	list := slices.Clone(o.controls)
	if o.policies {
		list = append(list, policy.Controls(s)...)
		for _, p := range patterns {
			name := strings.TrimPrefix(p, "-")
			if strings.HasPrefix(name, "policy.") && !slices.ContainsFunc(list, func(c *control.Control) bool { return c.ID == name }) {
				return nil, misuse("", "--controls: %w", fmt.Errorf("control %q: there is no such policy", name))
			}
		}
	}
	all := !slices.ContainsFunc(patterns, func(p string) bool { return !strings.HasPrefix(p, "-") })
	return slices.DeleteFunc(list, func(c *control.Control) bool {
		keep := all
		for _, p := range patterns {
			if name, drop := strings.CutPrefix(p, "-"); named(c, name) {
				keep = !drop
			}
		}
		return !keep
	}), nil
}
