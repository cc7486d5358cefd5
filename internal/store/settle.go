package store

import (
	"context"
	"sync/atomic"
)

// seenKey is the key of a *seen in a context. A store has its own.
type seenKey struct{ of *Store }

// seen is the newest commit that the transactions of a context can have seen.
type seen struct{ commit atomic.Int64 }

// DeferSync returns a context with which View, and an Update that fails, leave the wait
// for the disk to settle: one wait for all that was seen since, and what had been seen
// before DeferSync. A reply made of several transactions waits once that way.
func (s *Store) DeferSync(ctx context.Context) (deferred context.Context, settle func() error) {
	n := &seen{}
	n.note(s.journal.visible())
	return context.WithValue(ctx, seenKey{s}, n), func() error { return s.journal.sync(n.commit.Load()) }
}

// settle returns result when everything that a transaction that has just ended can have
// seen is on disk, or notes it in a context of DeferSync. If the sync fails, the result may
// be one that never was, and the error is that of the sync.
func (s *Store) settle(ctx context.Context, result error) error {
	visible := s.journal.visible()
	if n, ok := ctx.Value(seenKey{s}).(*seen); ok {
		n.note(visible)
		return result
	}
	if err := s.journal.sync(visible); err != nil {
		return err
	}
	return result
}

func (n *seen) note(commit int64) {
	for was := n.commit.Load(); was < commit && !n.commit.CompareAndSwap(was, commit); was = n.commit.Load() {
	}
}
