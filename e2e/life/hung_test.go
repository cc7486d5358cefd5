package life

import (
	"net/http"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestHung has an application accept requests and answer none, while its health check
// passes. Without the setting that goes on, as on App Runner. With it the instance is
// replaced, also after the server was upgraded meanwhile, and the events say why.
func TestHung(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	svc := s.RunningService("hung-app", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "hung-app"), Health: harness.QuickHealthCheck()})
	s.Set(svc, "request-timeout", "1")
	status := func(path string) int {
		t.Helper()
		code, _, err := s.Request(svc, path)
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	hang := func() {
		t.Helper()
		if code := status("/hang"); code != http.StatusOK {
			t.Fatalf("/hang answers %d", code)
		}
	}
	hang()
	harness.Eventually(t, "requests time out", func() (bool, string) {
		code := status("/")
		return code == http.StatusGatewayTimeout, http.StatusText(code)
	})
	for range 4 {
		if code := status("/"); code != http.StatusGatewayTimeout {
			t.Errorf("without the setting a hung instance answers %d", code)
		}
	}
	if out, err := s.Upgrade(); err != nil {
		t.Fatalf("upgrade: %v\n%s", err, out)
	}
	s.Set(svc, "replace-hung-after", "1")
	served := func() (bool, string) {
		code := status("/")
		return code == http.StatusOK, http.StatusText(code)
	}
	harness.Eventually(t, "the hung instance is replaced", served)
	if out := s.MustSlipway(t, "logs", "hung-app", "--events"); strings.Count(out, "it answered none of its last") != 1 {
		t.Errorf("events:\n%s", out)
	}
	hang() // again: the next one waits for a while
	harness.Eventually(t, "the next one is replaced", served)
}
