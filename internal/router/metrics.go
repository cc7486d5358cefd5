package router

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusGone is logged and counted for a request whose client left before the
// response. It is never sent.
const statusGone = 499

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

// stats counts the requests of a service. It is not a prometheus type, so that
// a service without traffic costs only these words.
type stats struct {
	classes [len(classes)]atomic.Uint64
	buckets [len(latencies) + 1]atomic.Uint64 // not cumulative
	took    atomic.Int64                      // nanoseconds, sum of all requests
}

func (s *stats) add(status int, took time.Duration) {
	class := status / 100
	if status == statusGone || class >= len(classes) {
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
	requestsDesc = prometheus.NewDesc("slipway_router_requests_total",
		`Requests answered, by class of status. "gone": the client left first.`, []string{"service", "name", "class"}, nil)
	latencyDesc = prometheus.NewDesc("slipway_router_request_duration_seconds",
		"From the head of a request to the end of its response, including the time it waited.", []string{"service", "name"}, nil)
	inFlightDesc = prometheus.NewDesc("slipway_router_requests_in_flight",
		"Requests in flight on instances that accept new ones.", []string{"service", "name"}, nil)
	waitingDesc = prometheus.NewDesc("slipway_router_requests_waiting",
		"Requests waiting for an instance.", []string{"service", "name"}, nil)
	strayDesc = prometheus.NewDesc("slipway_router_stray_requests_total",
		"Requests that belong to no service, by status: unknown hosts and malformed requests.", []string{"status"}, nil)
)

// Describe implements prometheus.Collector.
func (r *Router) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, latencyDesc, inFlightDesc, waitingDesc, strayDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (r *Router) Collect(ch chan<- prometheus.Metric) {
	for _, s := range r.table.Load().byID {
		s.collect(ch)
	}
	for id := range pages {
		if n := r.strays[id].Load(); n > 0 {
			ch <- prometheus.MustNewConstMetric(strayDesc, prometheus.CounterValue, float64(n), strconv.Itoa(pages[id].status))
		}
	}
}

func (s *service) collect(ch chan<- prometheus.Metric) {
	for i := range classes {
		if n := s.stats.classes[i].Load(); n > 0 {
			ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(n), s.id, s.name, classes[i])
		}
	}
	inFlight, waiting := s.gate.demand()
	ch <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(inFlight), s.id, s.name)
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(waiting), s.id, s.name)
	var count uint64
	below := make(map[float64]uint64, len(latencies))
	for i, l := range latencies {
		count += s.stats.buckets[i].Load()
		below[l.Seconds()] = count
	}
	if count += s.stats.buckets[len(latencies)].Load(); count > 0 {
		took := time.Duration(s.stats.took.Load()).Seconds()
		ch <- prometheus.MustNewConstHistogram(latencyDesc, count, took, below, s.id, s.name)
	}
}
