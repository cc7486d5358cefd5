package life

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestTop looks at the load of a service that has requests, and then at it asleep.
func TestTop(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	svc := s.RunningService("busy", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "busy")})
	type line struct {
		ServiceName            string
		Ready, Wanted, Asleep  int
		RequestsPerSecond      float64
		P50Seconds, P99Seconds *float64
		CpuPercent             float64
		MemoryBytes            int64
	}
	top := func() (l line, text string) {
		text = s.MustSlipway(t, "top", "--json")
		var doc struct{ Services []line }
		if err := json.Unmarshal([]byte(text), &doc); err != nil || len(doc.Services) != 1 {
			t.Fatalf("top printed %s: %v", text, err)
		}
		return doc.Services[0], text
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.Ask(svc, "/"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	harness.Eventually(t, "top shows the load", func() (bool, string) {
		l, text := top()
		return l.ServiceName == "busy" && l.Ready == 1 && l.Wanted == 1 && l.RequestsPerSecond > 1 && l.P50Seconds != nil && l.P99Seconds != nil &&
			*l.P50Seconds > 0 && *l.P50Seconds <= *l.P99Seconds && l.CpuPercent > 0 && l.MemoryBytes > 0, text
	})
	stop()
	load.Wait()
	s.Set(svc, "sleep-after", "1")
	harness.Eventually(t, "top shows it asleep", func() (bool, string) {
		l, text := top()
		return l.Asleep == 1 && l.RequestsPerSecond == 0, fmt.Sprint(text)
	})
}
