package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
	"github.com/bulwark-k8s/bulwark/internal/rotate/bundle"
)

// rotateFolder are the flags for a cluster whose machines are not reached.
type rotateFolder struct {
	keys          pkiKeys
	dir, file     string
	bundles       string
	verify        []string
	kubeconfig    string
	acceptUnknown bool
	wait          time.Duration
}

func (r *rotateFolder) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&r.dir, "dir", "d", "", "the `folder` of init, or with each machine's files")
	f.StringVarP(&r.file, "file", "f", "", "the cluster's description, a YAML `file` (default DIR/cluster.yaml)")
	f.StringVar(&r.bundles, "bundles", "", "`folder` to write what is to be placed (default DIR/rotation/bundles)")
	f.StringArrayVar(&r.verify, "verify", nil, "also ask this `HOST:PORT` which authority it shows, repeatable")
	f.StringVar(&r.kubeconfig, "kubeconfig", "", "an administrator's `file`, to ask the API (default: one of DIR)")
	f.BoolVar(&r.acceptUnknown, "accept-unknown", false, "go on where something could not be seen: you have looked yourself")
	f.DurationVar(&r.wait, "wait", 0, "how long to ask again until a phase is in place")
	r.keys.add(cmd)
}

func (r *rotateFolder) said() bool {
	return r.file != "" || r.bundles != "" || len(r.verify) > 0 || r.kubeconfig != "" || r.acceptUnknown || r.wait != 0 ||
		len(r.keys.identities) > 0 || r.keys.passphraseFile != ""
}

func (r *rotateFolder) config() (pki.Config, error) {
	file := r.file
	if file == "" {
		file = filepath.Join(r.dir, "cluster.yaml")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return pki.Config{}, &exitError{
			code: exitFailed, err: fmt.Errorf("%s: %w", file, cause(err)),
			hint: "describe the machines and their addresses: bulwark pki init --example > cluster.yaml",
		}
	}
	return pki.ParseConfig(file, text)
}

// again is the command that goes on.
func (o *pkiRotateOptions) again() string {
	parts := []string{"bulwark pki rotate", string(o.kind), "-d", o.folder.dir}
	if o.folder.file != "" {
		parts = append(parts, "-f", o.folder.file)
	}
	if o.folder.bundles != "" {
		parts = append(parts, "--bundles", o.folder.bundles)
	}
	return strings.Join(parts, " ")
}

func (o *pkiRotateOptions) runFolder(ctx context.Context, stdin io.Reader) error {
	config, err := o.folder.config()
	if err != nil {
		return err
	}
	answers := bufio.NewReader(stdin)
	r, err := bundle.Open(bundle.Options{
		Dir: o.folder.dir, Config: config, Out: o.folder.bundles, Kubeconfig: o.folder.kubeconfig,
		Verify: o.folder.verify, AcceptUnknown: o.folder.acceptUnknown, Wait: o.folder.wait,
		Unlock: o.folder.keys.unlock, Now: time.Now, Again: o.again(), Waits: o.waits,
		Confirm: func(ph rotate.Phase) (bool, error) { return o.confirm(ph, answers) },
		Answers: o.printAnswers, HandedOut: o.handedOut, Step: dieAtWrite(os.Getenv(rotateDieVariable)),
	})
	if err != nil {
		return err
	}
	plan, cursor, err := r.Load()
	switch {
	case err != nil:
		return err
	case plan != nil && plan.Kind != o.kind:
		return &exitError{
			code: exitFailed, err: fmt.Errorf("a rotation of %s is under way", plan.Kind),
			hint: fmt.Sprintf("finish it with `bulwark pki rotate %s -d %s`, or take it back with --abort", plan.Kind, o.folder.dir),
		}
	case plan == nil && o.abort:
		return fmt.Errorf("no rotation of %s is under way", o.kind)
	case plan == nil:
		var blobs rotate.Blobs
		plan, blobs, err = r.Plan(o.kind, rotate.Options{Now: time.Now(), Settle: o.settle, Tokens: o.forceAfter, Compromised: o.compromised})
		if err != nil {
			return err
		}
		if err := o.show(plan, o.dryRun); err != nil {
			return err
		}
		o.sayHidden()
		if o.dryRun {
			return nil
		}
		if err := r.Begin(plan, blobs); err != nil {
			return err
		}
	default:
		o.sayWhere(plan, cursor)
		if o.dryRun {
			return o.show(plan, true)
		}
	}
	if o.abort {
		if err := r.Abort(); err != nil {
			return o.folderError(err)
		}
	}
	back := r.GoesBack()
	if err := r.Run(ctx); err != nil {
		return o.folderError(err)
	}
	if back {
		fmt.Fprintf(o.streams.Out, "%s is as it was\n", o.kind)
	} else {
		fmt.Fprintf(o.streams.Out, "%s is replaced\n", o.kind)
	}
	return nil
}

func (o *pkiRotateOptions) folderError(err error) error {
	var wait *rotate.WaitError
	var fault *bundle.VerifyError
	switch {
	case errors.Is(err, bundle.ErrHandedOut):
		return nil
	case errors.Is(err, rotate.ErrStopped) && o.until != "":
		fmt.Fprintf(o.streams.ErrOut, "go on: %s\n", o.again())
		return nil
	case errors.Is(err, rotate.ErrStopped):
		return &exitError{code: exitIncomplete, err: err, hint: "go on: " + o.again()}
	case errors.As(err, &wait):
		return &exitError{code: exitIncomplete, err: err, hint: "run the same command again then; --settle and --force-after say how long"}
	case errors.As(err, &fault) && fault.Broken > 0:
		return &exitError{code: exitBroken, err: fault, hint: "do what STEPS.md says there, give components a minute to read it, and run the same command again; or take it back with --abort"}
	case errors.As(err, &fault):
		return &exitError{code: exitIncomplete, err: fault, hint: "run it where these can be reached, or look yourself and say --accept-unknown"}
	case errors.Is(err, rotate.ErrRetired):
		return &exitError{code: exitFailed, err: err, hint: "finish it: " + o.again()}
	}
	return err
}

// sayHidden names what no port and no object tells.
func (o *pkiRotateOptions) sayHidden() {
	hidden := map[rotate.Kind]string{
		rotate.ClusterCA:    "as which client a controller manager, a scheduler, a kubelet or a proxy comes, and whether pods have read the new authority",
		rotate.EtcdCA:       "as which client an apiserver comes to its etcd, and members to each other",
		rotate.FrontProxyCA: "as which client apiservers come to extension API servers, and whether these have read the new authority",
		rotate.SAKeys:       "whether tokens of the old key are still in use, and with which key a controller manager signs",
	}
	fmt.Fprintf(o.streams.Out, "not observable from outside: %s; each machine's apply.sh restarts what reads it, after the files are in place\n", hidden[o.kind])
}

func (o *pkiRotateOptions) handedOut(ph rotate.Phase, folder string) {
	fmt.Fprintf(o.streams.Out, "%s: do what %s says, then run\n  %s\n", ph.Name, filepath.Join(folder, "STEPS.md"), o.again())
}

// printAnswers says who shows and takes what, the worst first.
func (o *pkiRotateOptions) printAnswers(ph rotate.Phase, answers []bundle.Answer) {
	if len(answers) == 0 {
		return
	}
	rank := []bundle.Outcome{bundle.Broken, bundle.Unknown, bundle.Hidden, bundle.Held}
	slices.SortStableFunc(answers, func(a, b bundle.Answer) int {
		return slices.Index(rank, a.Outcome) - slices.Index(rank, b.Outcome)
	})
	w := tabwriter.NewWriter(o.streams.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\tWHERE\tWHAT\tSEEN\n", strings.ToUpper(string(ph.Name)))
	for _, a := range answers {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Outcome, a.Where, a.What, a.Said)
	}
	_ = w.Flush()
}

// dieAtWrite returns what kills this process at a change of a file, counted
// from 0, where a test said so.
func dieAtWrite(at string) func() {
	left, err := strconv.Atoi(at)
	if err != nil {
		return nil
	}
	return func() {
		if left--; left >= 0 {
			return
		}
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
		select {} // the signal is on its way
	}
}
