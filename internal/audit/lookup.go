package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/page"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

// Service returns CloudTrail's operation for the gateway.
func (t *Trail) Service() gateway.Service {
	return gateway.Service{
		Name: "cloudtrail", Internal: "InternalFailure",
		Protocol: gateway.Protocol{
			ContentType: "application/x-amz-json-1.1",
			Targets: []string{
				"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.",
				"CloudTrail_20131101.", // some SDKs leave out the package
			},
		},
		Operations: []gateway.Operation{gateway.Read("LookupEvents", t.lookupEvents, gateway.AnyResource)},
	}
}

type lookupInput struct {
	LookupAttributes []struct{ AttributeKey, AttributeValue string }
	StartTime        *float64 // seconds since 1970, inclusive as EndTime
	EndTime          *float64
	EventCategory    *string
	MaxResults       *int32
	NextToken        *string
}

type lookupOutput struct {
	Events    []event
	NextToken *string
}

// event is a record in the reply.
type event struct {
	EventID         string `json:"EventId"`
	EventName       string
	ReadOnly        string
	AccessKeyID     string `json:"AccessKeyId"`
	EventTime       time.Time
	EventSource     string
	Username        string
	Resources       []named
	CloudTrailEvent string
}

type named struct{ ResourceType, ResourceName string }

// mostEvents is the size of the largest page and the default.
const mostEvents = 50

func (t *Trail) lookupEvents(ctx context.Context, call *gateway.Call, in *lookupInput) (*lookupOutput, error) {
	q, key, none, err := query(in)
	if err != nil {
		return nil, err
	}
	most := int32(mostEvents)
	if in.MaxResults != nil {
		most = *in.MaxResults
	}
	if most < 1 || most > mostEvents {
		return nil, wire.NewException("InvalidMaxResultsException", fmt.Sprintf("MaxResults is %d; it must be 1 to %d.", most, mostEvents))
	}
	p := page.New(&most, "LookupEvents", key)
	after, err := p.After(in.NextToken, 2)
	if err != nil {
		return nil, wire.NewException("InvalidNextTokenException", "NextToken is not one that LookupEvents returned for the same attributes and times.")
	}
	out := &lookupOutput{Events: []event{}}
	if none {
		return out, nil
	}
	if q.BeforeAt, q.BeforeID, err = page.ParseInstantKey(after); err != nil {
		return nil, wire.NewException("InvalidNextTokenException", "NextToken cannot be read.")
	}
	q.Limit = p.Limit()
	if err := t.Flush(ctx); err != nil { // so that callers find their own last calls
		return nil, err
	}
	err = t.cfg.Store.View(ctx, func(tx *store.Tx) error {
		batches := 0
		list, err := page.Fill(p, func(r slipway.AuditRecord) (bool, error) { return shows(tx, call, r) }, func() ([]slipway.AuditRecord, error) {
			if batches++; batches > mostBatches {
				out.NextToken = p.Token(page.InstantKey(q.BeforeAt, q.BeforeID)...)
				return nil, nil
			}
			batch, err := tx.Audit(q)
			if len(batch) > 0 {
				last := batch[len(batch)-1]
				q.BeforeAt, q.BeforeID = last.At, last.ID
			}
			return batch, err
		})
		if err != nil {
			return err
		}
		list, next := page.Cut(p, list, func(r slipway.AuditRecord) []string { return page.InstantKey(r.At, r.ID) })
		if next != nil {
			out.NextToken = next
		}
		for _, r := range list {
			out.Events = append(out.Events, view(r))
		}
		return nil
	})
	return out, err
}

// mostBatches bounds what one call reads for a page, in pages. A page may have fewer entries
// than were asked for and yet a NextToken, as CloudTrail's may.
const mostBatches = 20

// describing are the actions that describe a thing, by the type of a record's resource.
var describing = map[string]string{
	"AWS::AppRunner::Service":                    "apprunner:DescribeService",
	"AWS::AppRunner::Connection":                 "apprunner:ListConnections",
	"AWS::AppRunner::AutoScalingConfiguration":   "apprunner:DescribeAutoScalingConfiguration",
	"AWS::AppRunner::ObservabilityConfiguration": "apprunner:DescribeObservabilityConfiguration",
	"AWS::AppRunner::VpcConnector":               "apprunner:DescribeVpcConnector",
	"AWS::AppRunner::VpcIngressConnection":       "apprunner:DescribeVpcIngressConnection",
	"AWS::ECR::Repository":                       "ecr:DescribeRepositories",
	"AWS::IAM::User":                             "iam:GetUser",
	"AWS::IAM::Policy":                           "iam:GetPolicy",
	"AWS::IAM::Role":                             "iam:GetRole",
	"AWS::SecretsManager::Secret":                "secretsmanager:DescribeSecret",
	"AWS::SSM::Parameter":                        "ssm:DescribeParameters",
}

// shows reports whether a call may show a record: a record tells of its resources and of
// who made the call. The caller may look up events about each of them, and no Deny forbids
// to describe it. One's own records are no exception: a refused call names things by their
// full ARN, which the refusal did not tell.
func shows(tx *store.Tx, call *gateway.Call, r slipway.AuditRecord) (bool, error) {
	about := r.Resources
	if who := read(r).UserIdentity; who.Type == "IAMUser" && who.ARN != call.Caller.ARN {
		about = append(slices.Clone(about), slipway.AuditResource{Type: "AWS::IAM::User", Name: who.ARN})
	}
	for _, res := range about {
		required := []gateway.Permission{{Resource: res.Name}}
		if action := describing[res.Type]; action != "" {
			required = append(required, gateway.Permission{Action: action, Resource: res.Name, DenyOnly: true})
		}
		if ok, err := call.Permits(tx, required...); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// read returns a kept record.
func read(r slipway.AuditRecord) (v record) {
	_ = json.Unmarshal([]byte(r.Record), &v) // what audit wrote
	return v
}

func view(r slipway.AuditRecord) event {
	e := event{
		EventID: r.ID, EventName: r.Name, ReadOnly: strconv.FormatBool(read(r).ReadOnly), AccessKeyID: r.KeyID, EventTime: r.At, EventSource: r.Source,
		Username: r.User, Resources: []named{}, CloudTrailEvent: r.Record,
	}
	for _, res := range r.Resources {
		e.Resources = append(e.Resources, named{res.Type, res.Name})
	}
	return e
}

// query returns the store's query for a call. key identifies the query in tokens,
// so that pages of different queries are not mixed. none means that nothing can
// match.
func query(in *lookupInput) (q store.AuditQuery, key string, none bool, err error) {
	refuse := func(name, format string, args ...any) (store.AuditQuery, string, bool, error) {
		return q, "", false, wire.NewException(name, fmt.Sprintf(format, args...))
	}
	if len(in.LookupAttributes) > 1 {
		return refuse("InvalidLookupAttributesException", "You can specify only one lookup attribute.")
	}
	for _, a := range in.LookupAttributes {
		field := map[string]*string{
			"EventId": &q.ID, "EventName": &q.Name, "EventSource": &q.Source, "Username": &q.User, "AccessKeyId": &q.KeyID,
			"ResourceName": &q.ResourceName, "ResourceType": &q.ResourceType,
		}[a.AttributeKey]
		switch {
		case a.AttributeKey == "ReadOnly":
			q.ReadOnly = a.AttributeValue
			none = q.ReadOnly != "true" && q.ReadOnly != "false"
		case field == nil:
			return refuse("InvalidLookupAttributesException",
				"AttributeKey is %.32q; it must be AccessKeyId, EventId, EventName, EventSource, ReadOnly, ResourceName, ResourceType or Username.", a.AttributeKey)
		case a.AttributeValue == "":
			return refuse("InvalidLookupAttributesException", "The attribute %s must have a value.", a.AttributeKey)
		default:
			*field = a.AttributeValue
		}
		key = a.AttributeKey + "=" + a.AttributeValue
	}
	q.From, q.To = seconds(in.StartTime), seconds(in.EndTime)
	if !q.From.IsZero() && !q.To.IsZero() && q.To.Before(q.From) {
		return refuse("InvalidTimeRangeException", "StartTime must not be after EndTime.")
	}
	none = none || in.EventCategory != nil && *in.EventCategory != "management"
	return q, fmt.Sprintf("%s %d %d", key, q.From.Unix(), q.To.Unix()), none, nil
}

// seconds returns a time from the wire, zero if it is absent.
func seconds(v *float64) time.Time {
	if v == nil || math.Abs(*v) > 1e11 {
		return time.Time{}
	}
	whole, part := math.Modf(*v)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}
