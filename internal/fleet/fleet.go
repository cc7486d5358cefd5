package fleet

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/store"
)

// LogCollector keeps instances' output. Calls do not block but for Finish.
type LogCollector interface {
	// Follow begins to collect an instance's output; repeating it is harmless.
	Follow(service, instance string)

	// Finish collects the rest once the instance's process is gone, until ctx
	// ends.
	Finish(ctx context.Context, instance string) error
}

// Limits are how long things may take. Zero ones are replaced by defaults.
type Limits struct {
	StartWithin  time.Duration // from the decision to start an instance to its health; 6 minutes: a deployment gives up before
	Drain        time.Duration // of one instance; 2 minutes, as long as a request may take
	Grace        time.Duration // from stop signal to SIGKILL; 10 s
	RouterSilent time.Duration // a router not heard of for so long is gone; 10 s
	FullPass     time.Duration // between looks at everything; 5 s

	visibleAfter time.Duration // age at which a starting instance gets a row; 1 s
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

// Config is what a fleet needs. Logs may be nil.
type Config struct {
	Store  *store.Store
	Driver runtime.Driver
	Logs   LogCollector
	Log    *slog.Logger
	Limits Limits

	// Environment returns the environment that a release's process is started
	// with; nil for the one in the release.
	Environment func(slipway.Release) ([]string, error)
}

// Fleet makes the driver's world follow the store's releases. One fleet at a
// time may run on a driver.
type Fleet struct {
	cfg    Config
	limits Limits
	driver runtime.Driver
	store  *store.Store
	log    *slog.Logger

	mail    mailbox
	workers sync.WaitGroup

	// What follows belongs to the loop in Run.
	members   map[string]*member            // instances by id
	byService map[string]map[string]*member // the same by service and id
	slots     map[string]chan struct{}      // by service: how many may start at once
	dirty     map[string]bool               // services to look at; true: a row changes for sure
	wakes     map[string]time.Time          // services to look at later
	world     world
}

// New checks cfg and returns a fleet; it does nothing before Run.
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
		mail:      mailbox{ready: make(chan struct{}, 1)},
		members:   map[string]*member{},
		byService: map[string]map[string]*member{},
		slots:     map[string]chan struct{}{},
		dirty:     map[string]bool{},
		wakes:     map[string]time.Time{},
	}, nil
}

// Run works until ctx ends. Instances live on; calls under way are cancelled
// and waited for.
func (f *Fleet) Run(ctx context.Context) error {
	defer f.workers.Wait()
	watch := f.store.Watch(store.Releases | store.Drains)
	defer watch.Close()
	f.watchDriver(ctx)
	full := time.NewTicker(f.limits.FullPass)
	defer full.Stop()
	alarm := time.NewTimer(0)
	defer alarm.Stop()

	f.look(ctx)
	f.world.everything = true
	for ctx.Err() == nil {
		f.pass(ctx)
		f.set(alarm)
		select {
		case <-ctx.Done():
		case <-f.mail.ready:
		case <-watch.C:
			for _, id := range watch.Take() {
				f.touch(id)
			}
		case <-alarm.C:
		case <-full.C:
			f.world.everything = true
			f.look(ctx)
		}
		f.mail.open()
	}
	return ctx.Err()
}

// set makes the alarm ring when the first service wants to be looked at.
func (f *Fleet) set(alarm *time.Timer) {
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

// watchDriver has the world looked at when the driver says that something may
// have changed.
func (f *Fleet) watchDriver(ctx context.Context) {
	w, ok := f.driver.(runtime.Watcher)
	if !ok {
		return
	}
	f.workers.Go(func() {
		for ctx.Err() == nil {
			err := w.Watch(ctx, func(string) {
				f.mail.send(func() { f.look(ctx) })
			})
			if ctx.Err() == nil {
				f.log.Warn("watch the driver", "err", err) // full passes go on without it
				pause(ctx, f.limits.FullPass)
			}
		}
	})
}

// mailbox carries what workers found out to the loop. Sending never blocks.
type mailbox struct {
	ready chan struct{}

	mu      sync.Mutex // guards letters
	letters []func()
}

// send has letter run by the loop before its next pass.
func (m *mailbox) send(letter func()) {
	m.mu.Lock()
	m.letters = append(m.letters, letter)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// open runs all letters in their order.
func (m *mailbox) open() {
	m.mu.Lock()
	letters := m.letters
	m.letters = nil
	m.mu.Unlock()
	for _, letter := range letters {
		letter()
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

type noLogs struct{}

func (noLogs) Follow(string, string)                {}
func (noLogs) Finish(context.Context, string) error { return nil }
