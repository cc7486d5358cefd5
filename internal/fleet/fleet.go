package fleet

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/store"
)

// LogCollector stores the output of instances. Only Finish blocks.
type LogCollector interface {
	// Follow starts collecting an instance's output. It is idempotent.
	Follow(service, instance string)

	// Finish collects the rest of the output of an instance whose process is
	// gone. It stops when ctx ends.
	Finish(ctx context.Context, instance string) error
}

// Limits are time limits. New replaces zero ones with defaults.
type Limits struct {
	StartWithin  time.Duration // from the decision to start an instance until it is healthy; default 6 minutes, longer than a deployment waits
	Drain        time.Duration // for one instance to drain, where the service has no slipway:request-timeout above it; default 2 minutes
	Grace        time.Duration // from stop signal to SIGKILL; default 10 s
	RouterSilent time.Duration // after this time without a report a router counts as gone; default 10 s
	FullPass     time.Duration // between looks at all instances and passes over the unsettled services; default 5 s

	visibleAfter time.Duration // age at which a starting instance gets a row; default 1 s
}

func (l Limits) withDefaults() Limits {
	l.StartWithin = cmp.Or(l.StartWithin, 6*time.Minute)
	l.Drain = cmp.Or(l.Drain, 2*time.Minute)
	l.Grace = cmp.Or(l.Grace, 10*time.Second)
	l.RouterSilent = cmp.Or(l.RouterSilent, 10*time.Second)
	l.FullPass = cmp.Or(l.FullPass, 5*time.Second)
	l.visibleAfter = cmp.Or(l.visibleAfter, time.Second)
	return l
}

// Services that are settled change only by what the fleet is told of: a row, or an instance
// that the driver lists otherwise. Of rows that another process writes it is not told, so it
// reads from time to time which services have changed.
const (
	changedEvery = 12  // how many full passes come to one that plans for all services that have changed
	allEvery     = 720 // and to one that plans for all
)

// Config is what a fleet needs. Logs may be nil.
type Config struct {
	Store  *store.Store
	Driver runtime.Driver
	Logs   LogCollector
	Log    *slog.Logger
	Loops  *loop.Set // shows how the loop is doing; nil is allowed
	Limits Limits

	// RemoveStrays ends instances whose services the store has never known, as if it had.
	RemoveStrays bool

	// Environment returns the environment to start a release's process with. If
	// it is nil, the fleet uses the release's own.
	Environment func(slipway.Release) ([]string, error)
}

// Fleet reconciles the driver's instances with the store's releases. Only one
// fleet at a time may use a driver.
type Fleet struct {
	cfg    Config
	limits Limits
	driver runtime.Driver
	store  *store.Store
	log    *slog.Logger

	inbox   inbox
	workers sync.WaitGroup
	held    sync.Map // time.Time by service: see HeldUntil; written by the goroutine of Run

	// Only the goroutine of Run uses the fields below.
	instances map[string]*instance            // by id
	byService map[string]map[string]*instance // by service and id
	slots     map[string]chan struct{}        // by service; its capacity is how many instances may start at once
	dirty     map[string]bool                 // services that are due; true: a row certainly changes
	wakes     map[string]time.Time            // when services become due
	ends      map[string]map[string]time.Time // when instances with a row had ended, by service and id
	hangs     map[string]hangs                // by service, of those that had one
	unsettled map[string]bool                 // services that every full pass is about
	strays    map[string]bool                 // instances that were said to be left alone
	observed  observedState
}

// New checks cfg and returns a fleet. It starts nothing; see Run.
func New(cfg Config) (*Fleet, error) {
	if cfg.Store == nil || cfg.Driver == nil || cfg.Log == nil {
		return nil, errors.New("fleet: store, driver and log are required")
	}
	if cfg.Environment == nil {
		cfg.Environment = func(r slipway.Release) ([]string, error) { return r.Process.Env, nil }
	}
	if cfg.Logs == nil {
		cfg.Logs = noLogs{}
	}
	return &Fleet{
		cfg:       cfg,
		limits:    cfg.Limits.withDefaults(),
		driver:    cfg.Driver,
		store:     cfg.Store,
		log:       cfg.Log,
		inbox:     inbox{ready: make(chan struct{}, 1)},
		instances: map[string]*instance{},
		byService: map[string]map[string]*instance{},
		slots:     map[string]chan struct{}{},
		dirty:     map[string]bool{},
		wakes:     map[string]time.Time{},
		ends:      map[string]map[string]time.Time{},
		hangs:     map[string]hangs{},
		unsettled: map[string]bool{},
		strays:    map[string]bool{},
	}, nil
}

// Run reconciles until ctx ends. It cancels driver calls that are in progress and
// waits for them. Instances keep running.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.workers.Wait()
	watch := f.store.Watch(store.Releases | store.Drains)
	defer watch.Close()
	f.watchDriver(ctx)
	full := time.NewTicker(f.limits.FullPass)
	defer full.Stop()
	alarm := time.NewTimer(0)
	defer alarm.Stop()

	f.list(ctx)
	f.observed.everything = true
	turns := f.cfg.Loops.Enter("fleet")
	defer turns.Leave()
	for ticks, look := 1, false; ctx.Err() == nil; {
		_ = turns.Do(func() error {
			if look {
				ticks++
				f.look(ctx, ticks)
			}
			f.inbox.run()
			f.pass(ctx)
			f.setAlarm(alarm)
			return nil
		})
		look = false
		select {
		case <-ctx.Done():
		case <-f.inbox.ready:
		case <-watch.C:
			for _, id := range watch.Take() {
				f.markDue(id)
			}
		case <-alarm.C:
		case <-full.C:
			look = true
		}
	}
	return ctx.Err()
}

// look makes the next pass a full one. ticks are those of the full passes.
func (f *Fleet) look(ctx context.Context, ticks int) {
	for id := range f.unsettled {
		f.markDue(id)
	}
	f.observed.changed = f.observed.changed || ticks%changedEvery == 0
	f.observed.everything = f.observed.everything || ticks%allEvery == 0
	f.list(ctx)
}

// setAlarm sets the alarm to when the next service becomes due.
func (f *Fleet) setAlarm(alarm *time.Timer) {
	var next time.Time
	for _, t := range f.wakes {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if next.IsZero() {
		alarm.Stop()
		return
	}
	alarm.Reset(time.Until(next))
}

// watchDriver lists the driver's instances whenever the driver reports a change.
func (f *Fleet) watchDriver(ctx context.Context) {
	w, ok := f.driver.(runtime.Watcher)
	if !ok {
		return
	}
	f.workers.Go(func() {
		for ctx.Err() == nil {
			err := w.Watch(ctx, func(string) {
				f.inbox.send(func() { f.list(ctx) })
			})
			if ctx.Err() == nil {
				f.log.Warn("watch the driver", "err", err) // full passes find changes too
				loop.Pause(ctx, f.limits.FullPass)
			}
		}
	})
}

// inbox passes functions from workers to the loop of Run. Sending never blocks.
type inbox struct {
	ready chan struct{}

	mu       sync.Mutex // guards letters
	messages []func()
}

// send lets the loop call message before its next pass.
func (b *inbox) send(message func()) {
	b.mu.Lock()
	b.messages = append(b.messages, message)
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// run calls all messages in order.
func (b *inbox) run() {
	b.mu.Lock()
	messages := b.messages
	b.messages = nil
	b.mu.Unlock()
	for _, message := range messages {
		message()
	}
}

type noLogs struct{}

func (noLogs) Follow(string, string)                {}
func (noLogs) Finish(context.Context, string) error { return nil }
