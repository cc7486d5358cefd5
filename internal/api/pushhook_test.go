package api_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

func TestConnectionWebhook(t *testing.T) {
	t.Parallel()
	b := newBench(t, withProviders, func(c *api.Config) { c.WebhookURL = "https://slipway.example.com" })
	arn := *b.connect("code").ConnectionArn
	put := func(secret *string) *api.PutConnectionWebhookInput {
		return &api.PutConnectionWebhookInput{ConnectionName: aws.String("code"), Secret: secret}
	}
	on := func(name string) *api.DescribeConnectionWebhookInput {
		return &api.DescribeConnectionWebhookInput{ConnectionName: &name}
	}
	remove := func(name string) *api.DeleteConnectionWebhookInput {
		return &api.DeleteConnectionWebhookInput{ConnectionName: &name}
	}
	b.refuse(on("code"), "ResourceNotFoundException", "Connection code has no webhook.")
	b.refuse(remove("none"), "ResourceNotFoundException", "Connection not found: none")
	b.refuse(on(""), "InvalidRequestException", "ConnectionName is required.")

	made := invoke[api.ConnectionWebhookOutput](b, put(nil))
	if w := made.Webhook; !strings.HasPrefix(w.URL, "https://slipway.example.com/webhooks/") || len(w.URL) != len("https://slipway.example.com/webhooks/")+32 ||
		w.ConnectionArn != arn || w.ProviderType != "GITHUB" || w.DeliveredAt != nil {
		t.Errorf("made is %+v", w)
	}
	if !strings.HasPrefix(*made.Secret, "whsec_") || len(*made.Secret) < 40 {
		t.Errorf("the secret is %q", *made.Secret)
	}
	shown := invoke[api.ConnectionWebhookOutput](b, on("code"))
	if shown.Secret != nil || shown.Webhook.URL != made.Webhook.URL {
		t.Errorf("shown is %+v with the secret %v", shown.Webhook, shown.Secret)
	}
	sealed := func() (text string) {
		t.Helper()
		b.Update(func(tx *store.Tx) error {
			h, err := tx.PushHookOf(arn)
			text = string(h.Secret)
			return err
		})
		return text
	}
	first := sealed()
	if strings.Contains(first, *made.Secret) {
		t.Error("the secret is stored as it is")
	}
	again := invoke[api.ConnectionWebhookOutput](b, put(nil))
	if again.Webhook.URL != made.Webhook.URL || *again.Secret == *made.Secret || sealed() == first {
		t.Errorf("a new secret: %+v, the secret %q", again.Webhook, *again.Secret)
	}
	own := "whsec_of-gitlab-itself"
	if v := invoke[api.ConnectionWebhookOutput](b, put(&own)); *v.Secret != own || v.Webhook.URL != made.Webhook.URL {
		t.Errorf("a given secret: %+v", v)
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", 257), "with a blank in it", "with\na line break in it"} {
		b.refuse(put(&bad), "InvalidRequestException", "Secret must have 16 to 256")
	}
	b.must(remove("code"))
	b.refuse(on("code"), "ResourceNotFoundException", "has no webhook")

	next := invoke[api.ConnectionWebhookOutput](b, put(nil))
	if next.Webhook.URL == made.Webhook.URL {
		t.Error("a removed webhook's address is used again")
	}
	b.must(removeConnection(arn))
	b.connect("code")
	b.refuse(on("code"), "ResourceNotFoundException", "has no webhook")
	bare := newBench(t)
	bare.connect("code")
	bare.refuse(put(nil), "InvalidRequestException", "This server keeps no credentials")
}
