package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/google/go-cmp/cmp"

	"github.com/openslipway/slipway"
	"github.com/openslipway/slipway/internal/audit"
	"github.com/openslipway/slipway/internal/gateway"
	"github.com/openslipway/slipway/internal/gateway/gatewaytest"
	"github.com/openslipway/slipway/internal/store"
	"github.com/openslipway/slipway/internal/wire"
)

const (
	arn    = "arn:aws:apprunner:us-east-1:000000000000:service/shop/0f3c"
	lookup = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"
)

type secretInput struct{ Name, SecretString, Note, NextToken string }

// bench is a trail behind a gateway with operations that change something.
type bench struct {
	*gatewaytest.Bench
	trail *audit.Trail
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Bench: gatewaytest.New(t)}
	var err error
	b.trail, err = audit.New(audit.Config{
		Store: b.Store, Region: gatewaytest.Region, Account: gatewaytest.Account, Now: b.Clock.Now, Log: slog.New(slog.DiscardHandler), Most: 5,
	})
	if err != nil {
		t.Fatal(err)
	}
	create := func(ctx context.Context, call *gateway.Call, in *apprunner.CreateServiceInput) (*apprunner.CreateServiceOutput, error) {
		out := &apprunner.CreateServiceOutput{OperationId: aws.String("op"), Service: &types.Service{ServiceArn: aws.String(arn), SourceConfiguration: in.SourceConfiguration}}
		return out, call.Update(ctx, func(*store.Tx) error {
			if *in.ServiceName == "taken" {
				return slipway.Errorf(slipway.InvalidRequest, "Service with the provided name already exists: taken")
			}
			return nil
		})
	}
	onShop := func(*store.Tx, *apprunner.CreateServiceInput) ([]gateway.Permission, error) {
		return []gateway.Permission{{Resource: "arn:aws:apprunner:us-east-1:000000000000:service/shop/*"}}, nil
	}
	keep := func(_ context.Context, _ *gateway.Call, in *secretInput) (*secretInput, error) {
		if in.Name == "fail" {
			return nil, errors.New("broken")
		}
		return in, nil
	}
	b.Open([]gateway.Service{
		{
			Name: "apprunner", Internal: "InternalFailure", Model: wire.OperationNamed,
			Protocol:   gateway.Protocol{ContentType: "x", Targets: []string{"AppRunner."}},
			Operations: []gateway.Operation{gateway.Mutate("CreateService", create, onShop)},
		},
		{
			Name: "secretsmanager", Internal: "InternalFailure",
			Protocol:   gateway.Protocol{ContentType: "x", Targets: []string{"secretsmanager."}},
			Operations: []gateway.Operation{gateway.Mutate("CreateSecret", keep, gateway.AnyResource).Redacting("Note"), gateway.Read("GetSecret", keep, gateway.AnyResource).Redacting("Note").Revealing()},
		},
		b.trail.Service(),
	}, func(c *gateway.Config) { c.Audit = b.trail })
	return b
}

// events looks up events and reads their records.
func (b *bench) events(body string) (list []map[string]any, records []map[string]any) {
	b.Helper()
	for _, e := range b.OK(lookup, body)["Events"].([]any) {
		e := e.(map[string]any)
		var r map[string]any
		if err := json.Unmarshal([]byte(e["CloudTrailEvent"].(string)), &r); err != nil {
			b.Fatal(err)
		}
		list, records = append(list, e), append(records, r)
	}
	return list, records
}

func TestRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.Request("AppRunner.CreateService", `{"ServiceName":"shop","SourceConfiguration":{
		"AutoDeploymentsEnabled":false,
		"ImageRepository":{"ImageIdentifier":"public.ecr.aws/nginx/nginx:latest","ImageRepositoryType":"ECR_PUBLIC","ImageConfiguration":{
			"StartCommand":"run --password=hush","RuntimeEnvironmentVariables":{"HUSH":"hush"},"RuntimeEnvironmentSecrets":{"HUSH":"arn:hush"}}}},
		"Tags":[{"Key":"k","Value":"v"}]}`)
	r.Header.Set("User-Agent", "test/1")
	w := b.Send(r)
	if w.Code != 200 {
		t.Fatal(w.Body)
	}
	id := w.Header().Get("X-Amzn-Requestid")
	events, records := b.events(`{}`)
	if len(events) != 1 {
		t.Fatalf("%d events", len(events))
	}
	const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"
	source := map[string]any{
		"autoDeploymentsEnabled": false,
		"imageRepository": map[string]any{
			"imageIdentifier": "public.ecr.aws/nginx/nginx:latest", "imageRepositoryType": "ECR_PUBLIC",
			"imageConfiguration": map[string]any{"startCommand": hidden, "runtimeEnvironmentVariables": hidden, "runtimeEnvironmentSecrets": hidden},
		},
	}
	want := map[string]any{
		"eventVersion": "1.11",
		"userIdentity": map[string]any{
			"type": "Root", "principalId": "000000000000", "arn": "arn:aws:iam::000000000000:root", "accountId": "000000000000", "accessKeyId": b.Key.ID,
		},
		"eventTime": "2027-01-15T08:00:00Z", "eventSource": "apprunner.amazonaws.com", "eventName": "CreateService", "awsRegion": "us-east-1",
		"sourceIPAddress": "192.0.2.1", "userAgent": "test/1",
		"requestParameters": map[string]any{
			"serviceName": "shop", "sourceConfiguration": source, "tags": []any{map[string]any{"key": "k", "value": "v"}},
		},
		"responseElements": map[string]any{"operationId": "op", "service": map[string]any{"serviceArn": arn, "sourceConfiguration": source}},
		"requestID":        id, "eventID": id, "readOnly": false,
		"resources": []any{map[string]any{"accountId": "000000000000", "type": "AWS::AppRunner::Service", "ARN": arn}},
		"eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "000000000000", "eventCategory": "Management",
	}
	if d := cmp.Diff(want, records[0]); d != "" {
		t.Error(d)
	}
	delete(events[0], "CloudTrailEvent")
	if d := cmp.Diff(map[string]any{
		"EventId": id, "EventName": "CreateService", "ReadOnly": "false", "AccessKeyId": b.Key.ID, "EventTime": 1800000000.123,
		"EventSource": "apprunner.amazonaws.com", "Username": "root",
		"Resources": []any{map[string]any{"ResourceType": "AWS::AppRunner::Service", "ResourceName": arn}},
	}, events[0]); d != "" {
		t.Error(d)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	key := slipway.AccessKey{ID: "ASIAANN", Secret: "s", User: "ann"}
	b.Update(func(tx *store.Tx) error {
		return errors.Join(tx.InsertUser(slipway.User{Name: "ann", ID: "AIDAANN", Path: "/"}),
			tx.InsertSession(slipway.Session{ID: key.ID, Secret: "s", Token: "t", User: "ann", CreatedAt: gatewaytest.T0, ExpiresAt: gatewaytest.T0.Add(time.Hour)}, time.Time{}))
	})
	image := `"SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"public.ecr.aws/a/b:c","ImageRepositoryType":"ECR_PUBLIC"}}`
	b.Call("AppRunner.CreateService", `{"ServiceName":"taken",`+image+`}`)
	b.Clock.Advance(time.Second)
	b.Call("AppRunner.CreateService", `{"ServiceName":"x"}`)
	b.Clock.Advance(time.Second)
	b.As(key, "t").Call("AppRunner.CreateService", `{"ServiceName":"shop",`+image+`}`)
	b.Clock.Advance(time.Second)
	b.Call("secretsmanager.CreateSecret", `{"Name":"fail","SecretString":"hush"}`)
	_, records := b.events(`{}`)
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprintf("%v/%v/%.40v", r["errorCode"], r["responseElements"], r["errorMessage"]))
	}
	want := []string{
		"InternalFailure/<nil>/An internal error occurred. The server's",
		"AccessDenied/<nil>/User: arn:aws:iam::000000000000:user/ann",
		"InvalidRequestException/<nil>/2 validation errors detected: Value 'x' ",
		"InvalidRequestException/<nil>/Service with the provided name already e",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]any{
		"type": "IAMUser", "principalId": "AIDAANN", "arn": "arn:aws:iam::000000000000:user/ann", "accountId": "000000000000", "accessKeyId": "ASIAANN",
		"userName": "ann", "sessionContext": map[string]any{"attributes": map[string]any{"creationDate": "2027-01-15T08:00:00Z", "mfaAuthenticated": "false"}},
	}, records[1]["userIdentity"]); d != "" {
		t.Error(d)
	}
}

// Secrets of operations without a model are hidden by name.
func TestHidden(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OK("secretsmanager.CreateSecret", `{"Name":"n","SecretString":"hush","Note":"hush","NextToken":"seen"}`)
	_, records := b.events(`{}`)
	const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"
	want := map[string]any{"name": "n", "secretString": hidden, "note": hidden, "nextToken": "seen"}
	if d := cmp.Diff(want, records[0]["requestParameters"]); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want, records[0]["responseElements"]); d != "" {
		t.Error(d)
	}
	b.OK("secretsmanager.CreateSecret", `{"Name":"`+strings.Repeat("x", 70<<10)+`"}`)
	_, records = b.events(`{"MaxResults":1,"LookupAttributes":[{"AttributeKey":"EventSource","AttributeValue":"secretsmanager.amazonaws.com"}]}`)
	for _, r := range records {
		if p := r["requestParameters"].(map[string]any); len(fmt.Sprint(p)) > 200 {
			t.Errorf("%.200v", p)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i := range 5 {
		b.OK("secretsmanager.CreateSecret", fmt.Sprintf(`{"Name":"n%d"}`, i))
		b.Clock.Advance(time.Minute)
	}
	names := func(body string) (list []string) {
		_, records := b.events(body)
		for _, r := range records {
			list = append(list, r["requestParameters"].(map[string]any)["name"].(string))
		}
		return list
	}
	at := func(minute int) int64 { return gatewaytest.T0.Add(time.Duration(minute) * time.Minute).Unix() }
	for body, want := range map[string]string{
		`{}`: "n4 n3 n2 n1 n0",
		fmt.Sprintf(`{"StartTime":%d,"EndTime":%d.5}`, at(1), at(2)):                                "n2 n1",
		`{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"CreateSecret"}]}`:       "n4 n3 n2 n1 n0",
		`{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"CreateService"}]}`:      "",
		`{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"root"}],"MaxResults":1}`: "n4",
		`{"LookupAttributes":[{"AttributeKey":"AccessKeyId","AttributeValue":"` + b.Key.ID + `"}]}`: "n4 n3 n2 n1 n0",
		`{"LookupAttributes":[{"AttributeKey":"ReadOnly","AttributeValue":"true"}]}`:                "",
		`{"LookupAttributes":[{"AttributeKey":"ReadOnly","AttributeValue":"false"}]}`:               "n4 n3 n2 n1 n0",
		`{"LookupAttributes":[{"AttributeKey":"ResourceName","AttributeValue":"x"}]}`:               "",
		`{"EventCategory":"insight"}`: "",
	} {
		if got := strings.Join(names(body), " "); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	var paged []string
	token := ""
	for range 5 {
		doc := b.OK(lookup, `{"MaxResults":2`+token+`}`)
		for _, e := range doc["Events"].([]any) {
			paged = append(paged, e.(map[string]any)["EventId"].(string))
		}
		next, more := doc["NextToken"].(string)
		if !more {
			break
		}
		token = `,"NextToken":"` + next + `"`
	}
	if len(paged) != 5 {
		t.Errorf("pages have %d events", len(paged))
	}
	for body, want := range map[string]string{
		`{"MaxResults":51}`:           "InvalidMaxResultsException",
		`{"NextToken":"x"}`:           "InvalidNextTokenException",
		`{"StartTime":2,"EndTime":1}`: "InvalidTimeRangeException",
		`{"LookupAttributes":[{"AttributeKey":"Colour","AttributeValue":"x"}]}`:                                                   "InvalidLookupAttributesException",
		`{"LookupAttributes":[{"AttributeKey":"Username"}]}`:                                                                      "InvalidLookupAttributesException",
		`{"LookupAttributes":[{"AttributeKey":"Username","AttributeValue":"x"},{"AttributeKey":"EventId","AttributeValue":"x"}]}`: "InvalidLookupAttributesException",
	} {
		b.Refused(lookup, body, want, "")
	}
}

// A record exists from the moment of the change on, before the outcome is known and
// even if the outcome never comes.
func TestRecordOfTheChange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	call := gateway.Call{ID: "id", At: gatewaytest.T0, Service: gateway.Service{Source: "s"}, Operation: gateway.Operation{Name: "Op", Mutates: true}, Caller: gateway.Caller{User: "root"}}
	crash := errors.New("crash")
	update := func(change error) error { // as gateway.Call does
		return b.Store.Update(t.Context(), func(tx *store.Tx) error {
			if change != nil {
				return change
			}
			return b.trail.Begun(tx, call)
		})
	}
	if err := update(crash); err != crash {
		t.Fatal(err)
	}
	if list, _ := b.events(`{}`); len(list) != 0 {
		t.Errorf("a change that was not made is recorded: %v", list)
	}
	if err := update(nil); err != nil {
		t.Fatal(err)
	}
	_, records := b.events(`{}`)
	if len(records) != 1 || records[0]["eventName"] != "Op" || records[0]["responseElements"] != nil {
		t.Fatalf("%v", records)
	}
	call.Recorded, call.Output = true, &secretInput{Name: "n"}
	b.trail.Ended(t.Context(), call)
	_, records = b.events(`{}`)
	if len(records) != 1 || records[0]["responseElements"] == nil {
		t.Errorf("%v", records)
	}
}

// Run writes outcomes by itself and when it ends, and removes records that are old
// or above the limit.
func TestRun(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/slipway.db"
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		trail, err := audit.New(audit.Config{Store: s, Region: "r", Account: "a", Log: slog.New(slog.DiscardHandler), Most: 3, Keep: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- trail.Run(ctx) }()
		failed := func(id string) {
			trail.Ended(ctx, gateway.Call{ID: id, At: time.Now(), Operation: gateway.Operation{Mutates: true}, Caller: gateway.Caller{User: "u"}, Exception: wire.NewException("X", "x")})
		}
		ids := func() (ids string) {
			err := s.View(t.Context(), func(tx *store.Tx) error {
				list, err := tx.Audit(store.AuditQuery{Limit: 100})
				for _, r := range list {
					ids += r.ID
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return ids
		}
		failed("a")
		time.Sleep(time.Second)
		if got := ids(); got != "a" {
			t.Errorf("after a second: %q", got)
		}
		for _, id := range []string{"b", "c", "d", "e"} {
			time.Sleep(time.Second)
			failed(id)
		}
		time.Sleep(11 * time.Minute)
		if got := ids(); got != "edc" {
			t.Errorf("too many: %q", got)
		}
		time.Sleep(2 * time.Hour)
		if got := ids(); got != "" {
			t.Errorf("old: %q", got)
		}
		failed("z")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := ids(); got != "z" {
			t.Errorf("at the end: %q", got)
		}
	})
}
