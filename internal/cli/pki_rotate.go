package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/bulwark-k8s/bulwark/internal/lab"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

// rotateDieVariable is for the tests that kill a rotation: the number of a
// boundary between steps, or that of a write with a w, in the middle of it.
const rotateDieVariable = "BULWARK_TEST_ROTATE_DIE"

type pkiRotateOptions struct {
	streams genericiooptions.IOStreams

	kind     rotate.Kind
	lab      string
	stateDir string
	dryRun   bool
	yes      bool
	abort    bool
	until    string

	folder rotateFolder // for clusters that are no lab's

	settle, forceAfter time.Duration
	compromised        bool
	waits              map[rotate.Action]time.Duration // that were said, and not left to the plan
}

func newPKIRotate(_ *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &pkiRotateOptions{streams: streams, folder: rotateFolder{keys: pkiKeys{streams: streams}}}
	var kinds []string
	for _, k := range rotate.Kinds {
		kinds = append(kinds, string(k))
	}
	cmd := &cobra.Command{
		Use:   "rotate ca|etcd-ca|front-proxy-ca|sa-keys (-d DIR | --lab NAME)",
		Short: "Replace an authority, or the key of service accounts, while the cluster runs",
		Long: `Replace an authority, or the key of service accounts, while the cluster runs.

It goes in phases: distribute (everybody trusts the old and the new one), reissue
(each certificate has a successor, and servers accept it), switch (everybody shows
the new one), retire (nobody trusts the old one). Each is shown and confirmed, done
one machine at a time, and verified on live handshakes.

What has been done is written down before and after every step: the same command
again goes on after an interruption. --abort takes everything back, until retire
has begun. See docs/rotate.md.

With -d it is any cluster: DIR is a folder of init, or has each machine's
/etc/kubernetes below DIR/MACHINE, and a cluster.yaml. For each phase it writes a
folder for each machine, with the files to place and a script that places them
and restarts what must be, and STEPS.md, which says in which order. The same
command again then asks the cluster from outside, with live handshakes, whether
the phase is in place, and only then writes the next one. It changes no machine.

With -d the exit code is 3 where something was seen not to be in place yet, and
4 where something could not be seen, or has to wait.`,
		Example: `  bulwark pki rotate ca -d prod-pki --dry-run
  bulwark pki rotate ca -d prod-pki --bundles /secure/handout
  bulwark pki rotate ca -d prod-pki --verify lb.example.com:6443
  bulwark pki rotate ca --lab default --dry-run
  bulwark pki rotate sa-keys --lab default --yes
  bulwark pki rotate etcd-ca --lab default --abort`,
		ValidArgs: kinds,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse("one of "+strings.Join(kinds, ", "), "pki rotate: what is to be replaced?")
			}
			var err error
			if o.kind, err = rotate.ParseKind(args[0]); err != nil {
				return misuse("", "%w", err)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.waits = map[rotate.Action]time.Duration{}
			if cmd.Flags().Changed("settle") {
				o.waits[rotate.Settle] = o.settle
			}
			if cmd.Flags().Changed("force-after") {
				o.waits[rotate.Outlive] = o.forceAfter
			}
			return o.run(cmd.Context(), cmd.InOrStdin())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.lab, "lab", "", "the lab cluster's `name`")
	f.StringVar(&o.stateDir, "state-dir", "", "`folder` that lab clusters have their folders in")
	f.BoolVar(&o.dryRun, "dry-run", false, "show the plan, step by step, and change nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "begin each phase without asking")
	f.BoolVar(&o.abort, "abort", false, "take everything back")
	f.StringVar(&o.until, "until", "", "stop when this `phase` is through: distribute, reissue or switch")
	f.DurationVar(&o.settle, "settle", rotate.DefaultSettle, "how long pods get to read what is trusted, before anything is switched")
	f.DurationVar(&o.forceAfter, "force-after", rotate.DefaultTokens, "how long after the switch tokens of the old key may live; then they are refused")
	o.folder.add(cmd)
	f.BoolVar(&o.compromised, "compromised", false, "replace all at once: what breaks is printed first")
	return cmd
}

func (o *pkiRotateOptions) validate() error {
	switch {
	case o.lab == "" && o.folder.dir == "":
		return misuse("bulwark pki rotate "+string(o.kind)+" -d DIR", "pki rotate: which cluster?")
	case o.lab != "" && o.folder.dir != "":
		return misuse("leave out one of them", "--lab and --dir name two clusters")
	case o.lab != "" && o.folder.said():
		return misuse("leave them out", "--file, --bundles, --verify, --kubeconfig, --accept-unknown, --wait and --identity go with --dir")
	}
	for _, address := range o.folder.verify {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return misuse("", "--verify %s: want HOST:PORT", address)
		}
	}
	if len(o.folder.verify) > 0 && o.kind != rotate.ClusterCA && o.kind != rotate.EtcdCA {
		return misuse("leave it out: what can be asked is asked", "--verify: no server shows a certificate of %s", o.kind)
	}
	if o.until != "" && !slices.Contains([]string{"distribute", "reissue", "switch"}, o.until) {
		return misuse("", "--until %s: want distribute, reissue or switch", o.until)
	}
	if o.settle < 0 || o.forceAfter < 0 {
		return misuse("", "--settle and --force-after: want durations that are not negative")
	}
	if o.abort && (o.compromised || o.until != "") {
		return misuse("", "--abort takes everything back: it goes with neither --until nor --compromised")
	}
	return nil
}

func (o *pkiRotateOptions) run(ctx context.Context, stdin io.Reader) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	if o.folder.dir != "" {
		return o.runFolder(ctx, stdin)
	}
	env, err := labEnvironment()
	if err != nil {
		return err
	}
	cluster, err := lab.OpenRotation(ctx, o.lab, o.stateDir, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Close()) }()
	plan, cursor, err := cluster.Load()
	if err != nil {
		return err
	}
	if plan != nil && plan.Kind != o.kind {
		return &exitError{
			code: exitFailed, err: fmt.Errorf("a rotation of %s is under way", plan.Kind),
			hint: fmt.Sprintf("finish it with `bulwark pki rotate %s --lab %s`, or take it back with --abort", plan.Kind, o.lab),
		}
	}
	if plan == nil {
		if o.abort {
			return fmt.Errorf("no rotation of %s is under way", o.kind)
		}
		if _, err = o.begin(cluster); err != nil || o.dryRun {
			return err
		}
	} else {
		o.sayWhere(plan, cursor)
		if o.dryRun {
			return o.show(plan, true)
		}
	}
	return o.carryOut(ctx, cluster, bufio.NewReader(stdin))
}

// begin plans, shows the plan, and keeps it unless it was only to be shown.
func (o *pkiRotateOptions) begin(cluster *lab.Rotation) (*rotate.Plan, error) {
	if err := cluster.Check(o.kind); err != nil {
		return nil, err
	}
	inventory, err := cluster.Inventory()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	plan, blobs, err := rotate.New(o.kind, inventory, rotate.Options{
		Now: now, Settle: o.settle, Tokens: o.forceAfter, Compromised: o.compromised,
	})
	if err != nil {
		return nil, err
	}
	if err := o.show(plan, o.dryRun); err != nil || o.dryRun {
		return plan, err
	}
	return plan, cluster.Begin(plan, blobs, rotate.Cursor{Began: now})
}

// show prints a plan: its phases, or all of its steps.
func (o *pkiRotateOptions) show(plan *rotate.Plan, steps bool) error {
	w := tabwriter.NewWriter(o.streams.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PHASE\tMACHINE\tWHAT")
	for _, ph := range plan.Phases {
		fmt.Fprintf(w, "%s\t%d\t%s\n", ph.Name, len(ph.Machines()), ph.Why)
		if !steps {
			if s := ph.Summary(); s != "" {
				fmt.Fprintf(w, "\t\t%s\n", s)
			}
			continue
		}
		for _, t := range ph.Turns {
			for _, s := range t.Steps {
				fmt.Fprintf(w, "\t%s\t%s\n", s.Machine, s)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, n := range plan.Notes {
		fmt.Fprintf(o.streams.Out, "note: %s\n", n)
	}
	return nil
}

func (o *pkiRotateOptions) sayWhere(plan *rotate.Plan, c rotate.Cursor) {
	switch {
	case c.Back:
		fmt.Fprintf(o.streams.ErrOut, "going on taking back the rotation of %s that began at %s\n", plan.Kind, c.Began.Format(time.DateTime))
	case c.Phase < len(plan.Phases):
		fmt.Fprintf(o.streams.ErrOut, "going on with the rotation of %s that began at %s: %s\n", plan.Kind, c.Began.Format(time.DateTime), plan.Phases[c.Phase].Name)
	}
}

func (o *pkiRotateOptions) carryOut(ctx context.Context, cluster *lab.Rotation, answers *bufio.Reader) error {
	began := time.Now()
	runner := &rotate.Runner{
		Store: cluster, Executor: cluster, Now: time.Now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		},
		Confirm:  func(ph rotate.Phase) (bool, error) { return o.confirm(ph, answers) },
		Progress: o.progress,
		Waits:    o.waits,
	}
	runner.Boundary, cluster.MidWrite = rotateFailpoint(os.Getenv(rotateDieVariable))
	act, done := runner.Run, "replaced"
	if o.abort {
		act, done = runner.Abort, "as it was"
	}
	switch err := act(ctx); {
	case errors.Is(err, rotate.ErrStopped):
		again := fmt.Sprintf("go on: bulwark pki rotate %s --lab %s", o.kind, o.lab)
		if o.until != "" {
			fmt.Fprintln(o.streams.ErrOut, again)
			return nil
		}
		return &exitError{code: exitIncomplete, err: err, hint: again}
	case errors.As(err, new(*rotate.WaitError)):
		var wait *rotate.WaitError
		errors.As(err, &wait)
		return &exitError{code: exitIncomplete, err: err, hint: wait.Hint()}
	case errors.Is(err, rotate.ErrRetired):
		return &exitError{code: exitFailed, err: err, hint: fmt.Sprintf("finish it: bulwark pki rotate %s --lab %s", o.kind, o.lab)}
	case err != nil:
		return o.withNext(err)
	}
	fmt.Fprintf(o.streams.Out, "%s is %s, after %s\n", o.kind, done, time.Since(began).Round(100*time.Millisecond))
	return nil
}

// withNext adds what to do about a step that did not succeed.
func (o *pkiRotateOptions) withNext(err error) error {
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) && hinter.Hint() != "" {
		return err
	}
	return &exitError{
		code: exitFailed, err: err,
		hint: fmt.Sprintf("once it is mended: bulwark pki rotate %s --lab %s; or take it back with --abort", o.kind, o.lab),
	}
}

func (o *pkiRotateOptions) confirm(ph rotate.Phase, answers *bufio.Reader) (bool, error) {
	order := []rotate.PhaseName{rotate.Distribute, rotate.Reissue, rotate.Switch, rotate.Retire}
	if o.until != "" && slices.Index(order, ph.Name) > slices.Index(order, rotate.PhaseName(o.until)) {
		return false, nil
	}
	fmt.Fprintf(o.streams.ErrOut, "%s: %s", ph.Name, ph.Why)
	if s := ph.Summary(); s != "" {
		fmt.Fprintf(o.streams.ErrOut, " (%s)", s)
	}
	if o.yes || len(ph.Turns) == 0 {
		fmt.Fprintln(o.streams.ErrOut)
		return true, nil
	}
	fmt.Fprint(o.streams.ErrOut, "\nbegin? [y/N] ")
	line, err := answers.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// progress is a line for each step, when it is done, with its time.
func (o *pkiRotateOptions) progress(_ rotate.Phase, s rotate.Step, took time.Duration, done bool) {
	if !done {
		return
	}
	where := s.Machine
	if where == "" {
		where = "cluster"
	}
	fmt.Fprintf(o.streams.ErrOut, "  %-16s %6.1fs  %s\n", where, took.Seconds(), s)
}

// rotateFailpoint returns what kills this process where a test said: nothing,
// unless it did.
func rotateFailpoint(at string) (boundary func(int), midWrite func()) {
	if at == "" {
		return nil, nil
	}
	text, inWrite := strings.CutSuffix(at, "w")
	wanted, err := strconv.Atoi(text)
	if err != nil {
		return nil, nil
	}
	die := func() {
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
		select {} // the signal is on its way
	}
	last := -1
	boundary = func(n int) {
		last = n
		// What writes nothing dies after it.
		if n == wanted && !inWrite || n == wanted+1 && inWrite {
			die()
		}
	}
	midWrite = func() {
		if inWrite && last == wanted {
			die()
		}
	}
	return boundary, midWrite
}
