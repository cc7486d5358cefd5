package hooks_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/hooks"
	"github.com/openslipway/slipway/internal/outbound"
	"github.com/openslipway/slipway/internal/store"
)

func newAPI(t *testing.T) *gatewaytest.Bench {
	t.Helper()
	b, a := openAPI(t)
	b.Open([]gateway.Service{a.Service()})
	return b
}

func openAPI(t *testing.T) (*gatewaytest.Bench, *hooks.API) {
	t.Helper()
	b := gatewaytest.New(t)
	reach, err := outbound.New("127.0.0.1:9999")
	if err != nil {
		t.Fatal(err)
	}
	a, err := hooks.NewAPI(hooks.APIConfig{Store: b.Store, Keys: keys{}, Region: gatewaytest.Region, Account: gatewaytest.Account, Reach: reach, Now: b.Clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return b, a
}

// object descends into a reply.
func object(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			list := v.([]any)
			if p >= len(list) {
				t.Fatalf("%v has no element %d", list, p)
			}
			v = list[p]
		}
	}
	return v
}

func TestWebhookLife(t *testing.T) {
	t.Parallel()
	b := newAPI(t)
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 24)))
	made := b.OK("Slipway.CreateWebhook", fmt.Sprintf(`{"Url": "https://example.com/in?x=1", "ServiceName": "shop",
		"Types": ["AppRunner Service Status Change"], "Secret": %q}`, secret))
	id := object(t, made, "Webhook", "WebhookId").(string)
	if made["Secret"] != secret {
		t.Errorf("secret %v, want the one given", made["Secret"])
	}
	if arn := object(t, made, "Webhook", "WebhookArn"); arn != "arn:aws:apprunner:us-east-1:000000000000:webhook/"+id {
		t.Errorf("arn %v", arn)
	}
	other := b.OK("Slipway.CreateWebhook", `{"Url": "http://127.0.0.1:9999"}`)
	if s := other["Secret"].(string); len(s) != len("whsec_")+44 {
		t.Errorf("secret %q, want one that was made", s)
	}
	list := b.OK("Slipway.ListWebhooks", `{}`)
	if n := len(list["Webhooks"].([]any)); n != 2 || strings.Contains(fmt.Sprint(list), "whsec_") {
		t.Errorf("%d webhooks, want 2, without secrets: %v", n, list)
	}

	test := b.OK("Slipway.TestWebhook", fmt.Sprintf(`{"WebhookId": %q}`, id))
	if got := b.OK("Slipway.DescribeWebhook", fmt.Sprintf(`{"WebhookId": %q}`, id)); object(t, got, "Webhook", "Pending") != 1.0 {
		t.Errorf("%v, want one event pending", got)
	}
	got := b.OK("Slipway.ListWebhookDeliveries", fmt.Sprintf(`{"WebhookId": %q}`, id))
	d := object(t, got, "Deliveries", 0).(map[string]any)
	if d["EventId"] != test["EventId"] || d["State"] != "DUE" || d["Type"] != "Slipway Webhook Test" || d["Attempts"] != 0.0 || d["Problem"] != nil {
		t.Errorf("delivery %v", d)
	}
	if !strings.Contains(d["Event"].(string), `"resources":["arn:aws:apprunner:us-east-1:000000000000:webhook/`+id+`"]`) {
		t.Errorf("event %v", d["Event"])
	}

	b.OK("Slipway.DeleteWebhook", fmt.Sprintf(`{"WebhookId": %q}`, id))
	b.Refused("Slipway.DescribeWebhook", fmt.Sprintf(`{"WebhookId": %q}`, id), "ResourceNotFoundException", id)
}

func TestWebhookInput(t *testing.T) {
	t.Parallel()
	b := newAPI(t)
	for body, message := range map[string]string{
		`{"Url": "http://127.0.0.1/"}`:                  "--allow-address",
		`{"Url": "http://127.0.0.1:9998/"}`:             "--allow-address",
		`{"Url": "https://localhost/"}`:                 "--allow-address",
		`{"Url": "http://169.254.169.254/"}`:            "--allow-address",
		`{"Url": "http://[::ffff:a00:1]/"}`:             "--allow-address",
		`{"Url": "http://0x7f.1/"}`:                     "--allow-address",
		`{}`:                                            "Url is required.",
		`{"Url": "ftp://x/"}`:                           "must be https",
		`{"Url": "https:///x"}`:                         "must be https",
		`{"Url": "://"}`:                                "must be https",
		`{"Url": "https://u:p@x/"}`:                     "neither a user",
		`{"Url": "https://x/#a"}`:                       "nor a fragment",
		`{"Url": "https://x/", "Types": ["Something"]}`: "AppRunner Service Status Change",
		`{"Url": "https://x/", "ServiceName": "arn:aws:apprunner:::service/x"}`: "not its ARN",
		`{"Url": "https://x/", "Secret": "password"}`:                           "whsec_",
		`{"Url": "https://x/", "Secret": "whsec_c2hvcnQ="}`:                     "24 to 64 bytes",
		`{"Url": "https://x/` + strings.Repeat("a", 2048) + `"}`:                "at most 2048",
	} {
		b.Refused("Slipway.CreateWebhook", body, "InvalidRequestException", message)
	}
	for _, target := range []string{"DescribeWebhook", "TestWebhook", "DeleteWebhook", "ListWebhookDeliveries"} {
		b.Refused("Slipway."+target, `{}`, "InvalidRequestException", "WebhookId is required.")
		b.Refused("Slipway."+target, `{"WebhookId": "none"}`, "ResourceNotFoundException", "none")
	}
	for i := range 100 {
		b.OK("Slipway.CreateWebhook", fmt.Sprintf(`{"Url": "https://x/%d"}`, i))
	}
	b.Refused("Slipway.CreateWebhook", `{"Url": "https://x/"}`, "ServiceQuotaExceededException", "100 are allowed")
}

// One user must not take the places of all.
func TestWebhooksAreShared(t *testing.T) {
	t.Parallel()
	b, a := openAPI(t)
	services := []gateway.Service{a.Service()}
	b.Open(services)
	ann := b.Limited(services, `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	for i := range 25 {
		ann.OK("Slipway.CreateWebhook", fmt.Sprintf(`{"Url": "https://x/%d"}`, i))
	}
	ann.Refused("Slipway.CreateWebhook", `{"Url": "https://x/"}`, "ServiceQuotaExceededException", "25 are allowed for a user")
	for i := range 75 {
		b.OK("Slipway.CreateWebhook", fmt.Sprintf(`{"Url": "https://x/%d"}`, i))
	}
	b.Refused("Slipway.CreateWebhook", `{"Url": "https://x/"}`, "ServiceQuotaExceededException", "100 are allowed")
}

// Every delivery is listed once, though others come while pages are read.
func TestDeliveriesInPages(t *testing.T) {
	t.Parallel()
	b := newAPI(t)
	publish := func(n int) {
		b.Update(func(tx *store.Tx) error {
			return tx.InsertDelivery("h", slipway.BusEvent{ID: fmt.Sprint(n), At: time.Unix(int64(n), 0), Body: []byte("{}")})
		})
	}
	b.Update(func(tx *store.Tx) error { return tx.InsertWebhook(slipway.Webhook{ID: "h"}) })
	for n := range 25 {
		publish(n)
	}
	var seen []string
	token := ""
	for {
		body := `{"WebhookId": "h", "MaxResults": 10}`
		if token != "" {
			body = fmt.Sprintf(`{"WebhookId": "h", "MaxResults": 10, "NextToken": %q}`, token)
		}
		page := b.OK("Slipway.ListWebhookDeliveries", body)
		for _, d := range page["Deliveries"].([]any) {
			seen = append(seen, object(t, d, "EventId").(string))
		}
		publish(100 + len(seen))
		if page["NextToken"] == nil {
			break
		}
		token = page["NextToken"].(string)
	}
	if len(seen) != 25 || seen[0] != "24" || seen[24] != "0" {
		t.Errorf("saw %v", seen)
	}
	b.Refused("Slipway.ListWebhookDeliveries", `{"WebhookId": "h", "NextToken": "x"}`, "InvalidRequestException", "NextToken")
	b.Refused("Slipway.ListWebhookDeliveries", `{"WebhookId": "h", "MaxResults": 101}`, "InvalidRequestException", "from 1 to 100")
}

// A Deny on a service holds for its events, and one on a webhook for the list of them.
func TestDeniedEvents(t *testing.T) {
	t.Parallel()
	b, a := openAPI(t)
	b.Open([]gateway.Service{a.Service()})
	ann := b.Limited([]gateway.Service{a.Service()}, `{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"arn:aws:apprunner:*:*:service/shop/*"},
		{"Effect":"Deny","Action":"*","Resource":"arn:aws:apprunner:*:*:webhook/*"}`)
	const all, shop, cart = `{"Url":"http://127.0.0.1:9999/"}`, `{"Url":"http://127.0.0.1:9999/","ServiceName":"shop"}`, `{"Url":"http://127.0.0.1:9999/","ServiceName":"cart"}`
	ann.Refused("Slipway.CreateWebhook", shop, "AccessDeniedException", "on resource: shop with")
	ann.OK("Slipway.CreateWebhook", all)
	b.Update(func(tx *store.Tx) error {
		return tx.InsertService(slipway.Service{
			ID: "1", Name: "shop", ARN: "arn:aws:apprunner:us-east-1:000000000000:service/shop/1", Label: "l",
			Wanted: slipway.WantedRunning, Status: slipway.StatusRunning, CreatedAt: gatewaytest.T0, UpdatedAt: gatewaytest.T0,
		})
	})
	ann.Refused("Slipway.CreateWebhook", shop, "AccessDeniedException", "on resource: shop with")
	ann.Refused("Slipway.CreateWebhook", all, "AccessDeniedException", "on resource: * with")
	ann.OK("Slipway.CreateWebhook", cart)
	b.OK("Slipway.CreateWebhook", all)
	for who, want := range map[*gatewaytest.Bench]int{ann: 0, b: 3} {
		if got := len(who.OK("Slipway.ListWebhooks", `{}`)["Webhooks"].([]any)); got != want {
			t.Errorf("%d webhooks are listed, want %d", got, want)
		}
	}
}

// The deliveries of a webhook for all services show the events of services that no Deny
// hides from who lists them.
func TestDeniedDeliveries(t *testing.T) {
	t.Parallel()
	b, a := openAPI(t)
	b.Open([]gateway.Service{a.Service()})
	id := object(t, b.OK("Slipway.CreateWebhook", `{"Url":"http://127.0.0.1:9999/"}`), "Webhook", "WebhookId").(string)
	b.Update(func(tx *store.Tx) error {
		for i, name := range []string{"shop", "cart", "shop", ""} {
			e := slipway.BusEvent{ID: fmt.Sprint(i), ServiceID: name, Service: name, Type: slipway.EventTypes()[0], At: gatewaytest.T0, Body: []byte(`{}`)}
			if err := tx.InsertDelivery(id, e); err != nil {
				return err
			}
		}
		return nil
	})
	ann := b.Limited([]gateway.Service{a.Service()}, `{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Effect":"Deny","Action":"apprunner:DescribeService","Resource":"arn:aws:apprunner:*:*:service/shop/*"}`)
	for who, want := range map[*gatewaytest.Bench]string{ann: "3 1 ", b: "3 2 1 0 "} {
		got := ""
		for token := ""; ; {
			doc := who.OK("Slipway.ListWebhookDeliveries", `{"WebhookId":"`+id+`","MaxResults":1`+token+`}`)
			for _, d := range doc["Deliveries"].([]any) {
				got += object(t, d, "EventId").(string) + " "
			}
			next, more := doc["NextToken"].(string)
			if !more {
				break
			}
			token = `,"NextToken":"` + next + `"`
		}
		if got != want {
			t.Errorf("deliveries %q, want %q", got, want)
		}
	}
}
