package slipway

import (
	"encoding/json"
	"fmt"
	"time"
)

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

// busEvent is the envelope that EventBridge gives every event.
type busEvent struct {
	Version    string    `json:"version"`
	ID         string    `json:"id"`
	DetailType EventType `json:"detail-type"`
	Source     string    `json:"source"`
	Account    string    `json:"account"`
	Time       string    `json:"time"` // ISO 8601 in UTC, whole seconds
	Region     string    `json:"region"`
	Resources  []string  `json:"resources"`
	Detail     any       `json:"detail"`
}

type statusDetail struct {
	// Previous is absent for a service that has just been created.
	Previous Status `json:"previousServiceStatus,omitempty"`
	Current  Status `json:"currentServiceStatus"`
	Name     string `json:"serviceName"`
	ID       string `json:"serviceId"`
	Message  string `json:"message"`
	Severity string `json:"severity"`
}

type operationDetail struct {
	Status   string `json:"operationStatus"`
	Name     string `json:"serviceName"`
	ID       string `json:"serviceId"`
	Message  string `json:"message"`
	Severity string `json:"severity"`
}

// NewStatusEvent returns the event that the service's status went from one to
// another; from is "" for a new service.
// https://docs.aws.amazon.com/apprunner/latest/dg/monitor-ev.html
func NewStatusEvent(s Service, from, to Status, at time.Time) (BusEvent, error) {
	return newBusEvent(s, ServiceStatusChange, at, statusDetail{
		Previous: from, Current: to, Name: s.Name, ID: s.ID,
		Message: fmt.Sprintf("Service status is set to %s.", to), Severity: "INFO",
	})
}

// NewOperationEvent returns the event that an operation of the service began or
// ended. Status is a word such as CreateServiceStarted, message what App Runner
// says then; failed makes it an error.
// https://docs.aws.amazon.com/apprunner/latest/dg/monitor-ev.html
func NewOperationEvent(s Service, status, message string, failed bool, at time.Time) (BusEvent, error) {
	d := operationDetail{Status: status, Name: s.Name, ID: s.ID, Message: message, Severity: "INFO"}
	if failed {
		d.Severity = "ERROR"
	}
	return newBusEvent(s, OperationStatusChange, at, d)
}

type domainDetail struct {
	Domain   string       `json:"domainName"`
	Previous DomainStatus `json:"previousDomainStatus"`
	Current  DomainStatus `json:"currentDomainStatus"`
	Name     string       `json:"serviceName"`
	ID       string       `json:"serviceId"`
	Message  string       `json:"message"`
	Severity string       `json:"severity"`
}

// NewDomainEvent returns the event that a custom domain of the service came to
// its state from another. What the detail of App Runner's has is not
// documented; this one is like that of a service's status.
func NewDomainEvent(s Service, d CustomDomain, from DomainStatus) (BusEvent, error) {
	detail := domainDetail{
		Domain: d.Name, Previous: from, Current: d.State, Name: s.Name, ID: s.ID,
		Message: fmt.Sprintf("Custom domain %s is set to %s.", d.Name, d.State), Severity: "INFO",
	}
	if d.State == DomainFailed {
		detail.Severity = "ERROR"
	}
	return newBusEvent(s, DomainValidationUpdate, d.Since, detail)
}

func newBusEvent(s Service, kind EventType, at time.Time, detail any) (BusEvent, error) {
	arn, err := ParseARN(s.ARN)
	if err != nil {
		return BusEvent{}, fmt.Errorf("event of service %s: %w", s.ID, err)
	}
	e := BusEvent{ID: NewUUID(), ServiceID: s.ID, Service: s.Name, Type: kind, At: at}
	return e, e.seal("aws.apprunner", arn.Account, arn.Region, []string{s.ARN}, detail)
}

// NewTestEvent returns the event that tries a webhook of the given ARN.
func NewTestEvent(account, region, webhookARN string, at time.Time) (BusEvent, error) {
	e := BusEvent{ID: NewUUID(), Type: WebhookTest, At: at}
	return e, e.seal("slipway", account, region, []string{webhookARN}, struct {
		Message string `json:"message"`
	}{"This event tries the webhook."})
}

// seal writes the event's body.
func (e *BusEvent) seal(source, account, region string, resources []string, detail any) (err error) {
	e.Body, err = json.Marshal(busEvent{
		Version: "0", ID: e.ID, DetailType: e.Type, Source: source, Account: account,
		Time: e.At.UTC().Format("2006-01-02T15:04:05Z"), Region: region, Resources: resources, Detail: detail,
	})
	return err
}
