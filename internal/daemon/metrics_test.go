package daemon

import (
	"bufio"
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/metrics"
	"github.com/openslipway/slipway/internal/runtime"
)

// measured is a driver of three instances. One was removed before List, one
// has ended.
type measured struct{}

func (measured) Stats(context.Context) (map[string]runtime.Usage, error) {
	return map[string]runtime.Usage{"i1": {CPU: 1500 * time.Millisecond, Memory: 4096}, "gone": {}}, nil
}

func (measured) List(context.Context) ([]runtime.Observed, error) {
	return []runtime.Observed{{ID: "i1", Service: "s1", Running: true}, {ID: "ended", Service: "s1"}}, nil
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg, calls, attempts := metrics.New(), newCallMetrics(), newAttemptMetrics()
	if err := reg.Register(usage{measured{}}, calls, attempts); err != nil {
		t.Fatal(err)
	}
	calls.observe("CreateService", "", time.Millisecond)
	attempts.observe(slipway.DeliveryDead)
	page := httptest.NewRecorder()
	reg.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	got := map[string]bool{}
	for lines := bufio.NewScanner(page.Body); lines.Scan(); {
		got[lines.Text()] = true
	}
	for _, want := range []string{
		`slipway_instance_cpu_seconds_total{instance="i1",service="s1"} 1.5`,
		`slipway_instance_memory_bytes{instance="i1",service="s1"} 4096`,
		`slipway_api_call_seconds_count{exception="",operation="CreateService"} 1`,
		`slipway_api_call_seconds_bucket{exception="",operation="CreateService",le="0.0005"} 0`,
		`slipway_api_call_seconds_bucket{exception="",operation="CreateService",le="0.002"} 1`,
		`slipway_webhook_attempts_total{state="DEAD"} 1`,
	} {
		if !got[want] {
			t.Errorf("missing: %s", want)
		}
	}
	for line := range got {
		if strings.Contains(line, "gone") || strings.Contains(line, "ended") {
			t.Errorf("not running, and shown: %s", line)
		}
	}
}
