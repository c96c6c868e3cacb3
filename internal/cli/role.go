package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/bulwark-k8s/bulwark/controls"
	"github.com/bulwark-k8s/bulwark/internal/cluster"
	"github.com/bulwark-k8s/bulwark/internal/control"
	"github.com/bulwark-k8s/bulwark/internal/kube"
	"github.com/bulwark-k8s/bulwark/internal/scan"
)

// A danger is a permission that gives more than a scan takes from it.
type danger struct {
	need  cluster.Need
	given string // as the role writes it
	why   string
}

var dangers = []danger{
	{cluster.Secrets, "secrets", "RBAC knows no way to list secrets without their values. Bulwark asks for names, types and\nkeys only; whoever gets at this credential can ask for all."},
	{cluster.KubeletConfig, "nodes/proxy", "reads each kubelet's configuration through the API server. With this, commands can be run\nin any pod through a kubelet. `bulwark scan --nodes` reads the same without it."},
}

func newRole(streams genericiooptions.IOStreams) *cobra.Command {
	var patterns, with, without []string
	var name, purpose, config string
	cmd := &cobra.Command{
		Use:     "role",
		GroupID: "look",
		Short:   "Print the ClusterRole that a scan needs, and no more",
		Long: `Role prints a ClusterRole with exactly what the chosen controls read. With it, what
the API shows is known; without a part of it, the controls that rest on that part are
unknown, and all others are as before.

What gives more than a scan takes is named in the comment above the role; --without
leaves it out. Kinds of workloads that .bulwark.yaml names are in it.`,
		Example: `  bulwark role | kubectl apply -f -
  bulwark role --without secrets,nodes/proxy
  bulwark role --controls pod,rbac --name bulwark-pods
  bulwark role --for rights --name bulwark-rights`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var chosen []*control.Control
			needs := slices.Clone(rightsNeeds)
			head := "`bulwark can`, `who can` and `rights` read. Bind it to whoever asks:"
			switch {
			case purpose == "scan":
				var err error
				if chosen, err = controls.Select(patterns, with...); err != nil {
					return notSelected(err)
				}
				needs = scan.Needs(chosen)
				head = fmt.Sprintf("%d controls read. Bind it to whoever scans:", len(chosen))
			case purpose != "rights":
				return misuse("", "--for: %q: want scan or rights", purpose)
			case len(patterns)+len(with) > 0:
				return misuse("", "--for rights: goes with neither --controls nor --with")
			}
			workloads, err := readWorkloads(config, nil)
			if err != nil {
				return err
			}
			known := slices.Clone(needs)
			if slices.Contains(needs, cluster.OwnWorkloads) {
				for _, k := range workloads {
					known = append(known, k.Need)
				}
			}
			var leaveOut []cluster.Need
			for _, w := range without {
				need := cluster.Need(w)
				if w == "nodes/proxy" {
					need = cluster.KubeletConfig
				}
				if !slices.Contains(known, need) {
					return misuse("a resource as RBAC writes it: pods, networkpolicies.networking.k8s.io, nodes/proxy", "--without: %q is not needed", w)
				}
				leaveOut = append(leaveOut, need)
			}
			return printRole(streams, name, head, chosen, kube.Rules(needs, workloads, leaveOut...), needs, leaveOut)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&patterns, "controls", nil, "only what these controls or families read; a leading - leaves one out")
	f.StringSliceVar(&with, "with", nil, "also what these `families` read, which are off by default: "+strings.Join(controls.Optional, ", "))
	f.StringSliceVar(&without, "without", nil, "leave out these resources: secrets, nodes/proxy, configmaps, …")
	addConfig(f, &config)
	f.StringVar(&name, "name", "bulwark-scan", "the role's name")
	f.StringVar(&purpose, "for", "scan", "`what` it is for: scan, or rights for the questions who may do what")
	complete(cmd, "controls", controlIDs()...)
	complete(cmd, "with", controls.Optional...)
	complete(cmd, "for", "scan", "rights")
	complete(cmd, "without", "secrets", "nodes/proxy", "configmaps")
	return cmd
}

func printRole(streams genericiooptions.IOStreams, name, head string, chosen []*control.Control, rules []rbacv1.PolicyRule, needs, leaveOut []cluster.Need) error {
	role := &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      rules,
	}
	data, err := yaml.Marshal(role)
	if err != nil {
		return fmt.Errorf("role: %w", err)
	}
	w := streams.Out
	fmt.Fprintf(w, "# What %s\n", head)
	fmt.Fprintf(w, "#   kubectl create clusterrolebinding %s --clusterrole=%s --serviceaccount=NAMESPACE:NAME\n", name, name)
	for _, d := range dangers {
		if !slices.Contains(needs, d.need) || slices.Contains(leaveOut, d.need) {
			continue
		}
		fmt.Fprintf(w, "#\n# %s: %s\n", d.given, strings.ReplaceAll(d.why, "\n", "\n# "))
		fmt.Fprintf(w, "# Without it (--without %s) unknown: %s\n", d.given, strings.Join(resting(chosen, d.need), " "))
	}
	_, err = w.Write(data)
	return err
}

// resting are the controls that read a need.
func resting(chosen []*control.Control, need cluster.Need) []string {
	var ids []string
	for _, c := range chosen {
		if slices.Contains(c.Needs(), need) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}
