package harness

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// WebhookReceiver receives the requests of a webhook. It verifies their signatures
// and refuses every seventh one.
type WebhookReceiver struct {
	t      testing.TB
	verify *standardwebhooks.Webhook

	mu       sync.Mutex // guards what follows
	requests int
	seen     map[string]bool     // ids of events
	told     map[string][]string // statuses of the events of each service, in order of first arrival
}

// NewWebhookReceiver returns a receiver. SetSecret must be called before the first
// request.
func NewWebhookReceiver(t testing.TB) *WebhookReceiver {
	return &WebhookReceiver{t: t, seen: map[string]bool{}, told: map[string][]string{}}
}

// SetSecret sets the secret that requests are verified with.
func (r *WebhookReceiver) SetSecret(secret string) {
	r.t.Helper()
	var err error
	if r.verify, err = standardwebhooks.NewWebhook(secret); err != nil {
		r.t.Fatal(err)
	}
}

// ServeHTTP answers 200 to an event, and 503 to every seventh.
func (r *WebhookReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
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

// Told returns the statuses of the service's events so far.
func (r *WebhookReceiver) Told(service string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told[service])
}
