package image

import (
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// leases protect content that is in use from collection: a pull's blobs before
// a manifest refers to them, the blobs of a manifest that is being tagged.
//
// A collection decides by what it read when it began. So a lease that ends
// during a collection is kept until the collection ends: what it protected may
// have become reachable meanwhile.
type leases struct {
	mu         sync.Mutex // guards all below
	held       map[string]int
	collecting bool
	lingering  []string
}

// lease is one worker's set of protected keys.
type lease struct {
	of *leases

	mu   sync.Mutex // guards keys: a pull's downloads share its lease
	keys []string
}

func (ls *leases) open() *lease { return &lease{of: ls} }

// hold protects key from now on. Call it before checking that the content
// exists.
func (l *lease) hold(key string) {
	l.mu.Lock()
	l.keys = append(l.keys, key)
	l.mu.Unlock()

	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.of.held == nil {
		l.of.held = map[string]int{}
	}
	l.of.held[key]++
}

// release ends the lease.
func (l *lease) release() {
	l.mu.Lock()
	keys := l.keys
	l.keys = nil
	l.mu.Unlock()

	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.of.collecting {
		l.of.lingering = append(l.of.lingering, keys...)
		return
	}
	l.of.drop(keys)
}

// drop releases one hold on each key. The caller holds ls.mu.
func (ls *leases) drop(keys []string) {
	for _, k := range keys {
		if ls.held[k]--; ls.held[k] == 0 {
			delete(ls.held, k)
		}
	}
}

// begin starts a collection; the caller calls end when it is done.
func (ls *leases) begin() (end func()) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.collecting = true
	return func() {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		ls.collecting = false
		ls.drop(ls.lingering)
		ls.lingering = nil
	}
}

// unless calls remove if nobody holds key, and blocks new holds on it
// meanwhile. It reports whether it called remove.
func (ls *leases) unless(key string, remove func() error) (bool, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.held[key] > 0 {
		return false, nil
	}
	return true, remove()
}

// Keys of leases.
func blobKey(h v1.Hash) string       { return "blob " + h.Hex }
func layerKey(diffID v1.Hash) string { return "layer " + diffID.Hex }
