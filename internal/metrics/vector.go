package metrics

import (
	"slices"
	"strings"
	"sync"
)

// Counter is a source of one counter, by its labels' values. It is safe for
// concurrent use.
type Counter struct {
	desc   Desc
	values vector[float64]
}

// NewCounter returns a counter without samples.
func NewCounter(name, help string, labels ...string) *Counter {
	return &Counter{desc: Desc{Name: name, Kind: KindCounter, Help: help, Labels: labels}}
}

// Inc adds one, with one value for each label.
func (c *Counter) Inc(labels ...string) {
	c.values.update(labels, func(v *float64) { *v++ })
}

// Metrics implements Source.
func (c *Counter) Metrics() []*Desc { return []*Desc{&c.desc} }

// Sample implements Source.
func (c *Counter) Sample(emit func(Sample)) {
	c.values.each(func(labels []string, v *float64) { emit(c.desc.Value(*v, labels...)) })
}

// Histogram is a source of one histogram, by its labels' values. It is safe for
// concurrent use.
type Histogram struct {
	desc   Desc
	bounds []float64 // upper, ascending
	values vector[observed]
}

// observed is what one combination of labels has.
type observed struct {
	count   uint64
	sum     float64
	buckets []uint64 // by bound, each without the ones below
}

// NewHistogram returns a histogram without samples. Bounds are the upper ones
// of its buckets, ascending; the last bucket, without a bound, comes by itself.
func NewHistogram(name, help string, bounds []float64, labels ...string) *Histogram {
	return &Histogram{desc: Desc{Name: name, Kind: KindHistogram, Help: help, Labels: labels}, bounds: slices.Clone(bounds)}
}

// Observe counts v, with one value for each label.
func (h *Histogram) Observe(v float64, labels ...string) {
	h.values.update(labels, func(o *observed) {
		if o.buckets == nil {
			o.buckets = make([]uint64, len(h.bounds)+1)
		}
		i, _ := slices.BinarySearch(h.bounds, v)
		o.buckets[i]++
		o.count++
		o.sum += v
	})
}

// Metrics implements Source.
func (h *Histogram) Metrics() []*Desc { return []*Desc{&h.desc} }

// Sample implements Source.
func (h *Histogram) Sample(emit func(Sample)) {
	h.values.each(func(labels []string, o *observed) {
		below := make(map[float64]uint64, len(h.bounds))
		var n uint64
		for i, bound := range h.bounds {
			n += o.buckets[i]
			below[bound] = n
		}
		emit(h.desc.Buckets(o.count, o.sum, below, labels...))
	})
}

// vector holds a T for every combination of labels that was seen.
type vector[T any] struct {
	mu   sync.Mutex // guards list and its values
	list map[string]*entry[T]
}

type entry[T any] struct {
	labels []string
	value  T
}

func (v *vector[T]) update(labels []string, f func(*T)) {
	key := strings.Join(labels, "\xff")
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.list[key]
	if e == nil {
		if v.list == nil {
			v.list = map[string]*entry[T]{}
		}
		e = &entry[T]{labels: slices.Clone(labels)}
		v.list[key] = e
	}
	f(&e.value)
}

// each calls f for every combination. It holds the lock meanwhile.
func (v *vector[T]) each(f func(labels []string, value *T)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.list {
		f(e.labels, &e.value)
	}
}

// Func is a source of one counter or gauge without labels, read when it is
// asked for.
type Func struct {
	Desc Desc
	Read func() float64
}

// Metrics implements Source.
func (f *Func) Metrics() []*Desc { return []*Desc{&f.Desc} }

// Sample implements Source.
func (f *Func) Sample(emit func(Sample)) { emit(f.Desc.Value(f.Read())) }
