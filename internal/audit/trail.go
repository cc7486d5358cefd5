package audit

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/store"
)

// Config configures the trail.
type Config struct {
	Store   *store.Store
	Region  string
	Account string
	Log     *slog.Logger

	Keep time.Duration // 90 days when 0
	Most int           // records; 100,000 when 0

	Now func() time.Time // time.Now when nil
}

// Trail keeps the records. It is a gateway.Auditor.
type Trail struct {
	cfg   Config
	nudge chan struct{}
	full  chan struct{} // many records were written since the last removal

	mu      sync.Mutex // guards pending
	pending []slipway.AuditRecord

	process string // tells the counts of this process from those of others
	counted counted

	writing sync.Mutex // held while records are written, so that they stay in order
	written int        // records since the last removal; guarded by writing
}

var _ gateway.Auditor = (*Trail)(nil)

const (
	delay   = 100 * time.Millisecond // of an outcome's write, at most
	backlog = 1000                   // pending outcomes, at most
	cleanup = 10 * time.Minute       // between removals of old records
)

// New checks cfg and returns the trail.
func New(cfg Config) (*Trail, error) {
	if cfg.Store == nil || cfg.Log == nil || cfg.Region == "" || cfg.Account == "" {
		return nil, errors.New("audit: store, log, region and account are required")
	}
	if cfg.Keep == 0 {
		cfg.Keep = 90 * 24 * time.Hour
	}
	if cfg.Most == 0 {
		cfg.Most = 100_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Trail{cfg: cfg, nudge: make(chan struct{}, 1), full: make(chan struct{}, 1), process: slipway.NewUUID()}, nil
}

// Begun writes the record of a call without its outcome.
func (t *Trail) Begun(tx *store.Tx, c gateway.Call) error {
	r, err := t.record(c)
	if err != nil {
		return err
	}
	return tx.PutAudit(r)
}

// Ended adds the outcome to the record of a call: at once if the call may have
// changed something and has no record yet, else soon. Calls that only read are counted.
func (t *Trail) Ended(ctx context.Context, c gateway.Call) {
	if !c.Operation.Mutates {
		t.read(ctx, c)
		return
	}
	r, err := t.record(c)
	if err != nil {
		t.cfg.Log.Error("make an audit record", "request", c.ID, "operation", c.Operation.Name, "err", err)
		return
	}
	mayHaveChanged := c.Exception == nil || c.Exception.Status >= http.StatusInternalServerError
	t.put(ctx, r, !c.Recorded && mayHaveChanged)
}

// put writes a record, at once or soon. A record that waits is replaced by a later one of
// its id.
func (t *Trail) put(ctx context.Context, r slipway.AuditRecord, now bool) {
	t.mu.Lock()
	i := slices.IndexFunc(t.pending, func(p slipway.AuditRecord) bool { return p.ID == r.ID })
	if i >= 0 {
		t.pending[i] = r
	} else {
		t.pending = append(t.pending, r)
	}
	n := len(t.pending)
	t.mu.Unlock()
	if now || n >= backlog {
		if err := t.Flush(ctx); err != nil {
			t.cfg.Log.Error("write an audit record", "request", r.ID, "operation", r.Name, "err", err)
		}
		return
	}
	select {
	case t.nudge <- struct{}{}:
	default:
	}
}

// Flush writes the pending outcomes.
func (t *Trail) Flush(ctx context.Context) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	list := t.pending
	t.pending = nil
	t.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	err := t.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		for _, r := range list {
			if err := tx.PutAudit(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.mu.Lock()
		t.pending = append(list, t.pending...)
		if over := len(t.pending) - 2*backlog; over > 0 { // a full disk must not fill memory
			t.pending = t.pending[over:]
		}
		t.mu.Unlock()
		return err
	}
	if t.written += len(list); t.written > t.cfg.Most/10 { // a flood does not wait for the next removal
		t.written = 0
		select {
		case t.full <- struct{}{}:
		default:
		}
	}
	return nil
}

// Run writes outcomes and removes old records until ctx ends; then it writes the
// remaining outcomes.
func (t *Trail) Run(ctx context.Context) error {
	cleanUp := time.NewTicker(cleanup)
	defer cleanUp.Stop()
	for {
		select {
		case <-ctx.Done():
			return t.Flush(context.WithoutCancel(ctx))
		case <-t.nudge:
			select { // wait for more outcomes
			case <-time.After(delay):
			case <-ctx.Done():
			}
			if err := t.Flush(context.WithoutCancel(ctx)); err != nil {
				t.cfg.Log.Error("write audit records", "err", err)
			}
		case <-t.full:
			if err := t.cleanUp(ctx); err != nil && ctx.Err() == nil {
				t.cfg.Log.Error("remove old audit records", "err", err)
			}
		case <-cleanUp.C:
			if err := t.cleanUp(ctx); err != nil && ctx.Err() == nil {
				t.cfg.Log.Error("remove old audit records", "err", err)
			}
		}
	}
}

func (t *Trail) cleanUp(ctx context.Context) error {
	return t.cfg.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.ForgetAudit(t.cfg.Now().Add(-t.cfg.Keep)); err != nil {
			return err
		}
		counts, err := tx.AuditCounts()
		if err != nil {
			return err
		}
		for user, n := range excess(counts, t.cfg.Most) {
			if err := tx.ForgetAuditOf(user, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// excess returns how many of their oldest records users lose, so that at most so many are
// left in all. Those with the most lose them: a user with a share or less, the maximum
// divided by the number of users, loses none to a flood of another's.
func excess(counts map[string]int, most int) map[string]int {
	sizes := slices.Sorted(maps.Values(counts))
	level, left := most, most // no user keeps more than level
	for i, n := range sizes {
		level = left / (len(sizes) - i)
		if n > level {
			break
		}
		left -= n
	}
	gone := map[string]int{}
	for user, n := range counts {
		if n > level {
			gone[user] = n - level
		}
	}
	return gone
}
