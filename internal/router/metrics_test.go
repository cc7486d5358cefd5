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
	for _, x := range []struct {
		status int
		took   time.Duration
	}{
		{200, time.Millisecond},
		{204, 2 * time.Millisecond},
		{302, 3 * time.Millisecond},
		{404, 30 * time.Second},
		{503, 200 * time.Second},
		{StatusGone, time.Millisecond},
		{799, time.Millisecond},
	} {
		s.stats.add(x.status, x.took)
	}
	r.strays[PageNotFound].Add(3)
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
`
