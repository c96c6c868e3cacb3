package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/segment/expect"
	"github.com/bulwark-k8s/bulwark/internal/segment/show"
)

// suiteFormats are how tests' outcomes are written, the first one by default.
var suiteFormats = []string{"text", "json", "junit"}

func newNetTest(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &netOptions{kube: kubeFlags, streams: streams}
	var file string
	var outputs []string
	cmd := &cobra.Command{
		Use:   "test -f FILE [PATH…]",
		Short: "Hold what must and must not connect against the policies",
		Long: `Test reads expectations from a file and says of each whether the policies fulfil it:
of the cluster of the current context, or of PATHs.

  schema: bulwark.net-test/v1
  tests:
  - name: only the front reaches the database
    from: pods
    notFrom: shop/deploy/web
    to: data/statefulset/db
    expect: denied
  - from: shop/deploy/web
    to: data/svc/db
    ports: [TCP/5432]
    expect: allowed

A test holds if every pair of from and to is as expected on every port; without ports
these are all. docs/net.md has all fields. Exit codes: 3 if a test fails, 4 if none
does and one cannot be told.`,
		Example: `  # in a pull request, with the manifests it changes
  bulwark net test -f expectations.yaml ./deploy

  # the running cluster, for a pipeline
  bulwark net test -f expectations.yaml -o text -o junit=net.xml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.color = colour(cmd, streams.Out)
			if file == "" {
				return misuse("write -f expectations.yaml", "test: no file of expectations was given")
			}
			return o.test(cmd.Context(), file, args, outputs)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "filename", "f", "", "the `file` of expectations")
	f.StringArrayVarP(&outputs, "output", "o", nil, "`format` or format=file, repeatable: "+strings.Join(suiteFormats, ", ")+" (default text)")
	complete(cmd, "output", suiteFormats...)
	o.addFlags(cmd, false)
	return cmd
}

// format finds a name among others, for parseOutputs.
func format(names []string) func(string) (string, error) {
	return func(name string) (string, error) {
		if slices.Contains(names, name) {
			return name, nil
		}
		return "", fmt.Errorf("format %q: want %s", name, strings.Join(names, ", "))
	}
}

func (o *netOptions) test(ctx context.Context, file string, paths, values []string) error {
	outputs, err := parseOutputs(values, suiteFormats, format(suiteFormats))
	if err != nil {
		return err
	}
	data, err := o.readAll(file, expect.MaxFileSize)
	if err != nil {
		return err
	}
	tests, err := expect.Parse(file, data, o.namespace())
	if err != nil {
		return misuse("docs/net.md has the file's fields", "%w", err)
	}
	in, err := o.read(ctx, paths)
	if err != nil {
		return err
	}
	began := time.Now()
	suite := &show.Suite{File: file, Target: in.Snapshot.Name}
	for _, t := range tests {
		suite.Results = append(suite.Results, t.Run(in.View))
	}
	suite.Took = time.Since(began)
	err = writeOutputs(o.streams, outputs, func(w io.Writer, format string, toFile bool) error {
		switch format {
		case "json":
			return show.WriteSuiteJSON(w, suite)
		case "junit":
			return show.WriteSuiteJUnit(w, suite)
		}
		shown := o.shown()
		if toFile {
			shown = show.Options{}
		}
		return show.WriteSuite(w, suite, shown)
	})
	if err != nil {
		return err
	}
	_, failed, unknown := suite.Count()
	if failed > 0 {
		return &exitError{code: exitBroken}
	}
	return in.exit(unknown > 0)
}

// readAll reads a small file, or standard input.
func (o *netOptions) readAll(path string, most int64) ([]byte, error) {
	in := o.streams.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, cause(err))
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return data, nil
}
