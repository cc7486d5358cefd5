package slipway

import (
	"slices"
	"time"
)

// Webhook is an address that events are sent to.
type Webhook struct {
	ID      string // see NewLabel
	URL     string
	Service string      // name of the service whose events it gets; "" for all
	Types   []EventType // those it gets; none means all
	Secret  []byte      // the key of its signatures, sealed

	CreatedAt time.Time
}

// Wants reports whether the webhook is to get the event.
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

	Status  int    // HTTP status of the last attempt's answer; 0 without one
	Problem string // why the last attempt failed; "" when it did not
}

// DeliveryState is where a delivery stands. Of the deliveries of a service's
// events to a webhook one is due and those after it are held, so that they
// arrive in order.
type DeliveryState string

const (
	DeliveryHeld      DeliveryState = "HELD"      // an earlier event of the service is not through
	DeliveryDue       DeliveryState = "DUE"       // to be sent at NextAt
	DeliveryDelivered DeliveryState = "DELIVERED" // the receiver answered 2xx
	DeliveryDead      DeliveryState = "DEAD"      // given up
)

// Ended reports whether nothing more comes of the delivery.
func (s DeliveryState) Ended() bool { return s == DeliveryDelivered || s == DeliveryDead }
