package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/lab"
	"github.com/bulwark-k8s/bulwark/internal/lab/probe"
)

// groupLab is where the root's help lists these commands.
const groupLab = "lab"

// labFlags are what every lab command takes.
type labFlags struct{ name, stateDir string }

func (f *labFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", lab.DefaultName, "the cluster's `name`")
	cmd.Flags().StringVar(&f.stateDir, "state-dir", "", "`folder` that clusters have their folders in (default /var/lib/bulwark/lab as root, else $XDG_STATE_HOME/bulwark/lab)")
}

// labEnvironment is what the lab may know of this process.
func labEnvironment() (lab.Environment, error) {
	executable, err := os.Executable()
	if err != nil {
		return lab.Environment{}, fmt.Errorf("finding this program: %w", err)
	}
	return lab.Environment{Root: os.Geteuid() == 0, Executable: executable, Getenv: os.Getenv}, nil
}

func newUp(streams genericiooptions.IOStreams) *cobra.Command {
	var common labFlags
	var o lab.Options
	var nodes int
	var profiles []string
	for _, p := range lab.Profiles {
		profiles = append(profiles, p.Name+" ("+p.Summary+")")
	}
	cmd := &cobra.Command{
		Use:     "up",
		GroupID: groupLab,
		Short:   "Start a real cluster on this machine",
		Long: `Start a real Kubernetes cluster on this machine: etcd, apiserver, controller
manager, scheduler, and nodes with containerd and kubelet.

As root every machine of the cluster has network, mount, process and host name
namespaces of its own; without root there are no nodes. Nothing of a cluster can
be reached from outside this machine, and nothing of this machine's own network
is changed. See docs/lab.md.

The steps go to stderr. Stdout has one line for the shell, so that
eval "$(bulwark up)" is enough to begin.`,
		Example: `  sudo bulwark up                             # one node, every practice on
  sudo bulwark up --nodes 2 --name shop       # beside the first
  sudo bulwark up --profile weak --name weak  # what not to do
  sudo bulwark up --control-planes 3          # three etcd members, three apiservers
  bulwark up --nodes 0                        # without root: the control plane only`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := labEnvironment()
			if err != nil {
				return err
			}
			o.Name, o.StateDir = common.name, common.stateDir
			if cmd.Flags().Changed("nodes") {
				o.Nodes = &nodes
			}
			if err := o.Validate(env); err != nil {
				return &exitError{code: exitMisuse, err: err, hint: hintOf(err)}
			}
			began := time.Now()
			p := startProgress(streams.ErrOut)
			defer p.end()
			p.say("starting")
			cluster, err := lab.Up(cmd.Context(), o, env, func(step string, took time.Duration) {
				p.print("%-26s %5.1fs\n", step, took.Seconds())
			})
			p.end()
			if err != nil {
				return err
			}
			printUp(streams, cluster, time.Since(began))
			return nil
		},
	}
	common.add(cmd)
	cmd.Flags().StringVar(&o.Profile, "profile", lab.Profiles[0].Name, "one of "+strings.Join(profiles, ", "))
	cmd.Flags().IntVar(&nodes, "nodes", 1, "how `many` nodes; they need root (default without root: 0)")
	cmd.Flags().IntVar(&o.ControlPlanes, "control-planes", 1, "how `many` control planes: 1 or 3")
	cmd.Flags().IntVar(&o.APIPort, "api-port", 0, "`port` on 127.0.0.1 for the API (default 6443, or any that is free)")
	cmd.Flags().StringVar(&o.Components, "components", "", "`folder` with the Kubernetes components (default $BULWARK_LAB, lab/ beside this program, or bin/lab)")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", lab.DefaultTimeout, "how long to wait until all is healthy")
	cmd.Flags().BoolVar(&o.KeepOnFailure, "keep-on-failure", false, "leave what there is when it fails")
	complete(cmd, "profile", "hardened", "kubeadm", "weak")
	complete(cmd, "control-planes", "1", "3")
	return cmd
}

// hintOf is the hint in an error's chain, or nothing.
func hintOf(err error) string {
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		return hinter.Hint()
	}
	return ""
}

func printUp(streams genericiooptions.IOStreams, c *lab.Cluster, took time.Duration) {
	talk := streams.ErrOut
	fmt.Fprintf(talk, "\ncluster %s (%s: %s) is ready after %.1fs\n", c.Name, c.Profile.Name, c.Profile.Summary, took.Seconds())
	if c.Namespaced {
		fmt.Fprintf(talk, "it listens only on 127.0.0.1:%d and inside its own network namespaces\n", c.APIPort)
	} else {
		fmt.Fprintf(talk, "it listens only on 127.0.0.1: the API on port %d, the rest on ports of its own\n", c.APIPort)
	}
	if c.Profile.Warning != "" {
		fmt.Fprintf(talk, "warning: %s\n", c.Profile.Warning)
	}
	fmt.Fprintln(talk)
	fmt.Fprintf(streams.Out, "export KUBECONFIG=%s\n", c.Kubeconfig)
}

func newDown(streams genericiooptions.IOStreams) *cobra.Command {
	var common labFlags
	var all, ignoreNotFound bool
	cmd := &cobra.Command{
		Use:     "down",
		GroupID: groupLab,
		Short:   "Remove a cluster that up has started",
		Long: `Remove a cluster that up has started: its processes, namespaces, mounts,
interfaces, control groups and files. It works in whatever state the cluster
is, also when its owner process was killed or its files are damaged.`,
		Example: `  sudo bulwark down
  sudo bulwark down --name shop
  sudo bulwark down --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := labEnvironment()
			if err != nil {
				return err
			}
			names := []string{common.name}
			if all {
				if cmd.Flags().Changed("name") {
					return misuse("leave out one of them", "--all and --name say different things")
				}
				if names, err = lab.Names(common.stateDir, env); err != nil {
					return err
				}
			}
			if ignoreNotFound {
				there, err := lab.Names(common.stateDir, env)
				if err != nil {
					return err
				}
				names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(there, n) })
			}
			var errs []error
			for _, name := range names {
				began := time.Now()
				if err := lab.Down(cmd.Context(), name, common.stateDir, env); err != nil {
					errs = append(errs, err)
					continue
				}
				fmt.Fprintf(streams.ErrOut, "cluster %s is gone (%.1fs)\n", name, time.Since(began).Seconds())
			}
			return errors.Join(errs...)
		},
	}
	common.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "remove every cluster of this user")
	cmd.Flags().BoolVar(&ignoreNotFound, "ignore-not-found", false, "a cluster that is not there is gone already")
	return cmd
}

func newStatus(streams genericiooptions.IOStreams) *cobra.Command {
	var common labFlags
	var output string
	cmd := &cobra.Command{
		Use:     "status",
		GroupID: groupLab,
		Short:   "Show what runs of a cluster, where, and whether it is healthy",
		Long: `Show what runs of a cluster, where, and whether it is healthy. Every component
is asked over its own channel, with the certificates its clients use.

The exit code is 0 when all is healthy and 1 when something is not.`,
		Example: `  sudo bulwark status
  sudo bulwark status --name shop -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return misuse("use -o table or -o json", "output format %q: not known", output)
			}
			env, err := labEnvironment()
			if err != nil {
				return err
			}
			status, err := lab.Inspect(cmd.Context(), common.name, common.stateDir, env)
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(streams.Out)
				encoder.SetIndent("", "  ")
				err = encoder.Encode(status)
			} else {
				err = printStatus(streams.Out, status, time.Now())
			}
			if err != nil {
				return fmt.Errorf("printing the status: %w", err)
			}
			switch {
			case status.Healthy():
				return nil
			case !status.OwnerAlive:
				return &exitError{
					code: exitFailed, err: fmt.Errorf("cluster %s: its owner process has died", status.Name),
					hint: "bulwark down --name " + status.Name,
				}
			}
			return &exitError{code: exitFailed}
		},
	}
	common.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "table", "`format`: table or json")
	complete(cmd, "output", "table", "json")
	return cmd
}

func printStatus(out io.Writer, s *lab.Status, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	ago := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return duration.HumanDuration(now.Sub(t))
	}
	row("cluster", s.Name)
	row("profile", s.Profile)
	row("phase", s.Phase)
	row("since", s.Created.Format(time.RFC3339)+" ("+ago(s.Created)+")")
	row("server", s.Server)
	row("kubeconfig", s.Kubeconfig)
	if s.Problem != "" {
		row("problem", s.Problem)
	}
	fmt.Fprintln(w)
	row("MACHINE", "ADDRESS", "COMPONENT", "PID", "UP", "RESTARTS", "HEALTH")
	pid := func(n int) string {
		if n == 0 {
			return "-"
		}
		return strconv.Itoa(n)
	}
	health := func(ok bool, why string) string {
		if ok {
			return "healthy"
		}
		return why
	}
	ownerHealth := "has died"
	if s.OwnerAlive {
		ownerHealth = "running"
	}
	row("(host)", "127.0.0.1", "owner", pid(s.OwnerPID), ago(s.Created), "0", ownerHealth)
	for _, m := range s.Machines {
		for _, c := range s.Components {
			if c.Machine == m.Name {
				row(m.Name, m.IP, c.Name, pid(c.PID), ago(c.Since), strconv.Itoa(c.Restarts), health(c.Healthy, c.Why))
			}
		}
	}
	return w.Flush()
}

func newEnter(streams genericiooptions.IOStreams) *cobra.Command {
	var common labFlags
	cmd := &cobra.Command{
		Use:     "enter MACHINE [-- COMMAND...]",
		GroupID: groupLab,
		Short:   "Run a command inside a machine of a cluster",
		Long: `Run a command inside a machine of a cluster, as root, with the files, processes
and network that the machine has. Without a command, a shell. The exit code is
the command's.`,
		Example: `  sudo bulwark enter node-1
  sudo bulwark enter control-plane-1 -- ls -l /etc/kubernetes/pki
  sudo bulwark enter node-1 --name shop -- ss -ltnp`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return misuse("bulwark status lists them", "enter: which machine?")
			}
			if len(args) > 1 && cmd.ArgsLenAtDash() != 1 {
				return misuse("bulwark enter "+args[0]+" -- COMMAND...", "enter: a command is written after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			env, err := labEnvironment()
			if err != nil {
				return err
			}
			err = lab.Enter(cmd.Context(), lab.Command{
				Cluster: common.name, StateDir: common.stateDir, Machine: args[0], Args: args[1:],
				Stdin: streams.In, Stdout: streams.Out, Stderr: streams.ErrOut,
			}, env)
			var exit lab.ExitError
			if errors.As(err, &exit) {
				return &exitError{code: exit.Code} // it has said what it had to say
			}
			return err
		},
	}
	common.add(cmd)
	return cmd
}

// newLabInternal are the commands under which this program starts itself.
func newLabInternal(streams genericiooptions.IOStreams) []*cobra.Command {
	cmd := &cobra.Command{Use: lab.HiddenCommand, Hidden: true, Args: cobra.NoArgs}
	var dir string
	run := func(f func(context.Context, lab.Environment, *slog.Logger) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, _ []string) error {
			env, err := labEnvironment()
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(streams.ErrOut, nil))
			return f(cmd.Context(), env, log)
		}
	}
	owner := &cobra.Command{
		Use: "owner", Hidden: true, Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, env lab.Environment, log *slog.Logger) error {
			return lab.RunOwner(ctx, dir, env, log)
		}),
	}
	owner.Flags().StringVar(&dir, "dir", "", "the cluster's `folder`")
	machine := &cobra.Command{
		Use: "machine", Hidden: true, Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ lab.Environment, log *slog.Logger) error {
			return lab.RunMachine(ctx, log)
		}),
	}
	var member probe.Probe
	access := &cobra.Command{
		Use: "etcd-access", Hidden: true, Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ lab.Environment, _ *slog.Logger) error {
			return lab.RestrictEtcd(ctx, member)
		}),
	}
	access.Flags().StringVar(&member.URL, "endpoint", "", "the member's client `URL`")
	access.Flags().StringVar(&member.CA, "cacert", "", "etcd's authority, a `file`")
	access.Flags().StringVar(&member.Cert, "cert", "", "root's certificate, a `file`")
	access.Flags().StringVar(&member.Key, "key", "", "root's key, a `file`")
	cmd.AddCommand(owner, machine, access)
	return []*cobra.Command{cmd}
}
