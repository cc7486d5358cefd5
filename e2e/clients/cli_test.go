package clients

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
	"github.com/openslipway/slipway/internal/image/imagetest"
)

// TestCommandLine takes a service from its creation to its deletion with the slipway
// command.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	tar := imagetest.SaveTar(t, harness.WebImage(t, "1"), "shop:1.0")
	layout := imagetest.SaveLayout(t, harness.WebImage(t, "2"), "shop:2.0")

	url := strings.TrimSpace(s.MustSlipway(t, "up", tar, "--env", "GREETING=one", "--min", "2", "--cpu", "0.25", "--memory", "0.5"))
	host, ok := strings.CutPrefix(url, "http://")
	if !ok {
		t.Fatalf("up printed %q, want a URL", url)
	}
	svc := &types.Service{ServiceUrl: &host, ServiceName: new("shop")}
	s.AskAll(svc, 2, "one")

	if again := strings.TrimSpace(s.MustSlipway(t, "up", layout, "--name", "shop")); again != url {
		t.Errorf("the second up printed %s, want %s", again, url)
	}
	if r, err := s.Ask(svc, "/"); err != nil || r.Version != "2" || r.Greeting != "one" {
		t.Errorf("after the second up %+v answers (%v), want version 2 with the variables it had", r, err)
	}

	var list struct {
		ServiceSummaryList []struct{ ServiceName string }
	}
	if err := json.Unmarshal([]byte(s.MustSlipway(t, "ls", "--json")), &list); err != nil || len(list.ServiceSummaryList) != 1 || list.ServiceSummaryList[0].ServiceName != "shop" {
		t.Errorf("ls --json: %+v (%v)", list, err)
	}
	if out := s.MustSlipway(t, "image", "ls"); !strings.Contains(out, "shop") {
		t.Errorf("image ls does not show shop:\n%s", out)
	}
	harness.Eventually(t, "logs show what the application printed", func() (bool, string) {
		out := s.MustSlipway(t, "logs", "shop")
		return strings.Contains(out, "listens on :8080"), out
	})

	s.MustSlipway(t, "pause", "shop")
	if code, _, err := s.Request(svc, "/"); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("after pause the service answers %d (%v)", code, err)
	}
	s.MustSlipway(t, "resume", "shop")
	s.AskAll(svc, 2, "one")
	s.MustSlipway(t, "deploy", "shop")
	for _, kind := range []string{"CREATE_SERVICE", "UPDATE_SERVICE", "PAUSE_SERVICE", "RESUME_SERVICE", "START_DEPLOYMENT"} {
		if out := s.MustSlipway(t, "ops", "shop"); !strings.Contains(out, kind) {
			t.Errorf("ops lacks %s:\n%s", kind, out)
		}
	}

	code, _, stderr := s.ExecSlipway(t, "up", "shop:2.0", "--name", "shop", "--env", "MODE=exit")
	if code != 1 || !strings.Contains(stderr, "the database is not there") {
		t.Errorf("an update that was rolled back exits with %d and says:\n%s", code, stderr)
	}
	s.AskMany(svc, 2, "one")

	s.MustSlipway(t, "rm", "shop", "--yes")
	if code, _, err := s.Request(svc, "/"); err != nil || code != http.StatusNotFound {
		t.Errorf("after rm the service answers %d (%v)", code, err)
	}
	if code, _, _ := s.ExecSlipway(t, "describe", "shop"); code != 1 {
		t.Errorf("describe of nothing exits with %d, want 1", code)
	}
}
