package embedded

import (
	"context"
	"fmt"

	"github.com/openslipway/slipway/internal/runtime"
)

var _ runtime.Freezer = (*Driver)(nil)

// Freeze implements runtime.Freezer.
func (d *Driver) Freeze(ctx context.Context, id string) error {
	return d.setFrozen(ctx, id, true)
}

// Thaw implements runtime.Freezer.
func (d *Driver) Thaw(ctx context.Context, id string) error {
	return d.setFrozen(ctx, id, false)
}

func (d *Driver) setFrozen(ctx context.Context, id string, on bool) error {
	_, done, err := d.begin(ctx)
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
	if !in.alive() || in.ending {
		return runtime.ErrNotRunning
	}
	set, what := in.group.Thaw, "thaw"
	if on {
		set, what = in.group.Freeze, "freeze"
	}
	if err := set(); err != nil {
		return fmt.Errorf("%s instance %s: %w", what, id, err)
	}
	in.frozen.Store(on)
	return nil
}

// thawForEnd lets the instance's processes go on, so that they take signals, and has none
// of them frozen any more.
func (in *instance) thawForEnd() error {
	in.freezing.Lock()
	defer in.freezing.Unlock()
	in.ending = true
	if err := in.group.Thaw(); err != nil {
		return err
	}
	in.frozen.Store(false)
	return nil
}

// Frozen implements runtime.Freezer.
func (d *Driver) Frozen(id string) bool {
	_, done, err := d.begin(context.Background()) // waits until the instances are known
	if err != nil {
		return false
	}
	defer done()
	in := d.instance(id)
	return in != nil && in.frozen.Load()
}

// CanFreeze reports whether this machine can freeze instances.
func (d *Driver) CanFreeze() bool { return d.slice.CanFreeze() }
