package cloudwatch_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
)

// TestEventPages reads more lines of deployments than are read from the store at
// once, in whole and from their ends, also where many have one time.
func TestEventPages(t *testing.T) {
	t.Parallel()
	b := newLogBench(t)
	service := strings.Split(b.group, "/")[4]
	const n = 2500
	var want []string
	b.Update(func(tx *store.Tx) error {
		for i := range n {
			// Three streams take turns; 600 lines at a time share a moment. In one
			// moment lines are ordered by stream.
			e := slipway.Event{ServiceID: service, Stream: fmt.Sprint("deployment/p", i/200%3), At: gatewaytest.T0.Add(time.Minute + time.Duration(i/600)*time.Second), Text: fmt.Sprint("line ", i)}
			want = append(want, "[AppRunner] "+e.Text)
			if err := tx.InsertEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	got := texts(b.logs("FilterLogEvents", b.in("service", `"logStreamNamePrefix":"deployment/p"`)))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var one []string // of the first stream
	for i, line := range want {
		if i/200%3 == 0 {
			one = append(one, line)
		}
	}
	all := texts(b.logs("GetLogEvents", b.in("service", `"logStreamName":"deployment/p0","startFromHead":true`)))
	if d := cmp.Diff(one, all); d != "" {
		t.Errorf("from its head: %s", d)
	}
	last := texts(b.logs("GetLogEvents", b.in("service", `"logStreamName":"deployment/p0","limit":30`)))
	if d := cmp.Diff(one[len(one)-30:], last); d != "" {
		t.Errorf("from its end: %s", d)
	}
}
