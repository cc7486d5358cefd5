package crash

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestHooks kills the server repeatedly while services change. Every event must
// arrive, in order, although the receiver refuses some requests.
func TestHooks(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	image := s.Push(harness.WebImage(t, "1"), "hooks:latest")
	r := harness.NewWebhookReceiver(t)
	at := httptest.NewServer(r)
	defer at.Close()
	gone := httptest.NewServer(nil)
	gone.Close()

	var made struct {
		Webhook struct {
			WebhookID string `json:"WebhookId"`
		}
		Secret string
	}
	for _, url := range []string{gone.URL, at.URL} { // the last is the one to look at
		if err := json.Unmarshal([]byte(s.MustSlipway(t, "hooks", "add", url, "--json")), &made); err != nil {
			t.Fatal(err)
		}
	}
	r.SetSecret(made.Secret)
	s.MustSlipway(t, "hooks", "test", made.Webhook.WebhookID)

	p := harness.Spec{Image: image, Env: map[string]string{"GREETING": "hello"}, Health: harness.QuickHealthCheck()}
	names := []string{"hooked-one", "hooked-two"}
	var services []*types.Service
	want := []string{"CreateServiceStarted", "OPERATION_IN_PROGRESS", "CreateServiceCompletedSuccessfully", "RUNNING"}
	for _, name := range names {
		services = append(services, s.RunningService(name, p))
	}
	for range 2 {
		changeUnderKill(s, services, func(arn *string) (*string, error) {
			out, err := s.Client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: arn})
			if err != nil {
				return nil, err
			}
			return out.OperationId, nil
		})
		changeUnderKill(s, services, func(arn *string) (*string, error) {
			out, err := s.Client().ResumeService(t.Context(), &apprunner.ResumeServiceInput{ServiceArn: arn})
			if err != nil {
				return nil, err
			}
			return out.OperationId, nil
		})
		want = append(want,
			"PauseServiceStarted", "OPERATION_IN_PROGRESS", "PauseServiceCompletedSuccessfully", "PAUSED",
			"ResumeServiceStarted", "OPERATION_IN_PROGRESS", "ResumeServiceCompletedSuccessfully", "RUNNING")
	}
	for _, name := range names {
		harness.Eventually(t, "all events of "+name+" arrive", func() (bool, string) {
			got := r.Told(name)
			return len(got) >= len(want), fmt.Sprintf("%d of %d", len(got), len(want))
		})
		if got := r.Told(name); !slices.Equal(got, want) {
			t.Errorf("events of %s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// changeUnderKill starts a change of each service, kills the server at once, starts
// it again and waits until the changes have succeeded.
func changeUnderKill(s *harness.Server, services []*types.Service, change func(arn *string) (operation *string, err error)) {
	s.T.Helper()
	var ids []string
	for _, svc := range services {
		id, err := change(svc.ServiceArn)
		if err != nil {
			s.T.Fatal(err)
		}
		ids = append(ids, *id)
	}
	s.Kill()
	s.Start()
	for i, svc := range services {
		s.WaitSucceeded(svc, ids[i])
	}
}
