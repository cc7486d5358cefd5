package router

import (
	"slices"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/metrics"
)

// SleepState says whether a service sleeps.
type SleepState uint8

const (
	Awake   SleepState = iota
	Frozen             // its instances are frozen
	Stopped            // it has no instance, and the next request has one started
)

// sleepStates are the values of the label of the state, in the order of SleepState.
var sleepStates = [...]string{"awake", "frozen", "stopped"}

func (s SleepState) String() string { return sleepStates[s] }

// Sleep is what the router knows of the sleep of a service since it first knew the
// service. A new process begins anew.
type Sleep struct {
	State SleepState
	Since time.Time     // when it fell asleep; zero while it is awake
	Slept time.Duration // in all, with the present sleep
	Known time.Time     // since when the router knows the service

	Frozen, Stopped Wakes // by what it was woken from
	Last            Wake  // zero if it was never woken
}

// Wakes are the requests that woke a service: one for each sleep.
type Wakes struct {
	Count  uint64
	Median time.Duration // that such a request waited, of the last wakeSamples
}

// Wake is the end of a sleep by a request.
type Wake struct {
	At    time.Time // when the request could go on
	From  SleepState
	Slept time.Duration
	Took  time.Duration // that the request waited
}

// wakeSamples is how many wakes of a kind are kept for the median.
const wakeSamples = 64

// sleepLog counts the sleeps of a service that has ever slept.
type sleepLog struct {
	mu     sync.Mutex // guards all
	state  SleepState
	since  time.Time // when it fell asleep; zero while it is awake
	waited time.Time // when a request found it asleep; zero if none has
	slept  time.Duration
	kinds  [len(sleepStates)]wakeLog // by what it was woken from
	last   Wake
}

type wakeLog struct {
	count uint64
	total time.Duration
	took  []time.Duration // the last ones, in a ring
}

// falls notes that the service sleeps, or sleeps deeper.
func (s *Service) falls(to SleepState, now time.Time) {
	s.slept.CompareAndSwap(nil, &sleepLog{})
	l := s.slept.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == Awake {
		l.since, l.waited = now, time.Time{}
	}
	l.state = max(l.state, to)
}

// waits notes that a request waits.
func (s *Service) waits(now time.Time) {
	l := s.slept.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != Awake && l.waited.IsZero() {
		l.waited = now
	}
}

// rises notes that the service is awake if it slept in the state. It was woken if a request
// waits; otherwise a deployment or the like ended its sleep.
func (s *Service) rises(from SleepState, now time.Time) {
	l := s.slept.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != from || from == Awake {
		return
	}
	until := now
	if !l.waited.IsZero() {
		until = l.waited
		l.last = Wake{At: now, From: from, Slept: until.Sub(l.since), Took: now.Sub(l.waited)}
		l.kinds[from].add(l.last.Took)
	}
	l.slept += until.Sub(l.since)
	l.state, l.since, l.waited = Awake, time.Time{}, time.Time{}
}

// ends notes that a sleep is over without a wake: the service is paused or deleted.
func (s *Service) ends(now time.Time) {
	l := s.slept.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != Awake {
		l.slept += now.Sub(l.since)
		l.state, l.since, l.waited = Awake, time.Time{}, time.Time{}
	}
}

func (w *wakeLog) add(took time.Duration) {
	if len(w.took) < wakeSamples {
		w.took = append(w.took, took)
	} else {
		w.took[w.count%wakeSamples] = took
	}
	w.count++
	w.total += took
}

func (w *wakeLog) wakes() Wakes {
	if w.count == 0 {
		return Wakes{}
	}
	sorted := slices.Clone(w.took)
	slices.Sort(sorted)
	return Wakes{Count: w.count, Median: sorted[(len(sorted)-1)/2]}
}

func (l *sleepLog) sleep(now time.Time) Sleep {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Sleep{
		State: l.state, Since: l.since, Slept: l.slept,
		Frozen: l.kinds[Frozen].wakes(), Stopped: l.kinds[Stopped].wakes(), Last: l.last,
	}
	if l.state != Awake {
		s.Slept += now.Sub(l.since)
	}
	return s
}

// Sleep returns what the router knows of the sleep of a service. ok is false if it does
// not know the service.
func (r *Router) Sleep(serviceID string) (s Sleep, ok bool) {
	svc := r.table.Load().service(serviceID)
	if svc == nil {
		return s, false
	}
	if l := svc.slept.Load(); l != nil {
		s = l.sleep(time.Now())
	}
	s.Known = svc.known
	return s, true
}

// applied notes what a new table says of the sleep of a service.
func (s *Service) applied(rt Route, now time.Time) {
	open := s.gate.view.Load().instances
	switch {
	case rt.State != Running:
		s.ends(now)
	case len(open) > 0:
		s.rises(Stopped, now)
		if s.hasAwake() {
			s.rises(Frozen, now)
		} else {
			s.falls(Frozen, now) // an earlier process has frozen them
		}
	case rt.Stopped:
		s.falls(Stopped, now)
	}
}

var (
	wakesDesc = &metrics.Desc{
		Name: "slipway_service_wakes_total", Kind: metrics.KindCounter, Labels: []string{"service", "name", "from"},
		Help: `Requests that woke a service, by what from: "frozen" or "stopped".`,
	}
	wakeTimeDesc = &metrics.Desc{
		Name: "slipway_service_wake_seconds_total", Kind: metrics.KindCounter, Labels: []string{"service", "name", "from"},
		Help: "Time that the requests which woke a service waited.",
	}
	asleepDesc = &metrics.Desc{
		Name: "slipway_service_asleep", Kind: metrics.KindGauge, Labels: []string{"service", "name", "state"},
		Help: `1 for a service that sleeps, by state: "frozen" or "stopped".`,
	}
)

// sampleSleep emits the metrics of a service that sleeps or was woken.
func (s *Service) sampleSleep(emit func(metrics.Sample)) {
	l := s.slept.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != Awake {
		emit(asleepDesc.Value(1, s.id, s.name, l.state.String()))
	}
	for state := Frozen; state <= Stopped; state++ {
		if w := &l.kinds[state]; w.count > 0 {
			emit(wakesDesc.Value(float64(w.count), s.id, s.name, state.String()))
			emit(wakeTimeDesc.Value(w.total.Seconds(), s.id, s.name, state.String()))
		}
	}
}
