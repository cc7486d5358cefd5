package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/router"
	"github.com/openslipway/slipway/internal/runtime"
	"github.com/openslipway/slipway/internal/runtime/embedded"
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

var (
	promisedDesc = &metrics.Desc{
		Name: "slipway_disk_promised_bytes", Kind: metrics.KindGauge,
		Help: "Bytes that the disks of instances and builds may still take of the server's disk.",
	}
	freeDesc = &metrics.Desc{
		Name: "slipway_disk_free_bytes", Kind: metrics.KindGauge,
		Help: "Bytes that are free on the server's disk beside the reserve; below 0 when some of the reserve is used.",
	}
)

// promised samples what instances and builds may still take of the disk. It reads only when
// scraped.
type promised struct {
	driver interface {
		Room(ctx context.Context) (embedded.Room, error)
	}
}

// Metrics implements metrics.Source.
func (p promised) Metrics() []*metrics.Desc { return []*metrics.Desc{promisedDesc, freeDesc} }

// Sample implements metrics.Source. It gives nothing while the driver does not answer.
func (p promised) Sample(emit func(metrics.Sample)) {
	ctx, cancel := context.WithTimeout(context.Background(), measureLimit)
	defer cancel()
	room, err := p.driver.Room(ctx)
	if err != nil {
		return
	}
	emit(promisedDesc.Value(float64(room.Promised)))
	emit(freeDesc.Value(float64(room.Free)))
}

// check returns an error if no other instance would start.
func (p promised) check(ctx context.Context) error {
	room, err := p.driver.Room(ctx)
	if err == nil && room.Refused {
		err = fmt.Errorf("instances and builds may still write %d MiB, and %d MiB of the disk are free beside the reserve: no other starts; make room, run fewer, or raise --disk-overcommit",
			room.Promised>>20, room.Free>>20)
	}
	return err
}

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
