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
	r.apply([]route{
		{service: "svc", name: "shop", keys: public("a.test"), maxConcurrency: 1, instances: []endpoint{{id: "i", open: true}}},
		{service: "quiet", name: "quiet", keys: public("b.test")},
	}, 1)
	s := r.table.Load().byID["svc"]
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
		{statusGone, time.Millisecond},
		{799, time.Millisecond},
	} {
		s.stats.add(x.status, x.took)
	}
	r.strays[pageNotFound].Add(3)
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

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", text("ok"))
	w.get("/")
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\nrubbish\r\n\r\n")
	c.response("GET")
	c.response("GET")
	s := w.router.table.Load().byID["svc"]
	eventually(t, "counted", func() bool { return s.stats.classes[2].Load() == 1 })
	if w.router.strays[pageNotFound].Load() != 1 || w.router.strays[pageBadRequest].Load() != 1 {
		t.Errorf("strays are not counted: %d and %d", w.router.strays[pageNotFound].Load(), w.router.strays[pageBadRequest].Load())
	}
}
