package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/metrics"
)

// read returns the samples that a registry shows whose names begin with test.
func read(t *testing.T, r *metrics.Registry) (status int, lines []string) {
	t.Helper()
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "test") || strings.HasPrefix(line, "# TYPE test") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return w.Code, lines
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	r := metrics.New()
	calls := metrics.NewCounter("test_calls_total", "Calls.", "operation", "exception")
	took := metrics.NewHistogram("test_seconds", "Time.", []float64{1, 2, 4}, "operation")
	size := &metrics.Func{Desc: metrics.Desc{Name: "test_size", Kind: metrics.KindGauge, Help: "Size."}, Read: func() float64 { return 7 }}
	if err := r.Register(calls, took, size); err != nil {
		t.Fatal(err)
	}
	calls.Inc("Get", "")
	calls.Inc("Get", "")
	calls.Inc("Put", "Denied")
	for _, v := range []float64{0.5, 1, 1.5, 3, 9} {
		took.Observe(v, "Get")
	}
	status, got := read(t, r)
	want := []string{
		`# TYPE test_calls_total counter`,
		`test_calls_total{exception="",operation="Get"} 2`,
		`test_calls_total{exception="Denied",operation="Put"} 1`,
		`# TYPE test_seconds histogram`,
		`test_seconds_bucket{operation="Get",le="1"} 2`,
		`test_seconds_bucket{operation="Get",le="2"} 3`,
		`test_seconds_bucket{operation="Get",le="4"} 4`,
		`test_seconds_bucket{operation="Get",le="+Inf"} 5`,
		`test_seconds_sum{operation="Get"} 15`,
		`test_seconds_count{operation="Get"} 5`,
		`# TYPE test_size gauge`,
		`test_size 7`,
	}
	if d := cmp.Diff(want, got); status != 200 || d != "" {
		t.Errorf("status %d: %s", status, d)
	}
	var names []string
	for _, d := range r.Descs() {
		names = append(names, d.Name)
	}
	if d := cmp.Diff([]string{"test_calls_total", "test_seconds", "test_size"}, names); d != "" {
		t.Error(d)
	}
}

func TestRegisterTwice(t *testing.T) {
	t.Parallel()
	r := metrics.New()
	c := metrics.NewCounter("test_total", "Test.")
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	if r.Register(c) == nil {
		t.Error("a metric was registered twice")
	}
	if r.Register(metrics.NewCounter("no name", "Test.", "same", "same")) == nil {
		t.Error("a metric without a valid name was registered")
	}
}

// odd gives a sample that it has not described, and one that lacks a label.
type odd struct{ desc metrics.Desc }

func (o *odd) Metrics() []*metrics.Desc { return []*metrics.Desc{&o.desc} }

func (o *odd) Sample(emit func(metrics.Sample)) {
	emit(o.desc.Value(1))
	emit((&metrics.Desc{Name: "test_other"}).Value(1))
}

func TestWrongSamplesFailTheScrape(t *testing.T) {
	t.Parallel()
	r := metrics.New()
	if err := r.Register(&odd{metrics.Desc{Name: "test_odd", Kind: metrics.KindGauge, Labels: []string{"a"}}}); err != nil {
		t.Fatal(err)
	}
	if status, lines := read(t, r); status != 500 {
		t.Errorf("status %d: %q", status, lines)
	}
}
