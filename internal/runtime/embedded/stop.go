package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Remove implements runtime.Driver.
func (d *Driver) Remove(ctx context.Context, id string, grace time.Duration) error {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	in, err := d.stop(ctx, id, grace)
	if in == nil || err != nil {
		return err
	}
	// Stopping did not hold the lock: another call may ask for a shorter grace.
	unlock, err := d.starting.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if d.instance(id) != in {
		return nil // another call has removed it
	}
	if err := d.factory.discardDir(in.dir, in.spec.Sandbox); err != nil {
		return fmt.Errorf("remove instance %s: %w", id, err)
	}
	d.forget(in)
	in.close()
	d.reaper.add(in.spec.Sandbox)
	if in.spec.Image != "" {
		d.pool.use(in.spec.Image)
	}
	return nil
}

// Stop implements runtime.Stopper.
func (d *Driver) Stop(ctx context.Context, id string, grace time.Duration) error {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = d.stop(ctx, id, grace)
	return err
}

// stop ends an instance and returns it, nil if there is none.
func (d *Driver) stop(ctx context.Context, id string, grace time.Duration) (*instance, error) {
	// Wait for an instance that is being started.
	unlock, err := d.starting.lock(ctx, id)
	if err != nil {
		return nil, err
	}
	in := d.instance(id)
	unlock()
	if in == nil {
		return nil, nil
	}
	if err := d.terminate(ctx, in, grace); err != nil {
		return nil, fmt.Errorf("stop instance %s: %w", id, err)
	}
	return in, nil
}

// killGrace is how long a shim has, once its application has been killed, to save
// the output and record the end.
const killGrace = 2 * time.Second

// terminate asks the application to end, kills it once grace is over, and waits
// until nothing of the instance lives.
func (d *Driver) terminate(ctx context.Context, in *instance, grace time.Duration) error {
	if err := in.thawForEnd(); err != nil { // frozen processes take no signals
		return err
	}
	if grace > 0 {
		d.signal(in, stopSignal(in.spec.StopSignal))
		if over, err := in.await(ctx, grace); over || err != nil {
			return err
		}
		in.setKillReason(fmt.Sprintf("it did not end within %v of its stop signal", grace))
	}
	// Kill only the application first: its shim then records the end.
	if in.alive() {
		d.signal(in, unix.SIGKILL)
	}
	if over, err := in.await(ctx, killGrace); over || err != nil {
		return err
	}
	// Kill the shim if it does not.
	if err := in.kill(); err != nil {
		return err
	}
	select {
	case <-in.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// signal sends the application a signal, if it still runs.
func (d *Driver) signal(in *instance, s unix.Signal) {
	err := in.signal(s)
	if err != nil && !errors.Is(err, errNoApplication) && !errors.Is(err, unix.ESRCH) {
		d.log.Warn("cannot signal an instance", "instance", in.id, "signal", signalName(s), "err", err)
	}
}

// await waits for the instance's end, at most for a time, and reports whether
// it has ended.
func (in *instance) await(ctx context.Context, most time.Duration) (over bool, err error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-in.done:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
