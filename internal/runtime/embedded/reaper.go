package embedded

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// reaper removes what dead sandboxes had, in the background, and retries until it
// succeeds. The next daemon removes what is left when this one dies: a sandbox's
// directory stays in the trash until all else is gone.
type reaper struct {
	factory *factory
	log     *slog.Logger

	queue chan string
	done  chan struct{}

	mu      sync.Mutex // guards pending
	pending map[string]bool
}

const (
	// reapers is how many sandboxes are removed at the same time.
	reapers = 2

	// Killed processes take a moment to be gone, so the first attempts may fail
	// and are soon repeated.
	removeRetryFirst = 2 * time.Millisecond
	removeRetryLast  = 5 * time.Second
	removeWarnAfter  = time.Second // failures are logged once the wait is this long
)

func newReaper(f *factory, log *slog.Logger) *reaper {
	return &reaper{factory: f, log: log, queue: make(chan string), done: make(chan struct{}), pending: map[string]bool{}}
}

// run removes sandboxes until ctx ends.
func (r *reaper) run(ctx context.Context) error {
	defer close(r.done)
	var workers sync.WaitGroup
	defer workers.Wait() // a removal under way stops at its next failure
	for range reapers {
		workers.Go(func() {
			for {
				select {
				case name := <-r.queue:
					r.remove(ctx, name)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	<-ctx.Done()
	return nil
}

// add queues the removal of a sandbox whose directory is in the trash.
func (r *reaper) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending[name] {
		return
	}
	r.pending[name] = true
	go r.enqueue(name)
}

func (r *reaper) enqueue(name string) {
	select {
	case r.queue <- name:
	case <-r.done:
	}
}

func (r *reaper) remove(ctx context.Context, name string) {
	err := r.factory.remove(ctx, name)
	for wait := removeRetryFirst; err != nil; wait = min(2*wait, removeRetryLast) {
		if wait >= removeWarnAfter {
			r.log.Warn("cannot remove a sandbox yet", "sandbox", name, "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		err = r.factory.remove(ctx, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, name)
}

// finish removes what is left after run has ended, until ctx ends.
func (r *reaper) finish(ctx context.Context) {
	<-r.done
	for _, name := range r.left() {
		r.remove(ctx, name)
	}
}

// left returns the sandboxes still to be removed.
func (r *reaper) left() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.pending))
}
