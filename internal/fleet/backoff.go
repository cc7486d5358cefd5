package fleet

import (
	"cmp"
	"slices"
	"time"

	"github.com/openslipway/slipway"
)

const (
	// A release whose instances end too soon starts the next one after a delay:
	// firstDelay at first, then twice as long each time, at most longestDelay.
	firstDelay   = time.Second
	longestDelay = 5 * time.Minute

	// steadyAfter is how long an instance must have been ready before its end no
	// longer counts as too soon.
	steadyAfter = 10 * time.Minute

	// keepEnded times the size is how many ended rows are kept: enough to derive
	// the longest delay from them.
	keepEnded = 12
)

// nextStart returns when the release may start the next instance, as its last
// instances ended; zero means at any time. It reads only rows, so a new process
// continues the delays of the previous one.
func nextStart(r slipway.Release, observations []*observation) time.Time {
	var ends []slipway.Instance
	for _, o := range observations {
		if o.row.State == slipway.InstanceEnded && o.row.Exit != nil {
			ends = append(ends, o.row)
		}
	}
	slices.SortFunc(ends, func(a, b slipway.Instance) int {
		return cmp.Or(b.EndedAt.Compare(a.EndedAt), cmp.Compare(a.ID, b.ID))
	})
	streak := 0
	for n, i := range ends {
		if !i.ReadyAt.IsZero() && i.EndedAt.Sub(i.ReadyAt) >= steadyAfter {
			break
		}
		if n > 0 && ends[n-1].CreatedAt.Sub(i.EndedAt) > longestDelay+time.Minute {
			break // the next one did not replace it
		}
		streak++
	}
	if streak == 0 {
		return time.Time{}
	}
	// The instances of a release often end together: that counts as one failure.
	size := max(r.Size, 1)
	rounds := (streak + size - 1) / size
	delay := longestDelay
	if rounds < 10 {
		delay = min(firstDelay<<(rounds-1), longestDelay)
	}
	return ends[0].EndedAt.Add(delay)
}
