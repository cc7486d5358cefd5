package scale

import (
	"fmt"

	"github.com/openslipway/slipway"
)

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
}

// Decide returns the size that a release of the given size should have, and the
// reason as text for a log. It grows at once to what the current requests need.
// It shrinks by one instance at a time, when a whole stable window needed
// fewer. It keeps the size if nothing is known. The result is always within the
// bounds. Applied to its own result with the same observation, Decide changes
// nothing, except that it shrinks further once the cooldown is over.
func Decide(s slipway.Scaling, size int, o Observation) (int, string) {
	least, most := s.MinSize, max(s.MaxSize, s.MinSize)
	if size < least {
		return least, "below the minimum"
	}
	if size > most {
		return most, "above the maximum"
	}
	if !o.Known {
		return size, "nothing is known of the demand"
	}
	if need := instances(float64(o.Now), s.MaxConcurrency); need > size && size < most {
		return min(need, most), fmt.Sprintf("%d requests need %d instances", o.Now, need)
	}
	need := max(instances(o.Peak, s.MaxConcurrency), instances(float64(o.Now), s.MaxConcurrency), least)
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
