package embedded

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// pool keeps blank sandboxes ready.
type pool struct {
	yard   *yard
	graves *graveyard
	size   int
	log    *slog.Logger

	taken chan struct{} // a nudge: the pool may have to be refilled
	done  chan struct{} // closed once run makes no more

	mu     sync.Mutex // guards what follows
	blanks []*sandbox
	last   time.Time // when one was taken most recently
}

const (
	// refillAfter is how long nobody must have taken a sandbox before new ones
	// are made: whoever took the last needs the processors now.
	refillAfter = 50 * time.Millisecond

	refillRetryFirst = 100 * time.Millisecond
	refillRetryLast  = 30 * time.Second
)

func newPool(y *yard, g *graveyard, size int, log *slog.Logger) *pool {
	return &pool{yard: y, graves: g, size: size, log: log, taken: make(chan struct{}, 1), done: make(chan struct{})}
}

// run refills the pool until ctx ends.
func (p *pool) run(ctx context.Context) error {
	defer close(p.done)
	if p.size == 0 {
		return nil
	}
	retry := refillRetryFirst
	for ctx.Err() == nil {
		wait, full := p.due(time.Now())
		if !full && wait <= 0 {
			err := p.add(ctx)
			if err == nil {
				retry = refillRetryFirst
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			p.log.Warn("cannot make a sandbox ahead of time", "err", err, "retry", retry)
			wait, retry = retry, min(2*retry, refillRetryLast)
		}
		p.sleep(ctx, wait, full)
	}
	return nil
}

// due tells whether the pool is full, and if not, how long to wait before
// making a sandbox.
func (p *pool) due(now time.Time) (wait time.Duration, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.Add(refillAfter).Sub(now), len(p.blanks) >= p.size
}

// sleep waits for a time, or until a sandbox is taken if the pool is full.
func (p *pool) sleep(ctx context.Context, wait time.Duration, full bool) {
	var timer <-chan time.Time
	taken := p.taken
	if full {
		timer = nil
	} else {
		timer, taken = time.After(wait), nil
	}
	select {
	case <-timer:
	case <-taken:
	case <-ctx.Done():
	}
}

// add makes one sandbox and puts it into the pool.
func (p *pool) add(ctx context.Context) error {
	s, err := p.build(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blanks = append(p.blanks, s)
	return nil
}

// build makes one sandbox, or leaves nothing behind.
func (p *pool) build(ctx context.Context) (*sandbox, error) {
	s, name, err := p.yard.build(ctx)
	if err != nil {
		if name != "" {
			p.bury(name)
		}
		return nil, err
	}
	return s, nil
}

// take returns a sandbox: a ready one, or else a new one.
func (p *pool) take(ctx context.Context) (*sandbox, error) {
	for {
		s := p.pop()
		if s == nil {
			return p.build(ctx)
		}
		if !s.process.dead() {
			return s, nil
		}
		p.log.Warn("a blank sandbox has died", "sandbox", s.name)
		p.discard(s)
	}
}

func (p *pool) pop() *sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	select {
	case p.taken <- struct{}{}:
	default:
	}
	if len(p.blanks) == 0 {
		return nil
	}
	s := p.blanks[0]
	p.blanks = p.blanks[1:]
	return s
}

// discard ends a blank sandbox.
func (p *pool) discard(s *sandbox) {
	s.discard()
	p.bury(s.name)
}

// bury has the remains of a blank sandbox removed.
func (p *pool) bury(name string) {
	if err := p.yard.discardDir(p.yard.path(dirBlank, name), name); err != nil {
		// It stays among the blank ones, for the next driver to find.
		p.log.Error("cannot move a blank sandbox to the trash", "sandbox", name, "err", err)
		return
	}
	p.graves.add(name)
}

// drain ends all blank sandboxes, once run has ended, and has them removed.
func (p *pool) drain() {
	<-p.done
	p.mu.Lock()
	blanks := p.blanks
	p.blanks = nil
	p.mu.Unlock()
	for _, s := range blanks {
		p.discard(s)
	}
}
