package embedded

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// pool keeps sandboxes ready: blank ones for any image, and as many that are
// prepared with the root file systems of the most recently used images. The next
// instance likely has one of these: a service resumes with the image that it was
// paused with, and scales out with the image that it runs.
type pool struct {
	factory *factory
	reaper  *reaper
	layers  func(ctx context.Context, image string) ([]string, error)
	size    int // of each kind
	log     *slog.Logger

	taken chan struct{} // wakes run: the pool may have to be refilled
	done  chan struct{} // closed once run has ended

	mu       sync.Mutex // guards what follows
	blanks   []*sandbox
	prepared []*sandbox
	recent   []string  // images, most recently used first; at most size
	last     time.Time // when a sandbox was taken most recently
}

const (
	// refillAfter is how long the pool waits after a sandbox was taken before it
	// makes new ones: the instance that starts needs the processors now.
	refillAfter = 50 * time.Millisecond

	refillRetryFirst = 100 * time.Millisecond
	refillRetryLast  = 30 * time.Second

	// reviewEvery is how often a full pool looks for prepared sandboxes whose
	// image is gone: they keep its disk space in use.
	reviewEvery = time.Minute
)

func newPool(f *factory, r *reaper, layers func(context.Context, string) ([]string, error), size int, log *slog.Logger) *pool {
	return &pool{
		factory: f, reaper: r, layers: layers, size: size, log: log,
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

// due returns the next thing to do, nil if the pool is full, and how long to wait
// before that.
func (p *pool) due(now time.Time) (wait time.Duration, missing func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = p.last.Add(refillAfter).Sub(now)
	if len(p.blanks) < p.size {
		return wait, p.add
	}
	if image, ok := p.underprovisioned(); ok {
		return wait, func(ctx context.Context) error { return p.prepare(ctx, image) }
	}
	return 0, nil
}

// underprovisioned returns the most recent image that has fewer sandboxes than its
// share. The caller holds mu.
func (p *pool) underprovisioned() (image string, ok bool) {
	for i, image := range p.recent {
		if p.count(image) < p.share(i) {
			return image, true
		}
	}
	return "", false
}

// share is how many sandboxes are prepared with the i-th of the recent images. The
// size is divided evenly; the most recent images get the remainder.
func (p *pool) share(i int) int {
	n := p.size / len(p.recent)
	if i < p.size%len(p.recent) {
		n++
	}
	return n
}

// count returns how many sandboxes are prepared with the image. The caller
// holds mu.
func (p *pool) count(image string) (n int) {
	for _, s := range p.prepared {
		if s.rootfs.image == image {
			n++
		}
	}
	return n
}

// sleep waits, and reports whether a nudge ended the wait.
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

// prepare gives a blank sandbox the root file system of an image. An image for
// which that fails is dropped: the next Ensure of it reports the reason.
func (p *pool) prepare(ctx context.Context, image string) error {
	s := p.takeBlank()
	if s == nil {
		return nil
	}
	if err := p.prepareWith(ctx, s, image); err != nil {
		p.discard(s)
		if ctx.Err() == nil {
			p.log.Debug("cannot prepare a sandbox for an image", "image", image, "err", err)
		}
		p.forget(image)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepared = append(p.prepared, s)
	return nil
}

func (p *pool) prepareWith(ctx context.Context, s *sandbox, image string) error {
	layers, err := p.layers(ctx, image)
	if err != nil {
		return err
	}
	f, err := p.factory.rootfs(image, layers)
	if err != nil {
		return err
	}
	if err := s.sendRoot(f); err != nil {
		return err
	}
	return s.awaitRoot(ctx)
}

// takeBlank takes a blank sandbox out of the pool, and ends a prepared one that
// has to make room for it. It returns nil if there is no blank one.
func (p *pool) takeBlank() *sandbox {
	p.mu.Lock()
	var surplus *sandbox
	for i, s := range p.prepared {
		if at := slices.Index(p.recent, s.rootfs.image); at < 0 || p.count(s.rootfs.image) > p.share(at) {
			surplus, p.prepared = s, slices.Delete(p.prepared, i, i+1)
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

// review ends the prepared sandboxes whose layers are gone or were replaced.
func (p *pool) review() {
	for _, s := range p.stale() {
		p.discard(s)
	}
}

func (p *pool) stale() (gone []*sandbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prepared = slices.DeleteFunc(p.prepared, func(s *sandbox) bool {
		now, err := p.factory.rootfs(s.rootfs.image, s.rootfs.layers)
		if err == nil && now.equal(s.rootfs) {
			return false
		}
		gone = append(gone, s)
		p.recent = slices.DeleteFunc(p.recent, func(i string) bool { return i == s.rootfs.image })
		return true
	})
	return gone
}

// build makes one sandbox, or leaves nothing behind.
func (p *pool) build(ctx context.Context) (s *sandbox, err error) {
	for range 2 {
		var name string
		if s, name, err = p.factory.build(ctx); err == nil {
			return s, nil
		}
		if name != "" {
			p.remove(name)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, err
}

// take returns a sandbox that is prepared with the wanted root file system and has
// a disk of the size, or a blank one, or a new one, in this order of preference. ahead
// says that it was made ahead of time.
func (p *pool) take(ctx context.Context, want *rootfs, size int64) (s *sandbox, ahead bool, err error) {
	return p.whole(ctx, func() *sandbox { return p.pop(want, size) })
}

// blank returns a blank sandbox, a new one if there is none.
func (p *pool) blank(ctx context.Context) (s *sandbox, ahead bool, err error) {
	return p.whole(ctx, p.popBlank)
}

// whole returns the first sandbox from pop that lacks nothing, a new one if pop has
// no more.
func (p *pool) whole(ctx context.Context, pop func() *sandbox) (s *sandbox, ahead bool, err error) {
	for {
		s := pop()
		if s == nil {
			s, err := p.build(ctx)
			return s, false, err
		}
		if s.process.dead() {
			p.log.Warn("a blank sandbox has died", "sandbox", s.name)
		} else if err := s.check(ctx); err != nil {
			p.log.Warn("something was taken from a sandbox that was made ahead of time: another one is used", "sandbox", s.name, "err", err)
		} else {
			return s, true, nil
		}
		p.discard(s)
	}
}

func (p *pool) popBlank() *sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	select {
	case p.taken <- struct{}{}:
	default:
	}
	return first(&p.blanks)
}

func (p *pool) pop(want *rootfs, size int64) *sandbox {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	p.used(want.image)
	for i, s := range p.prepared {
		if s.rootfs.equal(want) && s.disk == size {
			p.prepared = slices.Delete(p.prepared, i, i+1)
			return s
		}
	}
	return first(&p.blanks)
}

// discard ends a blank sandbox.
func (p *pool) discard(s *sandbox) {
	s.discard()
	p.remove(s.name)
}

// remove has what is left of a blank sandbox removed.
func (p *pool) remove(name string) {
	if err := p.factory.discardDir(p.factory.path(dirBlank, name), name); err != nil {
		// It stays among the blank ones, where the next driver finds it.
		p.log.Error("cannot move a blank sandbox to the trash", "sandbox", name, "err", err)
		return
	}
	p.reaper.add(name)
}

// drain ends all blank sandboxes, once run has ended, and has them removed.
func (p *pool) drain() {
	<-p.done
	p.mu.Lock()
	blanks := slices.Concat(p.blanks, p.prepared)
	p.blanks, p.prepared = nil, nil
	p.mu.Unlock()
	for _, s := range blanks {
		p.discard(s)
	}
}
