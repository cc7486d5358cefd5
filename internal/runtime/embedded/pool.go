package embedded

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// pool keeps sandboxes ready: blank ones for any image, and as many furnished
// ones with the images that were in use most recently. What was in use a moment
// ago is what is likely to be asked for next: a service resumes with the image
// it was paused with, and grows by what it has.
type pool struct {
	yard   *yard
	graves *graveyard
	layers func(ctx context.Context, image string) ([]string, error)
	size   int // of each kind
	log    *slog.Logger

	taken chan struct{} // a nudge: the pool may have to be refilled
	done  chan struct{} // closed once run makes no more

	mu        sync.Mutex // guards what follows
	blanks    []*sandbox
	furnished []*sandbox
	recent    []string  // images, the one in use last first; at most size
	last      time.Time // when a sandbox was taken most recently
}

const (
	// refillAfter is how long nobody must have taken a sandbox before new ones
	// are made: whoever took the last needs the processors now.
	refillAfter = 50 * time.Millisecond

	refillRetryFirst = 100 * time.Millisecond
	refillRetryLast  = 30 * time.Second

	// reviewEvery is how often a full pool looks for furnished sandboxes whose
	// image is gone: they hold on to its disk space.
	reviewEvery = time.Minute
)

func newPool(y *yard, g *graveyard, layers func(context.Context, string) ([]string, error), size int, log *slog.Logger) *pool {
	return &pool{
		yard: y, graves: g, layers: layers, size: size, log: log,
		taken: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// run refills the pool until ctx ends.
func (p *pool) run(ctx context.Context) error {
	defer close(p.done)
	if p.size == 0 {
		return nil
	}
	retry := refillRetryFirst
	for ctx.Err() == nil {
		wait, missing := p.due(time.Now())
		if missing != nil && wait <= 0 {
			err := missing(ctx)
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
		if missing != nil {
			p.sleep(ctx, wait, nil)
		} else if !p.sleep(ctx, reviewEvery, p.taken) {
			p.review()
		}
	}
	return nil
}

// due returns what the pool is to do next, nil if it is full, and how long to
// wait before that.
func (p *pool) due(now time.Time) (wait time.Duration, missing func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = p.last.Add(refillAfter).Sub(now)
	if len(p.blanks) < p.size {
		return wait, p.add
	}
	if image, ok := p.unfurnished(); ok {
		return wait, func(ctx context.Context) error { return p.furnish(ctx, image) }
	}
	return 0, nil
}

// unfurnished returns the most recent image that has fewer sandboxes than its
// share. The caller holds mu.
func (p *pool) unfurnished() (image string, ok bool) {
	for i, image := range p.recent {
		if p.count(image) < p.share(i) {
			return image, true
		}
	}
	return "", false
}

// share is how many sandboxes are furnished with the i-th of the recent images:
// all have as many, the most recent ones one more if there are some left.
func (p *pool) share(i int) int {
	n := p.size / len(p.recent)
	if i < p.size%len(p.recent) {
		n++
	}
	return n
}

// count returns how many sandboxes are furnished with the image. The caller
// holds mu.
func (p *pool) count(image string) (n int) {
	for _, s := range p.furnished {
		if s.furniture.image == image {
			n++
		}
	}
	return n
}

// sleep waits for a time, and reports whether nudge ended that.
func (p *pool) sleep(ctx context.Context, wait time.Duration, nudge <-chan struct{}) (nudged bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-nudge:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
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

// furnish gives a blank sandbox an image. One that cannot be given is not tried
// again until it is asked for: who asks is told why.
func (p *pool) furnish(ctx context.Context, image string) error {
	s := p.forFurnishing()
	if s == nil {
		return nil
	}
	if err := p.furnishWith(ctx, s, image); err != nil {
		p.discard(s)
		if ctx.Err() == nil {
			p.log.Debug("cannot furnish a sandbox ahead of time", "image", image, "err", err)
		}
		p.forget(image)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.furnished = append(p.furnished, s)
	return nil
}

func (p *pool) furnishWith(ctx context.Context, s *sandbox, image string) error {
	layers, err := p.layers(ctx, image)
	if err != nil {
		return err
	}
	f, err := p.yard.furniture(image, layers)
	if err != nil {
		return err
	}
	if err := s.furnish(f); err != nil {
		return err
	}
	return s.furnished(ctx)
}

// forFurnishing takes a blank sandbox out of the pool, and ends a furnished one
// that has to make room for it. It returns nil if there is none.
func (p *pool) forFurnishing() *sandbox {
	p.mu.Lock()
	var surplus *sandbox
	for i, s := range p.furnished {
		if at := slices.Index(p.recent, s.furniture.image); at < 0 || p.count(s.furniture.image) > p.share(at) {
			surplus, p.furnished = s, slices.Delete(p.furnished, i, i+1)
			break
		}
	}
	s := first(&p.blanks)
	p.mu.Unlock()
	if surplus != nil {
		p.discard(surplus)
	}
	return s
}

// first takes the first sandbox of a list, nil if there is none.
func first(list *[]*sandbox) *sandbox {
	if len(*list) == 0 {
		return nil
	}
	s := (*list)[0]
	*list = slices.Delete(*list, 0, 1)
	return s
}

// use notes that an image is in use.
func (p *pool) use(image string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used(image)
}

// used is use. The caller holds mu.
func (p *pool) used(image string) {
	p.recent = slices.DeleteFunc(p.recent, func(i string) bool { return i == image })
	if p.recent = slices.Insert(p.recent, 0, image); len(p.recent) > p.size {
		p.recent = p.recent[:p.size]
	}
	select {
	case p.taken <- struct{}{}:
	default:
	}
}

// forget drops an image from the recent ones.
func (p *pool) forget(image string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recent = slices.DeleteFunc(p.recent, func(i string) bool { return i == image })
}

// review ends the furnished sandboxes whose layers are gone, or are others.
func (p *pool) review() {
	for _, s := range p.stale() {
		p.discard(s)
	}
}

func (p *pool) stale() (gone []*sandbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.furnished = slices.DeleteFunc(p.furnished, func(s *sandbox) bool {
		now, err := p.yard.furniture(s.furniture.image, s.furniture.layers)
		if err == nil && now.equal(s.furniture) {
			return false
		}
		gone = append(gone, s)
		p.recent = slices.DeleteFunc(p.recent, func(i string) bool { return i == s.furniture.image })
		return true
	})
	return gone
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

// take returns a sandbox: one furnished as wanted that has a disk of the size,
// or else a blank one, or else a new one.
func (p *pool) take(ctx context.Context, want *furniture, size int64) (*sandbox, error) {
	for {
		s := p.pop(want, size)
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

func (p *pool) pop(want *furniture, size int64) *sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	p.used(want.image)
	for i, s := range p.furnished {
		if s.furniture.equal(want) && s.disk == size {
			p.furnished = slices.Delete(p.furnished, i, i+1)
			return s
		}
	}
	return first(&p.blanks)
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
	blanks := slices.Concat(p.blanks, p.furnished)
	p.blanks, p.furnished = nil, nil
	p.mu.Unlock()
	for _, s := range blanks {
		p.discard(s)
	}
}
