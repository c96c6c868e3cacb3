// Package granted finds what bindings give to users and groups that no binding should
// name lightly.
package granted

import (
	"slices"
	"strings"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
)

// To opens a verdict on every binding, and calls judge for those that name one of the
// subjects, with the names and a role that is known. Where a role may be elsewhere the
// verdict is unknown; one that does not exist grants nothing.
func To(s *cluster.Snapshot, r *control.Report, subjects []cluster.Subject, judge func(v *control.Verdict, b *cluster.Binding, who string)) {
	for _, b := range s.Bindings() {
		v := r.Object(b.Object)
		var who []string
		for _, sub := range b.Subjects {
			if slices.Contains(subjects, sub) {
				who = append(who, sub.Name)
			}
		}
		switch {
		case len(who) == 0:
		case b.Role != nil || grant.Rules(b) != nil:
			judge(v, b, strings.Join(who, ", "))
		case !s.Live && !authz.Default(b.Object):
			v.Unknown("roleRef", "the role "+b.RoleRef.Name+" is not in this input")
		}
	}
}
