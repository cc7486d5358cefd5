package client

import (
	"context"
	"fmt"
	"time"
)

// Webhook is a URL that the server sends events to.
type Webhook struct {
	WebhookID   string   `json:"WebhookId"`
	WebhookArn  string   `json:"WebhookArn"`
	URL         string   `json:"Url"`
	ServiceName string   `json:"ServiceName,omitempty"` // "" for all services
	Types       []string `json:"Types,omitempty"`       // none for all types
	CreatedAt   Seconds  `json:"CreatedAt"`
	Pending     int      `json:"Pending"` // undelivered events
}

// WebhookDelivery is an event on its way to a webhook.
type WebhookDelivery struct {
	EventID       string  `json:"EventId"`
	Type          string  `json:"Type"`
	ServiceName   string  `json:"ServiceName,omitempty"`
	State         string  `json:"State"` // HELD, DUE, DELIVERED or DEAD
	CreatedAt     Seconds `json:"CreatedAt"`
	Attempts      int     `json:"Attempts"`
	LastAttemptAt Seconds `json:"LastAttemptAt,omitzero"`
	NextAttemptAt Seconds `json:"NextAttemptAt,omitzero"`
	EndedAt       Seconds `json:"EndedAt,omitzero"`
	StatusCode    int     `json:"StatusCode,omitempty"`
	Problem       string  `json:"Problem,omitempty"`
	Event         string  `json:"Event"` // as it is sent
}

// Seconds is a time in seconds since 1970, as in the API.
type Seconds float64

// Time returns the time; zero for none.
func (s Seconds) Time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(s * 1000)).UTC()
}

type webhookInput struct {
	WebhookID string `json:"WebhookId"`
}

// CreateWebhook creates a webhook. service, types and secret may be empty. It
// returns the secret that signs requests.
func (c *Client) CreateWebhook(ctx context.Context, url, service string, types []string, secret string) (Webhook, string, error) {
	in := struct {
		URL         string   `json:"Url"`
		ServiceName string   `json:",omitempty"`
		Types       []string `json:",omitempty"`
		Secret      string   `json:",omitempty"`
	}{url, service, types, secret}
	var out struct {
		Webhook Webhook
		Secret  string
	}
	err := c.own.do(ctx, "Slipway.CreateWebhook", in, &out)
	return out.Webhook, out.Secret, err
}

// Webhooks returns all webhooks, oldest first.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var out struct{ Webhooks []Webhook }
	err := c.own.do(ctx, "Slipway.ListWebhooks", struct{}{}, &out)
	return out.Webhooks, err
}

// Webhook returns a webhook.
func (c *Client) Webhook(ctx context.Context, id string) (Webhook, error) {
	var out struct{ Webhook Webhook }
	err := c.own.do(ctx, "Slipway.DescribeWebhook", webhookInput{id}, &out)
	return out.Webhook, c.noWebhook(id, err)
}

// DeleteWebhook deletes a webhook.
func (c *Client) DeleteWebhook(ctx context.Context, id string) (Webhook, error) {
	var out struct{ Webhook Webhook }
	err := c.own.do(ctx, "Slipway.DeleteWebhook", webhookInput{id}, &out)
	return out.Webhook, c.noWebhook(id, err)
}

// noWebhook explains the error of a missing webhook.
func (c *Client) noWebhook(id string, err error) error {
	if NotFound(err) {
		return &Problem{Text: fmt.Sprintf("there is no webhook %q", id), Hint: "`slipway hooks ls` lists them.", Err: err}
	}
	return err
}

// WebhookDeliveries returns the newest deliveries of a webhook, newest first,
// at most limit.
func (c *Client) WebhookDeliveries(ctx context.Context, id string, limit int) ([]WebhookDelivery, error) {
	in := struct {
		webhookInput
		MaxResults int
		NextToken  string `json:",omitempty"`
	}{webhookInput: webhookInput{id}}
	list := []WebhookDelivery{}
	for {
		in.MaxResults = min(limit-len(list), 100)
		var out struct {
			Deliveries []WebhookDelivery
			NextToken  string
		}
		if err := c.own.do(ctx, "Slipway.ListWebhookDeliveries", in, &out); err != nil {
			return nil, c.noWebhook(id, err)
		}
		list = append(list, out.Deliveries...)
		if in.NextToken = out.NextToken; in.NextToken == "" || len(list) >= limit {
			return list, nil
		}
	}
}

// tryFor is how long TestWebhook waits for an attempt, which takes at most 15 s.
const tryFor = 30 * time.Second

// TestWebhook sends an event to a webhook and returns the delivery after its first
// attempt, or as it is if none was made in time.
func (c *Client) TestWebhook(ctx context.Context, id string) (WebhookDelivery, error) {
	var out struct {
		EventID string `json:"EventId"`
	}
	if err := c.own.do(ctx, "Slipway.TestWebhook", webhookInput{id}, &out); err != nil {
		return WebhookDelivery{}, c.noWebhook(id, err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(tryFor); ; {
		list, err := c.WebhookDeliveries(ctx, id, 100)
		if err != nil {
			return WebhookDelivery{}, err
		}
		for _, d := range list {
			if d.EventID == out.EventID && (d.Attempts > 0 || d.State == "HELD" || time.Now().After(end)) {
				return d, nil
			}
		}
		select {
		case <-ctx.Done():
			return WebhookDelivery{}, ctx.Err()
		case <-tick.C:
		}
	}
}
