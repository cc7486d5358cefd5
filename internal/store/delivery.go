package store

import (
	"cmp"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

const deliveries = `SELECT d.webhook_id, d.state, d.attempts, d.next_at, d.last_at, d.ended_at, d.status, d.problem,
	e.seq, e.id, e.service_id, e.service, e.type, e.at, e.body FROM delivery d JOIN bus_event e ON e.seq = d.seq `

func scanDelivery(s scanner) (d slipway.Delivery, err error) {
	err = s.Scan(&d.WebhookID, &d.State, &d.Attempts, instant{&d.NextAt}, instant{&d.LastAt}, instant{&d.EndedAt},
		&d.Status, &d.Problem, &d.Event.Seq, &d.Event.ID, &d.Event.ServiceID, &d.Event.Service, &d.Event.Type,
		instant{&d.Event.At}, &d.Event.Body)
	return d, err
}

// InsertBusEvent queues the event for every webhook that wants it, due at once or
// after earlier events of the same service. Call it in the transaction of the
// change that the event reports.
func (tx *Tx) InsertBusEvent(e slipway.BusEvent) error {
	hooks, err := tx.Webhooks()
	if err != nil {
		return err
	}
	var wanting []string
	for _, h := range hooks {
		if h.Wants(e) {
			wanting = append(wanting, h.ID)
		}
	}
	return tx.deliver(e, wanting)
}

// InsertDelivery queues the event for one webhook, whatever events it wants.
func (tx *Tx) InsertDelivery(webhookID string, e slipway.BusEvent) error {
	return tx.deliver(e, []string{webhookID})
}

func (tx *Tx) deliver(e slipway.BusEvent, webhooks []string) error {
	if len(webhooks) == 0 {
		return nil
	}
	seq, err := tx.count(`INSERT INTO bus_event (id, service_id, service, type, at, body) VALUES ($1, $2, $3, $4, $5, $6)
		RETURNING seq`, e.ID, e.ServiceID, e.Service, string(e.Type), nanos(e.At), string(e.Body))
	if err != nil {
		return fmt.Errorf("insert event %s: %w", e.ID, err)
	}
	for _, id := range webhooks {
		_, err := tx.exec(`INSERT INTO delivery (webhook_id, seq, service_id, state, attempts, next_at, last_at, ended_at,
			status, problem) SELECT $1, $2, $3, CASE WHEN EXISTS (SELECT 1 FROM delivery
				WHERE webhook_id = $1 AND service_id = $3 AND state = 'DUE') THEN 'HELD' ELSE 'DUE' END, 0, $4, 0, 0, 0, ''`,
			id, seq, e.ServiceID, nanos(e.At))
		if err != nil {
			return fmt.Errorf("insert the delivery of event %s to webhook %s: %w", e.ID, id, err)
		}
	}
	tx.touch(e.ServiceID, Events)
	return nil
}

// DueDeliveries returns at most limit deliveries to the webhook that are due at
// the given time, longest due first.
func (tx *Tx) DueDeliveries(webhookID string, now time.Time, limit int) ([]slipway.Delivery, error) {
	return all(tx, scanDelivery, deliveries+`WHERE d.webhook_id = $1 AND d.state = 'DUE' AND d.next_at <= $2
		ORDER BY d.next_at, d.seq LIMIT $3`, webhookID, nanos(now), limit)
}

// NextDelivery returns when the webhook's first delivery after the given time
// is due; zero when there is none.
func (tx *Tx) NextDelivery(webhookID string, now time.Time) (next time.Time, err error) {
	return one(tx, func(s scanner) (t time.Time, err error) { err = s.Scan(instant{&t}); return },
		`SELECT COALESCE(min(next_at), 0) FROM delivery WHERE webhook_id = $1 AND state = 'DUE' AND next_at > $2`,
		webhookID, nanos(now))
}

// SaveDelivery writes the outcome of an attempt. When the delivery has ended, the
// event held behind it becomes due at EndedAt. It returns ErrNotFound if the
// webhook has been removed.
func (tx *Tx) SaveDelivery(d slipway.Delivery) error {
	err := mustAffect(tx.exec(`UPDATE delivery SET state = $1, attempts = $2, next_at = $3, last_at = $4, ended_at = $5,
		status = $6, problem = $7 WHERE webhook_id = $8 AND seq = $9 AND state = 'DUE'`,
		string(d.State), d.Attempts, nanos(d.NextAt), nanos(d.LastAt), nanos(d.EndedAt),
		d.Status, d.Problem, d.WebhookID, d.Event.Seq))
	if err != nil || !d.State.Ended() {
		return err
	}
	_, err = tx.exec(`UPDATE delivery SET state = 'DUE', next_at = $1 WHERE webhook_id = $2 AND seq = (SELECT min(seq)
		FROM delivery WHERE webhook_id = $2 AND service_id = $3 AND state = 'HELD')`,
		nanos(d.EndedAt), d.WebhookID, d.Event.ServiceID)
	return err
}

// Deliveries returns at most limit deliveries of the webhook, newest first, of
// events before the given Seq; 0 starts at the newest.
func (tx *Tx) Deliveries(webhookID string, before int64, limit int) ([]slipway.Delivery, error) {
	return all(tx, scanDelivery, deliveries+`WHERE d.webhook_id = $1 AND d.seq < $2 ORDER BY d.seq DESC LIMIT $3`,
		webhookID, cmp.Or(before, noBound), limit)
}

// CountDeliveries counts the webhook's deliveries that have not ended.
func (tx *Tx) CountDeliveries(webhookID string) (int, error) {
	return tx.count(`SELECT count(*) FROM delivery WHERE webhook_id = $1 AND state IN ('DUE', 'HELD')`, webhookID)
}

// ForgetDeliveries removes deliveries that ended before t, and events without
// deliveries.
func (tx *Tx) ForgetDeliveries(t time.Time) error {
	if _, err := tx.exec(`DELETE FROM delivery WHERE ended_at > 0 AND ended_at < $1`, nanos(t)); err != nil {
		return err
	}
	_, err := tx.exec(`DELETE FROM bus_event WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.seq = bus_event.seq)`)
	return err
}
