package cli

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/authz"
)

var whoOutputs = []string{"table", "json", "yaml", "jsonl", "csv"}

func newWho(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "who",
		GroupID: "ask",
		Short:   "Say who may do something",
		Example: "  bulwark who can get secrets -n shop",
		Args:    unknownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(newWhoCan(kubeFlags, streams))
	return cmd
}

// whoOptions are the flags of who can.
type whoOptions struct {
	askOptions
	become bool
}

func newWhoCan(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &whoOptions{askOptions: askOptions{kube: kubeFlags, streams: streams}}
	cmd := &cobra.Command{
		Use:   "can VERB RESOURCE[/SUB] [NAME]",
		Short: "List every user, group, service account and node that may do it, and through what",
		Long: `Who can lists every user, group, service account and node that the API server would
allow it, and through which binding, role and rule. With --become also those who may not,
and can become able to by what they may: each by the shortest way, step by step.

` + resourceForms + `

Exit code 4: something that decides was not read, so there may be more.`,
		Example: `  bulwark who can get secrets -n shop
  bulwark who can create pods/exec -f site.gz
  bulwark who can delete nodes -o csv
  bulwark who can impersonate users admin
  bulwark who can get secrets -n kube-system --become`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return misuse("see `"+cmd.CommandPath()+" --help`", "who can: %s, want VERB RESOURCE and perhaps NAME", count(len(args), "argument"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.whoCan(cmd.Context(), args) },
	}
	cmd.Flags().BoolVar(&o.become, "become", false, "also who can become able to, and by which steps")
	o.addFlags(cmd, whoOutputs...)
	return cmd
}

// A holder is somebody who may, in JSON, YAML and CSV.
type holder struct {
	Kind      string `json:"kind"` // user, group, serviceaccount, node, anybody
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Within is the group that a user has to be in besides.
	Within  string  `json:"within,omitempty"`
	Means   string  `json:"means,omitempty"`
	Unknown bool    `json:"unknown,omitempty"`
	By      *source `json:"by"`

	text string
}

type whoReport struct {
	Request string   `json:"request"`
	Holders []holder `json:"holders"`
	Become  []way    `json:"become,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// A way is how somebody becomes able to do it.
type way struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Steps     []step `json:"steps"`
}

type step struct {
	How   string     `json:"how"`
	Needs []stepNeed `json:"needs"`
}

type stepNeed struct {
	Request string  `json:"request"`
	By      *source `json:"by"`

	text string
}

func wayOf(path []authz.Step) way {
	var out way
	for i := range path {
		if i == 0 {
			h := holderOf(authz.Holder{Subject: path[0].Who})
			out.Kind, out.Namespace, out.Name = h.Kind, h.Namespace, h.Name
		}
		s := step{How: path[i].How, Needs: []stepNeed{}}
		for n, a := range path[i].Needs {
			s.Needs = append(s.Needs, stepNeed{a.String(), sourceOf(path[i].By[n]), through(path[i].By[n])})
		}
		out.Steps = append(out.Steps, s)
	}
	return out
}

// write writes the steps of a way below its name.
func (v *way) write(b *strings.Builder, width int) {
	name := v.Kind + " " + v.Name
	if v.Namespace != "" {
		name = v.Kind + " " + v.Namespace + "/" + v.Name
	}
	b.WriteString("  " + clean(name) + "\n")
	for i, s := range v.Steps {
		g := grid{indent: "    "}
		g.add(fmt.Sprintf("%d.", i+1), s.How)
		for _, n := range s.Needs {
			g.add("", "it may "+n.Request+", by "+n.text)
		}
		g.write(b, width)
	}
}

func holderOf(h authz.Holder) holder {
	out := holder{
		Kind: strings.ToLower(h.Subject.Kind), Namespace: h.Subject.Namespace, Name: h.Subject.Name,
		Within: h.Within, Means: h.Means, Unknown: h.Unknown, By: sourceOf(h.By), text: through(h.By),
	}
	if h.Subject.Kind == rbacv1.UserKind {
		if namespace, name, err := serviceaccount.SplitUsername(h.Subject.Name); err == nil {
			out.Kind, out.Namespace, out.Name = "serviceaccount", namespace, name
		} else if node, is := strings.CutPrefix(h.Subject.Name, "system:node:"); is {
			out.Kind, out.Name = "node", node
		}
	}
	if out.Kind == "" {
		out.Kind = "anybody"
	}
	return out
}

// holderKinds is the order in which they are shown: those who are many first.
var holderKinds = []string{"group", "user", "serviceaccount", "node", "anybody"}

var holderTitles = map[string]string{
	"group": "GROUPS", "user": "USERS", "serviceaccount": "SERVICE ACCOUNTS", "node": "NODES", "anybody": "NOBODY KNOWS WHO ELSE",
}

func (o *whoOptions) whoCan(ctx context.Context, args []string) error {
	if err := o.checkOutput(whoOutputs...); err != nil {
		return err
	}
	q, err := o.question(args)
	if err != nil {
		return err
	}
	s, err := o.read(ctx, o.files)
	if err != nil {
		return err
	}
	engine, err := o.engine(s)
	if err != nil {
		return err
	}
	report := whoReport{Request: q.String(), Holders: []holder{}, Notes: engine.Notes()}
	if q.note != "" {
		report.Notes = append(report.Notes, q.note)
	}
	if o.become && (o.output == "csv" || o.output == "jsonl") {
		return misuse("", "--become: goes with table, json and yaml")
	}
	if o.become {
		for _, path := range engine.Become(q.Attributes) {
			report.Become = append(report.Become, wayOf(path))
		}
	}
	unknown := false
	for _, h := range engine.WhoCan(q.Attributes) {
		report.Holders = append(report.Holders, holderOf(h))
		unknown = unknown || h.Unknown
	}
	slices.SortStableFunc(report.Holders, func(a, b holder) int {
		return cmp.Or(
			cmp.Compare(slices.Index(holderKinds, a.Kind), slices.Index(holderKinds, b.Kind)),
			strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
		)
	})
	switch o.output {
	case "table":
		err = o.writeText(whoText(&report, o.become, o.width()))
	case "jsonl":
		err = o.holderLines(&report)
	case "csv":
		err = o.holderCSV(&report)
	default:
		err = o.write(report)
	}
	if err == nil && unknown {
		return &exitError{code: exitIncomplete}
	}
	return err
}

func whoText(r *whoReport, become bool, width int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "who can %s\n\n", clean(r.Request))
	last := holder{}
	var g *grid
	for i := range r.Holders {
		h := &r.Holders[i]
		if h.Kind != last.Kind {
			if g != nil {
				g.write(&b, width)
				b.WriteString("\n")
			}
			g = &grid{indent: "  "}
			b.WriteString(holderTitles[h.Kind] + "\n")
		}
		name := h.Name
		if h.Namespace != "" {
			name = h.Namespace + "/" + name
		}
		if h.Within != "" {
			name += " while in group " + h.Within
		}
		if h.Kind == last.Kind && h.Namespace == last.Namespace && h.Name == last.Name && h.Within == last.Within {
			name = ""
		} else if h.Means != "" {
			g.add(name, h.Means)
			name = ""
		}
		by := "by " + h.text
		if h.Unknown {
			by = "perhaps: " + h.text
		}
		if h.Means == "" || h.By == nil || h.By.Binding != nil {
			g.add(name, by)
		}
		last = *h
	}
	if g == nil {
		b.WriteString("nobody\n")
	} else {
		g.write(&b, width)
	}
	if become {
		b.WriteString("\nCAN BECOME ABLE TO\n")
		if len(r.Become) == 0 {
			b.WriteString("  nobody else\n")
		}
	}
	for i := range r.Become {
		r.Become[i].write(&b, width)
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n")
		g := grid{}
		g.notes("note", r.Notes)
		g.write(&b, width)
	}
	return b.String()
}

func (o *whoOptions) holderLines(r *whoReport) error {
	var b strings.Builder
	for _, h := range r.Holders {
		data, err := jsonText(h, "")
		if err != nil {
			return fmt.Errorf("who can: %w", err)
		}
		b.Write(data)
	}
	return o.writeText(b.String())
}

func (o *whoOptions) holderCSV(r *whoReport) error {
	var b strings.Builder
	w := csv.NewWriter(&b)
	rows := [][]string{{"kind", "namespace", "name", "within", "unknown", "authorizer", "binding", "role", "rule"}}
	for _, h := range r.Holders {
		row := []string{h.Kind, h.Namespace, h.Name, h.Within, fmt.Sprint(h.Unknown), "", "", "", ""}
		if h.By != nil {
			row[5] = h.By.Authorizer
			if h.By.Binding != nil {
				row[6] = h.By.Binding.String()
			}
			if h.By.Role != nil {
				row[7], row[8] = h.By.Role.String(), fmt.Sprint(*h.By.Rule)
			}
		}
		rows = append(rows, row)
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("who can: %w", err)
	}
	return o.writeText(b.String())
}
