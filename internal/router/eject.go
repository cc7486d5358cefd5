package router

import (
	"math/rand/v2"
	"time"

	"github.com/openslipway/slipway"
)

// Limits of the time for which an unreachable instance is ejected.
const (
	minEjection = 50 * time.Millisecond
	maxEjection = time.Second
)

// An instance is ejected after badAnswers bad answers in a row, if another of its service
// answers well: for minRest, and each time twice as long, up to maxRest. At most half of
// the instances are.
const (
	badAnswers = 5
	minRest    = time.Second
	maxRest    = 30 * time.Second
)

// eject keeps requests away for a short time from an instance that could not be
// reached. Without it an unreachable instance, which has nothing in flight,
// would attract every request.
func (g *gate) eject(i *instance) {
	n := i.failures.Add(1)
	if i.ejected.Swap(true) {
		return
	}
	g.readmit(i, slipway.Backoff(minEjection, maxEjection, int(n)))
}

// readmit ends an ejection after a time.
func (g *gate) readmit(i *instance, after time.Duration) {
	time.AfterFunc(after, func() {
		i.ejected.Store(false)
		g.kick()
	})
}

// answered takes note of the status of an instance's response. It ends the series of
// failures to reach the instance.
func (g *gate) answered(i *instance, status int) {
	if i.failures.Load() != 0 {
		i.failures.Store(0)
	}
	if i.silence.ends() && g.onHung != nil {
		g.onHung(i, Silence{})
	}
	if status >= 500 {
		g.badAnswer(i)
	} else if i.bad.Load() != 0 {
		i.bad.Store(0)
		i.rests.Store(0)
	}
}

// badAnswer takes note of an answer that another instance may do better: a status of 500
// or above, or none. An instance that fails where others do not is ejected for a while. If
// all fail, the cause is elsewhere, and fewer instances would make it worse.
func (g *gate) badAnswer(i *instance) {
	n := i.bad.Add(1)
	if n < badAnswers || !g.view.Load().canSpare(i) || i.ejected.Swap(true) {
		return
	}
	rest := slipway.Backoff(minRest, maxRest, int(i.rests.Add(1)))
	i.bad.Store(badAnswers - 1) // the next one tells
	g.ejections.Add(1)
	if g.onEject != nil {
		g.onEject(i, n, rest)
	}
	g.readmit(i, rest)
}

// canSpare reports whether the instance may be ejected for its answers.
func (v *view) canSpare(i *instance) bool {
	ejected, good := 1, false
	for _, o := range v.instances {
		switch {
		case o == i:
		case o.ejected.Load():
			ejected++
		case o.bad.Load() == 0:
			good = true
		}
	}
	return good && 2*ejected <= len(v.instances)
}

// warmSteps is the number of steps of a slow start.
const warmSteps = 10

// slowStart is how long an instance takes from its first requests to its full share, unless
// a setting says otherwise.
const slowStart = 10 * time.Second

// warm begins the slow start of an instance: its share of the requests grows in steps. It
// is no limit: requests that find no other slot go to the instance.
func (g *gate) warm(i *instance, window time.Duration) {
	if i.warming.Swap(warmSteps-1) == 0 {
		g.warming.Add(1)
		g.stepLater(i, window/warmSteps)
	}
}

// stepLater takes the steps of a slow start.
func (g *gate) stepLater(i *instance, step time.Duration) {
	time.AfterFunc(step, func() {
		if i.warming.Add(-1) > 0 {
			g.stepLater(i, step)
		} else {
			g.warming.Add(-1)
		}
	})
}

// claimWarming gives each instance in its slow start its share: of n instances the nth
// part of the requests, times the steps that it has taken. It takes a slot on one if it is
// its turn, and none otherwise.
func (v *view) claimWarming() *instance {
	draw := rand.Int32N(warmSteps * int32(max(1, len(v.instances))))
	for _, i := range v.instances {
		w := i.warming.Load()
		if w == 0 {
			continue
		}
		if draw -= warmSteps - w; draw < 0 {
			if !i.ejected.Load() && i.claim(v.limit) {
				return i
			}
			return nil
		}
	}
	return nil
}
