package main

import (
	"context"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/runtime"
)

// measureLimit bounds what reading the usage of instances adds to a scrape.
const measureLimit = 5 * time.Second

// counts are the metrics of parts that only call a function for each event.
type counts struct {
	apiCalls        *metrics.Histogram
	webhookAttempts *metrics.Counter
}

func newCounts() counts {
	return counts{
		apiCalls: metrics.NewHistogram("slipway_api_call_seconds",
			"API calls by operation and exception, \"\" for success.",
			[]float64{0.0005, 0.002, 0.008, 0.032, 0.128, 0.512, 2.048, 8.192}, "operation", "exception"),
		webhookAttempts: metrics.NewCounter("slipway_webhook_attempts_total",
			"Attempts to deliver an event to a webhook, by what it left: DELIVERED, DEAD (given up) or DUE (to be tried again).", "state"),
	}
}

func (c counts) call(operation, exception string, took time.Duration) {
	c.apiCalls.Observe(took.Seconds(), operation, exception)
}

func (c counts) attempt(state slipway.DeliveryState) { c.webhookAttempts.Inc(string(state)) }

// observe registers what /metrics shows.
func (s *server) observe() error {
	dropped := &metrics.Func{
		Desc: metrics.Desc{
			Name: "slipway_log_lines_dropped_total", Kind: metrics.KindCounter,
			Help: "Lines of application output that could not be written.",
		},
		Read: func() float64 { return float64(s.collector.Dropped()) },
	}
	return s.metrics.Register(s.router, s.counts.apiCalls, s.counts.webhookAttempts, dropped, s.loops, usage{s.driver})
}

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
