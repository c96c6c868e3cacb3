package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/apiconfig"
	"github.com/bulwark-k8s/bulwark/internal/rights"
)

func newRightsABAC(streams genericiooptions.IOStreams) *cobra.Command {
	var prefix string
	o := &askOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "abac-to-rbac FILE",
		Short: "Print roles that allow what an ABAC policy file allows",
		Long: `Abac-to-rbac reads the file of the API server's --authorization-policy-file and
prints roles and bindings with the same decisions: all that RBAC can say of it, and
nothing wider. What it cannot say is listed, line by line, and the exit code is then 4.`,
		Example: `  bulwark rights abac-to-rbac /etc/kubernetes/abac.jsonl
  bulwark rights abac-to-rbac abac.jsonl | kubectl apply --dry-run=server -f -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse("see `"+cmd.CommandPath()+" --help`", "abac-to-rbac: %d arguments, want the policy's file", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return o.abac(args[0], prefix) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "yaml", "`format`: yaml or json")
	f.StringVar(&prefix, "prefix", "abac:", "how the names of roles and bindings begin")
	complete(cmd, "output", "yaml", "json")
	return cmd
}

func (o *askOptions) abac(file, prefix string) error {
	if err := o.checkOutput("yaml", "json"); err != nil {
		return err
	}
	in := o.streams.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, cause(err))
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, apiconfig.MaxSize+1))
	if err != nil {
		return fmt.Errorf("%s: %w", file, cause(err))
	}
	config, err := apiconfig.ParseABAC(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(config.ABAC.Policies) == 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("%s: there is no policy in it", file), hint: "a policy file has a Policy of abac.authorization.kubernetes.io/v1beta1 on every line"}
	}
	objects, rest := rights.FromABAC(config.ABAC.Policies, prefix)
	missing := 0
	for _, r := range rest {
		if !r.Nothing {
			missing++
		}
		fmt.Fprintf(o.streams.ErrOut, "bulwark: %s %s\n", file, clean(r.String()))
	}
	if o.output == "json" {
		if objects == nil {
			objects = []any{}
		}
		err = o.write(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	} else {
		var b strings.Builder
		fmt.Fprintf(&b, "# %s of %s\n", counted(len(config.ABAC.Policies), "policy", "policies"), clean(file))
		for _, r := range rest {
			b.WriteString("#   " + clean(r.String()) + "\n")
		}
		if err = writeManifests(&b, objects); err == nil {
			err = o.writeText(b.String())
		}
	}
	if err == nil && missing > 0 {
		return &exitError{code: exitIncomplete}
	}
	return err
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
