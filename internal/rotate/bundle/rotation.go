package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bulwark-k8s/bulwark/internal/pki"
	"github.com/bulwark-k8s/bulwark/internal/rotate"
)

// Options say whose keys are replaced, and how. Dir, Config, Now and Again are
// required.
type Options struct {
	Dir        string
	Config     pki.Config
	Out        string   // where bundles go; below the folder's rotation/ if empty
	Kubeconfig string   // an administrator's file; one of the folder if empty
	Verify     []string // HOST:PORT
	// AcceptUnknown goes on where something could not be seen. What was seen
	// to be wrong stops it all the same.
	AcceptUnknown bool
	Wait          time.Duration // how long to go on asking
	Unlock        pki.Unlock
	Now           func() time.Time
	Again         string // the command that goes on, for people
	Waits         map[rotate.Action]time.Duration

	// Confirm asks before a phase is handed out.
	Confirm func(rotate.Phase) (bool, error)
	// Answers hears what was asked after a phase.
	Answers func(rotate.Phase, []Answer)
	// HandedOut hears where a phase's bundles are.
	HandedOut func(rotate.Phase, string)
	// Step is called around every change of a file; tests die in it.
	Step func()

	ask func(context.Context, rotate.Phase) []Answer // of tests
}

// Rotation is one that is, or may be, under way in a folder.
type Rotation struct {
	o     Options
	store store
}

// Open takes a folder.
func Open(o Options) (*Rotation, error) {
	f := &Folder{dir: o.Dir, config: o.Config, step: o.Step}
	if err := f.sweep(); err != nil {
		return nil, err
	}
	return &Rotation{o: o, store: store{f}}, nil
}

// Load returns what is under way, or no plan.
func (r *Rotation) Load() (*rotate.Plan, rotate.Cursor, error) { return r.store.Load() }

// GoesBack reports whether the plan is one that takes another back.
func (r *Rotation) GoesBack() bool {
	st, err := r.store.read()
	return err == nil && st != nil && st.Plan == backward
}

// Plan plans a rotation of what is in the folder.
func (r *Rotation) Plan(kind rotate.Kind, o rotate.Options) (*rotate.Plan, rotate.Blobs, error) {
	if r.o.Config.CAKeys.Store == pki.StoreExternal && kind != rotate.SAKeys {
		return nil, nil, errElsewhere(kind)
	}
	inv, err := r.store.Inventory()
	if err != nil {
		return nil, nil, err
	}
	if err := elsewhere(kind, inv); err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(inv.Machines, func(m rotate.Machine) bool {
		_, sealed := m.Files[certificates+base(kind)+".key.age"]
		return sealed
	}) {
		if o.Seal, err = pki.Sealer(filepath.Join(r.o.Dir, authorities), r.o.Config.CAKeys, r.o.Unlock); err != nil {
			return nil, nil, err
		}
	}
	return rotate.New(kind, inv, o)
}

func base(kind rotate.Kind) string {
	return map[rotate.Kind]string{
		rotate.ClusterCA: pki.ClusterCA, rotate.EtcdCA: pki.EtcdCA, rotate.FrontProxyCA: pki.FrontProxyCA, rotate.SAKeys: pki.ServiceAccountKey,
	}[kind]
}

// elsewhere refuses an authority whose key nobody has here: whoever has it has
// to make its successor.
func elsewhere(kind rotate.Kind, inv rotate.Inventory) error {
	for _, m := range inv.Machines {
		for _, suffix := range []string{".key", ".key.age"} {
			if _, ok := m.Files[certificates+base(kind)+suffix]; ok {
				return nil
			}
		}
	}
	return errElsewhere(kind)
}

func errElsewhere(kind rotate.Kind) error {
	return &hinted{
		fmt.Errorf("authority %s: its key is not here: whoever signs for this cluster has to make the new one, and bulwark cannot roll it", base(kind)),
		"see docs/rotate.md, Somebody else signs: the same phases by hand, with requests of `bulwark pki init --csr-only`",
	}
}

// Begin keeps a plan: from here on it is under way.
func (r *Rotation) Begin(p *rotate.Plan, blobs rotate.Blobs) error {
	return r.store.Begin(p, blobs, rotate.Cursor{Began: r.o.Now()})
}

// ErrHandedOut is returned when a phase's bundles are to be placed.
var ErrHandedOut = errors.New("the next phase is handed out")

// A VerifyError says that a phase is not seen to be in place.
type VerifyError struct {
	Phase           rotate.PhaseName
	Broken, Unknown int
}

func (e *VerifyError) Error() string {
	if e.Broken > 0 {
		return fmt.Sprintf("%s: %d of what was asked is not in place, %d unknown", e.Phase, e.Broken, e.Unknown)
	}
	return fmt.Sprintf("%s: %d of what was asked could not be seen", e.Phase, e.Unknown)
}

// Run verifies the phase that was handed out, mirrors it in the folder, and
// hands out the next one.
func (r *Rotation) Run(ctx context.Context) error {
	runner := &rotate.Runner{
		Store: r.store, Executor: mirror(r.store), Now: r.o.Now, Waits: r.o.Waits,
		Sleep: func(_ context.Context, left time.Duration) error {
			return &rotate.WaitError{For: left, What: "pods have not read yet what is trusted"}
		},
		Confirm:  func(ph rotate.Phase) (bool, error) { return r.gate(ctx, ph) },
		Progress: func(rotate.Phase, rotate.Step, time.Duration, bool) {},
	}
	st, err := r.store.read()
	if err != nil {
		return err
	}
	if err := runner.Run(ctx); err != nil {
		return err
	}
	if st.Out == "" {
		return nil
	}
	return r.tidy(st.Out, "")
}

// mirror is the executor of what happened elsewhere.
type mirror store

func (m mirror) Do(_ context.Context, s rotate.Step, _ func(rotate.Digest) ([]byte, error)) error {
	return store(m).Do(s)
}

// gate lets a phase be recorded once it is seen to be in place. One that
// changes machines is handed out before.
func (r *Rotation) gate(ctx context.Context, ph rotate.Phase) (bool, error) {
	st, err := r.store.read()
	if err != nil {
		return false, err
	}
	if err := r.outlived(ph, st.Cursor); err != nil {
		return false, err
	}
	if changes(ph) {
		out := st.Out
		first := st.Handed != ph.Name
		if first || r.o.Out != "" {
			out = r.out()
		}
		if first {
			if ok, err := r.o.Confirm(ph); err != nil || !ok {
				return false, err
			}
		}
		folder, err := r.handOut(ph, out)
		if err == nil && st.Out != "" {
			err = errors.Join(r.tidy(st.Out, ph.Name), r.tidy(out, ph.Name))
		}
		if err != nil {
			return false, err
		}
		if first || out != st.Out {
			st.Handed, st.Out, st.At = ph.Name, out, r.o.Now()
			if err := r.store.write(*st); err != nil {
				return false, err
			}
		}
		if first {
			r.o.HandedOut(ph, folder)
			return false, ErrHandedOut
		}
	}
	return true, r.verify(ctx, ph)
}

func (r *Rotation) out() string {
	if r.o.Out != "" {
		return r.o.Out
	}
	return r.store.at("bundles")
}

// tidy removes the folders of phases that are over: there are keys in them, and
// nobody must place them any more.
func (r *Rotation) tidy(out string, keep rotate.PhaseName) error {
	for _, name := range []rotate.PhaseName{rotate.Distribute, rotate.Switch, rotate.Retire, "undo-" + rotate.Switch, "undo-" + rotate.Distribute} {
		if name == keep {
			continue
		}
		found, err := filepath.Glob(filepath.Join(out, "[1-9]-"+string(name), stepsFile))
		if err != nil {
			return fmt.Errorf("looking for what was handed out: %w", err)
		}
		for _, f := range found {
			if err := os.RemoveAll(filepath.Dir(f)); err != nil {
				return fmt.Errorf("removing what was handed out: %w", err)
			}
		}
	}
	return nil
}

// outlived makes sure that a phase is not handed out while it has to wait.
func (r *Rotation) outlived(ph rotate.Phase, c rotate.Cursor) error {
	for _, t := range ph.Turns {
		for _, s := range t.Steps {
			if s.Do != rotate.Outlive {
				continue
			}
			if wait, ok := r.o.Waits[s.Do]; ok {
				s.Wait = wait
			}
			if left := s.Wait - r.o.Now().Sub(c.Ended[rotate.Switch]); left > 0 {
				return &rotate.WaitError{For: left, What: "tokens of the old key may still live"}
			}
		}
	}
	return nil
}

func changes(ph rotate.Phase) bool {
	for _, t := range ph.Turns {
		if slices.ContainsFunc(t.Steps, func(s rotate.Step) bool { return s.Do == rotate.Write || s.Do == rotate.SetFlag }) {
			return true
		}
	}
	return false
}

// handOut writes a phase's folder unless it is there.
func (r *Rotation) handOut(ph rotate.Phase, out string) (string, error) {
	plan, _, err := r.store.Load()
	if err != nil {
		return "", err
	}
	number := slices.IndexFunc(plan.Phases, func(p rotate.Phase) bool { return p.Name == ph.Name })
	folder := filepath.Join(out, fmt.Sprintf("%d-%s", number+1, ph.Name))
	if _, err := os.Stat(filepath.Join(folder, stepsFile)); err == nil {
		return folder, nil // it appears whole
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	h := &handout{Folder: r.store.Folder, plan: plan, phase: ph, content: r.store.Content, again: r.o.Again}
	return folder, h.write(folder)
}

// verify asks until everything holds, or the time is over.
func (r *Rotation) verify(ctx context.Context, ph rotate.Phase) error {
	ask := r.o.ask
	if ask == nil {
		plan, _, err := r.store.Load()
		if err != nil {
			return err
		}
		w := &witness{Folder: r.store.Folder, plan: plan, content: r.store.Content, kubeconfig: r.kubeconfig, extra: r.o.Verify}
		ask = w.ask
	}
	for deadline := r.o.Now().Add(r.o.Wait); ; {
		answers := ask(ctx, ph)
		fault := VerifyError{Phase: ph.Name}
		for _, a := range answers {
			switch a.Outcome {
			case Broken:
				fault.Broken++
			case Unknown:
				fault.Unknown++
			case Held, Hidden:
			}
		}
		fine := fault.Broken == 0 && (fault.Unknown == 0 || r.o.AcceptUnknown)
		if fine || !r.o.Now().Before(deadline) {
			r.o.Answers(ph, answers)
			if fine {
				return nil
			}
			return &fault
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// kubeconfig is an administrator's. What the folder has is that of the phase
// before, which the cluster takes all through this one.
func (r *Rotation) kubeconfig() ([]byte, error) {
	if r.o.Kubeconfig != "" {
		return os.ReadFile(r.o.Kubeconfig)
	}
	names := []string{r.store.path(people, "/admin.conf")}
	for _, h := range r.o.Config.ControlPlanes {
		names = append(names, r.store.path(h.Name, kubernetesDir+"/admin.conf"), r.store.path(h.Name, kubernetesDir+"/super-admin.conf"))
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	return nil, errors.New("no administrator's kubeconfig in the folder: give --kubeconfig")
}

// Abort turns round. Run then goes back phase by phase, as it went forward.
func (r *Rotation) Abort() error {
	st, err := r.store.read()
	if err != nil {
		return err
	}
	if st.Plan == backward {
		return nil
	}
	plan, c, err := r.store.Load()
	if err != nil {
		return err
	}
	done := min(c.Phase, len(plan.Phases))
	if done < len(plan.Phases) && st.Handed == plan.Phases[done].Name {
		if st.Handed == rotate.Retire {
			return rotate.ErrRetired
		}
		done++ // machines may have had it
	}
	// The folder may have half of that phase recorded: it goes back with the
	// machines, and what it already says is left alone.
	back := plan.Reverse(done)
	if err := r.store.writeJSON(backward, back); err != nil {
		return err
	}
	return r.store.write(state{Plan: backward, Cursor: rotate.Cursor{Began: c.Began}, Out: st.Out})
}
