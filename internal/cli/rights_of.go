package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/rights"
)

// rightsOptions are the flags of rights.
type rightsOptions struct {
	askOptions
	diff       bool
	failOnGain bool
}

var rightsOutputs = []string{"table", "wide", "json", "yaml"}

func newRights(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &rightsOptions{askOptions: askOptions{kube: kubeFlags, streams: streams}}
	cmd := &cobra.Command{
		Use:     "rights SUBJECT",
		GroupID: "ask",
		Short:   "Say what somebody may do, and write it as roles",
		Long: `Rights lists all that somebody may do: merged, stars first, everywhere and then by
namespace; -o wide says through which binding each comes.

` + subjectForms + ` Others are --as-group.

With --diff it says who may do more, and who less, in the newer of two: folders of
manifests, dumps, files of bulwark snapshot. It compares what is allowed, not the text:
a role that is renamed or a rule that is split is no change. With --fail-on-gain the exit
code is 3 where somebody gained something.

Exit codes: 0; 3 with --fail-on-gain; 4 where something that decides was not read.`,
		Example: `  bulwark rights shop/cart
  bulwark rights ann --as-group devs -o wide -f site.gz
  bulwark rights --diff main/deploy deploy --fail-on-gain`,
		Args: func(cmd *cobra.Command, args []string) error {
			hint := "see `" + cmd.CommandPath() + " --help`"
			switch {
			case o.diff && len(args) != 2:
				return misuse(hint, "--diff: %s, want an older and a newer path", count(len(args), "argument"))
			case !o.diff && len(args) != 1:
				return misuse(hint, "rights: %s, want a SUBJECT", count(len(args), "argument"))
			case !o.diff && o.failOnGain:
				return misuse("", "--fail-on-gain: goes with --diff")
			case o.diff && len(o.files) > 0:
				return misuse("", "-f: with --diff the two paths are arguments")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.checkOutput(rightsOutputs...); err != nil {
				return err
			}
			if o.diff {
				return o.runDiff(cmd.Context(), args[0], args[1])
			}
			return o.of(cmd.Context(), args[0])
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.diff, "diff", false, "compare two paths, an older and a newer one")
	f.BoolVar(&o.failOnGain, "fail-on-gain", false, "with --diff: end with exit code 3 where somebody may do more")
	o.addFlags(cmd, rightsOutputs...)
	cmd.AddCommand(newRightsUsed(kubeFlags, streams), newRightsABAC(streams))
	return cmd
}

type rightsReport struct {
	Subject string        `json:"subject"`
	User    string        `json:"user,omitempty"`
	Groups  []string      `json:"groups,omitempty"`
	Rights  []rights.Part `json:"rights"`
	Rules   []heldRule    `json:"rules"`
	Unknown []string      `json:"unknown,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
}

// A heldRule is one as it was given.
type heldRule struct {
	Namespace string      `json:"namespace,omitempty"`
	Rule      rights.Line `json:"rule"`
	By        *source     `json:"by"`

	giver string
}

func (o *rightsOptions) of(ctx context.Context, word string) error {
	groups := *o.kube.ImpersonateGroup
	*o.kube.ImpersonateGroup = nil
	who, err := parseSubject(word, *o.kube.Namespace, groups)
	if err != nil {
		return err
	}
	s, err := o.read(ctx, o.files)
	if err != nil {
		return err
	}
	namespaces := s.Namespaces()
	if only := *o.kube.Namespace; only != "" {
		namespaces = []string{only}
	}
	engine, err := o.engine(s)
	if err != nil {
		return err
	}
	held, err := rights.HeldBy(engine, who, namespaces)
	if err != nil {
		return fmt.Errorf("%s: %w", subjectName(who), err)
	}
	r := rightsReport{
		Subject: subjectName(who), User: who.Name, Groups: who.Groups, Rights: held.Parts, Rules: []heldRule{}, Unknown: held.Unknown, Notes: engine.Notes(),
	}
	for _, rule := range held.Rules {
		for _, line := range rights.Lines([]rbacv1.PolicyRule{rule.PolicyRule}) {
			r.Rules = append(r.Rules, heldRule{rule.Namespace, line, sourceOf(rule.By), giver(rule.By)})
		}
	}
	switch o.output {
	case "table", "wide":
		err = o.writeText(r.table(o.output == "wide", o.width()))
	default:
		err = o.write(r)
	}
	if err == nil && len(r.Unknown) > 0 {
		return &exitError{code: exitIncomplete}
	}
	return err
}

func (r *rightsReport) table(wide bool, width int) string {
	var b strings.Builder
	who := r.Subject
	if len(r.Groups) > 0 && r.User != "" {
		who += " in " + strings.Join(r.Groups, ", ")
	}
	head := grid{}
	head.add(who)
	head.write(&b, width)
	b.WriteString("\n")
	g := grid{indent: "  "}
	switch {
	case len(r.Rights) == 0:
		b.WriteString("  nothing\n")
	case wide:
		r.wide(&b, width)
	default:
		addParts(&g, "", r.Rights)
	}
	g.write(&b, width)
	notes := grid{}
	for _, why := range r.Unknown {
		notes.add("unknown", "there may be more: "+why)
	}
	notes.notes("note", r.Notes)
	if len(notes.rows) > 0 {
		b.WriteString("\n")
		notes.write(&b, width)
	}
	return b.String()
}

// wide writes the rules as they were given, below what gives them.
func (r *rightsReport) wide(b *strings.Builder, width int) {
	for i := 0; i < len(r.Rules); {
		from := &r.Rules[i]
		same := func(h *heldRule) bool { return h.Namespace == from.Namespace && h.giver == from.giver }
		head := grid{indent: "  "}
		head.add(inWords(from.Namespace) + ", " + from.giver)
		head.write(b, width)
		g := grid{indent: "    "}
		for ; i < len(r.Rules) && same(&r.Rules[i]); i++ {
			line := &r.Rules[i].Rule
			g.add(strings.Join(line.Verbs, ", "), line.On())
		}
		g.write(b, width)
	}
}

// addParts adds rows for rights, each part behind a sign and where it holds.
func addParts(g *grid, sign string, list []rights.Part) {
	for _, part := range list {
		where := "everywhere"
		if len(part.Namespaces) > 0 {
			const most = 3
			names := part.Namespaces
			where = "in " + strings.Join(names[:min(most, len(names))], ", ")
			if n := len(names) - most; n > 0 {
				where += fmt.Sprintf(" and %d more", n)
			}
		}
		for _, line := range rights.Lines(part.Rules) {
			g.add(sign+where, strings.Join(line.Verbs, ", "), line.On())
			where = strings.Repeat(" ", len(where))
			if sign == "" {
				where = ""
			}
		}
	}
}

type (
	rightsDiff struct {
		Older      string         `json:"older"`
		Newer      string         `json:"newer"`
		Changes    []rightsChange `json:"changes"`
		Incomplete []string       `json:"incomplete,omitempty"`
	}
	rightsChange struct {
		Subject string        `json:"subject"`
		Gained  []rights.Part `json:"gained,omitempty"`
		Lost    []rights.Part `json:"lost,omitempty"`
	}
)

func (o *rightsOptions) runDiff(ctx context.Context, older, newer string) error {
	var snapshots [2]*cluster.Snapshot
	report := rightsDiff{Older: older, Newer: newer, Changes: []rightsChange{}}
	for i, path := range []string{older, newer} {
		s, err := o.read(ctx, []string{path})
		if err != nil {
			return err
		}
		snapshots[i] = s
		for _, gap := range s.Gaps(append(slices.Clone(cluster.RBAC), cluster.Input)...) {
			report.Incomplete = append(report.Incomplete, path+": "+gap.String())
		}
	}
	changes, err := rights.Diff(snapshots[0], snapshots[1])
	if err != nil {
		return err
	}
	gained := 0
	for _, c := range changes {
		if len(c.Gained) > 0 {
			gained++
		}
		report.Changes = append(report.Changes, rightsChange{strings.ToLower(c.Subject.Kind) + " " + nameOf(c.Subject), c.Gained, c.Lost})
	}
	switch o.output {
	case "table", "wide":
		err = o.writeText(report.table(gained, o.width()))
	default:
		err = o.write(report)
	}
	switch {
	case err != nil:
		return err
	case gained > 0 && o.failOnGain:
		return &exitError{code: exitBroken}
	case len(report.Incomplete) > 0:
		return &exitError{code: exitIncomplete}
	}
	return nil
}

func nameOf(s cluster.Subject) string {
	if s.Namespace != "" {
		return s.Namespace + "/" + s.Name
	}
	return s.Name
}

func (r *rightsDiff) table(gained, width int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to %s\n", clean(r.Older), clean(r.Newer))
	lost := 0
	for _, c := range r.Changes {
		b.WriteString("\n" + clean(c.Subject) + "\n")
		g := grid{indent: "  "}
		addParts(&g, "+ ", c.Gained)
		addParts(&g, "- ", c.Lost)
		g.write(&b, width)
		if len(c.Lost) > 0 {
			lost++
		}
	}
	fmt.Fprintf(&b, "\n%s gained rights, %d lost some\n", count(gained, "subject"), lost)
	for _, why := range r.Incomplete {
		b.WriteString("unknown: " + clean(why) + "\n")
	}
	return b.String()
}
