package hooks

import (
	"time"

	"github.com/openslipway/slipway"
)

const (
	retryFor     = 24 * time.Hour  // how long after an event its delivery is retried
	firstBackoff = 5 * time.Second // doubles with each attempt
	maxBackoff   = time.Hour
)

// inFlight holds the events that are being sent, by webhook and then by Seq.
type inFlight map[string]map[int64]bool

func (u inFlight) begin(d slipway.Delivery) {
	if u[d.WebhookID] == nil {
		u[d.WebhookID] = map[int64]bool{}
	}
	u[d.WebhookID][d.Event.Seq] = true
}

func (u inFlight) end(d slipway.Delivery) {
	delete(u[d.WebhookID], d.Event.Seq)
	if len(u[d.WebhookID]) == 0 {
		delete(u, d.WebhookID)
	}
}

// pick returns the due deliveries of a webhook to send now, so that at most limit
// are in flight.
func (u inFlight) pick(webhookID string, due []slipway.Delivery, limit int) (list []slipway.Delivery) {
	busy := u[webhookID]
	for _, d := range due {
		if len(busy)+len(list) < limit && !busy[d.Event.Seq] {
			list = append(list, d)
		}
	}
	return list
}

// result is the outcome of one attempt.
type result struct {
	status     int           // HTTP status; 0 when there was no answer
	problem    string        // "" when it was delivered
	gone       bool          // the receiver answered 410: never retry
	retryAfter time.Duration // how long the receiver asks to wait
}

// after returns the delivery after an attempt: delivered, due again after a
// growing backoff, or dead once the event is older than retryFor. An event that
// was held back for longer than that still gets one attempt. Jitter is from [0,
// 1) and spreads the attempts of webhooks that failed together over the last half
// of the backoff.
func after(d slipway.Delivery, r result, now time.Time, jitter float64) slipway.Delivery {
	d.Attempts++
	d.LastAt, d.Status, d.Problem = now, r.status, r.problem
	deadline := d.Event.At.Add(retryFor)
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

// backoff returns the pause after a number of failed attempts.
func backoff(attempts int, jitter float64) time.Duration {
	pause := maxBackoff
	if doublings := attempts - 1; doublings < 10 { // 5 s << 10 is beyond an hour
		pause = min(firstBackoff<<doublings, maxBackoff)
	}
	return pause/2 + time.Duration(jitter*float64(pause/2))
}
