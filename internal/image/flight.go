package image

import (
	"context"
	"sync"
)

// flights lets concurrent callers share one run of the same work. Unlike
// singleflight, a run that its caller's context ended is repeated for the
// others.
type flights struct {
	mu sync.Mutex // guards m
	m  map[string]*flight
}

type flight struct {
	done      chan struct{}
	err       error
	abandoned bool // its caller's context ended: the work itself did not fail
}

// do runs f, or waits for another caller's run under the same key and returns
// its error. If that caller's context ends first, the next waiting caller runs
// f: one caller's cancellation never fails another.
func (fs *flights) do(ctx context.Context, key string, f func() error) error {
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		fl, first := fs.join(key)
		if first {
			return fs.run(ctx, key, fl, f)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-fl.done:
		}
		if !fl.abandoned {
			return fl.err
		}
	}
}

func (fs *flights) join(key string) (fl *flight, first bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fl, ok := fs.m[key]; ok {
		return fl, false
	}
	if fs.m == nil {
		fs.m = map[string]*flight{}
	}
	fl = &flight{done: make(chan struct{}), abandoned: true}
	fs.m[key] = fl
	return fl, true
}

func (fs *flights) run(ctx context.Context, key string, fl *flight, f func() error) error {
	defer func() { // also when f panics
		fs.mu.Lock()
		delete(fs.m, key)
		fs.mu.Unlock()
		close(fl.done)
	}()
	fl.err = f()
	fl.abandoned = fl.err != nil && ctx.Err() != nil
	return fl.err
}
