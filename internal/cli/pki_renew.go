package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/pki"
)

func newPKIRenew(streams genericiooptions.IOStreams) *cobra.Command {
	keys := &pkiKeys{streams: streams}
	var o pki.RenewOptions
	var dir, lifetime string
	cmd := &cobra.Command{
		Use:   "renew -d DIR (--all | NAME…)",
		Short: "Renew certificates and kubeconfigs, and say what must restart",
		Long: `Renew certificates, and those in kubeconfigs, from the authorities' keys. DIR is
a folder of init, a machine's root, or /etc/kubernetes as kubeadm makes it.

Subject, names and usages stay as they are; the key is new, unless --keep-key.
Where the key of an authority is not here, a request is written instead, and
import takes the answer. Authorities are not renewed.

NAME is a certificate (cp-1/etcd/server, apiserver, admin.conf), or in a folder
of init also a machine, or a certificate of all machines.`,
		Example: `  sudo bulwark pki renew --all -d /etc/kubernetes --dry-run
  sudo bulwark pki renew --all -d /etc/kubernetes
  bulwark pki renew apiserver -d prod-pki       # of every control plane
  bulwark pki renew node-1 admin.conf -d prod-pki
  bulwark pki renew --all -d node-1-root --ca-dir prod-pki/ca`,
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case dir == "":
				return misuse("bulwark pki renew --all -d DIR", "renew: which folder?")
			case o.All && len(args) > 0:
				return misuse("leave out one of them", "--all and names say different things")
			case !o.All && len(args) == 0:
				return misuse("bulwark pki renew --all -d "+dir+" --dry-run lists them", "renew: which certificates?")
			}
			if lifetime != "" {
				var err error
				if o.Lifetime, err = pki.ParseLifetime(lifetime); err != nil {
					return misuse("", "--lifetime: %w", err)
				}
			}
			o.Names, o.Now, o.Unlock = args, time.Now(), keys.unlock
			result, err := pki.Renew(dir, o)
			if errors.Is(err, pki.ErrNoSuchName) {
				return misuse("bulwark pki renew --all -d "+dir+" --dry-run lists them", "%w", err)
			}
			if err != nil {
				return existing(err)
			}
			return printRenewals(streams, result, o, dir)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&dir, "dir", "d", "", "the `folder` with the certificates")
	f.BoolVar(&o.All, "all", false, "renew every certificate that can be")
	f.StringVar(&o.CADir, "ca-dir", "", "the `folder` with the authorities, where it is another")
	f.BoolVar(&o.DryRun, "dry-run", false, "change nothing, and say what would be")
	f.BoolVar(&o.KeepKey, "keep-key", false, "keep the private keys")
	f.StringVar(&lifetime, "lifetime", "", "how `long` the new ones last: 12h, 90d, 1y (default: as long as the old)")
	keys.add(cmd)
	return cmd
}

func printRenewals(streams genericiooptions.IOStreams, r *pki.RenewResult, o pki.RenewOptions, dir string) error {
	talk := streams.ErrOut
	if r.Recovered {
		fmt.Fprintln(talk, "bulwark: completed what an earlier run had begun")
	}
	w := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CERTIFICATE\tOF\tBEFORE\tAFTER\tRESULT")
	counts := map[pki.Action]int{}
	cut := map[string]bool{}
	for _, n := range r.Renewals {
		counts[n.Action]++
		result := string(n.Action)
		if o.DryRun && n.Action != pki.Left {
			result = "to be " + result
		}
		if n.Reason != "" {
			result += ": " + n.Reason
		}
		if n.Cut {
			cut[fmt.Sprintf("%s expires on %s", n.Authority, n.After.Format(time.DateOnly))] = true
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.ID, orDash(n.Subject.CommonName), date(n.Before), date(n.After), result)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	printPickups(streams, r, o.DryRun)
	for _, c := range sortedKeys(cut) {
		fmt.Fprintf(talk, "bulwark: warning: authority %s, and its certificates with it: it has to be rolled\n", c)
	}
	switch {
	case o.DryRun:
		fmt.Fprintln(talk, "bulwark: dry run: nothing was changed")
	case counts[pki.Requested] > 0:
		fmt.Fprintf(talk, "bulwark: requests are in %s/requests; `bulwark pki import -d %s SIGNED…` takes the answers\n", strings.TrimSuffix(dir, "/"), dir)
	}
	if r.Backup != "" {
		fmt.Fprintf(talk, "bulwark: what was replaced is in %s\n", r.Backup)
	}
	if left := counts[pki.Left]; !o.All && left > 0 {
		return &exitError{code: exitFailed, err: fmt.Errorf("renew: %d of %d were left as they are", left, len(r.Renewals))}
	}
	return nil
}

// printPickups says once for each way what has to happen, and to what.
func printPickups(streams genericiooptions.IOStreams, r *pki.RenewResult, dryRun bool) {
	ids := map[string][]string{}
	var order []string
	for _, n := range r.Renewals {
		if n.Pickup == "" {
			continue
		}
		if ids[n.Pickup] == nil {
			order = append(order, n.Pickup)
		}
		ids[n.Pickup] = append(ids[n.Pickup], n.ID)
	}
	if len(order) == 0 {
		return
	}
	if dryRun {
		fmt.Fprintln(streams.Out, "\nhow they would be picked up, once on their machines:")
	} else {
		fmt.Fprintln(streams.Out, "\nhow they are picked up, once on their machines:")
	}
	for _, p := range order {
		const most = 6
		names := ids[p]
		more := ""
		if len(names) > most {
			more = fmt.Sprintf(" and %d more", len(names)-most)
			names = names[:most]
		}
		fmt.Fprintf(streams.Out, "  %s: %s%s\n", p, strings.Join(names, ", "), more)
	}
}

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func sortedKeys(m map[string]bool) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
