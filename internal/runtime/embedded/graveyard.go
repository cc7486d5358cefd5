package embedded

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// graveyard removes what dead sandboxes had, off everybody's path and until it
// succeeds. What it has not done when the daemon dies, the next one does: the
// sandboxes' directories are in the trash till the end.
type graveyard struct {
	yard *yard
	log  *slog.Logger

	queue chan string
	done  chan struct{}

	mu      sync.Mutex // guards pending
	pending map[string]bool
}

const (
	// gravediggers is how many sandboxes are removed at the same time.
	gravediggers = 2

	// What was just killed takes a moment to be gone, so the first attempts
	// may fail; later ones wait for what is not ours to hurry.
	burialRetryFirst = 2 * time.Millisecond
	burialRetryLast  = 5 * time.Second
	burialComplain   = time.Second // failures are logged once the wait is this long
)

func newGraveyard(y *yard, log *slog.Logger) *graveyard {
	return &graveyard{yard: y, log: log, queue: make(chan string), done: make(chan struct{}), pending: map[string]bool{}}
}

// run removes sandboxes until ctx ends.
func (g *graveyard) run(ctx context.Context) error {
	defer close(g.done)
	var diggers sync.WaitGroup
	defer diggers.Wait() // a burial under way stops at its next failure
	for range gravediggers {
		diggers.Go(func() {
			for {
				select {
				case name := <-g.queue:
					g.bury(ctx, name)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	<-ctx.Done()
	return nil
}

// add has a sandbox removed, whose directory is in the trash by now. It does
// not wait.
func (g *graveyard) add(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pending[name] {
		return
	}
	g.pending[name] = true
	go g.enqueue(name)
}

func (g *graveyard) enqueue(name string) {
	select {
	case g.queue <- name:
	case <-g.done:
	}
}

func (g *graveyard) bury(ctx context.Context, name string) {
	err := g.yard.bury(ctx, name)
	for wait := burialRetryFirst; err != nil; wait = min(2*wait, burialRetryLast) {
		if wait >= burialComplain {
			g.log.Warn("cannot remove a sandbox yet", "sandbox", name, "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		err = g.yard.bury(ctx, name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pending, name)
}

// finish removes what is left once run has ended, as far as it gets until ctx
// ends, too.
func (g *graveyard) finish(ctx context.Context) {
	<-g.done
	for _, name := range g.left() {
		g.bury(ctx, name)
	}
}

// left returns the sandboxes still to be removed.
func (g *graveyard) left() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.pending))
}
