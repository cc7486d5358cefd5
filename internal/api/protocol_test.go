package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"

	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

// Raw requests and their raw replies: what happens around the handlers.
func TestCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	with := func(f func(*http.Request)) *http.Request {
		r := b.Request("AppRunner.ListServices", "{}")
		f(r)
		return r
	}
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		body   string
	}{
		{"plain", b.Request("AppRunner.ListServices", "{}"), 200, `{"ServiceSummaryList":[]}`},
		{"empty body", b.Request("AppRunner.ListServices", ""), 200, `{"ServiceSummaryList":[]}`},
		{"unknown members", b.Request("AppRunner.ListServices", `{"X":[{}]}`), 200, `{"ServiceSummaryList":[]}`},
		{
			"no target", b.Request("", "{}"), 404,
			`{"__type":"UnknownOperationException","Message":"X-Amz-Target \"\" names no operation that this server answers."}`,
		},
		{
			"other service", b.Request("DynamoDB_20120810.ListTables", "{}"), 404,
			`{"__type":"UnknownOperationException","Message":"X-Amz-Target \"DynamoDB_20120810.ListTables\" names no operation that this server answers."}`,
		},
		{
			"letter case of the target", b.Request("apprunner.listservices", "{}"), 404,
			`{"__type":"UnknownOperationException","Message":"X-Amz-Target \"apprunner.listservices\" names no operation that this server answers."}`,
		},
		{"unknown target goes before the signature", with(func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("X-Amz-Target", "AppRunner.X")
		}), 404, `{"__type":"UnknownOperationException","Message":"X-Amz-Target \"AppRunner.X\" names no operation that this server answers."}`},
		{
			"GET", with(func(r *http.Request) { r.Method = http.MethodGet }), 404,
			`{"__type":"UnknownOperationException","Message":"This endpoint answers only POST /."}`,
		},
		{
			"other path", with(func(r *http.Request) { r.URL.Path = "/v1" }), 404,
			`{"__type":"UnknownOperationException","Message":"This endpoint answers only POST /."}`,
		},
		{
			"not signed", with(func(r *http.Request) { r.Header.Del("Authorization") }), 403,
			`{"__type":"MissingAuthenticationTokenException","Message":"Request is missing Authentication Token"}`,
		},
		{"the signature goes before the body", func() *http.Request {
			r := b.Request("AppRunner.ListServices", "not JSON")
			r.Header.Set("Authorization", r.Header.Get("Authorization")+"0")
			return r
		}(), 403, `{"__type":"InvalidSignatureException","Message":"The request signature we calculated does not match the signature you provided. ` +
			`Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}`},
		{
			"not JSON", b.Request("AppRunner.ListServices", "{"), 400,
			`{"__type":"SerializationException","Message":"The request body is not valid JSON (at byte 1)."}`,
		},
		{
			"wrong type", b.Request("AppRunner.ListServices", `{"MaxResults":"ten"}`), 400,
			`{"__type":"SerializationException","Message":"STRING_VALUE can not be converted to Integer (member maxResults)"}`,
		},
		{
			"constraint", b.Request("AppRunner.ListServices", `{"MaxResults":21}`), 400,
			`{"__type":"InvalidRequestException","Message":"1 validation error detected: Value '21' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 20"}`,
		},
		{
			"unknown service", b.Request("AppRunner.DescribeService", `{"ServiceArn":"`+noService+`"}`), 400,
			`{"__type":"ResourceNotFoundException","Message":"Service not found: ` + noService + `"}`,
		},
		{
			"other service's ARN", b.Request("AppRunner.DescribeService", `{"ServiceArn":"arn:aws:s3:us-east-1:000000000000:service/shop/1"}`), 400,
			`{"__type":"InvalidRequestException","Message":"\"arn:aws:s3:us-east-1:000000000000:service/shop/1\" is not an App Runner ARN (arn:aws:apprunner:<region>:<account>:<type>/<name>/...)."}`,
		},
		{
			"other resource's ARN", b.Request("AppRunner.DescribeService", `{"ServiceArn":"`+defaultScaling+`"}`), 400,
			`{"__type":"InvalidRequestException","Message":"` + defaultScaling + ` is not the ARN of a service (arn:aws:apprunner:<region>:<account>:service/<name>/<id>)."}`,
		},
	} {
		w := b.Send(c.r)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s:\n got %d %s\nwant %d %s", c.name, w.Code, w.Body, c.status, c.body)
		}
	}
}

func TestStaleSignature(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.Request("AppRunner.ListServices", "{}")
	b.Clock.Advance(6 * time.Minute)
	w := b.Send(r)
	if w.Code != 403 || !strings.HasPrefix(w.Doc["Message"].(string), "Signature expired: 20270115T080000Z is now earlier than 20270115T080100Z") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if d := w.Header().Get("Date"); d != b.Clock.Now().Format(http.TimeFormat) {
		t.Errorf("Date is %q: clients correct their clock by it", d)
	}
}

func TestUnknownKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Key.ID = "AKIANOBODY"
	w := b.call("ListServices", "{}")
	if w.Code != 403 || w.Doc["__type"] != "UnrecognizedClientException" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The reply to an internal failure does not tell the cause. The log has it with
// the request's id.
func TestInternalFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Update(func(tx *store.Tx) error { // a service whose default scaling configuration is missing
		c, err := tx.DefaultAutoScaling()
		if err != nil {
			return err
		}
		c.Default = false
		return tx.SaveAutoScaling(c)
	})
	w := b.call("CreateService", `{"ServiceName":"shop",`+image+`}`)
	if w.Code != 500 || w.Doc["__type"] != "InternalServiceErrorException" || strings.Contains(w.Body.String(), "not found") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if l := b.Logged.String(); !strings.Contains(l, `"err":"not found"`) || !strings.Contains(l, w.Header().Get("x-amzn-RequestId")) {
		t.Errorf("the log does not tell the cause: %s", l)
	}
	if l := b.services(); len(l) != 0 {
		t.Errorf("a failed call left %v behind", l)
	}
}

// The log names the caller of each call, except of a call with a wrong signature.
func TestLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.call("CreateService", `{"ServiceName":"shop",`+image+`}`)
	if want := `"level":"INFO","msg":"api call","request":"` + w.Header().Get("x-amzn-RequestId") +
		`","operation":"CreateService","user":"root","took":0}`; !strings.Contains(b.Logged.String(), want) {
		t.Errorf("the log lacks %s: %s", want, b.Logged)
	}
	b.Key.Secret = "guess"
	w = b.call("CreateService", `{}`)
	if want := w.Header().Get("x-amzn-RequestId") + `","operation":"CreateService","user":"","took":0,"exception":"InvalidSignatureException"`; !strings.Contains(b.Logged.String(), want) {
		t.Errorf("the log lacks %s: %s", want, b.Logged)
	}
}

func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, body := range []string{
		`{"ServiceName":"shop","SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"i","ImageRepositoryType":"ECR","ImageConfiguration":{"StartCommand":"run 'hushhush","RuntimeEnvironmentVariables":{"A":"hushhush"}}}}}`,
		`{"ServiceName":"shop","SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"i","ImageRepositoryType":"ECR","ImageConfiguration":{"RuntimeEnvironmentVariables":{"A":"hushhush\u0000"}}}}}`,
		`{"ServiceName":"shop","SourceConfiguration":{"ImageRepository":{"ImageIdentifier":"i","ImageRepositoryType":"ECR","ImageConfiguration":{"StartCommand":"hushhush\n"}}}}`,
	} {
		w := b.call("CreateService", body)
		if w.Code != 400 || strings.Contains(w.Body.String(), "hushhush") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	b.create("shop", withTags([]types.Tag{}...))
	if strings.Contains(b.Logged.String(), "hushhush") || strings.Contains(b.Logged.String(), b.Key.Secret) {
		t.Errorf("the log holds a secret: %s", b.Logged)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := api.New(api.Config{}); err == nil {
		t.Error("an empty configuration was accepted")
	}
	b := newBench(t)
	if err := b.api.Bootstrap(t.Context()); err != nil {
		t.Errorf("Bootstrap a second time: %v", err)
	}
	if l := b.listScalings("{}").AutoScalingConfigurationSummaryList; len(l) != 1 {
		t.Errorf("%d provided configurations", len(l))
	}
}
