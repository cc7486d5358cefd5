package loop

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/openslipway/slipway/internal/metrics"
)

// Status is how a running loop is doing.
type Status struct {
	Name     string
	Passes   uint64 // that have ended
	Failures uint64 // passes that failed
	Began    time.Time
	Took     time.Duration // of the last pass
	Err      error         // of the last pass; nil if it succeeded

	Most      time.Duration // that a pass may take
	Running   time.Time     // when the pass that runs began; zero if none does
	Succeeded time.Time     // when the last pass that succeeded ended; before it when the loop began
}

// Set keeps the status of the loops that run in one process. Its zero value is
// ready; a nil Set keeps nothing. It is safe for concurrent use.
type Set struct {
	mu   sync.Mutex // guards list and what its entries point to
	list []*Status
}

// Status returns the loops that run, by name. Two loops of one name follow each
// other in the order of their starts.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.list))
	for _, st := range s.list {
		all = append(all, *st)
	}
	slices.SortStableFunc(all, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Stuck returns for how long the pass that runs has taken, if that is more than it may.
func (s Status) Stuck(now time.Time) (d time.Duration, stuck bool) {
	if s.Running.IsZero() {
		return 0, false
	}
	d = now.Sub(s.Running)
	return d, d > s.Most
}

// Turns tells a Set of the passes of one loop. Run does it for its own; a loop that keeps
// its own select calls Enter, and Do for what it does with the news.
type Turns struct {
	set    *Set // nil keeps nothing
	status *Status
}

// Enter adds a loop until Leave is called.
func (s *Set) Enter(name string) *Turns { return s.enter(name, most) }

func (s *Set) enter(name string, most time.Duration) *Turns {
	t := &Turns{set: s, status: &Status{Name: name, Most: most, Succeeded: time.Now()}}
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = append(s.list, t.status)
	}
	return t
}

// Leave removes the loop.
func (t *Turns) Leave() {
	if t.set != nil {
		t.set.mu.Lock()
		defer t.set.mu.Unlock()
		t.set.list = slices.DeleteFunc(t.set.list, func(x *Status) bool { return x == t.status })
	}
}

// Do makes a pass, and returns its error.
func (t *Turns) Do(pass func() error) error {
	t.begin()
	err := pass()
	t.end(err)
	return err
}

func (t *Turns) begin() {
	if t.set == nil {
		return
	}
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	t.status.Running = time.Now()
}

func (t *Turns) end(err error) {
	if t.set == nil {
		return
	}
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	st := t.status
	st.Passes++
	if err != nil {
		st.Failures++
	} else {
		st.Succeeded = time.Now()
	}
	st.Began, st.Took, st.Err, st.Running = st.Running, time.Since(st.Running), err, time.Time{}
}

var (
	passesDesc = &metrics.Desc{
		Name: "slipway_loop_passes_total", Kind: metrics.KindCounter, Labels: []string{"loop", "outcome"},
		Help: `Passes of a loop since the process started, by outcome: "ok" or "failed".`,
	}
	beganDesc = &metrics.Desc{
		Name: "slipway_loop_last_pass_timestamp_seconds", Kind: metrics.KindGauge, Labels: []string{"loop"},
		Help: "When a loop's last pass began, in seconds since 1970.",
	}
	tookDesc = &metrics.Desc{
		Name: "slipway_loop_last_pass_duration_seconds", Kind: metrics.KindGauge, Labels: []string{"loop"},
		Help: "How long a loop's last pass took.",
	}
)

// Metrics implements metrics.Source.
func (s *Set) Metrics() []*metrics.Desc { return []*metrics.Desc{passesDesc, beganDesc, tookDesc} }

// Sample implements metrics.Source. Of two loops of one name the first counts.
func (s *Set) Sample(emit func(metrics.Sample)) {
	last := ""
	for _, st := range s.Status() {
		if st.Name == last {
			continue
		}
		last = st.Name
		emit(passesDesc.Value(float64(st.Passes-st.Failures), st.Name, "ok"))
		emit(passesDesc.Value(float64(st.Failures), st.Name, "failed"))
		if st.Passes > 0 {
			emit(beganDesc.Value(float64(st.Began.UnixMilli())/1000, st.Name))
			emit(tookDesc.Value(st.Took.Seconds(), st.Name))
		}
	}
}
