package daemon

import (
	"context"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/runtime"
)

// measureLimit is the longest that reading the usage of instances may take in a
// scrape.
const measureLimit = 5 * time.Second

// callMetrics counts API calls.
type callMetrics struct{ *metrics.Histogram }

func newCallMetrics() callMetrics {
	return callMetrics{metrics.NewHistogram("slipway_api_call_seconds",
		"API calls by operation and exception, \"\" for success.",
		[]float64{0.0005, 0.002, 0.008, 0.032, 0.128, 0.512, 2.048, 8.192}, "operation", "exception")}
}

func (m callMetrics) observe(operation, exception string, took time.Duration) {
	m.Observe(took.Seconds(), operation, exception)
}

// attemptMetrics counts attempts to deliver events to webhooks.
type attemptMetrics struct{ *metrics.Counter }

func newAttemptMetrics() attemptMetrics {
	return attemptMetrics{metrics.NewCounter("slipway_webhook_attempts_total",
		"Attempts to deliver an event to a webhook, by what it left: DELIVERED, DEAD (given up) or DUE (to be tried again).", "state")}
}

func (m attemptMetrics) observe(state slipway.DeliveryState) { m.Inc(string(state)) }

var (
	cpuDesc = &metrics.Desc{
		Name: "slipway_instance_cpu_seconds_total", Kind: metrics.KindCounter, Labels: []string{"service", "instance"},
		Help: "CPU time that a running instance has used.",
	}
	memoryDesc = &metrics.Desc{
		Name: "slipway_instance_memory_bytes", Kind: metrics.KindGauge, Labels: []string{"service", "instance"},
		Help: "Memory that a running instance uses, including its page cache.",
	}
)

// usage samples what running instances use. It reads only when scraped: a few
// small files for each instance.
type usage struct {
	driver interface {
		runtime.Statser
		List(ctx context.Context) ([]runtime.Observed, error)
	}
}

// Metrics implements metrics.Source.
func (u usage) Metrics() []*metrics.Desc { return []*metrics.Desc{cpuDesc, memoryDesc} }

// all returns the usage of all live instances for api.Config.Usage: nothing while the
// driver does not answer.
func (u usage) all(ctx context.Context) map[string]api.Usage {
	ctx, cancel := context.WithTimeout(ctx, measureLimit)
	defer cancel()
	stats, err := u.driver.Stats(ctx)
	if err != nil {
		return nil
	}
	list := make(map[string]api.Usage, len(stats))
	for id, s := range stats {
		list[id] = api.Usage{CPU: s.CPU, Memory: s.Memory}
	}
	return list
}

// trafficOf returns api.Config.Traffic of a router.
func trafficOf(r *router.Router) func(serviceID string) (api.Traffic, bool) {
	return func(serviceID string) (api.Traffic, bool) {
		t, ok := r.Traffic(serviceID)
		if !ok {
			return api.Traffic{}, false
		}
		out := api.Traffic{
			InFlight: t.InFlight(), Waiting: t.Waiting, Requests: int64(t.Requests), Failed: int64(t.Failed),
			Bounds: router.LatencyBounds(), Instances: make(map[string]api.InstanceTraffic, len(t.Instances)),
		}
		for _, n := range t.Total.Buckets {
			out.Latency = append(out.Latency, int64(n))
		}
		for _, i := range t.Instances {
			out.Instances[i.ID] = api.InstanceTraffic{InFlight: i.InFlight, Asleep: i.Asleep}
		}
		return out, true
	}
}

// Sample implements metrics.Source. It gives nothing while the driver does not
// answer; the driver logs why.
func (u usage) Sample(emit func(metrics.Sample)) {
	ctx, cancel := context.WithTimeout(context.Background(), measureLimit)
	defer cancel()
	stats, err := u.driver.Stats(ctx)
	if err != nil || len(stats) == 0 {
		return
	}
	list, err := u.driver.List(ctx)
	if err != nil {
		return
	}
	for _, o := range list {
		if s, ok := stats[o.ID]; ok {
			emit(cpuDesc.Value(s.CPU.Seconds(), o.Service, o.ID))
			emit(memoryDesc.Value(float64(s.Memory), o.Service, o.ID))
		}
	}
}
