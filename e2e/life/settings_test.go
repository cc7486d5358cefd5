package life

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestRequestSettings changes the settings of a service's requests while it runs: each is
// followed without an operation, and a wrong one is refused with what is allowed.
func TestRequestSettings(t *testing.T) {
	t.Parallel()
	s := harness.ServeRaced(t)
	svc := s.RunningService("settings", harness.Spec{
		Image: s.Push(harness.WebImage(t, "1"), "settings"), Scaling: s.CreateAutoScaling("pairs", 10, 2, 2), Health: harness.QuickHealthCheck(),
	})
	s.AskAll(svc, 2, "")
	harness.Eventually(t, "its size is explained", func() (bool, string) {
		out := s.MustSlipway(t, "explain", "settings")
		return strings.Contains(out, "2 instances wanted, of 2 to 2, for 10 requests") && strings.Count(out, "0 of 10") == 2, out
	})
	// post sends a body of some MiB and returns the status.
	post := func(mib int) (int, error) {
		req, err := http.NewRequest(http.MethodPost, "http://"+s.HostPort()+"/", bytes.NewReader(make([]byte, mib<<20)))
		if err != nil {
			return 0, err
		}
		req.Host = *svc.ServiceUrl
		resp, err := s.HTTPClient.Do(req)
		if err != nil {
			return 0, err
		}
		resp.Body.Close()
		return resp.StatusCode, nil
	}
	status := func(path string) func() (int, error) {
		return func() (int, error) { code, _, err := s.Request(svc, path); return code, err }
	}
	for _, c := range []struct {
		name, value string
		set, unset  int // the status with and without the setting
		try         func() (int, error)
	}{
		{"max-body", "1", 413, 200, func() (int, error) { return post(2) }},
		{"allow-from", "192.0.2.0/24 2001:db8::1", 403, 200, status("/")},
		{"request-timeout", "1", 504, 200, status("/?ms=1500")},
	} {
		for _, want := range []int{c.set, c.unset} {
			if want == c.unset {
				s.Unset(svc, c.name)
			} else {
				s.Set(svc, c.name, c.value)
			}
			harness.Eventually(t, c.name+" is followed", func() (bool, string) {
				code, err := c.try()
				return err == nil && code == want, http.StatusText(code)
			})
		}
	}

	s.Set(svc, "allow-from", "127.0.0.0/8", "sticky", "true")
	// ask sends a request with a cookie, and returns which instance answered and the cookie
	// that it set.
	ask := func(cookie string) (instance, set string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, "http://"+s.HostPort()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = *svc.ServiceUrl
		if cookie != "" {
			req.Header.Set("Cookie", "theme=dark; "+cookie)
		}
		resp, err := s.HTTPClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var reply harness.Reply
		if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil {
			t.Fatal(err)
		}
		set, _, _ = strings.Cut(resp.Header.Get("Set-Cookie"), ";")
		return reply.Instance, set
	}
	var first, cookie string
	harness.Eventually(t, "a client gets a cookie", func() (bool, string) {
		first, cookie = ask("")
		return strings.HasPrefix(cookie, "slipway-sticky="), cookie
	})
	for range 20 {
		if instance, set := ask(cookie); instance != first || set != "" {
			t.Errorf("with the cookie of %s, %s answered and set %q", first, instance, set)
		}
	}

	for name, value := range map[string]string{
		"max-body": "0", "allow-from": "everybody", "request-timeout": "1h", "sticky": "yes", "slow-start": "301", "idle-timeout": "-1", "sleep-after": "0",
	} {
		err := s.TrySet(svc, name, value)
		var refused *types.InvalidRequestException
		if !errors.As(err, &refused) || !strings.Contains(aws.ToString(refused.Message), "slipway:"+name) {
			t.Errorf("%s=%s: %v, want a refusal that names it", name, value, err)
		}
	}
	ops, err := s.Client().ListOperations(t.Context(), &apprunner.ListOperationsInput{ServiceArn: svc.ServiceArn})
	if err != nil || len(ops.OperationSummaryList) != 1 {
		t.Errorf("operations %v, %v; want that of the creation", ops, err)
	}
}
