package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway/internal/runtime"
)

var (
	_ runtime.Freezer   = (*Driver)(nil)
	_ runtime.Throttler = (*Driver)(nil)
)

// frost says whether an instance is frozen.
type frost struct {
	mu     sync.Mutex    // guards all
	thawed chan struct{} // closed when it is frozen no more; nil while it is not
	times  int           // that it was frozen
	ending bool          // it is being stopped: it is not frozen any more
	abort  context.CancelCauseFunc
}

// set notes that the instance is frozen, or runs.
func (f *frost) set(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case on && f.thawed == nil:
		f.thawed = make(chan struct{})
		f.times++
	case !on && f.thawed != nil:
		close(f.thawed)
		f.thawed = nil
	}
}

func (f *frost) is() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.thawed != nil
}

// ends reports whether the instance is being stopped.
func (f *frost) ends() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ending
}

// begin begins to freeze. The context that it returns also ends when the instance is to be
// stopped.
func (f *frost) begin(ctx context.Context) (_ context.Context, done func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, f.abort = context.WithCancelCause(ctx)
	if f.ending {
		f.abort(runtime.ErrNotRunning)
	}
	return ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.abort(nil)
		f.abort = nil
	}
}

// end has the instance not frozen any more.
func (f *frost) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ending = true
	if f.abort != nil {
		f.abort(runtime.ErrNotRunning)
	}
}

// Freeze implements runtime.Freezer.
func (d *Driver) Freeze(ctx context.Context, id string) error {
	return d.rest(ctx, id, "freeze", func(ctx context.Context, in *instance) error {
		ctx, done := in.frost.begin(ctx)
		defer done()
		in.frost.set(true) // before: a check of its health that this interrupts does not count
		err := in.group.Freeze(ctx)
		if err != nil {
			frozen, _ := in.group.Frozen() // also the thaw may have failed
			in.frost.set(frozen)
		}
		return err
	})
}

// Thaw implements runtime.Freezer.
func (d *Driver) Thaw(ctx context.Context, id string) error {
	return d.rest(ctx, id, "thaw", func(_ context.Context, in *instance) error {
		err := in.group.Thaw()
		if err == nil {
			in.frost.set(false)
		}
		return err
	})
}

// Throttle implements runtime.Throttler.
func (d *Driver) Throttle(ctx context.Context, id string, cpu int) error {
	return d.rest(ctx, id, "throttle", func(_ context.Context, in *instance) error {
		switch full := in.spec.CPU; {
		case full == 0:
			return nil // it is not known what to go back to
		case cpu == 0 || cpu > full:
			return in.group.SetCPU(full)
		}
		return in.group.SetCPU(cpu)
	})
}

// rest changes how a live instance rests.
func (d *Driver) rest(ctx context.Context, id, what string, change func(context.Context, *instance) error) error {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	in := d.instance(id)
	if in == nil {
		return runtime.ErrNotFound
	}
	in.freezing.Lock()
	defer in.freezing.Unlock()
	if !in.alive() || in.frost.ends() {
		return runtime.ErrNotRunning
	}
	if err := change(ctx, in); err != nil {
		return fmt.Errorf("%s instance %s: %w", what, id, err)
	}
	return nil
}

// thawForEnd lets the instance's processes go on, so that they take signals, and has none
// of them frozen any more.
func (in *instance) thawForEnd() error {
	in.frost.end()
	in.freezing.Lock()
	defer in.freezing.Unlock()
	if err := in.group.Thaw(); err != nil {
		return err
	}
	in.frost.set(false)
	if in.spec.CPU > 0 && in.alive() { // its grace is short enough
		return gone(in.group.SetCPU(in.spec.CPU))
	}
	return nil
}

// gone ignores that a group does not exist any more.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// takeRest finds out whether an earlier daemon has left the instance frozen, and undoes that
// it has throttled it.
func (in *instance) takeRest(log *slog.Logger) {
	if in.spec.CPU > 0 {
		if err := in.group.SetCPU(in.spec.CPU); err != nil {
			log.Error("cannot set the processor time of an instance", "instance", in.id, "err", err)
		}
	}
	frozen, err := in.group.Frozen()
	if err != nil {
		log.Error("cannot see whether an instance is frozen", "instance", in.id, "err", err)
	}
	in.frost.set(frozen)
}

// Frozen implements runtime.Freezer.
func (d *Driver) Frozen(id string) bool {
	_, thawed := d.Freezes(id)
	return thawed != nil
}

// Freezes implements runtime.Freezer.
func (d *Driver) Freezes(id string) (times int, thawed <-chan struct{}) {
	select {
	case <-d.ready: // the instances are known
	case <-d.closed:
		return 0, nil
	}
	in := d.instance(id)
	if in == nil || !in.alive() {
		return 0, nil
	}
	in.frost.mu.Lock()
	defer in.frost.mu.Unlock()
	return in.frost.times, in.frost.thawed
}

// CanFreeze reports whether this machine can freeze instances.
func (d *Driver) CanFreeze() bool { return d.slice.CanFreeze() }
