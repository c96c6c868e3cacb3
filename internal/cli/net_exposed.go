package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/segment"
	"github.com/bulwark-k8s/bulwark/internal/segment/show"
)

func newNetExposed(kubeFlags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &netOptions{kube: kubeFlags, streams: streams}
	var output string
	cmd := &cobra.Command{
		Use:   "exposed",
		Short: "Say what is reached from outside, and what pods reach of the cluster itself",
		Long: `Exposed finds the ways in from outside of the cluster: Services of the types
LoadBalancer and NodePort, external IPs, Ingresses, routes of Gateways, host ports, and pods on
their nodes' networks; and says of each what is behind it and whether policies let
anybody through. Then it says which workloads reach the API server, etcd, the kubelets
and the cloud's metadata service.

Firewalls and load balancers' own rules are no objects of the cluster, and not seen.`,
		Example: `  bulwark net exposed
  bulwark net exposed -f ./deploy -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.color = colour(cmd, streams.Out)
			return o.exposed(cmd.Context(), output)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "text", "`format`: text or json")
	complete(cmd, "output", "text", "json")
	o.addFlags(cmd, true)
	return cmd
}

func (o *netOptions) exposed(ctx context.Context, output string) error {
	if output != "text" && output != "json" {
		return misuse("", "--output: format %q: want text or json", output)
	}
	in, err := o.read(ctx, o.files, segment.Doors...)
	if err != nil {
		return err
	}
	x := in.Exposed()
	err = o.write(func(w io.Writer) error {
		if output == "json" {
			return show.WriteExposedJSON(w, in.Profile().Name, x)
		}
		return show.WriteExposed(w, x, o.shown())
	})
	if err != nil {
		return err
	}
	return in.exit(show.Untold(x))
}
