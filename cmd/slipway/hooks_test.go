package main

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/openslipway/slipway/internal/cli/client"
	"github.com/openslipway/slipway/internal/wire"
)

// fakeHooks are webhooks and their deliveries, newest first.
type fakeHooks struct {
	hooks      []client.Webhook
	deliveries []client.WebhookDelivery
	refuses    bool // the receivers refuse events
}

// callWebhook answers the calls about webhooks.
func (f *fakeServer) callWebhook(operation string, body []byte) (any, error) {
	var in struct {
		WebhookID   string `json:"WebhookId"`
		URL         string `json:"Url"`
		ServiceName string
		Types       []string
		Secret      string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	f.hooks.made(in.WebhookID == "" && operation == "CreateWebhook", client.Webhook{
		WebhookID: f.id()[22:], URL: in.URL, ServiceName: in.ServiceName, Types: in.Types,
		CreatedAt: client.Seconds(epoch.Unix()), Pending: 1,
	})
	switch operation {
	case "CreateWebhook":
		if in.Secret == "" {
			in.Secret = "whsec_bWFkZQ=="
		}
		return &struct {
			Webhook client.Webhook
			Secret  string
		}{f.hooks.hooks[len(f.hooks.hooks)-1], in.Secret}, nil
	case "ListWebhooks":
		return &struct{ Webhooks []client.Webhook }{f.hooks.hooks}, nil
	}
	i := slices.IndexFunc(f.hooks.hooks, func(h client.Webhook) bool { return h.WebhookID == in.WebhookID })
	if i < 0 {
		return nil, wire.NewException("ResourceNotFoundException", "There is no webhook.")
	}
	switch h := f.hooks.hooks[i]; operation {
	case "ListWebhookDeliveries":
		return &struct{ Deliveries []client.WebhookDelivery }{f.hooks.deliveries}, nil
	case "TestWebhook":
		return &struct{ EventId string }{f.hooks.test()}, nil
	case "DeleteWebhook":
		f.hooks.hooks = slices.Delete(f.hooks.hooks, i, i+1)
		return &struct{ Webhook client.Webhook }{h}, nil
	default:
		return &struct{ Webhook client.Webhook }{h}, nil
	}
}

func (f *fakeHooks) made(yes bool, h client.Webhook) {
	if yes {
		f.hooks = append(f.hooks, h)
	}
}

// test records the result of a test event and returns its id.
func (f *fakeHooks) test() string {
	at := client.Seconds(epoch.Unix())
	d := client.WebhookDelivery{
		EventID: "6a7e8feb-b491-4cf7-a9f1-bf370346771" + string(rune('0'+len(f.deliveries))), Type: "Slipway Webhook Test",
		State: "DELIVERED", CreatedAt: at, Attempts: 1, LastAttemptAt: at, EndedAt: at, StatusCode: 204, Event: "{}",
	}
	if f.refuses {
		d.State, d.EndedAt, d.NextAttemptAt = "DUE", 0, at+5
		d.StatusCode, d.Problem = 500, "the receiver answered 500 Internal Server Error"
	}
	f.deliveries = slices.Insert(f.deliveries, 0, d)
	return d.EventID
}

func TestHooks(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("hooks", "ls")
	s.run("hooks", "add", "https://chat.example.com/in", "--type", "operation,status", "--service", "shop")
	s.stdin = "whsec_Z2l2ZW4=\n"
	s.run("hooks", "add", "http://127.0.0.1:9000/", "--secret-stdin")
	s.run("hooks", "add", "http://127.0.0.1:9000/", "--json")
	s.run("hooks", "add", "http://127.0.0.1:9000/", "--type", "everything")
	s.run("hooks", "ls")
	s.run("hooks", "ls", "--json")
	id := s.server.hooks.hooks[0].WebhookID
	s.run("hooks", "test", id)
	s.server.hooks.refuses = true
	s.run("hooks", "test", id)
	s.run("hooks", "test", id, "--json")
	s.run("hooks", "show", id)
	s.run("hooks", "show", id, "--json", "-n", "1")
	s.run("hooks", "rm", id, "--yes")
	s.run("hooks", "show", "none")
	s.run("hooks", "test", "none")
	s.run("hooks", "mend")
	s.golden()
	if want := `{"Secret":"whsec_Z2l2ZW4=","Url":"http://127.0.0.1:9000/"}`; !slices.Contains(s.server.calls, "CreateWebhook "+want) {
		t.Errorf("calls %q lack the one with %s", s.server.calls, want)
	}
}
