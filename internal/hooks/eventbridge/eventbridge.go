// Package eventbridge makes the events of services in the form in which App Runner
// sends them to Amazon EventBridge.
//
// It stores and sends nothing. Whoever changes a service makes the event and stores
// it in the transaction of the change: deploy for operations and statuses, domain for
// custom domains, hooks for tests of webhooks. Webhooks receive the body as it is.
package eventbridge

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/openslipway/slipway"
)

// envelope is what EventBridge adds to the detail of every event.
type envelope struct {
	Version    string            `json:"version"`
	ID         string            `json:"id"`
	DetailType slipway.EventType `json:"detail-type"`
	Source     string            `json:"source"`
	Account    string            `json:"account"`
	Time       string            `json:"time"` // ISO 8601 in UTC, whole seconds
	Region     string            `json:"region"`
	Resources  []string          `json:"resources"`
	Detail     any               `json:"detail"`
}

type statusDetail struct {
	// Previous is absent for a service that has just been created.
	Previous slipway.Status `json:"previousServiceStatus,omitempty"`
	Current  slipway.Status `json:"currentServiceStatus"`
	Name     string         `json:"serviceName"`
	ID       string         `json:"serviceId"`
	Message  string         `json:"message"`
	Severity string         `json:"severity"`
}

type operationDetail struct {
	Status   string `json:"operationStatus"`
	Name     string `json:"serviceName"`
	ID       string `json:"serviceId"`
	Message  string `json:"message"`
	Severity string `json:"severity"`
}

// StatusEvent returns the event that the service's status changed; from is "" for a
// new service.
// https://docs.aws.amazon.com/apprunner/latest/dg/monitor-ev.html
func StatusEvent(s slipway.Service, from, to slipway.Status, at time.Time) (slipway.BusEvent, error) {
	return newEvent(s, slipway.ServiceStatusChange, at, statusDetail{
		Previous: from, Current: to, Name: s.Name, ID: s.ID,
		Message: fmt.Sprintf("Service status is set to %s.", to), Severity: "INFO",
	})
}

// OperationEvent returns the event that an operation of the service started or
// ended. Status is App Runner's, such as CreateServiceStarted, with its message;
// failed sets the severity ERROR.
// https://docs.aws.amazon.com/apprunner/latest/dg/monitor-ev.html
func OperationEvent(s slipway.Service, status, message string, failed bool, at time.Time) (slipway.BusEvent, error) {
	d := operationDetail{Status: status, Name: s.Name, ID: s.ID, Message: message, Severity: "INFO"}
	if failed {
		d.Severity = "ERROR"
	}
	return newEvent(s, slipway.OperationStatusChange, at, d)
}

type domainDetail struct {
	Domain   string               `json:"domainName"`
	Previous slipway.DomainStatus `json:"previousDomainStatus"`
	Current  slipway.DomainStatus `json:"currentDomainStatus"`
	Name     string               `json:"serviceName"`
	ID       string               `json:"serviceId"`
	Message  string               `json:"message"`
	Severity string               `json:"severity"`
}

// DomainEvent returns the event that the status of a custom domain changed from
// another one. App Runner does not document the detail of its event; this one is
// modelled on the event of a service's status. why is the reason of a failure, without a
// full stop.
func DomainEvent(s slipway.Service, d slipway.CustomDomain, from slipway.DomainStatus, why string) (slipway.BusEvent, error) {
	detail := domainDetail{
		Domain: d.Name, Previous: from, Current: d.State, Name: s.Name, ID: s.ID,
		Message: fmt.Sprintf("Custom domain %s is set to %s.", d.Name, d.State), Severity: "INFO",
	}
	if d.State == slipway.DomainFailed {
		detail.Severity = "ERROR"
		detail.Message = fmt.Sprintf("Custom domain %s is set to %s: %s.", d.Name, d.State, why)
	}
	return newEvent(s, slipway.DomainValidationUpdate, d.Since, detail)
}

func newEvent(s slipway.Service, kind slipway.EventType, at time.Time, detail any) (slipway.BusEvent, error) {
	arn, err := slipway.ParseARN(s.ARN)
	if err != nil {
		return slipway.BusEvent{}, fmt.Errorf("event of service %s: %w", s.ID, err)
	}
	e := slipway.BusEvent{ID: slipway.NewUUID(), ServiceID: s.ID, Service: s.Name, Type: kind, At: at}
	e.Body, err = body(e, envelope{Source: "aws.apprunner", Account: arn.Account, Region: arn.Region, Resources: []string{s.ARN}, Detail: detail})
	return e, err
}

// TestEvent returns an event that tests the webhook of the given ARN.
func TestEvent(account, region, webhookARN string, at time.Time) (slipway.BusEvent, error) {
	detail := struct {
		Message string `json:"message"`
	}{"This event tries the webhook."}
	e := slipway.BusEvent{ID: slipway.NewUUID(), Type: slipway.WebhookTest, At: at}
	var err error
	e.Body, err = body(e, envelope{Source: "slipway", Account: account, Region: region, Resources: []string{webhookARN}, Detail: detail})
	return e, err
}

// body completes the envelope with what the event holds, and encodes it.
func body(e slipway.BusEvent, v envelope) ([]byte, error) {
	v.Version, v.ID, v.DetailType, v.Time = "0", e.ID, e.Type, e.At.UTC().Format("2006-01-02T15:04:05Z")
	return json.Marshal(v)
}
