package scale

import (
	"fmt"
	"time"
)

// eventEvery is the least time between two lines in a service's log that say that it was
// stopped: the log keeps a number of lines, and a service may be stopped every few seconds.
const eventEvery = time.Minute

// told is what a service's log says of its sleep.
type told struct {
	stopped time.Time // when the last line said that it was stopped
	silent  bool      // the last stop had no line, so its end has none
	since   time.Time // when it was stopped; zero if it runs, or that is not known
}

// line returns the line for a change of size, "" for none.
func (t told) line(was, size int, o Observation, now time.Time) string {
	switch {
	case size == 0 && now.Sub(t.stopped) < eventEvery:
		return ""
	case size == 0:
		return fmt.Sprintf("No request came for %s. All instances are stopped; the next request starts one.", duration(o.Idle))
	case was > 0 || t.silent:
		return ""
	}
	cause := "A request came"
	if o.Now == 0 {
		cause = "The service is to have an instance"
	}
	if !t.since.IsZero() {
		cause += fmt.Sprintf(" after %s without an instance", duration(now.Sub(t.since)))
	}
	return fmt.Sprintf("%s. Starting %d.", cause, size)
}

// wrote notes that a size was written.
func (t *told) wrote(size int, now time.Time) {
	if size > 0 {
		t.since = time.Time{}
		return
	}
	t.silent = now.Sub(t.stopped) < eventEvery
	t.since = now
	if !t.silent {
		t.stopped = now
	}
}

func duration(d time.Duration) string { return d.Round(time.Second).String() }
