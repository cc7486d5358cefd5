package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/store"
)

func TestDeliveriesOfAServiceWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := open(t)
	event := func(n int, service string) slipway.BusEvent {
		return slipway.BusEvent{ID: fmt.Sprint(n), ServiceID: service, Service: service, At: t0.Add(time.Duration(n)), Body: []byte("{}")}
	}
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(
			tx.InsertBusEvent(event(0, "a")), // no webhook wants it
			tx.InsertWebhook(slipway.Webhook{ID: "h", Secret: []byte{0, 1, 255}}),
			tx.InsertBusEvent(event(1, "a")), tx.InsertBusEvent(event(2, "a")), tx.InsertBusEvent(event(3, "b")), tx.InsertBusEvent(event(4, "a")),
		)
	})
	due := func() (ids []string) {
		t.Helper()
		var list []slipway.Delivery
		update(t, s, func(tx *store.Tx) (err error) { list, err = tx.DueDeliveries("h", t0.Add(time.Hour), 10); return err })
		for _, d := range list {
			ids = append(ids, d.Event.ID)
		}
		return ids
	}
	end := func(id string, state slipway.DeliveryState) {
		t.Helper()
		update(t, s, func(tx *store.Tx) error {
			list, err := tx.Deliveries("h", 0, 10)
			if err != nil {
				return err
			}
			d := list[slices.IndexFunc(list, func(d slipway.Delivery) bool { return d.Event.ID == id })]
			d.State, d.EndedAt = state, t0.Add(time.Minute)
			return tx.SaveDelivery(d)
		})
	}
	if got := due(); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("due: %v, want the first of each service", got)
	}
	end("1", slipway.DeliveryDead)
	end("3", slipway.DeliveryDelivered)
	if got := due(); !slices.Equal(got, []string{"2"}) {
		t.Errorf("due: %v, want 2 after 1 was given up", got)
	}
	update(t, s, func(tx *store.Tx) error { return tx.ForgetDeliveries(t0.Add(time.Hour)) })
	end("2", slipway.DeliveryDelivered)
	update(t, s, func(tx *store.Tx) error {
		list, err := tx.Deliveries("h", 0, 10)
		if len(list) != 2 || list[0].Event.ID != "4" || list[0].State != slipway.DeliveryDue {
			t.Errorf("left is %+v, want 4, due, and 2, which has just ended", list)
		}
		if n, err := tx.CountDeliveries("h"); n != 1 || err != nil {
			t.Errorf("%d have not ended (%v), want 1", n, err)
		}
		h, err2 := tx.Webhook("h")
		if !slices.Equal(h.Secret, []byte{0, 1, 255}) {
			t.Errorf("the secret came back as %v", h.Secret)
		}
		return errors.Join(err, err2, tx.DeleteWebhook("h"), tx.ForgetDeliveries(t0))
	})
	if got := due(); got != nil {
		t.Errorf("due without a webhook: %v", got)
	}
}
