package router

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/openslipway/slipway/internal/metrics"
)

// StatusGone is logged and counted for a request whose client left before the
// response. It is never sent.
const StatusGone = 499

// latencies are the upper bounds of the histograms' buckets.
var latencies = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, 60 * time.Second, 120 * time.Second,
}

// classes are the values of the class label, in the order of shard.classes.
var classes = [...]string{"gone", "1xx", "2xx", "3xx", "4xx", "5xx"}

// Observation is what is counted of one request.
type Observation struct {
	Status   int           // of its response, or StatusGone
	Total    time.Duration // from its head to the end of its response
	Queue    time.Duration // of it, waiting for an instance
	Upstream time.Duration // of it, from when it had an instance to the head of the response; 0 if none came

	// Shard spreads observations over memory. Requests that may end at the same time
	// should have different ones: those of different connections, for instance.
	Shard uint32
}

// stats counts the requests of a service. Each shard is made when it is first needed, so
// that a service without traffic costs only these words.
type stats struct{ shards [8]atomic.Pointer[shard] }

// shard is a part of the counts, which few processors write. It has no map and no lock.
type shard struct {
	classes                [len(classes)]atomic.Uint64
	total, queue, upstream histogram
}

// histogram counts durations exactly, by the bounds in latencies.
type histogram struct {
	buckets [len(latencies) + 1]atomic.Uint64 // not cumulative
	sum     atomic.Int64                      // nanoseconds
}

func (h *histogram) add(d time.Duration) {
	b := 0
	for b < len(latencies) && d > latencies[b] {
		b++
	}
	h.buckets[b].Add(1)
	h.sum.Add(int64(d))
}

func (s *stats) add(o Observation) {
	at := &s.shards[o.Shard%uint32(len(s.shards))]
	sh := at.Load()
	if sh == nil {
		at.CompareAndSwap(nil, &shard{})
		sh = at.Load()
	}
	class := o.Status / 100
	if o.Status == StatusGone || class >= len(classes) {
		class = 0
	}
	sh.classes[class].Add(1)
	sh.total.add(o.Total)
	sh.queue.add(o.Queue)
	if o.Upstream > 0 {
		sh.upstream.add(o.Upstream)
	}
}

// sums are the counts of all shards.
type sums struct {
	classes                [len(classes)]uint64
	total, queue, upstream Histogram
}

// sums adds the shards up. Requests that end meanwhile may be counted in a part.
func (s *stats) sums() (t sums) {
	for i := range s.shards {
		sh := s.shards[i].Load()
		if sh == nil {
			continue
		}
		for c := range classes {
			t.classes[c] += sh.classes[c].Load()
		}
		t.total.add(&sh.total)
		t.queue.add(&sh.queue)
		t.upstream.add(&sh.upstream)
	}
	return t
}

// Histogram is how many durations were at most as long as each of LatencyBounds.
type Histogram struct {
	Buckets [len(latencies) + 1]uint64 // not cumulative; the last has no bound
	Sum     time.Duration
}

// LatencyBounds returns the upper bounds of a Histogram's buckets, ascending.
func LatencyBounds() []time.Duration { return slices.Clone(latencies[:]) }

func (t *Histogram) add(h *histogram) {
	for b := range h.buckets {
		t.Buckets[b] += h.buckets[b].Load()
	}
	t.Sum += time.Duration(h.sum.Load())
}

// sample gives the histogram in the form of metrics, unless it is empty.
func (t *Histogram) sample(emit func(metrics.Sample), d *metrics.Desc, labels ...string) {
	var count uint64
	below := make(map[float64]uint64, len(latencies))
	for i, l := range latencies {
		count += t.Buckets[i]
		below[l.Seconds()] = count
	}
	if count += t.Buckets[len(latencies)]; count > 0 {
		emit(d.Buckets(count, t.Sum.Seconds(), below, labels...))
	}
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
	queueDesc = &metrics.Desc{
		Name: "slipway_router_queue_duration_seconds", Kind: metrics.KindHistogram, Labels: []string{"service", "name"},
		Help: "Time that a request waited for an instance; 0 for one that did not.",
	}
	upstreamDesc = &metrics.Desc{
		Name: "slipway_router_upstream_duration_seconds", Kind: metrics.KindHistogram, Labels: []string{"service", "name"},
		Help: "From when a request had an instance to the head of that instance's response.",
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
	handshakeDesc = &metrics.Desc{
		Name: "slipway_router_tls_handshakes_total", Kind: metrics.KindCounter, Labels: []string{"outcome"},
		Help: "Handshakes of TLS: ok, or failed, as those for names that no service has.",
	}
)

var _ metrics.Source = (*Router)(nil)

// Metrics implements metrics.Source.
func (r *Router) Metrics() []*metrics.Desc {
	return []*metrics.Desc{requestsDesc, latencyDesc, queueDesc, upstreamDesc, inFlightDesc, waitingDesc, ejectionDesc, strayDesc, handshakeDesc, wakesDesc, wakeTimeDesc, asleepDesc}
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
	for i, outcome := range [...]string{"failed", "ok"} {
		if n := r.handshakes[i].Load(); n > 0 {
			emit(handshakeDesc.Value(float64(n), outcome))
		}
	}
}

func (s *Service) sample(emit func(metrics.Sample)) {
	counts := s.stats.sums()
	for i, n := range counts.classes {
		if n > 0 {
			emit(requestsDesc.Value(float64(n), s.id, s.name, classes[i]))
		}
	}
	s.sampleSleep(emit)
	inFlight, waiting := s.gate.demand()
	emit(inFlightDesc.Value(float64(inFlight), s.id, s.name))
	emit(waitingDesc.Value(float64(waiting), s.id, s.name))
	if n := s.gate.ejections.Load(); n > 0 {
		emit(ejectionDesc.Value(float64(n), s.id, s.name))
	}
	counts.total.sample(emit, latencyDesc, s.id, s.name)
	counts.queue.sample(emit, queueDesc, s.id, s.name)
	counts.upstream.sample(emit, upstreamDesc, s.id, s.name)
}
