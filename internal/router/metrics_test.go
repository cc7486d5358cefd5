package router

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway/internal/metrics"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := newRouter(Config{})
	r.Apply([]Route{
		{Service: "svc", Name: "shop", Keys: public("a.test"), MaxConcurrency: 1, Instances: []Endpoint{{ID: "i", Open: true}}},
		{Service: "quiet", Name: "quiet", Keys: public("b.test")},
	}, 1)
	s := r.table.Load().service("svc")
	mustAcquire(t, s.gate)
	for i, o := range []Observation{
		{Status: 200, Total: time.Millisecond, Upstream: 900 * time.Microsecond},
		{Status: 204, Total: 2 * time.Millisecond, Upstream: 2 * time.Millisecond},
		{Status: 302, Total: 3 * time.Millisecond, Upstream: 3 * time.Millisecond},
		{Status: 404, Total: 30 * time.Second, Queue: 28 * time.Second, Upstream: 2 * time.Second},
		{Status: 503, Total: 200 * time.Second, Queue: 200 * time.Second},
		{Status: StatusGone, Total: time.Millisecond},
		{Status: 799, Total: time.Millisecond},
	} {
		o.Shard = uint32(5 * i) // whatever it is, the sums are exact
		s.Count(o)
	}
	r.strays[PageNotFound].Add(3)
	tr, ok := r.Traffic("svc")
	if len(tr.Instances) != 1 || tr.Instances[0].ID != "i" {
		t.Fatalf("traffic of the instances %+v", tr.Instances)
	}
	if i := tr.Instances[0]; !ok || tr.InFlight() != 1 || tr.Waiting != 0 || tr.Requests != 7 || tr.Failed != 1 || tr.Total.Sum != 230008*time.Millisecond || i.InFlight != 1 || i.Asleep {
		t.Errorf("traffic %+v, %v", tr, ok)
	}
	if _, ok := r.Traffic("nobody"); ok {
		t.Error("there is traffic of an unknown service")
	}
	reg := metrics.New()
	if err := reg.Register(r); err != nil {
		t.Fatal(err)
	}
	page := httptest.NewRecorder()
	reg.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	var got []string
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, "slipway_router_") && !strings.Contains(line, `le="0.`) {
			got = append(got, strings.TrimSpace(strings.TrimPrefix(line, "slipway_router_")))
		}
	}
	if d := cmp.Diff(strings.Split(strings.TrimSpace(want), "\n"), got); d != "" {
		t.Error(d)
	}
}

const want = `
queue_duration_seconds_bucket{name="shop",service="svc",le="1"} 5
queue_duration_seconds_bucket{name="shop",service="svc",le="2.5"} 5
queue_duration_seconds_bucket{name="shop",service="svc",le="5"} 5
queue_duration_seconds_bucket{name="shop",service="svc",le="10"} 5
queue_duration_seconds_bucket{name="shop",service="svc",le="30"} 6
queue_duration_seconds_bucket{name="shop",service="svc",le="60"} 6
queue_duration_seconds_bucket{name="shop",service="svc",le="120"} 6
queue_duration_seconds_bucket{name="shop",service="svc",le="+Inf"} 7
queue_duration_seconds_sum{name="shop",service="svc"} 228
queue_duration_seconds_count{name="shop",service="svc"} 7
request_duration_seconds_bucket{name="shop",service="svc",le="1"} 5
request_duration_seconds_bucket{name="shop",service="svc",le="2.5"} 5
request_duration_seconds_bucket{name="shop",service="svc",le="5"} 5
request_duration_seconds_bucket{name="shop",service="svc",le="10"} 5
request_duration_seconds_bucket{name="shop",service="svc",le="30"} 6
request_duration_seconds_bucket{name="shop",service="svc",le="60"} 6
request_duration_seconds_bucket{name="shop",service="svc",le="120"} 6
request_duration_seconds_bucket{name="shop",service="svc",le="+Inf"} 7
request_duration_seconds_sum{name="shop",service="svc"} 230.008
request_duration_seconds_count{name="shop",service="svc"} 7
requests_in_flight{name="quiet",service="quiet"} 0
requests_in_flight{name="shop",service="svc"} 1
requests_total{class="2xx",name="shop",service="svc"} 2
requests_total{class="3xx",name="shop",service="svc"} 1
requests_total{class="4xx",name="shop",service="svc"} 1
requests_total{class="5xx",name="shop",service="svc"} 1
requests_total{class="gone",name="shop",service="svc"} 2
requests_waiting{name="quiet",service="quiet"} 0
requests_waiting{name="shop",service="svc"} 0
stray_requests_total{status="404"} 3
upstream_duration_seconds_bucket{name="shop",service="svc",le="1"} 3
upstream_duration_seconds_bucket{name="shop",service="svc",le="2.5"} 4
upstream_duration_seconds_bucket{name="shop",service="svc",le="5"} 4
upstream_duration_seconds_bucket{name="shop",service="svc",le="10"} 4
upstream_duration_seconds_bucket{name="shop",service="svc",le="30"} 4
upstream_duration_seconds_bucket{name="shop",service="svc",le="60"} 4
upstream_duration_seconds_bucket{name="shop",service="svc",le="120"} 4
upstream_duration_seconds_bucket{name="shop",service="svc",le="+Inf"} 4
upstream_duration_seconds_sum{name="shop",service="svc"} 2.0059
upstream_duration_seconds_count{name="shop",service="svc"} 4
`
