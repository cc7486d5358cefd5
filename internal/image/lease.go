package image

import (
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// leases name what must survive a collection because somebody works on it: a
// pull's blobs while no manifest refers to them yet, a manifest's tree while
// it is being tagged.
//
// A collection decides by what it read at its beginning, so leases that end
// while it runs stay until its end: what they protected may have become
// reachable since.
type leases struct {
	mu         sync.Mutex // guards all below
	held       map[string]int
	collecting bool
	lingering  []string
}

// lease is one worker's part of the leases.
type lease struct {
	of *leases

	mu   sync.Mutex // guards keys: a pull's downloads share its lease
	keys []string
}

func (ls *leases) open() *lease { return &lease{of: ls} }

// hold protects from now on, before the caller looks whether it is there.
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

// drop takes one hold off each key. The caller has ls.mu.
func (ls *leases) drop(keys []string) {
	for _, k := range keys {
		if ls.held[k]--; ls.held[k] == 0 {
			delete(ls.held, k)
		}
	}
}

// begin starts a collection; the caller calls the returned function at its end.
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

// unless calls remove if nobody holds key, and keeps everybody from holding it
// meanwhile. It reports whether it called.
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
