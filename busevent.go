package slipway

import "time"

// BusEvent is something that happened to a service, in the form in which App Runner
// sends it to EventBridge. Webhooks receive it.
type BusEvent struct {
	ID        string // UUID with dashes, the same in every delivery
	Seq       int64  // assigned by the store; rises over all events
	ServiceID string // "" if it is about no service
	Service   string // the service's name
	Type      EventType
	At        time.Time
	Body      []byte // the event itself: JSON
}

// EventType is EventBridge's detail-type.
type EventType string

const (
	// ServiceStatusChange: a service's status has changed.
	ServiceStatusChange EventType = "AppRunner Service Status Change"
	// OperationStatusChange: an operation has started or ended.
	OperationStatusChange EventType = "AppRunner Service Operation Status Change"
	// DomainValidationUpdate: a custom domain's status has changed.
	DomainValidationUpdate EventType = "AppRunner Custom Domain Validation Status Update"
	// WebhookTest tests a webhook. App Runner has no such event.
	WebhookTest EventType = "Slipway Webhook Test"
)

// EventTypes returns the types of events about services.
func EventTypes() []EventType {
	return []EventType{ServiceStatusChange, OperationStatusChange, DomainValidationUpdate}
}
