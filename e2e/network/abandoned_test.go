package network_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// A machine has networks for 32 servers. Those of servers that were killed for good do
// not keep the next server from starting, and a server that runs keeps its own.
func TestAbandonedNetworks(t *testing.T) {
	t.Parallel()
	host := harness.NewNetwork(t)
	first := harness.ServeIn(t, host, "--api-addr", "127.0.0.1:8070", "--http-addr", "127.0.0.1:8080")
	svc := first.RunningService("first", harness.Spec{Image: first.Push(harness.WebImage(t, "1"), "first:1"), Health: harness.QuickHealthCheck()})

	own := ""
	for _, a := range host.Addresses(t, "lo") {
		if strings.Contains(a, "lo:sw") {
			own = strings.Fields(a)[0]
		}
	}
	if own == "" {
		t.Fatal("the first server has no network")
	}
	for n := range 32 {
		if a := fmt.Sprintf("198.%d.%d.1/32", 18+n/16, n%16*16); a != own {
			host.Address(t, "lo", fmt.Sprintf("%s lo:sw0000%02x", a, n))
		}
	}

	second := harness.ServeIn(t, host, "--api-addr", "127.0.0.1:8071", "--http-addr", "127.0.0.1:8081")
	second.RunningService("second", harness.Spec{Image: second.Push(harness.WebImage(t, "2"), "second:1"), Health: harness.QuickHealthCheck()})
	if left := host.Addresses(t, "lo"); len(left) != 3 { // 127.0.0.1, and one of each server
		t.Errorf("the loopback device has %v", left)
	}
	if code, body, err := first.Request(svc, "/"); err != nil || code != http.StatusOK {
		t.Errorf("the first server's service answers %d %q, %v", code, body, err)
	}
}
