package audit

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/wire"
)

// record is a call in the form of CloudTrail's records.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type record struct {
	EventVersion       string     `json:"eventVersion"`
	UserIdentity       identity   `json:"userIdentity"`
	EventTime          string     `json:"eventTime"`
	EventSource        string     `json:"eventSource"`
	EventName          string     `json:"eventName"`
	AWSRegion          string     `json:"awsRegion"`
	SourceIPAddress    string     `json:"sourceIPAddress"`
	UserAgent          string     `json:"userAgent"`
	ErrorCode          string     `json:"errorCode,omitempty"`
	ErrorMessage       string     `json:"errorMessage,omitempty"`
	RequestParameters  any        `json:"requestParameters"`
	ResponseElements   any        `json:"responseElements"`
	RequestID          string     `json:"requestID"`
	EventID            string     `json:"eventID"`
	ReadOnly           bool       `json:"readOnly"`
	Resources          []resource `json:"resources,omitempty"`
	EventType          string     `json:"eventType"`
	ManagementEvent    bool       `json:"managementEvent"`
	RecipientAccountID string     `json:"recipientAccountId"`
	EventCategory      string     `json:"eventCategory"`

	Additional *additional `json:"additionalEventData,omitempty"`
}

// additional is what a record of counted occurrences has beside the first of them.
type additional struct {
	Count int    `json:"count"`
	First string `json:"first"`
	Last  string `json:"last"`
}

// identity is the caller.
type identity struct {
	Type           string   `json:"type"`
	PrincipalID    string   `json:"principalId"`
	ARN            string   `json:"arn"`
	AccountID      string   `json:"accountId"`
	AccessKeyID    string   `json:"accessKeyId"`
	UserName       string   `json:"userName,omitempty"`
	SessionContext *session `json:"sessionContext,omitempty"`
}

// session describes temporary credentials.
type session struct {
	Attributes struct {
		CreationDate     string `json:"creationDate"`
		MFAAuthenticated string `json:"mfaAuthenticated"`
	} `json:"attributes"`
}

type resource struct {
	AccountID string `json:"accountId,omitempty"`
	Type      string `json:"type,omitempty"`
	ARN       string `json:"ARN"`
}

const version = "1.11"

// record makes the record of a call. The event's id is that of the request, so
// that the record with the outcome replaces the one without.
func (t *Trail) record(c gateway.Call) (slipway.AuditRecord, error) {
	request, err := document(c.Input, c.Operation, true)
	if err != nil {
		return slipway.AuditRecord{}, err
	}
	response, err := document(c.Output, c.Operation, false)
	if err != nil {
		return slipway.AuditRecord{}, err
	}
	r := t.frame(c.Caller, c.At, c.ID)
	r.EventSource, r.EventName, r.RequestParameters, r.ResponseElements = c.Service.Source, c.Operation.Name, request, response
	if c.Exception != nil {
		r.ErrorCode, r.ErrorMessage = errorCode(c.Exception.Name), c.Exception.Message
	}
	kept := slipway.AuditRecord{ID: c.ID, At: c.At, Name: c.Operation.Name, Source: c.Service.Source, User: c.Caller.User, KeyID: c.Caller.KeyID}
	return r.about(kept, resourcesOf(c.Resources, response))
}

// frame returns a record with what all of them have.
func (t *Trail) frame(c gateway.Caller, at time.Time, id string) record {
	return record{
		EventVersion: version, UserIdentity: whoIs(c), EventTime: instant(at),
		AWSRegion: t.cfg.Region, SourceIPAddress: c.SourceIP, UserAgent: c.UserAgent, RequestID: id, EventID: id,
		EventType: "AwsApiCall", ManagementEvent: true, RecipientAccountID: t.cfg.Account, EventCategory: "Management",
	}
}

// about adds the resources to both forms of a record and encodes it.
func (r record) about(kept slipway.AuditRecord, arns []string) (slipway.AuditRecord, error) {
	for _, arn := range arns {
		r.Resources = append(r.Resources, resource{AccountID: account(arn), Type: kind(arn), ARN: arn})
		kept.Resources = append(kept.Resources, slipway.AuditResource{Type: kind(arn), Name: arn})
	}
	text, err := json.Marshal(r)
	kept.Record = string(text)
	return kept, err
}

func source(s gateway.Service) string {
	if s.Source != "" || s.Name == "" {
		return s.Source
	}
	return s.Name + ".amazonaws.com"
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func whoIs(c gateway.Caller) identity {
	if c.User == "" {
		return identity{Type: "Unknown"}
	}
	id := identity{Type: "IAMUser", PrincipalID: c.UserID, ARN: c.ARN, AccountID: c.Account, AccessKeyID: c.KeyID, UserName: c.User}
	if c.User == gateway.Root {
		id.Type, id.UserName = "Root", ""
	}
	if !c.Issued.IsZero() {
		id.SessionContext = &session{}
		id.SessionContext.Attributes.CreationDate = instant(c.Issued)
		id.SessionContext.Attributes.MFAAuthenticated = "false"
	}
	return id
}

// errorCode returns CloudTrail's name of an exception: denials of all services
// have the same.
func errorCode(name string) string {
	if name == "AccessDeniedException" {
		return "AccessDenied"
	}
	return name
}

// hidden replaces a secret, in CloudTrail's words.
const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// maxPart bounds the parameters and the response in a record, in bytes each.
const maxPart = 64 << 10

// document returns an input or output as part of a record: with members in camel
// case and without secrets. It returns nil for nil.
func document(v any, o gateway.Operation, input bool) (any, error) {
	if v == nil {
		return nil, nil
	}
	text, err := wire.Marshal(v)
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil || len(doc) == 0 {
		return nil, err
	}
	var shape *wire.Shape
	if o.Model != nil {
		shape = o.Model.Output
		if input {
			shape = o.Model.Input
		}
	}
	if len(text) > maxPart {
		return map[string]any{"omitted": true, "originalSize": len(text), "reason": "too large"}, nil
	}
	return redactor(o.Redact).object(shape, doc), nil
}

// redactor removes secrets. It holds the names of members to redact beside those
// that a model calls sensitive.
type redactor []string

// always reports whether a member is redacted in every operation, should an
// operation's declaration miss it.
func (redactor) always(name string) bool {
	switch strings.ToLower(name) {
	case "secretstring", "secretbinary", "secretaccesskey", "sessiontoken", "authorizationtoken", "password", "plaintext", "privatekey":
		return true
	}
	return false
}

func (m redactor) object(s *wire.Shape, doc map[string]any) map[string]any {
	out := make(map[string]any, len(doc))
	for name, v := range doc {
		shape := member(s, name)
		if m.always(name) || slices.Contains(m, name) {
			out[camel(name)] = hidden
			continue
		}
		out[camel(name)] = m.value(shape, v)
	}
	return out
}

func (m redactor) value(s *wire.Shape, v any) any {
	if s != nil && (s.Sensitive || s.Kind == wire.Map && (s.Key.Sensitive || s.Elem.Sensitive)) {
		return hidden
	}
	switch v := v.(type) {
	case map[string]any:
		if s != nil && s.Kind == wire.Map {
			out := make(map[string]any, len(v))
			for name, e := range v {
				out[name] = m.value(s.Elem, e)
			}
			return out
		}
		return m.object(s, v)
	case []any:
		var elem *wire.Shape
		if s != nil {
			elem = s.Elem
		}
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = m.value(elem, e)
		}
		return out
	}
	return v
}

// member returns the shape of a structure's member, nil if it is unknown.
func member(s *wire.Shape, name string) *wire.Shape {
	if s == nil {
		return nil
	}
	for _, m := range s.Members {
		if m.Name == name {
			return m.Shape
		}
	}
	return nil
}

func camel(name string) string {
	return strings.ToLower(name[:min(1, len(name))]) + name[min(1, len(name)):]
}

// resourcesOf returns the resources that a call was about. A new resource has its
// ARN in the response.
func resourcesOf(arns []string, response any) []string {
	var list []string
	for _, arn := range arns {
		if prefix, open := strings.CutSuffix(arn, "*"); open {
			if arn = find(response, prefix); arn == "" {
				continue
			}
		}
		if !slices.Contains(list, arn) {
			list = append(list, arn)
		}
	}
	return list
}

// find returns a string in a document that begins with the prefix, "" if there is
// none.
func find(v any, prefix string) string {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, prefix) {
			return v
		}
	case map[string]any:
		for _, e := range v {
			if s := find(e, prefix); s != "" {
				return s
			}
		}
	case []any:
		for _, e := range v {
			if s := find(e, prefix); s != "" {
				return s
			}
		}
	}
	return ""
}

func account(arn string) string {
	if f := strings.SplitN(arn, ":", 6); len(f) == 6 {
		return f[4]
	}
	return ""
}

// kind returns CloudFormation's type of a resource, "" if it is unknown.
func kind(arn string) string {
	f := strings.SplitN(arn, ":", 6)
	if len(f) != 6 {
		return ""
	}
	what, _, _ := strings.Cut(f[5], "/")
	what, _, _ = strings.Cut(what, ":")
	return map[string]string{
		"apprunner:service":                    "AWS::AppRunner::Service",
		"apprunner:connection":                 "AWS::AppRunner::Connection",
		"apprunner:autoscalingconfiguration":   "AWS::AppRunner::AutoScalingConfiguration",
		"apprunner:observabilityconfiguration": "AWS::AppRunner::ObservabilityConfiguration",
		"apprunner:vpcconnector":               "AWS::AppRunner::VpcConnector",
		"apprunner:vpcingressconnection":       "AWS::AppRunner::VpcIngressConnection",
		"ecr:repository":                       "AWS::ECR::Repository",
		"iam:user":                             "AWS::IAM::User",
		"iam:policy":                           "AWS::IAM::Policy",
		"iam:role":                             "AWS::IAM::Role",
		"secretsmanager:secret":                "AWS::SecretsManager::Secret",
		"ssm:parameter":                        "AWS::SSM::Parameter",
	}[f[2]+":"+what]
}
