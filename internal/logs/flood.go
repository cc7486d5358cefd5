package logs

import (
	"sync"
	"time"
)

const (
	rate    = 4 << 20     // sustained bytes a second of one instance
	rateAll = 4 << 20     // of all instances that exceed their rate together
	burst   = time.Second // how much of the rate may be read at once

	// lineCost is what a line costs beside its text, in bytes: its time, kind and
	// position on the disk, and the work. A flood of empty lines costs as much as one
	// of long ones.
	lineCost = 64
)

// sizeOf returns what lines count for the rate, in bytes.
func sizeOf(lines []Line) (n int64) {
	for _, l := range lines {
		n += int64(len(l.Text)) + lineCost
	}
	return n
}

// flood limits the rate at which output is read. Each instance has a rate of its own;
// those that exceed it share one. An instance that does not is never kept waiting for
// others.
type flood struct {
	// turn is held while lines are cut and written: one instance at a time, so that
	// floods leave processors for everything else.
	turn sync.Mutex

	mu   sync.Mutex
	over int // instances that exceed their rate
}

// use is how much of its rate an instance has used. It is its tail's.
type use struct {
	until time.Time // up to which the rate is used
	over  bool      // counted in flood.over
}

// spend counts what was read.
func (f *flood) spend(u *use, bytes int64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u.until.Before(now) {
		u.until = now
	}
	of := float64(rate)
	if u.over {
		of = share(f.over)
	}
	u.until = u.until.Add(time.Duration(float64(bytes) / of * float64(time.Second)))
	f.mark(u, u.until.Sub(now) > burst/2)
}

// share returns the rate of one of so many instances that exceed theirs, in bytes a
// second.
func share(over int) float64 { return min(rate, rateAll/float64(max(over, 1))) }

// wait returns how long the instance must not be read, zero or less if it may.
func (f *flood) wait(u *use, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := max(u.until.Sub(now), 0)
	f.mark(u, left > burst/2)
	return left - burst
}

// leave forgets an instance.
func (f *flood) leave(u *use) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mark(u, false)
}

func (f *flood) mark(u *use, over bool) {
	switch {
	case over && !u.over:
		f.over++
	case !over && u.over:
		f.over--
	}
	u.over = over
}
