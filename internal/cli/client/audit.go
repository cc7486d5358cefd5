package client

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// AuditEvent is a call that changed something, or tried to.
type AuditEvent struct {
	EventID         string  `json:"EventId"`
	EventName       string  `json:"EventName"`
	EventTime       Seconds `json:"EventTime"`
	EventSource     string  `json:"EventSource"`
	Username        string  `json:"Username"`
	AccessKeyID     string  `json:"AccessKeyId"`
	CloudTrailEvent string  `json:"CloudTrailEvent"` // the whole record: JSON
}

// AuditRecord is the part of a record that is shown.
type AuditRecord struct {
	SourceIPAddress string
	ErrorCode       string
	ErrorMessage    string
	Resources       []struct{ ARN string }
}

// Record parses the event's record.
func (e AuditEvent) Record() (r AuditRecord, err error) {
	err = json.Unmarshal([]byte(e.CloudTrailEvent), &r)
	return r, err
}

// AuditFilter selects events.
type AuditFilter struct {
	Attribute, Value string // a lookup attribute of CloudTrail; "" for all events
	Since            time.Time
}

type lookupAttribute struct{ AttributeKey, AttributeValue string }

type lookupInput struct {
	LookupAttributes []lookupAttribute `json:",omitempty"`
	StartTime        int64             `json:",omitempty"` // seconds since 1970
	NextToken        *string           `json:",omitempty"`
}

// AuditEvents returns the newest events, at most limit of them, oldest first.
func (c *Client) AuditEvents(ctx context.Context, f AuditFilter, limit int) ([]AuditEvent, error) {
	call := c.own
	call.service, call.contentType = "cloudtrail", "application/x-amz-json-1.1"
	var in lookupInput
	if f.Attribute != "" {
		in.LookupAttributes = []lookupAttribute{{f.Attribute, f.Value}}
	}
	if !f.Since.IsZero() {
		in.StartTime = f.Since.Unix()
	}
	var list []AuditEvent
	for {
		var out struct {
			Events    []AuditEvent
			NextToken *string
		}
		if err := call.do(ctx, "CloudTrail_20131101.LookupEvents", in, &out); err != nil {
			return nil, c.Target.Explain(err)
		}
		list = append(list, out.Events...)
		if out.NextToken == nil || len(list) >= limit {
			break
		}
		in.NextToken = out.NextToken
	}
	list = list[:min(limit, len(list))]
	slices.Reverse(list)
	return list, nil
}
