package hooks

import (
	"time"

	"github.com/openslipway/slipway"
)

const (
	patience     = 24 * time.Hour  // after an event, during which its delivery is tried
	firstBackoff = 5 * time.Second // doubles with each attempt
	maxBackoff   = time.Hour
)

// underway are the events being sent, by webhook and then by Seq.
type underway map[string]map[int64]bool

func (u underway) begin(d slipway.Delivery) {
	if u[d.WebhookID] == nil {
		u[d.WebhookID] = map[int64]bool{}
	}
	u[d.WebhookID][d.Event.Seq] = true
}

func (u underway) end(d slipway.Delivery) {
	delete(u[d.WebhookID], d.Event.Seq)
	if len(u[d.WebhookID]) == 0 {
		delete(u, d.WebhookID)
	}
}

// pick returns which of a webhook's due deliveries to send beside those under
// way, at most limit in all.
func (u underway) pick(webhookID string, due []slipway.Delivery, limit int) (list []slipway.Delivery) {
	busy := u[webhookID]
	for _, d := range due {
		if len(busy)+len(list) < limit && !busy[d.Event.Seq] {
			list = append(list, d)
		}
	}
	return list
}

// result is what came of one attempt.
type result struct {
	status     int           // HTTP status; 0 when there was no answer
	problem    string        // "" when it was delivered
	gone       bool          // the receiver wants no more of it
	retryAfter time.Duration // how long the receiver asks to be left alone
}

// after returns the delivery as an attempt leaves it: delivered, to be tried
// again after a pause that grows, or dead once the event is older than
// patience. An event that was held back longer than that is tried once all the
// same. Jitter is from [0, 1) and spreads the attempts of webhooks that failed
// together over the last half of the pause.
func after(d slipway.Delivery, r result, now time.Time, jitter float64) slipway.Delivery {
	d.Attempts++
	d.LastAt, d.Status, d.Problem = now, r.status, r.problem
	deadline := d.Event.At.Add(patience)
	switch {
	case r.problem == "":
		d.State, d.EndedAt = slipway.DeliveryDelivered, now
	case r.gone || !now.Before(deadline):
		d.State, d.EndedAt = slipway.DeliveryDead, now
	default:
		d.NextAt = now.Add(max(backoff(d.Attempts, jitter), min(r.retryAfter, maxBackoff)))
		if d.NextAt.After(deadline) {
			d.NextAt = deadline // the last attempt
		}
	}
	return d
}

// backoff is the pause after so many failed attempts.
func backoff(attempts int, jitter float64) time.Duration {
	pause := maxBackoff
	if doublings := attempts - 1; doublings < 10 { // 5 s << 10 is beyond an hour
		pause = min(firstBackoff<<doublings, maxBackoff)
	}
	return pause/2 + time.Duration(jitter*float64(pause/2))
}
