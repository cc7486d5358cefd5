package fleet

import (
	"cmp"
	"slices"
	"time"

	"github.com/openslipway/slipway"
)

const (
	// A release whose instances end too soon waits before it starts the next:
	// firstDelay, then twice as long each time, up to longestDelay.
	firstDelay   = time.Second
	longestDelay = 5 * time.Minute

	// steadyAfter is how long an instance must have been ready for its end not
	// to count as one that came too soon.
	steadyAfter = 10 * time.Minute

	// keepEnded times the size is how many ended rows are kept: enough to see
	// the longest delay in them.
	keepEnded = 12
)

// nextStart returns when the release may start an instance again, judged by
// the ends of its last ones; zero when at any time. It reads nothing but rows,
// so a new process goes on where the last one was.
func nextStart(r slipway.Release, facts []*fact) time.Time {
	var ends []slipway.Instance
	for _, f := range facts {
		if f.row.State == slipway.InstanceEnded && f.row.Exit != nil {
			ends = append(ends, f.row)
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
			break // the next one was not started in its place
		}
		streak++
	}
	if streak == 0 {
		return time.Time{}
	}
	// Instances of one size often end together: that is one failure.
	size := max(r.Size, 1)
	rounds := (streak + size - 1) / size
	delay := longestDelay
	if rounds < 10 {
		delay = min(firstDelay<<(rounds-1), longestDelay)
	}
	return ends[0].EndedAt.Add(delay)
}
