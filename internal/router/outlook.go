package router

import (
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Outlook says for how long requests may wait for an instance while none is ready.
// The zero value sets no limit.
type Outlook struct {
	From  time.Time // earlier requests are refused: the next instance is not started soon
	Until time.Time // so are later ones: an instance has had its time to become ready; zero: no limit
	Next  time.Time // when the next instance is started; zero if that is not known
}

const (
	// patience is how long a request waits for the start of an instance that is to be
	// started after a delay.
	patience = 3 * time.Second

	// An instance has this long to become ready before requests no longer wait for it:
	// startGrace, but crashGrace once all instances have ended crashRounds times in a
	// row. It has twice the time that one of its release has needed before, if that is
	// longer.
	startGrace  = 30 * time.Second
	crashGrace  = 5 * time.Second
	crashRounds = 3

	// retryLater and retryMost limit what Retry-After says, in seconds.
	retryLater = 5
	retryMost  = 300
)

// outlookOf returns the outlook of a service that runs its active release.
func outlookOf(r store.Route, active slipway.Release, now time.Time) Outlook {
	if r.Service.Live != nil && r.Service.Live.Kind == slipway.ResumeService {
		return Outlook{} // its first requests wait, as those of a creation
	}
	restarts := slipway.RestartsOf(active, r.Ended)
	if latest := now.Add(slipway.LongestRestart); restarts.Next.After(latest) {
		restarts.Next = latest // the clock was set back since
	}
	grace := startGrace
	if restarts.Rounds(active.Size) >= crashRounds {
		grace = crashGrace
	}
	for _, i := range r.Ended {
		if !i.ReadyAt.IsZero() {
			grace = max(grace, 2*i.ReadyAt.Sub(i.CreatedAt))
		}
	}
	var starting time.Time
	for _, i := range r.Instances {
		switch {
		case i.ReleaseID != active.ID:
		case i.State == slipway.InstanceReady:
			return Outlook{}
		case i.State == slipway.InstanceKept: // it is being thawed
			starting = now
		case i.State == slipway.InstanceStarting && i.CreatedAt.After(starting):
			if starting = i.CreatedAt; starting.After(now) {
				starting = now // the clock was set back since
			}
		}
	}
	switch {
	case !starting.IsZero() && active.Size > 0:
		return Outlook{Until: starting.Add(grace)}
	case active.Size == 0: // a request that waits has one started
		if restarts.Next.After(now) {
			return Outlook{From: restarts.Next.Add(-patience), Next: restarts.Next}
		}
		return Outlook{}
	case restarts.Next.After(now):
		return Outlook{From: restarts.Next.Add(-patience), Until: restarts.Next.Add(grace), Next: restarts.Next}
	}
	return Outlook{Until: now.Add(grace)} // the fleet is about to start one
}

// refusal returns a *NotReadyError if requests do not wait now.
func (o Outlook) refusal(now time.Time) error {
	if !now.Before(o.From) && (o.Until.IsZero() || now.Before(o.Until)) {
		return nil
	}
	wait := int((o.Next.Sub(now) + time.Second - 1) / time.Second)
	if wait < 1 {
		wait = retryLater
	}
	return &NotReadyError{RetryAfter: min(wait, retryMost)}
}

// NotReadyError says that no instance of a service is ready or will soon be.
type NotReadyError struct {
	RetryAfter int // seconds after which another request makes sense
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("no instance is ready; try again in %d s", e.RetryAfter)
}
