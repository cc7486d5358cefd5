package domain

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

// Webhooks are told every state change of a domain, once and in order.
func TestEvents(t *testing.T) {
	inBubble(t, func(b *fixture) {
		b.update(func(tx *store.Tx) error { return tx.InsertWebhook(slipway.Webhook{ID: "hook"}) })
		defer b.run()()
		good, _ := b.associate("example.com"), b.associate("example.org")
		b.dns.publish(good.Records...)
		time.Sleep(proofLimit + time.Hour)
		b.remove("example.com")
		time.Sleep(time.Minute)
		synctest.Wait()

		var list []slipway.Delivery
		b.update(func(tx *store.Tx) (err error) { list, err = tx.Deliveries("hook", 0, 100); return err })
		told := map[string][]string{}
		for _, d := range slices.Backward(list) {
			var e struct {
				Type   string `json:"detail-type"`
				Detail struct{ DomainName, PreviousDomainStatus, CurrentDomainStatus, ServiceName, Message, Severity string }
			}
			if err := json.Unmarshal(d.Event.Body, &e); err != nil {
				b.Fatal(err)
			}
			if e.Type != "AppRunner Custom Domain Validation Status Update" || e.Detail.ServiceName != "shop" {
				b.Errorf("event %s", d.Event.Body)
			}
			story := told[e.Detail.DomainName]
			if len(story) > 0 && story[len(story)-1] != e.Detail.PreviousDomainStatus {
				b.Errorf("after %v came %s", story, d.Event.Body)
			}
			told[e.Detail.DomainName] = append(story, e.Detail.CurrentDomainStatus)
		}
		if want := []string{"pending_certificate_dns_validation", "binding_certificate", "active"}; !slices.Equal(told["example.com"], want) {
			b.Errorf("told %v, want %v", told["example.com"], want)
		}
		if want := []string{"pending_certificate_dns_validation", "create_failed"}; !slices.Equal(told["example.org"], want) {
			b.Errorf("told %v, want %v", told["example.org"], want)
		}
	})
}
