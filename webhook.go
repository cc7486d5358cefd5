package slipway

import (
	"slices"
	"time"
)

// Webhook is a URL that bus events are sent to.
type Webhook struct {
	ID      string // see NewLabel
	URL     string
	Service string      // name of the service whose events it wants; "" for all
	Types   []EventType // the types it wants; none for all
	Secret  []byte      // the sealed key of its signatures

	CreatedAt time.Time
	CreatedBy string // id of the user; "" for root and for webhooks of earlier versions
}

// Wants reports whether the webhook wants the event.
func (h Webhook) Wants(e BusEvent) bool {
	return (h.Service == "" || h.Service == e.Service) && (len(h.Types) == 0 || slices.Contains(h.Types, e.Type))
}

// Delivery is one event on its way to one webhook.
type Delivery struct {
	WebhookID string
	Event     BusEvent
	State     DeliveryState

	Attempts int
	NextAt   time.Time // of the next attempt, while due
	LastAt   time.Time // of the last attempt
	EndedAt  time.Time // when it was delivered or given up

	Status  int    // HTTP status of the last response; 0 without one
	Problem string // why the last attempt failed; "" if it succeeded
}

// DeliveryState is the state of a delivery. Of the deliveries of one service's
// events to one webhook, one is due and the later ones are held: so they arrive in
// order.
type DeliveryState string

const (
	DeliveryHeld      DeliveryState = "HELD"      // waits for the delivery of an earlier event of the service
	DeliveryDue       DeliveryState = "DUE"       // to be sent at NextAt
	DeliveryDelivered DeliveryState = "DELIVERED" // the receiver responded with 2xx
	DeliveryDead      DeliveryState = "DEAD"      // all attempts failed
)

// Ended reports whether there will be no further attempt.
func (s DeliveryState) Ended() bool { return s == DeliveryDelivered || s == DeliveryDead }
