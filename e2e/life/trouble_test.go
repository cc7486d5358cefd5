package life

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/openslipway/slipway/e2e/harness"
)

var crashLoop = regexp.MustCompile(`crashing, [0-9]+ restarts?, (next in [0-9]+ s|starting now) \(exit code [0-9]+\)`)

// TestCrash ends instances by requests: each request ends one at most, and once they
// have ended often enough, requests are refused at once and told when to come again.
func TestCrash(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	t.Run("one of two", func(t *testing.T) {
		svc := s.RunningService("pair", harness.Spec{Image: image, Env: map[string]string{"GREETING": "pair"}, Scaling: s.CreateAutoScaling("pairs", 100, 2, 2)})
		s.AskMany(svc, 20, "pair")
		if status, body, err := s.Request(svc, "/exit"); err != nil || status != http.StatusBadGateway {
			t.Errorf("GET /exit: %d %q %v, want 502", status, body, err)
		}
		harness.Eventually(t, "the crash is in the events", func() (bool, string) {
			text := s.Events(svc)
			return strings.Contains(text, "Your application stopped"), text
		})
		if text := s.Events(svc); strings.Count(text, "Your application stopped") != 1 {
			t.Errorf("one request ended several instances:\n%s", text)
		}
		s.AskMany(svc, 20, "pair")
	})
	t.Run("again and again", func(t *testing.T) {
		svc := s.RunningService("loop", harness.Spec{Image: image, Env: map[string]string{"GREETING": "loop"}})
		var refused *http.Response
		harness.Eventually(t, "requests are refused", func() (bool, string) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.HTTP+"/exit", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = *svc.ServiceUrl
			resp, err := s.HTTPClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			refused = resp
			return resp.StatusCode == http.StatusServiceUnavailable, resp.Status
		})
		if n, err := strconv.Atoi(refused.Header.Get("Retry-After")); err != nil || n < 1 || n > 64 {
			t.Errorf("Retry-After is %q", refused.Header.Get("Retry-After"))
		}
		if text := s.Events(svc); !strings.Contains(text, "times in a row. Another one is started in ") {
			t.Errorf("the events do not tell of the loop:\n%s", text)
		}
		harness.Eventually(t, "ls and describe tell of the loop", func() (bool, string) {
			ls, describe := s.MustSlipway(t, "ls"), s.MustSlipway(t, "describe", "loop")
			asJSON := s.MustSlipway(t, "ls", "--json")
			told := crashLoop.MatchString(ls) && crashLoop.MatchString(describe) && strings.Contains(asJSON, `"NextStartAt"`)
			if !told { // an instance has become ready meanwhile
				_, _, _ = s.Request(svc, "/exit")
			}
			return told, ls + describe + asJSON
		})
		harness.Eventually(t, "it serves again", func() (bool, string) {
			status, body, err := s.Request(svc, "/")
			return err == nil && status == http.StatusOK, body
		})
	})
}
