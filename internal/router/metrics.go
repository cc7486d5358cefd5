package router

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/metrics"
)

// StatusGone is logged and counted for a request whose client left before the
// response. It is never sent.
const StatusGone = 499

// latencies are the upper bounds of the latency histogram's buckets.
var latencies = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, 60 * time.Second, 120 * time.Second,
}

// classes are the values of the class label, in the order of stats.classes.
var classes = [...]string{"gone", "1xx", "2xx", "3xx", "4xx", "5xx"}

// stats counts the requests of a service. It has no map and no lock, so that
// a service without traffic costs only these words.
type stats struct {
	classes [len(classes)]atomic.Uint64
	buckets [len(latencies) + 1]atomic.Uint64 // not cumulative
	took    atomic.Int64                      // nanoseconds, sum of all requests
}

func (s *stats) add(status int, took time.Duration) {
	class := status / 100
	if status == StatusGone || class >= len(classes) {
		class = 0
	}
	s.classes[class].Add(1)
	b := 0
	for b < len(latencies) && took > latencies[b] {
		b++
	}
	s.buckets[b].Add(1)
	s.took.Add(int64(took))
}

var (
	requestsDesc = &metrics.Desc{
		Name: "slipway_router_requests_total", Kind: metrics.KindCounter, Labels: []string{"service", "name", "class"},
		Help: `Requests answered, by class of status. "gone": the client left first.`,
	}
	latencyDesc = &metrics.Desc{
		Name: "slipway_router_request_duration_seconds", Kind: metrics.KindHistogram, Labels: []string{"service", "name"},
		Help: "From the head of a request to the end of its response, including the time it waited.",
	}
	inFlightDesc = &metrics.Desc{
		Name: "slipway_router_requests_in_flight", Kind: metrics.KindGauge, Labels: []string{"service", "name"},
		Help: "Requests in flight on instances that accept new ones.",
	}
	waitingDesc = &metrics.Desc{
		Name: "slipway_router_requests_waiting", Kind: metrics.KindGauge, Labels: []string{"service", "name"},
		Help: "Requests waiting for an instance.",
	}
	ejectionDesc = &metrics.Desc{
		Name: "slipway_router_ejections_total", Kind: metrics.KindCounter, Labels: []string{"service", "name"},
		Help: "Times that an instance got no requests for a while, because it failed where another did not.",
	}
	strayDesc = &metrics.Desc{
		Name: "slipway_router_stray_requests_total", Kind: metrics.KindCounter, Labels: []string{"status"},
		Help: "Requests that belong to no service, by status: unknown hosts and malformed requests.",
	}
)

var _ metrics.Source = (*Router)(nil)

// Metrics implements metrics.Source.
func (r *Router) Metrics() []*metrics.Desc {
	return []*metrics.Desc{requestsDesc, latencyDesc, inFlightDesc, waitingDesc, ejectionDesc, strayDesc}
}

// Sample implements metrics.Source.
func (r *Router) Sample(emit func(metrics.Sample)) {
	for _, e := range r.table.Load().byID.all() {
		e.service.sample(emit)
	}
	for id := range pages {
		if n := r.strays[id].Load(); n > 0 {
			emit(strayDesc.Value(float64(n), strconv.Itoa(pages[id].status)))
		}
	}
}

func (s *Service) sample(emit func(metrics.Sample)) {
	for i := range classes {
		if n := s.stats.classes[i].Load(); n > 0 {
			emit(requestsDesc.Value(float64(n), s.id, s.name, classes[i]))
		}
	}
	inFlight, waiting := s.gate.demand()
	emit(inFlightDesc.Value(float64(inFlight), s.id, s.name))
	emit(waitingDesc.Value(float64(waiting), s.id, s.name))
	if n := s.gate.ejections.Load(); n > 0 {
		emit(ejectionDesc.Value(float64(n), s.id, s.name))
	}
	var count uint64
	below := make(map[float64]uint64, len(latencies))
	for i, l := range latencies {
		count += s.stats.buckets[i].Load()
		below[l.Seconds()] = count
	}
	if count += s.stats.buckets[len(latencies)].Load(); count > 0 {
		took := time.Duration(s.stats.took.Load()).Seconds()
		emit(latencyDesc.Buckets(count, took, below, s.id, s.name))
	}
}
