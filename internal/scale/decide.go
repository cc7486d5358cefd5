package scale

import (
	"fmt"

	"github.com/openslipway/slipway"
)

// Observation is what is known of a service's demand when its size is decided.
type Observation struct {
	Known bool // false: no router has told anything yet

	// Now is how many requests are in flight or wait at this moment.
	Now int

	// Peak is the highest number of requests at once, averaged over each
	// interval, of the stable window; Whole says that the window has been
	// observed from its beginning.
	Peak  float64
	Whole bool

	// Rested says that the size has not changed for the pace of scaling in.
	Rested bool
}

// Decide returns the size a release of the given size should have, and why, in
// words for a log. It grows at once to what the requests need now, shrinks by
// one instance at a time when a whole stable window needed fewer, and keeps the
// size when it knows nothing. The result is always within the bounds, and Decide
// of its own result changes nothing more in the same observation, but for
// further shrinking once Rested again.
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
	if need < size && o.Whole && o.Rested {
		return size - 1, fmt.Sprintf("no more than %.1f requests at once need %d instances", o.Peak, need)
	}
	return size, "enough"
}

// instances is how many it takes to serve the requests at once.
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
