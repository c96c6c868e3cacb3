package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/internal/authz"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
)

// rightsNeeds are the facts that decide over who may do what: RBAC's, the configuration of
// other authorizers, and what the Node authorizer looks at.
var rightsNeeds = append([]cluster.Need{
	cluster.ServiceAccounts, cluster.Namespaces, cluster.Nodes, cluster.Pods,
	cluster.PersistentVolumes, cluster.VolumeAttachments, cluster.DeviceSlices, cluster.PodCertificates,
	cluster.APIServerFlags, cluster.AuthorizationFile, cluster.ABACFile,
}, cluster.RBAC...)

// askOptions are what the commands about rights share: where the facts come from.
type askOptions struct {
	files    []string
	version  string // of the cluster that the files are for
	defaults bool
	output   string
	kube     *genericclioptions.ConfigFlags
	streams  genericiooptions.IOStreams
}

func (o *askOptions) addFlags(cmd *cobra.Command, outputs ...string) {
	f := cmd.Flags()
	o.fileFlag(f)
	f.StringVarP(&o.output, "output", "o", outputs[0], "`format`: "+strings.Join(outputs, ", "))
	f.StringVar(&o.version, "cluster-version", "", "with -f: the Kubernetes `version` that answers, such as v1.34 (default: what the files say, or the newest)")
	f.BoolVar(&o.defaults, "defaults", false, "with -f: add the roles and bindings that Kubernetes makes for itself, where the files lack them")
	o.kube.AddFlags(f)
	completeContexts(cmd, o.kube)
	complete(cmd, "output", outputs...)
}

func (o *askOptions) fileFlag(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.files, "filename", "f", nil, "read a `path` instead of the cluster, repeatable: manifests, folders, dumps, a snapshot")
}

// checkOutput refuses a format that is none of the command's.
func (o *askOptions) checkOutput(outputs ...string) error {
	if !slices.Contains(outputs, o.output) {
		return misuse("", "--output: format %q: want %s", o.output, anyOf(outputs))
	}
	return nil
}

func anyOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// read makes a snapshot of what decides over rights.
func (o *askOptions) read(ctx context.Context, paths []string) (*cluster.Snapshot, error) {
	p := startProgress(o.streams.ErrOut)
	defer p.end()
	s := &scanOptions{kube: o.kube, streams: o.streams, needs: rightsNeeds, everywhere: true}
	return s.read(ctx, paths, p)
}

// maxProblems are shown of what the engine could not take as it stands.
const maxProblems = 10

// engine answers for the snapshot, and warns of what it could not take as it stands.
func (o *askOptions) engine(s *cluster.Snapshot) (*authz.Engine, error) {
	if (o.version != "" || o.defaults) && s.Live {
		return nil, misuse("a running cluster says for itself what it has", "--cluster-version and --defaults are for files")
	}
	if o.version != "" {
		if _, err := utilversion.ParseGeneric(o.version); err != nil {
			return nil, misuse("write it as v1.34", "--cluster-version: %w", err)
		}
	}
	e := authz.New(s, authz.Options{Version: o.version, Defaults: o.defaults})
	for i, p := range e.Problems() {
		if i == maxProblems {
			fmt.Fprintf(o.streams.ErrOut, "bulwark: warning: and %d more objects\n", len(e.Problems())-i)
			break
		}
		fmt.Fprintln(o.streams.ErrOut, "bulwark: warning:", clean(p.String()))
	}
	return e, nil
}

// write prints what is not a table: as JSON, or as the same in YAML.
func (o *askOptions) write(v any) error {
	var data []byte
	var err error
	switch o.output {
	case "yaml":
		data, err = yaml.Marshal(v)
	default:
		data, err = jsonText(v, "  ")
	}
	if err == nil {
		_, err = o.streams.Out.Write(data)
	}
	if err != nil {
		return fmt.Errorf("writing to standard output: %w", cause(err))
	}
	return nil
}

// writeText prints a table.
func (o *askOptions) writeText(text string) error {
	if _, err := io.WriteString(o.streams.Out, text); err != nil {
		return fmt.Errorf("writing to standard output: %w", cause(err))
	}
	return nil
}

func (o *askOptions) width() int {
	width, _ := terminal(o.streams.Out)
	return width
}

func jsonText(v any, indent string) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return []byte(b.String()), err
}

// subjectForms say how to name somebody.
const subjectForms = `A SUBJECT is a user's name; a service account as NAMESPACE/NAME, sa/NAMESPACE/NAME,
sa/NAME with -n, or system:serviceaccount:NAMESPACE:NAME; node/NAME; or group/NAME for
somebody of whom no more is known than this group. A user whose name looks like one of
these is user/NAME. The groups that authentication adds are added.`

// parseSubject reads a SUBJECT.
func parseSubject(word, namespace string, groups []string) (authz.User, error) {
	kind, rest, slashed := strings.Cut(word, "/")
	label := func(s string) bool { return len(validation.IsDNS1123Subdomain(s)) == 0 }
	account := func(namespace, name string) (authz.User, error) {
		if !label(namespace) || !label(name) {
			return authz.User{}, misuse("write sa/NAMESPACE/NAME", "subject %q: no name of a service account", word)
		}
		return identity(serviceaccount.MakeUsername(namespace, name), groups), nil
	}
	switch {
	case word == "":
		return authz.User{}, misuse("", "subject: it is empty")
	case slashed && kind == "user" && rest != "":
		return identity(rest, groups), nil
	case slashed && kind == "group" && rest != "":
		return authz.NewUser("", append([]string{rest}, groups...)...), nil
	case slashed && kind == "node" && rest != "":
		return authz.NewUser("system:node:"+rest, append([]string{"system:nodes"}, groups...)...), nil
	case slashed && (kind == "sa" || kind == "serviceaccount"):
		if ns, name, both := strings.Cut(rest, "/"); both {
			return account(ns, name)
		}
		if namespace == "" {
			return authz.User{}, misuse("write sa/NAMESPACE/NAME, or give -n", "subject %q: a service account is in a namespace", word)
		}
		return account(namespace, rest)
	case slashed && label(kind) && label(rest):
		return account(kind, rest)
	}
	return identity(word, groups), nil
}

// identity is a user with the groups, and those that authentication adds: a service
// account's always, as its token has them.
func identity(name string, groups []string) authz.User {
	if namespace, _, err := serviceaccount.SplitUsername(name); err == nil {
		for _, g := range serviceaccount.MakeGroupNames(namespace) {
			if !slices.Contains(groups, g) {
				groups = append(slices.Clip(groups), g)
			}
		}
	}
	return authz.NewUser(name, groups...)
}

// subjectName is how a subject is shown: "serviceaccount shop/cart", "user ann".
func subjectName(u authz.User) string {
	if namespace, name, err := serviceaccount.SplitUsername(u.Name); err == nil {
		return "serviceaccount " + namespace + "/" + name
	}
	if u.Name == "" && len(u.Groups) > 0 {
		return "group " + u.Groups[0]
	}
	return "user " + u.Name
}

// inWords says where something is.
func inWords(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return "everywhere"
	}
	return "in " + namespace
}
