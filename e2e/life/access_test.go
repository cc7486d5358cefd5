package life

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestAccessLog turns the access log of a running service on: its requests are then lines of
// JSON, which stay when the server has ended and are no part of the application's log.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	s := harness.ServeRaced(t)
	svc := s.RunningService("seen", harness.Spec{Image: s.Push(harness.WebImage(t, "1"), "seen")})
	if _, _, err := s.Request(svc, "/before"); err != nil {
		t.Fatal(err)
	}
	s.Set(svc, "access-log", "true")
	var last string
	harness.Eventually(t, "a request is in the access log", func() (bool, string) {
		if _, _, err := s.Request(svc, "/after?secret=hunter2"); err != nil {
			return false, err.Error()
		}
		last = s.MustSlipway(t, "logs", "seen", "--access", "-n", "1")
		return strings.Contains(last, "/after"), last
	})
	var line struct {
		Path, Instance, Outcome, Client string
		Status                          int
	}
	if err := json.Unmarshal([]byte(last), &line); err != nil || line.Path != "/after" || line.Status != 200 || line.Outcome != "complete" || line.Instance == "" || line.Client != "127.0.0.1" {
		t.Errorf("line %q: %+v, %v", last, line, err)
	}
	if _, _, err := s.Request(svc, "/last"); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Start()
	all := s.MustSlipway(t, "logs", "seen", "--access")
	for text, want := range map[string]bool{"/before": false, "hunter2": false, `"path":"/after"`: true, `"path":"/last"`: true} {
		if strings.Contains(all, text) != want {
			t.Errorf("that the access log has %s is %v:\n%s", text, !want, all)
		}
	}
	if out := s.MustSlipway(t, "logs", "seen", "--json"); strings.Contains(out, `"Stream": "access"`) {
		t.Errorf("the log of the application has requests:\n%s", out)
	}
}
