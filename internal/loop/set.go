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

func (s *Set) enter(name string) *Status {
	st := &Status{Name: name}
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = append(s.list, st)
	}
	return st
}

func (s *Set) leave(st *Status) {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.list = slices.DeleteFunc(s.list, func(x *Status) bool { return x == st })
	}
}

func (s *Set) record(st *Status, began time.Time, took time.Duration, err error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Passes++
	if err != nil {
		st.Failures++
	}
	st.Began, st.Took, st.Err = began, took, err
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
