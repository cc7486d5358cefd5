package scale

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

// Rules bound the size of a release.
type Rules struct {
	Least, Most    int // Least is 0 for a service that may have no instance
	MaxConcurrency int // concurrent requests per instance

	// StopAfter is the time without a request after which no instance is left. It counts
	// only where Least is 0.
	StopAfter time.Duration
}

// rulesOf returns the rules for a release of a service with these settings.
func rulesOf(s slipway.Scaling, r slipway.RoutingSettings) Rules {
	least, most := r.Bounds(s)
	return Rules{Least: least, Most: most, MaxConcurrency: s.MaxConcurrency, StopAfter: r.StopAfter}
}

// Observation is what is known about the demand for a service when its size is
// decided.
type Observation struct {
	Known bool // false: no router has reported demand yet

	// Now is the number of requests in flight or waiting at this moment.
	Now int

	// Peak is the highest number of concurrent requests, averaged over each
	// interval, in the stable window. WindowFull says that the whole window
	// has been observed.
	Peak       float64
	WindowFull bool

	// CooldownOver says that the size has not changed for the cooldown of
	// scaling in.
	CooldownOver bool

	// Idle is the time for which there certainly was no request, and the instances had
	// the chance to serve one. It is 0 if that is not known of all routers, or while an
	// operation on the service is live.
	Idle time.Duration
}

// Decide returns the size that a release of the given size should have, and the
// reason as text for a log. It grows at once to what the current requests need.
// It shrinks by one instance at a time, when a whole stable window needed
// fewer, and at once to none after StopAfter without a request. A release that
// may have no instance has one as long as it is not stopped. Decide keeps the
// size if nothing is known. The result is always within the
// bounds. Applied to its own result with the same observation, Decide changes
// nothing, except that it shrinks further once the cooldown is over.
func Decide(r Rules, size int, o Observation) (int, string) {
	least, most := r.Least, r.Most
	if size > 0 {
		least = max(least, 1)
	}
	switch {
	case size < least:
		return least, "below the minimum"
	case size > most:
		return most, "above the maximum"
	case !o.Known:
		return size, "nothing is known of the demand"
	}
	if need := instances(float64(o.Now), r.MaxConcurrency); need > size && size < most {
		return min(need, most), fmt.Sprintf("%d requests need %d instances", o.Now, need)
	}
	if r.Least == 0 && size > 0 && o.Now == 0 && o.Idle > 0 && o.Idle >= r.StopAfter {
		return 0, fmt.Sprintf("no request for %v", o.Idle.Round(time.Second))
	}
	need := max(instances(o.Peak, r.MaxConcurrency), instances(float64(o.Now), r.MaxConcurrency), least)
	if need < size && o.WindowFull && o.CooldownOver {
		return size - 1, fmt.Sprintf("no more than %.1f requests at once need %d instances", o.Peak, need)
	}
	return size, "enough"
}

// instances returns how many instances are needed to serve the requests
// concurrently.
func instances(requests float64, each int) int {
	if each < 1 {
		each = 1
	}
	n := int(requests) / each
	if float64(n*each) < requests {
		n++
	}
	return n
}
