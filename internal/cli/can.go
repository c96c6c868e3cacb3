package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/authz/grant"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// canOptions are the flags of can.
type canOptions struct {
	askOptions
	groups []string
	batch  string
}

var canOutputs = []string{"table", "json", "yaml"}

func newCan(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &canOptions{askOptions: askOptions{kube: kubeFlags, streams: streams}}
	cmd := &cobra.Command{
		Use:     "can SUBJECT VERB RESOURCE[/SUB] [NAME]",
		GroupID: "ask",
		Short:   "Say whether somebody may do something, and why",
		Long: `Can says yes, no or unknown, as the API server would, and through which binding, role
and rule. It asks nobody in the subject's name; it reads who is bound to what. Unknown is
what rests on something that was not read, or on an authorizer outside of the cluster.

` + subjectForms + ` Others are --as-group.

` + resourceForms + `

With --batch it answers many questions: one a line,
{"user","groups","verb","group","resource","subresource","name","namespace","url"}, those
that are absent are empty; one answer a line, in order: {"decision","reason"} with allow,
deny or unknown. A line that is no question is answered unknown, with the reason.

Exit codes: 0 yes, 3 no, 4 unknown; with --batch 0 where every answer is allow or deny, or 4.`,
		Example: `  bulwark can shop/cart get secrets -n shop
  bulwark can ann create pods/exec web-0 -n shop --as-group devs
  bulwark can system:anonymous get /metrics -f site.gz
  bulwark can --batch questions.jsonl -f ./deploy`,
		Args: func(cmd *cobra.Command, args []string) error {
			hint := "see `" + cmd.CommandPath() + " --help`"
			switch {
			case o.batch != "" && len(args) > 0:
				return misuse(hint, "--batch: the questions are in its file, not arguments")
			case o.batch == "" && (len(args) < 3 || len(args) > 4):
				return misuse(hint, "can: %s, want SUBJECT VERB RESOURCE and perhaps NAME", count(len(args), "argument"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	// --as-group is kubectl's own flag, which asks the cluster in somebody's name. Here
	// the subject is who is named.
	f.StringVar(&o.batch, "batch", "", "a `file` with a question on each line; - is standard input")
	o.addFlags(cmd, canOutputs...)
	return cmd
}

// An answer is what can says, in JSON and YAML.
type answer struct {
	Decision  string   `json:"decision"`
	Reason    string   `json:"reason"`
	Subject   string   `json:"subject"`
	User      string   `json:"user,omitempty"`
	Groups    []string `json:"groups,omitempty"`
	Request   string   `json:"request"`
	By        *source  `json:"by,omitempty"`
	AllowedIn []string `json:"allowedIn,omitempty"`
	Notes     []string `json:"notes,omitempty"`
}

// A source is what allows something.
type source struct {
	Authorizer string       `json:"authorizer"`
	Binding    *cluster.Ref `json:"binding,omitempty"`
	Role       *cluster.Ref `json:"role,omitempty"`
	Rule       *int         `json:"rule,omitempty"`
	Line       int          `json:"line,omitempty"`
	Detail     string       `json:"detail,omitempty"`
}

func sourceOf(by authz.Origin) *source {
	if by == (authz.Origin{}) {
		return nil
	}
	out := &source{Authorizer: by.Authorizer, Line: by.Line, Detail: by.Detail}
	if by.Binding != nil {
		out.Binding = &by.Binding.Ref
		if by.Role != nil {
			out.Role, out.Rule = &by.Role.Ref, &by.Rule
		}
	}
	return out
}

func (o *canOptions) run(ctx context.Context, args []string) error {
	if err := o.checkOutput(canOutputs...); err != nil {
		return err
	}
	o.groups, *o.kube.ImpersonateGroup = *o.kube.ImpersonateGroup, nil
	if o.batch != "" {
		return o.runBatch(ctx)
	}
	who, err := parseSubject(args[0], *o.kube.Namespace, o.groups)
	if err != nil {
		return err
	}
	q, err := o.question(args[1:])
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
	asked := q.By(who)
	result := engine.Authorize(&asked)
	out := answer{
		Decision: result.Decision.String(), Reason: result.Reason(), Subject: subjectName(who), User: who.Name, Groups: who.Groups,
		Request: q.String(), By: sourceOf(result.By), Notes: engine.Notes(),
	}
	if q.note != "" {
		out.Notes = append(out.Notes, q.note)
	}
	if result.Decision == authz.Deny && q.namespaced && q.Namespace == "" {
		out.AllowedIn = allowedIn(engine, asked, s.Namespaces())
	}
	if o.output == "table" {
		err = o.writeText(canText(&out, result, o.width()))
	} else {
		err = o.write(out)
	}
	switch {
	case err != nil:
		return err
	case result.Decision == authz.Deny:
		return &exitError{code: exitBroken}
	case result.Decision == authz.Unknown:
		return &exitError{code: exitIncomplete}
	}
	return nil
}

// allowedIn are the namespaces in which it is allowed, where it is not in all.
func allowedIn(engine *authz.Engine, a authz.Attributes, namespaces []string) []string {
	var out []string
	for _, namespace := range namespaces {
		a.Namespace = namespace
		if engine.Authorize(&a).Decision == authz.Allow {
			out = append(out, namespace)
		}
	}
	return out
}

func canText(a *answer, result authz.Answer, width int) string {
	word := map[authz.Decision]string{authz.Allow: "yes", authz.Deny: "no", authz.Unknown: "unknown"}[result.Decision]
	verb := map[authz.Decision]string{authz.Allow: "may", authz.Deny: "may not", authz.Unknown: "perhaps may"}[result.Decision]
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s %s\n", word, clean(a.Subject), verb, clean(a.Request))
	g := grid{indent: "  "}
	switch {
	case result.Decision == authz.Allow:
		g.add("by", through(result.By))
		if rule := ruleText(result.By); rule != "" {
			g.add("rule", rule)
		}
	case result.Decision == authz.Unknown:
		g.add("because", result.Reason())
		g.add("otherwise", map[authz.Decision]string{authz.Allow: "yes", authz.Deny: "no"}[result.Else])
	case result.By != (authz.Origin{}):
		g.add("by", through(result.By))
	default:
		g.add("because", "nobody allows it")
	}
	if len(a.AllowedIn) > 0 {
		g.add("but in", strings.Join(a.AllowedIn, ", "))
	}
	g.notes("note", a.Notes)
	g.write(&b, width)
	return b.String()
}

// ruleText is a rule in words.
func ruleText(by authz.Origin) string {
	if by.Role == nil {
		return ""
	}
	rules := cluster.Rules(by.Role)
	if by.Rule >= len(rules) {
		return ""
	}
	return grant.Describe(rules[by.Rule : by.Rule+1])
}
