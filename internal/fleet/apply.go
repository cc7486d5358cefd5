package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
)

const (
	// startsAtOnce is how many instances of one service are made at a time.
	startsAtOnce = 8

	// makeTries is how often making an instance is tried, one second after the
	// first failure, then twice as long each time, before it counts as ended.
	makeTries = 5

	// finishWithin bounds the reading of an ended instance's last output.
	finishWithin = 5 * time.Second

	// longestRetry is the longest pause between tries of a removal.
	longestRetry = 30 * time.Second
)

// start makes a new instance of a release.
func (f *Fleet) start(ctx context.Context, now time.Time, r slipway.Release) {
	m := &member{id: slipway.NewID(), service: r.ServiceID, release: r.ID, createdAt: now, presence: making}
	f.add(m)
	f.log.Debug("start instance", "service", m.service, "release", m.release, "instance", m.id, "size", r.Size)
	f.tend(ctx, m, r, true)
}

// tend looks after an instance in a worker, from its making (when it is new) to
// its end or removal.
func (f *Fleet) tend(ctx context.Context, m *member, r slipway.Release, isNew bool) {
	ctx, m.cancel = context.WithCancel(ctx)
	m.tended = make(chan struct{})
	slots := f.slotsOf(m.service)
	tended := m.tended
	c := checker{
		driver: f.driver, id: m.id, port: r.Port, check: r.HealthCheck,
		created: m.createdAt, passed: !m.passed.IsZero(), failing: m.failing,
		report: func(h healthReport) { f.mail.send(func() { f.hear(m, h) }) },
		ended:  func() { f.mail.send(func() { f.look(ctx) }) },
	}
	f.workers.Go(func() {
		defer close(tended)
		if isNew && !f.make(ctx, m, r, slots) {
			return
		}
		c.run(ctx)
	})
}

// slotsOf returns the slots that bound how many instances of a service are
// made at once.
func (f *Fleet) slotsOf(service string) chan struct{} {
	if f.slots[service] == nil {
		f.slots[service] = make(chan struct{}, startsAtOnce)
	}
	return f.slots[service]
}

// make prepares and starts an instance. False means that there is nothing to
// look after.
func (f *Fleet) make(ctx context.Context, m *member, r slipway.Release, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return false
	}
	for try := 1; ; try++ {
		err := f.makeOnce(ctx, m, r)
		if err == nil {
			f.cfg.Logs.Follow(m.service, m.id)
			f.mail.send(func() { f.made(m) })
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		f.log.Warn("make instance", "service", m.service, "instance", m.id, "try", try, "err", err)
		if try == makeTries {
			f.mail.send(func() { f.failed(m, err) })
			return false
		}
		f.mail.send(func() { f.hear(m, healthReport{problem: fmt.Sprintf("It could not be made yet: %v", err)}) })
		pause(ctx, time.Second<<(try-1))
	}
}

func (f *Fleet) makeOnce(ctx context.Context, m *member, r slipway.Release) error {
	if err := f.driver.Prepare(ctx, r.Image); err != nil {
		return fmt.Errorf("prepare image %s: %w", r.Image, err)
	}
	env, err := f.cfg.Environment(r)
	if err != nil {
		return err
	}
	workload := r.Workload
	workload.Process.Env = env
	return f.driver.Ensure(ctx, runtime.Spec{ID: m.id, Service: m.service, Release: m.release, Image: r.Image, Workload: workload})
}

// made notes that the instance exists. Nothing needs to be planned for it.
func (f *Fleet) made(m *member) {
	if m.presence == making {
		m.presence, m.since = alive, f.world.looks
	}
}

// failed notes that the instance could not be made at all.
func (f *Fleet) failed(m *member, err error) {
	if m.presence == making && !m.removing {
		m.exit = &slipway.Exit{Code: 1, At: time.Now(), Reason: err.Error()}
		f.vanish(m)
	}
}

// hear takes over what checks found out.
func (f *Fleet) hear(m *member, h healthReport) {
	if m.presence == absent || m.presence == dead {
		return
	}
	if m.passed.IsZero() {
		m.passed = h.passed
	}
	m.failing, m.problem = h.failing, h.problem
	f.dirty[m.service] = true
}

// remove stops an instance and clears it away, however often that must be
// tried.
func (f *Fleet) remove(ctx context.Context, r removal) {
	m := f.members[r.id]
	if m == nil || m.removing {
		return
	}
	f.log.Info("remove instance", "service", m.service, "release", m.release, "instance", m.id, "reason", r.reason)
	m.removing, m.exit = true, r.exit
	wasDead, cancel, tended := m.presence == dead, m.cancel, m.tended
	f.workers.Go(func() {
		if cancel != nil {
			cancel()
			<-tended
		}
		for delay := time.Second; ; delay = min(2*delay, longestRetry) {
			err := f.removeOnce(ctx, m.id, wasDead)
			if err == nil {
				f.mail.send(func() { f.vanish(m) })
				return
			}
			if ctx.Err() != nil {
				return
			}
			f.log.Error("remove instance", "service", m.service, "instance", m.id, "err", err)
			pause(ctx, delay)
		}
	})
}

// removeOnce reads the last output between the end of the process and the end
// of what is known of it, where the driver can tell the two apart.
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
