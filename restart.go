package slipway

import (
	"cmp"
	"slices"
	"time"
)

// When the instances of a release end by themselves too soon, the next one is started
// after a delay: firstRestart at first, then twice as long each time, at most
// LongestRestart.
const (
	firstRestart   = time.Second
	LongestRestart = 5 * time.Minute

	// SteadyAfter is how long an instance must have been ready before its end no
	// longer counts as too soon.
	SteadyAfter = 10 * time.Minute
)

// Restarts says how often in a row the instances of a release have ended by
// themselves too soon.
type Restarts struct {
	Count int       // instances that have; 0 if the last one did not
	Last  Instance  // the newest of them
	Next  time.Time // when the next one may be started; zero: at any time
}

// RestartsOf derives the restarts of a release from the rows of its instances. It
// reads nothing else, so a new process continues the delays of the previous one.
func RestartsOf(r Release, instances []Instance) Restarts {
	var ends []Instance
	for _, i := range instances {
		if i.ReleaseID == r.ID && i.State == InstanceEnded && i.Exit != nil {
			ends = append(ends, i)
		}
	}
	slices.SortFunc(ends, func(a, b Instance) int {
		return cmp.Or(b.EndedAt.Compare(a.EndedAt), cmp.Compare(a.ID, b.ID))
	})
	var s Restarts
	for n, i := range ends {
		if !i.ReadyAt.IsZero() && i.EndedAt.Sub(i.ReadyAt) >= SteadyAfter {
			break
		}
		if n > 0 && ends[n-1].CreatedAt.Sub(i.EndedAt) > LongestRestart+time.Minute {
			break // the next one did not replace it
		}
		s.Count++
	}
	if s.Count == 0 {
		return s
	}
	s.Last = ends[0]
	s.Next = s.Last.EndedAt.Add(Backoff(firstRestart, LongestRestart, s.Rounds(r.Size)))
	return s
}

// Crashing reports whether a release that should run is without an instance, or without
// all, because they end by themselves: none has become ready since the last end, and none
// is ready or the next one waits for its time.
func (s Restarts) Crashing(r Release, instances []Instance, now time.Time) bool {
	if s.Count == 0 || r.Size == 0 {
		return false
	}
	ready := 0
	for _, i := range instances {
		if i.ReleaseID != r.ID {
			continue
		}
		if i.ReadyAt.After(s.Last.EndedAt) {
			return false
		}
		if i.State == InstanceReady {
			ready++
		}
	}
	return ready == 0 || ready < r.Size && s.Next.After(now)
}

// Rounds returns how often in a row all instances of a release of this size have
// ended: they often end together, which counts as one failure.
func (s Restarts) Rounds(size int) int { return (s.Count + max(size, 1) - 1) / max(size, 1) }
