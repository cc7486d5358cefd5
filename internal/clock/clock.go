// Package clock says when the time of day may be trusted with the removal of what is old.
//
// A machine without a battery boots in 1970, one with a wrong clock in 2099, and either is
// corrected later. What is removed by age in between is lost. A [Judge] therefore watches
// whether the time of day and the monotonic clock agree, and whether the time of day goes on
// from the last one that was trusted, which the store keeps. Retention asks it, the logs and
// the secrets. It decides nothing else: no other decision compares times of day of two
// moments.
package clock

import (
	"fmt"
	"sync"
	"time"
)

const (
	// Agree is how long both clocks must have agreed before the time of day is trusted.
	Agree = 10 * time.Minute

	// AgreeLong is the same if the time of day does not go on from the last trusted one: it
	// is earlier, or more than Leap later. The machine may have been off, or the clock may
	// be wrong, which somebody has a day to see.
	AgreeLong = 24 * time.Hour
	Leap      = 24 * time.Hour

	// step is by how much the clocks may differ from one look to the next.
	step = time.Minute
)

// Judge watches the time of day. It is safe for concurrent use.
type Judge struct {
	now func() time.Time

	mu      sync.Mutex    // guards what follows
	began   time.Time     // by the monotonic clock
	offset  time.Duration // of the time of day, from the monotonic clock since began
	since   time.Duration // after began: when both began to agree
	trusted bool          // at the last look
	reason  string        // why not
}

// New returns a judge of a time of day; now is time.Now when nil.
func New(now func() time.Time) *Judge {
	if now == nil {
		now = time.Now
	}
	j := &Judge{now: now, began: time.Now(), reason: "the server has just started"}
	j.offset = j.measure()
	return j
}

// measure returns how far the time of day is from where the monotonic clock is.
func (j *Judge) measure() time.Duration {
	return j.now().Round(0).Sub(j.began.Round(0)) - time.Since(j.began)
}

// Look compares the clocks, and returns whether the time of day is trusted now, and if not,
// why. last is the last time of day that was trusted, zero if there is none. Call it every
// few minutes, and store the time after each look that trusts it.
func (j *Judge) Look(last time.Time) (at time.Time, trusted bool, reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at = j.now().Round(0)
	if d := j.stepped(); d != 0 {
		j.since, j.reason = time.Since(j.began), fmt.Sprintf("the clock stepped by %v", d.Round(time.Second))
	}
	j.offset = j.measure()
	need := Agree
	if leap := at.Sub(last); !last.IsZero() && (leap < 0 || leap > Leap) {
		need = AgreeLong
		j.reason = fmt.Sprintf("the clock says %s, and said %s when it was last trusted", at.UTC().Format(time.RFC3339), last.UTC().Format(time.RFC3339))
	}
	j.trusted = time.Since(j.began)-j.since >= need
	if j.trusted {
		return at, true, ""
	}
	return at, false, j.reason
}

// stepped returns by how much the time of day has stepped since the last look; 0 if it has
// not.
func (j *Judge) stepped() time.Duration {
	if d := j.measure() - j.offset; d.Abs() > step {
		return d
	}
	return 0
}

// Trusted reports whether the time of day was trusted at the last look and has not stepped
// since.
func (j *Judge) Trusted() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.trusted && j.stepped() == 0
}
