package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Causes that end work on an operation early, told apart by context.Cause.
var (
	errShutdown  = errors.New("the server is stopping")
	errLeaseLost = store.ErrLeaseLost
)

// cancelled is the wish of a person, or of newer intent, to end an operation.
type cancelled struct{ reason string }

func (c cancelled) Error() string { return "cancelled: " + c.reason }

// Config is what an Engine needs.
type Config struct {
	Store *store.Store
	Plan  func(slipway.OperationKind) (Plan, bool)
	Owner string // this process, unlike any other
	Log   *slog.Logger

	Lease time.Duration // 30 s when 0; renewed at a third
	Poll  time.Duration // 1 s when 0: how often waits are asked without a nudge
	Limit int           // operations driven at once; 512 when 0

	// Checkpoint, when set, is called around every transaction and work: a test
	// kills the engine there. An error stops all work on the operation with
	// nothing more written, as a death of the process would.
	Checkpoint func(op slipway.Operation, point string) error
}

// Engine drives operations. Make it with New and call Run.
type Engine struct {
	cfg   Config
	slots chan struct{}

	mu     sync.Mutex // guards nudges
	nudges map[string]chan struct{}
}

// New checks cfg and returns an engine that does nothing until Run.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Plan == nil || cfg.Owner == "" || cfg.Log == nil {
		return nil, errors.New("operation: store, plan, owner and log are required")
	}
	if cfg.Lease == 0 {
		cfg.Lease = 30 * time.Second
	}
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	if cfg.Limit == 0 {
		cfg.Limit = 512
	}
	return &Engine{cfg: cfg, slots: make(chan struct{}, cfg.Limit), nudges: map[string]chan struct{}{}}, nil
}

// Run claims and drives operations until ctx ends, then gives its leases back
// and returns.
func (e *Engine) Run(ctx context.Context) error {
	asked := e.cfg.Store.Watch(store.Operations)
	defer asked.Close()
	facts := e.cfg.Store.Watch(store.Instances | store.Drains)
	defer facts.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(errShutdown)
	var driving sync.WaitGroup
	defer driving.Wait()
	timer := time.NewTicker(e.cfg.Poll)
	defer timer.Stop()
	e.claimAll(ctx, &driving, false)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			e.claimAll(ctx, &driving, false)
		case <-asked.C:
			asked.Take()
			e.claimAll(ctx, &driving, true)
		case <-facts.C:
			e.nudge(facts.Take())
		}
	}
}

// nudge wakes the operations that are being driven for these ids.
func (e *Engine) nudge(ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if c := e.nudges[id]; c != nil {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}

// claimAll claims what is due, as far as there are free slots; sure says that
// something is, most likely.
func (e *Engine) claimAll(ctx context.Context, driving *sync.WaitGroup, sure bool) {
	for ; ; sure = false {
		select {
		case e.slots <- struct{}{}:
		default:
			return
		}
		d, err := e.claim(ctx, sure)
		if d == nil {
			<-e.slots
			if err != nil && ctx.Err() == nil {
				e.cfg.Log.Error("claim operations", "err", err)
			}
			return
		}
		e.mu.Lock()
		e.nudges[d.op.ServiceID] = d.nudge
		e.mu.Unlock()
		driving.Go(func() {
			d.drive(ctx)
			e.mu.Lock()
			if e.nudges[d.op.ServiceID] == d.nudge {
				delete(e.nudges, d.op.ServiceID)
			}
			e.mu.Unlock()
			<-e.slots
		})
	}
}

// claim takes one due operation, if there is one, and the first steps of it, in
// one transaction: the claim alone would only delay them by a commit. Unless sure,
// it looks first, so that the writer is taken only when something is due.
func (e *Engine) claim(ctx context.Context, sure bool) (*driver, error) {
	if !sure {
		due := false
		err := e.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { due, err = tx.OperationDue(time.Now()); return err })
		if err != nil || !due {
			return nil, err
		}
	}
	d := &driver{Engine: e, nudge: make(chan struct{}, 1)}
	err := e.claimWith(ctx, d, d.begin)
	if _, failed := errors.AsType[*failure](err); failed {
		// The failure undid the claim. Claimed alone, the operation meets it
		// again where failures are seen to.
		err = e.claimWith(ctx, d, func(*store.Tx) error { return nil })
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if err := d.checkpoint("after commit at " + d.op.Step); err != nil {
		return nil, err
	}
	d.log = e.cfg.Log.With("operation", d.op.ID, "kind", d.op.Kind, "service", d.op.ServiceID)
	return d, nil
}

// claimWith gives d an operation and calls first in the same transaction.
func (e *Engine) claimWith(ctx context.Context, d *driver, first func(*store.Tx) error) error {
	return e.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) (err error) {
		now := time.Now()
		if d.op, err = tx.ClaimOperation(e.cfg.Owner, now, now.Add(e.cfg.Lease)); err != nil {
			return err
		}
		return first(tx)
	})
}
