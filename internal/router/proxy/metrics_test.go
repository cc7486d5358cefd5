package proxy

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/openslipway/slipway/internal/metrics"
)

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	w := newFixture(t, nil)
	w.add("a", text("ok"))
	w.get("/")
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\nrubbish\r\n\r\n")
	c.response("GET")
	c.response("GET")
	eventually(t, "counted", func() bool { return w.counter("slipway_router_requests_total", "2xx") == 1 })
	notFound := w.counter("slipway_router_stray_requests_total", "404")
	bad := w.counter("slipway_router_stray_requests_total", "400")
	if notFound != 1 || bad != 1 {
		t.Errorf("strays are not counted: %v and %v", notFound, bad)
	}
}

// counter returns the value of a counter of the router that has a label of this
// value, 0 if it is not shown.
func (w *fixture) counter(name, label string) float64 {
	w.t.Helper()
	reg := metrics.New()
	if err := reg.Register(w.router); err != nil {
		w.t.Fatal(err)
	}
	page := httptest.NewRecorder()
	reg.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		if strings.HasPrefix(line, name+"{") && strings.Contains(line, `="`+label+`"`) {
			n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}
