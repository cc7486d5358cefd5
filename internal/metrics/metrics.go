// Package metrics shows what the parts of the product count. A part is a
// Source: it keeps its own numbers, in whatever form is cheap for it, and gives
// samples of them when /metrics is read. Counter and Histogram are sources for
// parts without a form of their own.
//
// It imports the text format's library and no package of Slipway, so every package
// may import it. The daemon registers the sources and serves the handler.
package metrics

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Kind is what a metric's values mean.
type Kind string

// The kinds of metrics.
const (
	KindCounter   Kind = "counter"   // only rises while the process lives
	KindGauge     Kind = "gauge"     // rises and falls
	KindHistogram Kind = "histogram" // counts observations in buckets
)

// Desc describes a metric. Names and labels are an interface: docs list them.
// The values of labels must be bounded, for instance by the number of services.
type Desc struct {
	Name   string
	Kind   Kind
	Help   string
	Labels []string
}

// Value returns a sample of a counter or gauge, with one value for each label.
func (d *Desc) Value(v float64, labels ...string) Sample {
	return Sample{Desc: d, Labels: labels, value: v}
}

// Buckets returns a sample of a histogram: how many observations there were,
// their sum, and how many were at or below each upper bound.
func (d *Desc) Buckets(count uint64, sum float64, below map[float64]uint64, labels ...string) Sample {
	return Sample{Desc: d, Labels: labels, value: sum, count: count, below: below}
}

// Sample is the value of a metric at one moment. Desc.Value and Desc.Buckets
// make it.
type Sample struct {
	Desc   *Desc
	Labels []string // values, in the order of Desc.Labels

	value float64 // a histogram's sum
	count uint64
	below map[float64]uint64
}

// Source is a part that counts.
type Source interface {
	// Metrics returns everything that Sample may give. It never changes.
	Metrics() []*Desc

	// Sample gives the present values. It is called by several goroutines at
	// once, and must be quick: a scrape waits for it.
	Sample(emit func(Sample))
}

// Registry is what one process shows. It is safe for concurrent use.
type Registry struct {
	reg *prometheus.Registry

	mu    sync.Mutex // guards descs
	descs []*Desc
}

// New returns a registry of the Go runtime's and the process's own metrics.
func New() *Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Registry{reg: reg}
}

// Register adds sources. It fails when a metric is registered already or its
// name or labels are not valid.
func (r *Registry) Register(sources ...Source) error {
	for _, s := range sources {
		if err := r.reg.Register(newCollector(s)); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
		r.mu.Lock()
		r.descs = append(r.descs, s.Metrics()...)
		r.mu.Unlock()
	}
	return nil
}

// Descs returns the metrics of all registered sources, in their order; those of
// the Go runtime and the process are not among them.
func (r *Registry) Descs() []*Desc {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.descs)
}

// Handler answers GET /metrics in the text format.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{})
}

// collector is a Source as the library wants it.
type collector struct {
	source Source
	descs  map[*Desc]*prometheus.Desc
}

func newCollector(s Source) collector {
	c := collector{s, map[*Desc]*prometheus.Desc{}}
	for _, d := range s.Metrics() {
		c.descs[d] = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	c.source.Sample(func(s Sample) { ch <- c.metric(s) })
}

func (c collector) metric(s Sample) prometheus.Metric {
	desc, ok := c.descs[s.Desc]
	if !ok {
		return prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(fmt.Errorf("%s was not described", s.Desc.Name)), fmt.Errorf("%s was not described", s.Desc.Name))
	}
	var m prometheus.Metric
	var err error
	switch s.Desc.Kind {
	case KindHistogram:
		m, err = prometheus.NewConstHistogram(desc, s.count, s.value, s.below, s.Labels...)
	case KindCounter:
		m, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, s.value, s.Labels...)
	default:
		m, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.value, s.Labels...)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}
