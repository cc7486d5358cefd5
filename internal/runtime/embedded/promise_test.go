package embedded

import (
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/openslipway/slipway"
)

// TestRefuse: what is promised of the disk is bounded, and what replaces is not refused.
func TestRefuse(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	old := func(n int, bytes int64) promises {
		list := promises{}
		for i := range n {
			list[strings.Repeat("a", i+1)] = promise{service: "shop", release: "r1", bytes: bytes}
		}
		return list
	}
	ended := promises{"a": {service: "shop", release: "r1", bytes: 3 * gib, ended: true}, "b": {service: "cart", release: "r9", bytes: 3 * gib}}
	for _, c := range []struct {
		name  string
		have  promises
		want  promise
		free  int64
		times int
		ok    bool
	}{
		{"the first", nil, promise{service: "shop", release: "r1", bytes: 3 * gib}, 3 * gib, 1, true},
		{"the first, by one byte too much", nil, promise{service: "shop", release: "r1", bytes: 3*gib + 1}, 3 * gib, 1, false},
		{"exactly all", old(2, gib), promise{service: "cart", release: "r9", bytes: gib}, gib, 3, true},
		{"one more", old(3, gib), promise{service: "cart", release: "r9", bytes: gib}, gib, 3, false},
		{"one more of the same release", old(3, gib), promise{service: "shop", release: "r1", bytes: gib}, gib, 3, false},
		{"without a bound", old(3, gib), promise{service: "cart", release: "r9", bytes: gib}, gib, 0, true},
		{"a job", old(3, gib), promise{bytes: gib}, gib, 3, false},
		{"the next release", old(3, gib), promise{service: "shop", release: "r2", bytes: gib}, gib, 3, true},
		{"the next release on a disk that is full", old(3, gib), promise{service: "shop", release: "r2", bytes: gib}, 0, 3, true},
		{"the next release, larger than the last", promises{
			"a": {service: "shop", release: "r1", bytes: gib}, "b": {service: "shop", release: "r2", bytes: gib},
		}, promise{service: "shop", release: "r2", bytes: 3 * gib}, gib, 3, false},
		{"in place of one that ended", ended, promise{service: "shop", release: "r1", bytes: 3 * gib}, gib, 1, true},
		{"beside one that ended", ended, promise{service: "cart", release: "r9", bytes: 3 * gib}, gib, 1, false},
		{"a full disk", nil, promise{service: "shop", release: "r1", bytes: 1}, 0, 1000, false},
		{"less than the reserve is left", nil, promise{service: "shop", release: "r1", bytes: 1}, -gib, 1000, false},
	} {
		err := refuse(c.have, c.want, c.free, c.times)
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && (slipway.CodeOf(err) != slipway.InvalidRequest || !strings.Contains(err.Error(), "--disk-overcommit")) {
			t.Errorf("%s: %v does not say what to do", c.name, err)
		}
	}
}

// TestAwayFromMain: what threads do for an instance never happens on the first one, which
// all of /proc/self is about and which would keep an instance's mounts.
func TestAwayFromMain(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			awayFromMain(func() {
				if unix.Gettid() == os.Getpid() {
					t.Error("this is the first thread")
				}
			})
		})
	}
	all.Wait()
}
