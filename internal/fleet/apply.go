package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/runtime"
)

const (
	// startsAtOnce is how many instances of one service are created at a time.
	startsAtOnce = 8

	// createTries is how often the fleet tries to create an instance before the
	// instance counts as ended. The first retry comes after one second, each
	// further one after twice the delay.
	createTries = 5

	// finishWithin limits how long the last output of an ended instance is read.
	finishWithin = 5 * time.Second

	// longestRetry is the longest pause between two tries to remove an instance.
	longestRetry = 30 * time.Second
)

// start starts a new instance of a release.
func (f *Fleet) start(ctx context.Context, now time.Time, r slipway.Release) {
	inst := &instance{id: slipway.NewID(), service: r.ServiceID, release: r.ID, run: r.Run, createdAt: now, began: now, presence: creating}
	f.add(inst)
	f.log.Debug("start instance", "service", inst.service, "release", inst.release, "instance", inst.id, "size", r.Size)
	f.supervise(ctx, inst, r, true)
}

// supervise runs a worker that creates the instance if it is new, and probes it
// until it ends or is removed.
func (f *Fleet) supervise(ctx context.Context, inst *instance, r slipway.Release, isNew bool) {
	ctx, inst.cancel = context.WithCancel(ctx)
	inst.supervised = make(chan struct{})
	slots := f.slotsOf(inst.service)
	supervised := inst.supervised
	c := checker{
		driver: f.driver, id: inst.id, port: r.Port, check: r.HealthCheck,
		created: inst.began, passed: !inst.passed.IsZero(), failing: inst.failing,
		report: func(h healthReport) { f.inbox.send(func() { f.onHealth(inst, h) }) },
		ended:  func() { f.inbox.send(func() { f.list(ctx) }) },
	}
	f.workers.Go(func() {
		defer close(supervised)
		if isNew && !f.create(ctx, inst, r, slots) {
			return
		}
		c.run(ctx)
	})
}

// slotsOf returns the slots that limit how many instances of a service are
// created at once.
func (f *Fleet) slotsOf(service string) chan struct{} {
	if f.slots[service] == nil {
		f.slots[service] = make(chan struct{}, startsAtOnce)
	}
	return f.slots[service]
}

// create prepares and starts an instance, and retries. It returns false if there
// is no instance to probe.
func (f *Fleet) create(ctx context.Context, inst *instance, r slipway.Release, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return false
	}
	for try := 1; ; try++ {
		err := f.createOnce(ctx, inst, r)
		if err == nil {
			f.cfg.Logs.Follow(inst.service, inst.id)
			f.inbox.send(func() { f.onCreated(inst) })
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		f.log.Warn("create instance", "service", inst.service, "instance", inst.id, "try", try, "err", err)
		if try == createTries {
			f.inbox.send(func() { f.onCreateFailed(inst, err) })
			return false
		}
		f.inbox.send(func() { f.onHealth(inst, healthReport{problem: fmt.Sprintf("It could not be created yet: %v", err)}) })
		loop.Pause(ctx, time.Second<<(try-1))
	}
}

func (f *Fleet) createOnce(ctx context.Context, inst *instance, r slipway.Release) error {
	if err := f.driver.Prepare(ctx, r.Image); err != nil {
		return fmt.Errorf("prepare image %s: %w", r.Image, err)
	}
	env, err := f.cfg.Environment(r)
	if err != nil {
		return err
	}
	workload := r.Workload
	workload.Process.Env = env
	return f.driver.Ensure(ctx, runtime.Spec{ID: inst.id, Service: inst.service, Release: inst.release, Run: inst.run, Image: r.Image, Workload: workload})
}

// onCreated records that the instance exists. This needs no pass.
func (f *Fleet) onCreated(inst *instance) {
	if inst.presence == creating {
		inst.presence, inst.since = alive, f.observed.lists
	}
}

// onCreateFailed records that the instance could not be created in all tries.
func (f *Fleet) onCreateFailed(inst *instance, err error) {
	if inst.presence == creating && !inst.removing {
		inst.exit = &slipway.Exit{Code: 1, At: time.Now(), Reason: err.Error()}
		f.onGone(inst)
	}
}

// onHealth records what the health checks found.
func (f *Fleet) onHealth(inst *instance, h healthReport) {
	if inst.presence == absent || inst.presence == dead {
		return
	}
	if inst.passed.IsZero() {
		inst.passed = h.passed
	}
	inst.failing, inst.problem, inst.never = h.failing, h.problem, h.sure
	f.dirty[inst.service] = true
}

// remove stops an instance, removes what is left of it, and retries until that
// succeeds.
func (f *Fleet) remove(ctx context.Context, r removal) {
	inst := f.instances[r.id]
	if inst == nil || inst.removing {
		return
	}
	f.log.Info("remove instance", "service", inst.service, "release", inst.release, "instance", inst.id, "reason", r.reason)
	inst.removing, inst.exit = true, r.exit
	wasDead, cancel, supervised := inst.presence == dead, inst.cancel, inst.supervised
	f.workers.Go(func() {
		if cancel != nil {
			cancel()
			<-supervised
		}
		for delay := time.Second; ; delay = min(2*delay, longestRetry) {
			err := f.removeOnce(ctx, inst.id, wasDead)
			if err == nil {
				f.inbox.send(func() { f.onGone(inst) })
				return
			}
			if ctx.Err() != nil {
				return
			}
			f.log.Error("remove instance", "service", inst.service, "instance", inst.id, "err", err)
			loop.Pause(ctx, delay)
		}
	})
}

// removeOnce removes an instance. If the driver can stop it first, the last output
// is read after the process has ended and before the driver forgets it.
func (f *Fleet) removeOnce(ctx context.Context, id string, wasDead bool) error {
	s, ok := f.driver.(runtime.Stopper)
	if ok && !wasDead {
		if err := s.Stop(ctx, id, f.limits.Grace); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
	}
	if ok || wasDead {
		f.finishLogs(ctx, id)
		return f.driver.Remove(ctx, id, 0)
	}
	err := f.driver.Remove(ctx, id, f.limits.Grace)
	if err == nil {
		f.finishLogs(ctx, id)
	}
	return err
}

func (f *Fleet) finishLogs(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	if err := f.cfg.Logs.Finish(ctx, id); err != nil && !errors.Is(err, context.Canceled) {
		f.log.Warn("read last output", "instance", id, "err", err)
	}
}
