package embedded

import (
	"context"
	"sync"
)

// keyed is a set of locks, one for each key that is held or waited for.
type keyed struct {
	mu    sync.Mutex // guards locks
	locks map[string]chan struct{}
}

// lock waits for a key's lock and returns what unlocks it.
func (k *keyed) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		k.mu.Lock()
		held, taken := k.locks[key]
		if !taken {
			mine := make(chan struct{})
			if k.locks == nil {
				k.locks = map[string]chan struct{}{}
			}
			k.locks[key] = mine
			k.mu.Unlock()
			return func() {
				k.mu.Lock()
				delete(k.locks, key)
				k.mu.Unlock()
				close(mine)
			}, nil
		}
		k.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
