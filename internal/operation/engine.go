package operation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/loop"
	"github.com/openslipway/slipway/internal/store"
)

// Causes for which a worker stops early; context.Cause returns them.
var (
	errShutdown  = errors.New("the server is stopping")
	errLeaseLost = store.ErrLeaseLost
)

// cancelled is the error of an operation that somebody has cancelled.
type cancelled struct{ slipway.Cancellation }

func (c cancelled) Error() string { return c.String() }

// Config is what an Engine needs.
type Config struct {
	Store *store.Store
	Plan  func(slipway.OperationKind) (Plan, bool)
	Owner string // identifies this process among all that share the store
	Log   *slog.Logger
	Loops *loop.Set // shows how the loop is doing; nil is allowed

	// Now is the time of day that rows say for people; time.Now when nil. It may step at any
	// time: nothing is decided by it.
	Now func() time.Time

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

	leases map[string]heldLease // of other processes, by operation; only Run's goroutine uses it

	mu      sync.Mutex         // guards workers
	workers map[string]*worker // by service
}

// New checks cfg and returns an engine. It starts nothing; see Run.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Plan == nil || cfg.Owner == "" || cfg.Log == nil {
		return nil, errors.New("operation: store, plan, owner and log are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
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
	return &Engine{cfg: cfg, slots: make(chan struct{}, cfg.Limit), workers: map[string]*worker{}, leases: map[string]heldLease{}}, nil
}

// Run claims and executes operations until ctx ends. It then releases its
// leases and returns nil.
func (e *Engine) Run(ctx context.Context) error {
	requests := e.cfg.Store.Watch(store.Operations)
	defer requests.Close()
	observed := e.cfg.Store.Watch(store.Instances | store.Drains)
	defer observed.Close()
	cancels := e.cfg.Store.Watch(store.Cancels)
	defer cancels.Close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(errShutdown)
	var workers sync.WaitGroup
	defer workers.Wait()
	timer := time.NewTicker(e.cfg.Poll)
	defer timer.Stop()
	turns := e.cfg.Loops.Enter("operations")
	defer turns.Leave()
	claim := func(certain bool) {
		_ = turns.Do(func() error { e.claimAll(ctx, &workers, certain); return nil })
	}
	claim(false)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			e.endLeases(ctx)
			claim(false)
		case <-requests.C:
			requests.Take()
			claim(true)
		case <-observed.C:
			e.nudge(observed.Take(), func(w *worker) chan struct{} { return w.nudge })
		case <-cancels.C:
			e.nudge(cancels.Take(), func(w *worker) chan struct{} { return w.renew })
			e.claimCancelled(ctx, &workers)
		}
	}
}

// nudge sends to a channel of each worker of the services with these ids.
func (e *Engine) nudge(ids []string, channel func(*worker) chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if w := e.workers[id]; w != nil {
			select {
			case channel(w) <- struct{}{}:
			default:
			}
		}
	}
}

// heldLease is a lease, and when this process first saw it.
type heldLease struct {
	store.Lease
	at time.Time
}

// endLeases ends the leases that nobody has renewed for as long as they hold, by the time
// that passes in this process: their owners are dead. Those of this process's own workers
// are not among them.
func (e *Engine) endLeases(ctx context.Context) {
	var leases []store.Lease
	if err := e.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { leases, err = tx.Leases(); return err }); err != nil {
		if ctx.Err() == nil {
			e.cfg.Log.Error("read leases of operations", "err", err)
		}
		return
	}
	own := e.executed()
	held := make(map[string]heldLease, len(leases))
	for _, l := range leases {
		if own[l.Operation] == l.Fence {
			continue
		}
		h := e.leases[l.Operation]
		if h.Lease != l {
			h = heldLease{l, time.Now()}
		}
		held[l.Operation] = h
		if time.Since(h.at) < e.cfg.Lease {
			continue
		}
		if err := e.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) error { return tx.EndLease(l) }); err != nil && ctx.Err() == nil {
			e.cfg.Log.Error("end the lease of an operation", "operation", l.Operation, "err", err)
		}
	}
	e.leases = held
}

// executed returns the fences of the operations that this process executes, by id.
func (e *Engine) executed() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	fences := make(map[string]int64, len(e.workers))
	for _, w := range e.workers {
		fences[w.id] = w.fence
	}
	return fences
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
		release := func() { <-e.slots }
		if !e.claimOne(ctx, workers, (*store.Tx).ClaimOperation, certain, release) {
			return
		}
	}
}

// claimCancelled claims the cancelled operations that nobody executes. They need
// no slot, since only their rollback is left.
func (e *Engine) claimCancelled(ctx context.Context, workers *sync.WaitGroup) {
	for e.claimOne(ctx, workers, (*store.Tx).ClaimCancelledOperation, true, func() {}) {
	}
}

// claimOne claims an operation, starts its worker and reports true; false if
// none is due. It calls release when the worker has ended or there is none.
func (e *Engine) claimOne(ctx context.Context, workers *sync.WaitGroup, claim claimFunc, certain bool, release func()) bool {
	w, err := e.claim(ctx, claim, certain)
	if w == nil {
		release()
		if err != nil && ctx.Err() == nil {
			e.cfg.Log.Error("claim operations", "err", err)
		}
		return false
	}
	w.id, w.fence = w.op.ID, w.op.Fence
	e.mu.Lock()
	e.workers[w.op.ServiceID] = w
	e.mu.Unlock()
	workers.Go(func() {
		w.execute(ctx)
		e.mu.Lock()
		if e.workers[w.op.ServiceID] == w {
			delete(e.workers, w.op.ServiceID)
		}
		e.mu.Unlock()
		release()
	})
	return true
}

// claimFunc is a claim of the store.
type claimFunc func(tx *store.Tx, owner string, until time.Time) (slipway.Operation, error)

// claim claims one due operation and takes its first steps in the same
// transaction, which saves a commit. Unless certain, it checks in a read
// transaction first, so that it takes the writer only when an operation is due.
// It returns nil when none is due.
func (e *Engine) claim(ctx context.Context, claim claimFunc, certain bool) (*worker, error) {
	if !certain {
		due := false
		err := e.cfg.Store.ViewUnsynced(ctx, func(tx *store.Tx) (err error) { due, err = tx.OperationDue(); return err })
		if err != nil || !due {
			return nil, err
		}
	}
	w := &worker{Engine: e, nudge: make(chan struct{}, 1), renew: make(chan struct{}, 1)}
	err := e.claimWith(ctx, w, claim, w.advanceClaimed)
	if _, failed := errors.AsType[*failure](err); failed {
		// The failure undid the claim. Claim the operation without its first
		// steps: the worker meets the failure again and handles it.
		err = e.claimWith(ctx, w, claim, func(*store.Tx) error { return nil })
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	w.set(w.op)
	if err := w.checkpoint("after commit at " + w.op.Step); err != nil {
		return nil, err
	}
	w.log = e.cfg.Log.With("operation", w.op.ID, "kind", w.op.Kind, "service", w.op.ServiceID)
	return w, nil
}

// claimWith claims an operation for w and calls first in the same transaction.
func (e *Engine) claimWith(ctx context.Context, w *worker, claim claimFunc, first func(*store.Tx) error) error {
	return e.cfg.Store.UpdateUnsynced(ctx, func(tx *store.Tx) (err error) {
		if w.op, err = claim(tx, e.cfg.Owner, e.cfg.Now().Add(e.cfg.Lease)); err != nil {
			return err
		}
		return first(tx)
	})
}
