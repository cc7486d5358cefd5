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

// Causes for which a worker stops early; context.Cause returns them.
var (
	errShutdown  = errors.New("the server is stopping")
	errLeaseLost = store.ErrLeaseLost
)

// cancelled is the cause when somebody asked to cancel the operation.
type cancelled struct{ reason string }

func (c cancelled) Error() string { return "cancelled: " + c.reason }

// Config is what an Engine needs.
type Config struct {
	Store *store.Store
	Plan  func(slipway.OperationKind) (Plan, bool)
	Owner string // identifies this process among all that share the store
	Log   *slog.Logger

	Lease time.Duration // 30 s when 0; renewed after a third of it
	Poll  time.Duration // 1 s when 0: the interval at which wait steps are checked without a nudge
	Limit int           // operations executed at once; 512 when 0

	// Checkpoint, if set, is called before and after every transaction and work
	// step. Tests use it to kill the engine there: an error stops all work on
	// the operation and writes nothing more, as a crash of the process would.
	Checkpoint func(op slipway.Operation, point string) error
}

// Engine executes operations. Make it with New and call Run.
type Engine struct {
	cfg   Config
	slots chan struct{}

	mu     sync.Mutex // guards nudges
	nudges map[string]chan struct{}
}

// New checks cfg and returns an engine. It starts nothing; see Run.
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

// Run claims and executes operations until ctx ends. It then releases its
// leases and returns nil.
func (e *Engine) Run(ctx context.Context) error {
	requests := e.cfg.Store.Watch(store.Operations)
	defer requests.Close()
	observed := e.cfg.Store.Watch(store.Instances | store.Drains)
	defer observed.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(errShutdown)
	var workers sync.WaitGroup
	defer workers.Wait()
	timer := time.NewTicker(e.cfg.Poll)
	defer timer.Stop()
	e.claimAll(ctx, &workers, false)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			e.claimAll(ctx, &workers, false)
		case <-requests.C:
			requests.Take()
			e.claimAll(ctx, &workers, true)
		case <-observed.C:
			e.nudge(observed.Take())
		}
	}
}

// nudge wakes the workers of the services with these ids.
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

// claimAll claims the operations that are due, as long as slots are free.
// certain skips the check whether any is due: the caller has just seen one.
func (e *Engine) claimAll(ctx context.Context, workers *sync.WaitGroup, certain bool) {
	for ; ; certain = false {
		select {
		case e.slots <- struct{}{}:
		default:
			return
		}
		w, err := e.claim(ctx, certain)
		if w == nil {
			<-e.slots
			if err != nil && ctx.Err() == nil {
				e.cfg.Log.Error("claim operations", "err", err)
			}
			return
		}
		e.mu.Lock()
		e.nudges[w.op.ServiceID] = w.nudge
		e.mu.Unlock()
		workers.Go(func() {
			w.execute(ctx)
			e.mu.Lock()
			if e.nudges[w.op.ServiceID] == w.nudge {
				delete(e.nudges, w.op.ServiceID)
			}
			e.mu.Unlock()
			<-e.slots
		})
	}
}

// claim claims one due operation and takes its first steps in the same
// transaction, which saves a commit. Unless certain, it checks in a read
// transaction first, so that it takes the writer only when an operation is due.
// It returns nil when none is due.
func (e *Engine) claim(ctx context.Context, certain bool) (*worker, error) {
	if !certain {
		due := false
		err := e.cfg.Store.View(ctx, func(tx *store.Tx) (err error) { due, err = tx.OperationDue(time.Now()); return err })
		if err != nil || !due {
			return nil, err
		}
	}
	w := &worker{Engine: e, nudge: make(chan struct{}, 1)}
	err := e.claimWith(ctx, w, w.advanceClaimed)
	if _, failed := errors.AsType[*failure](err); failed {
		// The failure undid the claim. Claim the operation without its first
		// steps: the worker meets the failure again and handles it.
		err = e.claimWith(ctx, w, func(*store.Tx) error { return nil })
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	if err := w.checkpoint("after commit at " + w.op.Step); err != nil {
		return nil, err
	}
	w.log = e.cfg.Log.With("operation", w.op.ID, "kind", w.op.Kind, "service", w.op.ServiceID)
	return w, nil
}

// claimWith claims an operation for w and calls first in the same transaction.
func (e *Engine) claimWith(ctx context.Context, w *worker, first func(*store.Tx) error) error {
	return e.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) (err error) {
		now := time.Now()
		if w.op, err = tx.ClaimOperation(e.cfg.Owner, now, now.Add(e.cfg.Lease)); err != nil {
			return err
		}
		return first(tx)
	})
}
