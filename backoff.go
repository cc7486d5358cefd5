package slipway

import "time"

// Backoff returns first, doubled for each time after the first, and at most most. first is
// above a thousandth of most.
func Backoff(first, most time.Duration, times int) time.Duration {
	return min(first<<min(times-1, 10), most)
}
