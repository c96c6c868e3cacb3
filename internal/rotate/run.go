package rotate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Executor carries out steps where the machines are. A step that has been done
// already is done again without effect.
type Executor interface {
	Do(ctx context.Context, s Step, content func(Digest) ([]byte, error)) error
}

// Store keeps a rotation while it is under way. Save replaces the cursor at
// once or not at all.
type Store interface {
	Begin(p *Plan, blobs Blobs, c Cursor) error
	// Load returns no plan if none is under way.
	Load() (*Plan, Cursor, error)
	Save(c Cursor) error
	Content(d Digest) ([]byte, error)
	// End forgets it: the keys of both authorities with it.
	End() error
}

// Cursor is where a rotation is.
type Cursor struct {
	Began time.Time `json:"began"`
	// Phase, Turn and Step are the next to be done, by number; Begun is whether
	// that step may have been done in part.
	Phase int  `json:"phase"`
	Turn  int  `json:"turn"`
	Step  int  `json:"step"`
	Begun bool `json:"begun,omitempty"`
	// Confirmed is whether the phase may go on without a question.
	Confirmed bool `json:"confirmed,omitempty"`
	// Ended is when each phase was through.
	Ended map[PhaseName]time.Time `json:"ended,omitempty"`
	// Since is when a waiting step began.
	Since time.Time `json:"since,omitzero"`
	// Back is whether it goes back; then Turn counts the turns taken back.
	Back bool `json:"back,omitempty"`
}

// Runner carries out what a Store holds.
type Runner struct {
	Store    Store
	Executor Executor
	Now      func() time.Time
	// Sleep waits, or returns the context's error.
	Sleep func(context.Context, time.Duration) error
	// Confirm asks before a phase; false stops there, to go on later.
	Confirm func(Phase) (bool, error)
	// Progress hears of each step before and, with its time, after it.
	Progress func(Phase, Step, time.Duration, bool)
	// Waits replace how long steps of an action wait, for who has changed his
	// mind since the plan was made.
	Waits map[Action]time.Duration
	// Boundary is called after each save; tests die in it.
	Boundary func(number int)
}

// ErrStopped is returned when Confirm said no.
var ErrStopped = errors.New("stopped before the next phase")

// A WaitError says that a phase has to wait.
type WaitError struct {
	For  time.Duration
	What string
}

func (e *WaitError) Error() string {
	return fmt.Sprintf("%s: not before %s", e.What, e.For.Round(time.Second))
}

// Hint is the next step.
func (*WaitError) Hint() string {
	return "run the same command again then, or say with --force-after how long they may live at most"
}

// Run goes on from where the cursor is to the end.
func (r *Runner) Run(ctx context.Context) error {
	p, c, err := r.Store.Load()
	if err != nil {
		return err
	}
	if p == nil {
		return errors.New("no rotation is under way")
	}
	if c.Back {
		return r.goBack(ctx, p, c)
	}
	for ; c.Phase < len(p.Phases); c.Phase++ {
		ph := p.Phases[c.Phase]
		if !c.Confirmed {
			ok, err := r.Confirm(ph)
			if err != nil {
				return err
			}
			if !ok {
				return ErrStopped
			}
			c.Confirmed = true
			if err := r.Store.Save(c); err != nil {
				return err
			}
		}
		if err := r.phase(ctx, p, ph, &c); err != nil {
			return fmt.Errorf("%s: %w", ph.Name, err)
		}
		if c.Ended == nil {
			c.Ended = map[PhaseName]time.Time{}
		}
		c.Ended[ph.Name] = r.Now()
		c.Turn, c.Step, c.Begun, c.Confirmed = 0, 0, false, false
		next := c
		next.Phase++
		if err := r.Store.Save(next); err != nil {
			return err
		}
	}
	return r.Store.End()
}

func (r *Runner) phase(ctx context.Context, p *Plan, ph Phase, c *Cursor) error {
	// A turn that was interrupted begins again: what it had taken away from its
	// machine was given back when the process ended.
	c.Step = 0
	for ; c.Turn < len(ph.Turns); c.Turn++ {
		turn := ph.Turns[c.Turn]
		for c.Step = 0; c.Step < len(turn.Steps); {
			number := position(p, c.Phase, c.Turn, c.Step)
			c.Begun = true
			if err := r.save(*c, 2*number); err != nil {
				return err
			}
			if err := r.step(ctx, ph, turn.Steps[c.Step], c); err != nil {
				return fmt.Errorf("%s%w", on(turn.Machine), err)
			}
			c.Step++
			c.Begun = false
			if err := r.save(*c, 2*number+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func on(machine string) string {
	if machine == "" {
		return ""
	}
	return machine + ": "
}

// position counts the steps before one.
func position(p *Plan, phase, turn, step int) int {
	n := step
	for i, ph := range p.Phases[:phase+1] {
		for j, t := range ph.Turns {
			if i < phase || j < turn {
				n += len(t.Steps)
			}
		}
	}
	return n
}

func (r *Runner) save(c Cursor, number int) error {
	if err := r.Store.Save(c); err != nil {
		return err
	}
	if r.Boundary != nil {
		r.Boundary(number)
	}
	return nil
}

func (r *Runner) step(ctx context.Context, ph Phase, s Step, c *Cursor) error {
	began := r.Now()
	if wait, ok := r.Waits[s.Do]; ok {
		s.Wait = wait
	}
	r.Progress(ph, s, 0, false)
	var err error
	switch s.Do {
	case Settle:
		err = r.settle(ctx, s, c)
	case Outlive:
		if left := s.Wait - r.Now().Sub(c.Ended[Switch]); left > 0 {
			return &WaitError{For: left, What: "tokens of the old key may still live"}
		}
	default:
		err = r.Executor.Do(ctx, s, r.Store.Content)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	r.Progress(ph, s, r.Now().Sub(began), true)
	return nil
}

// settle waits out what is left of a time that began with the first attempt.
func (r *Runner) settle(ctx context.Context, s Step, c *Cursor) error {
	if c.Since.IsZero() {
		c.Since = r.Now()
		if err := r.Store.Save(*c); err != nil {
			return err
		}
	}
	if left := s.Wait - r.Now().Sub(c.Since); left > 0 {
		return r.Sleep(ctx, left)
	}
	return nil
}

// ErrRetired is returned by Abort when there is no way back.
var ErrRetired = errors.New("the old one is being retired already: there is no way back")

// Abort takes everything back. If it is interrupted, it or Run goes on.
func (r *Runner) Abort(ctx context.Context) error {
	p, c, err := r.Store.Load()
	if err != nil {
		return err
	}
	if p == nil {
		return errors.New("no rotation is under way")
	}
	if !c.Back {
		if c.Phase < len(p.Phases) && p.Phases[c.Phase].Name == Retire && (c.Turn > 0 || c.Step > 0 || c.Begun && !waits(p.Phases[c.Phase])) {
			return ErrRetired
		}
		done := Cursor{Began: c.Began, Ended: c.Ended, Phase: min(c.Phase, len(p.Phases)-1), Back: true}
		if err := r.Store.Save(done); err != nil {
			return err
		}
		c = done
	}
	return r.goBack(ctx, p, c)
}

// waits reports whether a phase begins with a step that only waits.
func waits(ph Phase) bool {
	return len(ph.Turns) > 0 && len(ph.Turns[0].Steps) > 0 && ph.Turns[0].Steps[0].Do == Outlive
}

// backward is how many boundaries a way forward has at most: those of a way
// back are numbered above.
const backward = 1 << 20

// goBack takes back all turns up to the cursor's phase. Those that had not
// begun find nothing to do.
func (r *Runner) goBack(ctx context.Context, p *Plan, c Cursor) error {
	var turns []Turn
	for _, ph := range p.Phases[:c.Phase+1] {
		if ph.Name != Retire {
			turns = append(turns, ph.Turns...)
		}
	}
	ph := Phase{Name: "abort", Why: "everything is as before", Turns: undo(turns)}
	number := backward
	for _, t := range ph.Turns[:c.Turn] {
		number += 2 * len(t.Steps)
	}
	for ; c.Turn < len(ph.Turns); c.Turn++ {
		turn := ph.Turns[c.Turn]
		for c.Step = 0; c.Step < len(turn.Steps); c.Step++ {
			c.Begun = true
			if err := r.save(c, number); err != nil {
				return err
			}
			if err := r.step(ctx, ph, turn.Steps[c.Step], &c); err != nil {
				return fmt.Errorf("going back: %s%w", on(turn.Machine), err)
			}
			c.Begun = false
			if err := r.save(c, number+1); err != nil {
				return err
			}
			number += 2
		}
	}
	return r.Store.End()
}

// Machines lists those that a phase touches, in their order.
func (ph Phase) Machines() []string {
	var names []string
	for _, t := range ph.Turns {
		if t.Machine != "" && !slices.Contains(names, t.Machine) {
			names = append(names, t.Machine)
		}
	}
	return names
}
