package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a webhook's receiver that verifies every request and refuses
// every seventh one.
type receiver struct {
	t      testing.TB
	verify *standardwebhooks.Webhook

	mu       sync.Mutex // guards what follows
	requests int
	seen     map[string]bool     // ids of events
	told     map[string][]string // what the events of a service said, in order of first arrival
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the server was killed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.verify.Verify(body, req.Header); err != nil {
		r.t.Errorf("request is refused: %v", err)
	}
	if r.requests++; r.requests%7 == 0 {
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	var e struct {
		ID     string
		Detail struct{ ServiceName, OperationStatus, CurrentServiceStatus string }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		r.t.Errorf("event %s: %v", body, err)
	}
	if id := req.Header.Get("webhook-id"); id != e.ID {
		r.t.Errorf("webhook-id %s on event %s", id, e.ID)
	}
	if !r.seen[e.ID] {
		r.seen[e.ID] = true
		d := e.Detail
		r.told[d.ServiceName] = append(r.told[d.ServiceName], d.OperationStatus+d.CurrentServiceStatus)
	}
}

// story returns what the service's events said so far.
func (r *receiver) story(service string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told[service])
}

// TestHooks kills the server again and again while services change: every
// event arrives, in order, whatever else a webhook's receiver does.
func TestHooks(t *testing.T) {
	t.Parallel()
	s := serve(t)
	image := s.push(web(t, "1"), "hooks:latest")
	r := &receiver{t: t, seen: map[string]bool{}, told: map[string][]string{}}
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
		if err := json.Unmarshal([]byte(s.cli(t, "hooks", "add", url, "--json")), &made); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if r.verify, err = standardwebhooks.NewWebhook(made.Secret); err != nil {
		t.Fatal(err)
	}
	s.cli(t, "hooks", "test", made.Webhook.WebhookID)

	p := spec{image: image, env: map[string]string{"GREETING": "hello"}, health: quick()}
	names := []string{"hooked-one", "hooked-two"}
	var services []*types.Service
	want := []string{"CreateServiceStarted", "OPERATION_IN_PROGRESS", "CreateServiceCompletedSuccessfully", "RUNNING"}
	for _, name := range names {
		services = append(services, s.runningService(name, p))
	}
	for range 2 {
		s.eachKilled(services, func(arn *string) (*string, error) {
			out, err := s.client().PauseService(t.Context(), &apprunner.PauseServiceInput{ServiceArn: arn})
			if err != nil {
				return nil, err
			}
			return out.OperationId, nil
		})
		s.eachKilled(services, func(arn *string) (*string, error) {
			out, err := s.client().ResumeService(t.Context(), &apprunner.ResumeServiceInput{ServiceArn: arn})
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
		eventually(t, "all events of "+name+" arrive", func() (bool, string) {
			got := r.story(name)
			return len(got) >= len(want), fmt.Sprintf("%d of %d", len(got), len(want))
		})
		if got := r.story(name); !slices.Equal(got, want) {
			t.Errorf("events of %s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// eachKilled changes each service, kills the server at once and starts it anew,
// and waits until the changes are done.
func (s *server) eachKilled(services []*types.Service, change func(arn *string) (operation *string, err error)) {
	s.t.Helper()
	var ids []string
	for _, svc := range services {
		id, err := change(svc.ServiceArn)
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, *id)
	}
	s.kill()
	s.start()
	for i, svc := range services {
		s.succeeds(svc, ids[i])
	}
}
