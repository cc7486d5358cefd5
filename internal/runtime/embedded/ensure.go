package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded/cgroup"
	"github.com/openslipway/slipway/internal/runtime/embedded/handoff"
)

// Ensure implements runtime.Driver.
func (d *Driver) Ensure(ctx context.Context, want runtime.Spec) error {
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := validateID("instance", want.ID); err != nil {
		return err
	}
	unlock, err := d.starting.lock(ctx, want.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if d.instance(want.ID) != nil {
		return nil
	}
	if err := d.start(ctx, want); err != nil {
		return fmt.Errorf("start instance %s: %w", want.ID, err)
	}
	return nil
}

// validateID refuses ids that are a mistake of the caller: they become paths.
func validateID(what, id string) error {
	if len(id) != 32 {
		return fmt.Errorf("%s id %q does not have 32 digits", what, id)
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%s id %q is not hexadecimal", what, id)
		}
	}
	return nil
}

// start makes an instance. The caller holds the id's lock.
func (d *Driver) start(ctx context.Context, want runtime.Spec) error {
	rootfs, err := d.rootfs(ctx, want.Image)
	if err != nil {
		return fmt.Errorf("image %s: %w", want.Image, err)
	}
	size := want.Disk
	if size == 0 {
		size = d.cfg.Disk
	}
	giveBack, err := d.admit(ctx, want.ID, promise{service: want.Service, release: want.Release, bytes: size})
	if err != nil {
		return err
	}
	defer giveBack()
	s, ahead, err := d.pool.take(ctx, rootfs, size)
	if err != nil {
		return err
	}
	err = d.startIn(ctx, s, want, rootfs, size)
	if err == nil || !ahead || ctx.Err() != nil {
		return err
	}
	// Somebody may have taken something from it since it was made.
	d.log.Warn("an instance cannot start in a sandbox that was made ahead of time: another one is used", "sandbox", s.name, "err", err)
	if err := d.factory.restore(); err != nil {
		return err
	}
	if s, err = d.pool.build(ctx); err != nil {
		return err
	}
	return d.startIn(ctx, s, want, rootfs, size)
}

// startIn makes an instance of a sandbox, or ends the sandbox.
func (d *Driver) startIn(ctx context.Context, s *sandbox, want runtime.Spec, rootfs *rootfs, size int64) error {
	in, err := d.adopt(ctx, s, want, size)
	if err != nil {
		d.pool.discard(s)
		return err
	}
	// Before the application runs, which may take a port only when it is free.
	err = d.collect(in, s.process.netns)
	if err == nil {
		err = d.launch(ctx, s, in, want, rootfs)
	}
	if err == nil {
		err = d.register(s, in)
	}
	if err != nil {
		in.traces.stop()
		s.discard()
		d.discardInstance(in)
		return err
	}
	go s.detach()
	return nil
}

// adopt turns a blank sandbox into an instance that is not started yet.
func (d *Driver) adopt(ctx context.Context, s *sandbox, want runtime.Spec, size int64) (*instance, error) {
	if err := s.resize(ctx, size); err != nil {
		return nil, err
	}
	if err := s.confine(ctx, want.Networks); err != nil {
		return nil, err
	}
	in := &instance{
		id:  want.ID,
		dir: d.factory.path(dirInstances, want.ID),
		spec: spec{
			Service:    want.Service,
			Release:    want.Release,
			Run:        want.Run,
			Image:      want.Image,
			Sandbox:    s.name,
			StopSignal: want.Process.StopSignal,
			Init:       want.Process.Init,
			Memory:     want.Resources.Memory,
			CPU:        want.Resources.CPU,
			Disk:       size,
			Port:       want.Port,
			Tracing:    want.Tracing,
			Addr:       s.link.Addr.Addr(),
			Networks:   want.Networks,
			CreatedAt:  time.Now(),
		},
		group: s.group,
		done:  make(chan struct{}),
	}
	if err := in.spec.write(s.dir); err != nil {
		return nil, fmt.Errorf("record the instance: %w", err)
	}
	if err := s.group.SetLimits(d.limits(s, want.Workload)); err != nil {
		return nil, err
	}
	// The commit: from here on it is this instance, for a later daemon too.
	if err := os.Rename(s.dir, in.dir); err != nil {
		return nil, err
	}
	s.dir = in.dir
	return in, nil
}

// pidsPerCore is how many processes and threads an instance may have per core. An
// instance with less than a core has as many.
const pidsPerCore = 1024

// shimPids is how many threads a shim, or an init that stays, may have.
const shimPids = 8

func limits(w slipway.Workload) cgroup.Limits {
	r := w.Resources
	cores := max((r.CPU+1023)/1024, 1)
	return cgroup.Limits{CPU: r.CPU, Memory: int64(r.Memory) << 20, Pids: cores*pidsPerCore + ownPids(w)}
}

// ownPids is how many threads run beside the application.
func ownPids(w slipway.Workload) int {
	if w.Process.Init {
		return 2 * shimPids
	}
	return shimPids
}

// launch gives the sandbox its root file system, if it has none yet, and its
// order, and waits until the application runs or could not be started. The latter
// is no error: the status file says why.
func (d *Driver) launch(ctx context.Context, s *sandbox, in *instance, want runtime.Spec, f *rootfs) error {
	order := d.order(want, s.link)
	body := order.Append(nil)
	if len(body) > handoff.MaxBody {
		return errors.New("its command line and environment are too large")
	}
	bare := s.rootfs == nil
	if bare {
		if err := s.sendRoot(f); err != nil {
			return err
		}
	}
	// Without waiting for the init to enter its root: it reads on after that.
	if err := s.send(handoff.KindOrder, body, nil); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	return d.awaitLaunch(ctx, s, in, bare)
}

// awaitLaunch waits until the application has been executed or could not be: the
// status file then says why. bare says that the init has to enter the root file
// system before.
func (d *Driver) awaitLaunch(ctx context.Context, s *sandbox, in *instance, bare bool) error {
	err := s.launched(ctx, bare)
	switch {
	case errors.Is(err, io.EOF):
		// The init was killed, most likely for lack of memory: an instance that
		// ended like any other.
		d.log.Debug("an instance died while it was being started", "instance", in.id)
	case errors.Is(err, errNotStarted):
		d.log.Debug("an instance could not be started", "instance", in.id, "err", err)
	case err != nil:
		return fmt.Errorf("wait for its start: %w", err)
	}
	return nil
}

// launched is awaitLaunch with an error where the application did not start.
func (s *sandbox) launched(ctx context.Context, bare bool) error {
	if bare {
		if err := s.awaitRoot(ctx); err != nil {
			return err
		}
	}
	kind, text, err := s.receive(ctx)
	if err == nil && kind == handoff.KindFailed {
		err = fmt.Errorf("%w: %s", errNotStarted, text)
	}
	return err
}

// register makes the instance known and watches for its end.
func (d *Driver) register(s *sandbox, in *instance) error {
	in.process, s.process = s.process, nil
	d.mu.Lock()
	d.instances[in.id] = in
	d.mu.Unlock()
	err := d.poller.add(in.process.pidfd, func() { d.ended(in) })
	if err != nil {
		s.process = in.process
		d.forget(in)
	}
	return err
}

// discardInstance moves what is left of an instance to the trash and has it
// removed.
func (d *Driver) discardInstance(in *instance) {
	if err := d.factory.discardDir(in.dir, in.spec.Sandbox); err != nil {
		d.log.Error("cannot move an instance to the trash", "instance", in.id, "err", err)
		return
	}
	d.reaper.add(in.spec.Sandbox)
}

// instance returns the instance with this id, or nil.
func (d *Driver) instance(id string) *instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.instances[id]
}

func (d *Driver) forget(in *instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.instances, in.id)
}
