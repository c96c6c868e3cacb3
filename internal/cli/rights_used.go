package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/auditlog"
	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/rights"
)

// usedOptions are the flags of rights used.
type usedOptions struct {
	askOptions
	logs     []string
	subjects []string
	unused   bool
	all      bool
	maxNames int
	prefix   string
}

var usedOutputs = []string{"table", "yaml", "json"}

func newRightsUsed(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &usedOptions{askOptions: askOptions{kube: kubeFlags, streams: streams}}
	cmd := &cobra.Command{
		Use:   "used --audit-log FILE",
		Short: "Print the smallest roles that cover what an audit log shows was used",
		Long: `Used reads an audit log of the API server and says what each identity did, as rules;
-o yaml prints the roles and bindings that allow exactly that. They are never narrower
than the log, and no wider than RBAC can say: resourceNames stand where they work.
What every authenticated identity may do anyway is left out. What was denied was not
used, and is listed apart.

With --unused it also says what is granted to each and was not used: by the cluster of
the current context, or by what -f gives.

The log shows what its policy records and its time covers; what happens once a quarter
has to be in it. Exit code 4: something in the log could not be read.

` + subjectForms,
		Example: `  bulwark rights used --audit-log /var/log/kubernetes/audit/audit.log
  zcat audit-*.gz | bulwark rights used --audit-log - --subject shop/cart -o yaml
  bulwark rights used --audit-log audit.log -f site.gz --unused`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.logs, "audit-log", nil, "an audit log's `file`, gzip or not, repeatable; - is standard input")
	f.StringArrayVar(&o.subjects, "subject", nil, "only this `subject`, repeatable: shop/cart, ann, system:kube-scheduler")
	f.BoolVar(&o.unused, "unused", false, "also say what is granted and was not used")
	f.BoolVar(&o.all, "all", false, "also nodes, the control plane and system:masters, whose rights come from elsewhere")
	f.IntVar(&o.maxNames, "max-names", 20, "more objects of one kind than this, named one by one, become any name")
	f.StringVar(&o.prefix, "prefix", "used:", "how the names of roles and bindings begin")
	o.addFlags(cmd, usedOutputs...)
	return cmd
}

// A usedSubject is one identity in the report.
type usedSubject struct {
	Subject  string           `json:"subject"`
	User     string           `json:"user"`
	Groups   []string         `json:"groups,omitempty"`
	Requests int              `json:"requests"`
	Rights   []usedRights     `json:"rights"`
	Denied   []rights.Refusal `json:"denied,omitempty"`
	Widened  []string         `json:"widened,omitempty"`
	Notes    []string         `json:"notes,omitempty"`
	Unused   []rights.Unused  `json:"unused,omitempty"`

	sets map[string]rights.Set
}

type usedRights struct {
	Namespace string              `json:"namespace,omitempty"`
	Rules     []rbacv1.PolicyRule `json:"rules"`
}

type usedReport struct {
	Logs       []string      `json:"logs"`
	First      *time.Time    `json:"first,omitempty"`
	Last       *time.Time    `json:"last,omitempty"`
	Requests   int           `json:"requests"`
	Unfinished int           `json:"unfinished,omitempty"`
	Incomplete []string      `json:"incomplete,omitempty"`
	LeftOut    []string      `json:"leftOut,omitempty"`
	Subjects   []usedSubject `json:"subjects"`
}

func (o *usedOptions) run(ctx context.Context) error {
	if err := o.checkOutput(usedOutputs...); err != nil {
		return err
	}
	switch {
	case len(o.logs) == 0:
		return misuse("it is the API server's --audit-log-path, often /var/log/kubernetes/audit/audit.log", "--audit-log: which log?")
	case o.maxNames < 0:
		return misuse("", "--max-names: %d is less than none", o.maxNames)
	}
	var only []string
	for _, word := range o.subjects {
		who, err := parseSubject(word, *o.kube.Namespace, nil)
		if err != nil {
			return err
		}
		if who.Name == "" {
			return misuse("a log tells users and service accounts", "--subject: %q is a group", word)
		}
		only = append(only, who.Name)
	}
	var engine *authz.Engine
	var namespaces []string
	if o.unused {
		s, err := o.read(ctx, o.files)
		if err != nil {
			return err
		}
		engine, namespaces = authz.New(s, authz.Options{}), s.Namespaces()
	} else if len(o.files) > 0 {
		return misuse("it is for the grants to compare with", "-f: goes with --unused")
	}
	used, err := rights.NewUsed(rights.UsedOptions{Only: only, MaxNames: o.maxNames, Given: rights.Authenticated()})
	if err != nil {
		return err
	}
	report := usedReport{Logs: o.logs}
	for _, file := range o.logs {
		unread, err := o.readLog(ctx, file, used)
		if err != nil {
			return err
		}
		if unread.Lines > 0 {
			report.Incomplete = append(report.Incomplete, fmt.Sprintf("%s: %s could not be read: %s", file, count(unread.Lines, "line"), unread.First))
		}
	}
	if used.Overflow > 0 {
		report.Incomplete = append(report.Incomplete, fmt.Sprintf("%s were one kind of thing too many to keep: ask for one --subject at a time", count(used.Overflow, "request")))
	}
	o.fill(&report, used, engine, namespaces)
	for _, why := range report.Incomplete {
		fmt.Fprintf(o.streams.ErrOut, "bulwark: error: %s\n", clean(why))
	}
	if used.Requests+used.Unfinished == 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("%s: there is no request in it", strings.Join(o.logs, " ")), hint: "an audit log has an event of audit.k8s.io/v1 on every line"}
	}
	switch o.output {
	case "json":
		err = o.write(report)
	case "yaml":
		err = o.roles(&report)
	default:
		err = o.writeText(usedTable(&report, o.width()))
	}
	if err == nil && len(report.Incomplete) > 0 {
		return &exitError{code: exitIncomplete}
	}
	return err
}

func (o *usedOptions) readLog(ctx context.Context, file string, used *rights.Used) (auditlog.Unread, error) {
	in := o.streams.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return auditlog.Unread{}, fmt.Errorf("--audit-log %s: %w", file, cause(err))
		}
		defer f.Close()
		in = f
	}
	p := startProgress(o.streams.ErrOut)
	defer p.end()
	n := 0
	unread, err := auditlog.Read(in, func(e *auditlog.Event) error {
		if n++; n%4096 == 0 {
			p.say("reading %s: %d events", file, n)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return used.Take(e)
	})
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return unread, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return unread, fmt.Errorf("--audit-log %s: it is cut off", file)
	}
	return unread, fmt.Errorf("--audit-log %s: %w", file, cause(err))
}

func (o *usedOptions) fill(report *usedReport, used *rights.Used, engine *authz.Engine, namespaces []string) {
	report.Subjects = []usedSubject{}
	leftOut := map[string]int{}
	for _, s := range used.Subjects() {
		if why := rights.BuiltIn(&s.User); why != "" && !o.all && len(o.subjects) == 0 {
			leftOut[why]++
			continue
		}
		out := usedSubject{
			Subject: subjectName(s.User), User: s.User.Name, Groups: s.User.Groups, Requests: s.Requests,
			Rights: []usedRights{}, Denied: s.Denied(), Widened: s.Widened, Notes: s.Notes, sets: s.Rights(),
		}
		for _, namespace := range slices.Sorted(maps.Keys(out.sets)) {
			out.Rights = append(out.Rights, usedRights{namespace, out.sets[namespace].Rules()})
		}
		if engine != nil {
			out.Unused = rights.UnusedGrants(s, engine, namespaces)
		}
		report.Subjects = append(report.Subjects, out)
	}
	for _, why := range slices.Sorted(maps.Keys(leftOut)) {
		which := "each of which"
		if leftOut[why] == 1 {
			which = "which"
		}
		report.LeftOut = append(report.LeftOut, fmt.Sprintf("%s, %s %s", count(leftOut[why], "subject"), which, why))
	}
	report.Requests, report.Unfinished = used.Requests, used.Unfinished
	if !used.First.IsZero() {
		report.First, report.Last = &used.First, &used.Last
	}
}

// head says what the log is.
func (r *usedReport) head() string {
	text := strings.Join(r.Logs, " ") + ": " + count(r.Requests, "request")
	if r.First != nil {
		const day = "2006-01-02 15:04"
		text += ", " + r.First.UTC().Format(day) + " to " + r.Last.UTC().Format(day) + " UTC"
	}
	if r.Unfinished > 0 {
		text += fmt.Sprintf("; the end of %d more is not in it", r.Unfinished)
	}
	return text
}

func usedTable(r *usedReport, width int) string {
	var b strings.Builder
	b.WriteString(clean(r.head()) + "\n")
	for i := range r.Subjects {
		s := &r.Subjects[i]
		fmt.Fprintf(&b, "\n%s: %s\n", clean(s.Subject), count(s.Requests, "request"))
		labels := 0
		for _, part := range s.Rights {
			labels = max(labels, len(inWords(part.Namespace)))
		}
		remarks := s.remarks()
		for _, part := range remarks {
			labels = max(labels, len(part.label))
		}
		g := grid{indent: "  ", first: labels}
		for _, part := range s.Rights {
			where := inWords(part.Namespace)
			for _, line := range rights.Lines(part.Rules) {
				g.add(where, strings.Join(line.Verbs, ", "), line.On())
				where = ""
			}
		}
		if len(s.Rights) == 0 {
			b.WriteString("  nothing that not everybody may do\n")
		}
		g.write(&b, width)
		for _, part := range remarks {
			g := grid{indent: "  ", first: labels}
			g.notes(part.label, part.texts)
			g.write(&b, width)
		}
	}
	if len(r.LeftOut) > 0 {
		b.WriteString("\n")
	}
	left := grid{}
	left.notes("left out", r.LeftOut)
	left.write(&b, width)
	if len(r.Subjects) > 0 {
		b.WriteString("\n-o yaml prints the roles; --subject NAME takes one of them\n")
	}
	return b.String()
}

type remark struct {
	label string
	texts []string
}

// remarks are all that there is to say of a subject besides its rights.
func (s *usedSubject) remarks() []remark {
	var out []remark
	add := func(label string, texts []string) {
		if len(texts) > 0 {
			out = append(out, remark{label, texts})
		}
	}
	var denied, unused []string
	const most = 10
	for i, d := range s.Denied {
		if i == most {
			denied = append(denied, fmt.Sprintf("and %d more", len(s.Denied)-most))
			break
		}
		text := d.Text
		if d.Requests > 1 {
			text += fmt.Sprintf(" (%d times)", d.Requests)
		}
		denied = append(denied, text)
	}
	for _, u := range s.Unused {
		unused = append(unused, u.String())
	}
	add("denied", denied)
	add("any name", s.Widened)
	add("unused", unused)
	add("note", s.Notes)
	return out
}

// roles prints the manifests.
func (o *usedOptions) roles(r *usedReport) error {
	var b strings.Builder
	b.WriteString("# " + clean(r.head()) + "\n")
	names := rights.Namer{Prefix: o.prefix}
	for i := range r.Subjects {
		s := &r.Subjects[i]
		fmt.Fprintf(&b, "#\n# %s: %s\n", clean(s.Subject), count(s.Requests, "request"))
		for _, part := range s.remarks() {
			for _, text := range part.texts {
				b.WriteString("#   " + part.label + ": " + clean(text) + "\n")
			}
		}
		who := rights.SubjectOf(s.User)
		if err := writeManifests(&b, rights.Manifests(names.Name(who), who, s.sets)); err != nil {
			return err
		}
	}
	return o.writeText(b.String())
}

func writeManifests(b *strings.Builder, objects []any) error {
	for _, object := range objects {
		data, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("roles: %w", err)
		}
		b.WriteString("---\n")
		b.Write(data)
	}
	return nil
}
