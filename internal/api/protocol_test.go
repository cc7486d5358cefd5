package api_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openslipway/slipway/internal/api"
	"github.com/openslipway/slipway/internal/store"
)

func TestHeaders(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	unsigned := b.request("AppRunner.ListServices", "{}")
	unsigned.Header.Del("Authorization")
	for name, r := range map[string]*http.Request{
		"success":        b.request("AppRunner.ListServices", "{}"),
		"exception":      b.request("AppRunner.DescribeService", "{}"),
		"unknown target": b.request("AppRunner.Nothing", "{}"),
		"not signed":     unsigned,
	} {
		h := b.send(r).Header()
		if id := h.Get("x-amzn-RequestId"); !uuid.MatchString(id) || seen[id] {
			t.Errorf("%s: request id %q", name, id)
		} else {
			seen[id] = true
		}
		if d := h.Get("Date"); d != t0.Format(http.TimeFormat) {
			t.Errorf("%s: Date %q", name, d)
		}
		if c := h.Get("Content-Type"); c != "application/x-amz-json-1.0" {
			t.Errorf("%s: Content-Type %q", name, c)
		}
	}
	if c := b.send(b.request("Logs_20140328.DescribeLogGroups", "{}")).Header().Get("Content-Type"); c != "application/x-amz-json-1.1" {
		t.Errorf("CloudWatch Logs: Content-Type %q", c)
	}
}

// Raw requests and their raw replies: what happens around the handlers.
func TestCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	with := func(f func(*http.Request)) *http.Request {
		r := b.request("AppRunner.ListServices", "{}")
		f(r)
		return r
	}
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
		body   string
	}{
		{"plain", b.request("AppRunner.ListServices", "{}"), 200, `{"ServiceSummaryList":[]}`},
		{"empty body", b.request("AppRunner.ListServices", ""), 200, `{"ServiceSummaryList":[]}`},
		{"unknown members", b.request("AppRunner.ListServices", `{"X":[{}]}`), 200, `{"ServiceSummaryList":[]}`},
		{
			"no target", b.request("", "{}"), 404,
			`{"__type":"UnknownOperationException","Message":"X-Amz-Target \"\" names no operation that this server answers."}`,
		},
		{
			"other service", b.request("DynamoDB_20120810.ListTables", "{}"), 404,
			`{"__type":"UnknownOperationException","Message":"X-Amz-Target \"DynamoDB_20120810.ListTables\" names no operation that this server answers."}`,
		},
		{
			"not implemented yet", b.request("AppRunner.CreateConnection", "{}"), 404,
			`{"__type":"UnknownOperationException","Message":"X-Amz-Target \"AppRunner.CreateConnection\" names no operation that this server answers."}`,
		},
		{
			"letter case of the target", b.request("apprunner.listservices", "{}"), 404,
			`{"__type":"UnknownOperationException","Message":"X-Amz-Target \"apprunner.listservices\" names no operation that this server answers."}`,
		},
		{"unknown target goes before the signature", with(func(r *http.Request) {
			r.Header.Del("Authorization")
			r.Header.Set("X-Amz-Target", "AppRunner.X")
		}), 404, `{"__type":"UnknownOperationException","Message":"X-Amz-Target \"AppRunner.X\" names no operation that this server answers."}`},
		{
			"GET", with(func(r *http.Request) { r.Method = http.MethodGet }), 404,
			`{"__type":"UnknownOperationException","Message":"This endpoint answers POST / alone."}`,
		},
		{
			"other path", with(func(r *http.Request) { r.URL.Path = "/v1" }), 404,
			`{"__type":"UnknownOperationException","Message":"This endpoint answers POST / alone."}`,
		},
		{
			"not signed", with(func(r *http.Request) { r.Header.Del("Authorization") }), 403,
			`{"__type":"MissingAuthenticationTokenException","Message":"Request is missing Authentication Token"}`,
		},
		{"the signature goes before the body", func() *http.Request {
			r := b.request("AppRunner.ListServices", "not JSON")
			r.Header.Set("Authorization", r.Header.Get("Authorization")+"0")
			return r
		}(), 403, `{"__type":"InvalidSignatureException","Message":"The request signature we calculated does not match the signature you provided. ` +
			`Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}`},
		{"logs scope on App Runner", func() *http.Request {
			r := b.request("Logs_20140328.DescribeLogGroups", "{}")
			r.Header.Set("X-Amz-Target", "AppRunner.ListServices")
			return r
		}(), 403, `{"__type":"InvalidSignatureException","Message":"Credential should be scoped to correct service: 'apprunner'."}`},
		{
			"not JSON", b.request("AppRunner.ListServices", "{"), 400,
			`{"__type":"SerializationException","Message":"The request body is not valid JSON (at byte 1)."}`,
		},
		{
			"wrong type", b.request("AppRunner.ListServices", `{"MaxResults":"ten"}`), 400,
			`{"__type":"SerializationException","Message":"STRING_VALUE can not be converted to Integer (member maxResults)"}`,
		},
		{
			"constraint", b.request("AppRunner.ListServices", `{"MaxResults":21}`), 400,
			`{"__type":"InvalidRequestException","Message":"1 validation error detected: Value '21' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 20"}`,
		},
		{
			"unknown service", b.request("AppRunner.DescribeService", `{"ServiceArn":"`+noService+`"}`), 400,
			`{"__type":"ResourceNotFoundException","Message":"Service not found: ` + noService + `"}`,
		},
		{
			"other service's ARN", b.request("AppRunner.DescribeService", `{"ServiceArn":"arn:aws:s3:us-east-1:000000000000:service/shop/1"}`), 400,
			`{"__type":"InvalidRequestException","Message":"\"arn:aws:s3:us-east-1:000000000000:service/shop/1\" is not an App Runner ARN (arn:aws:apprunner:<region>:<account>:<type>/<name>/...)."}`,
		},
		{
			"other resource's ARN", b.request("AppRunner.DescribeService", `{"ServiceArn":"`+defaultScaling+`"}`), 400,
			`{"__type":"InvalidRequestException","Message":"` + defaultScaling + ` is not the ARN of a service (arn:aws:apprunner:<region>:<account>:service/<name>/<id>)."}`,
		},
	} {
		w := b.send(c.r)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s:\n got %d %s\nwant %d %s", c.name, w.Code, w.Body, c.status, c.body)
		}
	}
}

func TestStaleSignature(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	r := b.request("AppRunner.ListServices", "{}")
	b.clock.advance(6 * time.Minute)
	w := b.send(r)
	if w.Code != 403 || !strings.HasPrefix(w.doc["Message"].(string), "Signature expired: 20270115T080000Z is now earlier than 20270115T080100Z") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if d := w.Header().Get("Date"); d != b.clock.Now().Format(http.TimeFormat) {
		t.Errorf("Date is %q: clients correct their clock by it", d)
	}
}

func TestUnknownKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.key.ID = "AKIANOBODY"
	w := b.call("ListServices", "{}")
	if w.Code != 403 || w.doc["__type"] != "UnrecognizedClientException" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Our own failures say nothing of their cause; the log has it under the
// request's id.
func TestInternalFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.update(func(tx *store.Tx) error { // a service whose default scaling configuration is missing
		c, err := tx.DefaultAutoScaling()
		if err != nil {
			return err
		}
		c.Default = false
		return tx.SaveAutoScaling(c)
	})
	w := b.call("CreateService", `{"ServiceName":"shop",`+image+`}`)
	if w.Code != 500 || w.doc["__type"] != "InternalServiceErrorException" || strings.Contains(w.Body.String(), "not found") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if l := b.log.String(); !strings.Contains(l, `"err":"not found"`) || !strings.Contains(l, w.Header().Get("x-amzn-RequestId")) {
		t.Errorf("the log does not tell the cause: %s", l)
	}
	if l := b.ok("ListServices", "{}")["ServiceSummaryList"].([]any); len(l) != 0 {
		t.Errorf("a failed call left %v behind", l)
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	var seen []string
	b := newBench(t, func(c *api.Config) {
		c.Observe = func(operation, exception string, took time.Duration) {
			seen = append(seen, operation+"/"+exception)
		}
	})
	b.ok("ListServices", "{}")
	b.call("DescribeService", "{}")
	b.call("Nothing", "{}")
	b.send(b.request("Logs_20140328.DescribeLogGroups", "{}"))
	want := "ListServices/ DescribeService/InvalidRequestException /UnknownOperationException DescribeLogGroups/"
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("observed %q, want %q", got, want)
	}
}

// The log says who did what; of what was refused it names nobody.
func TestLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.call("CreateService", `{"ServiceName":"shop",`+image+`}`)
	if want := `"level":"INFO","msg":"api call","request":"` + w.Header().Get("x-amzn-RequestId") +
		`","operation":"CreateService","user":"root","took":0}`; !strings.Contains(b.log.String(), want) {
		t.Errorf("the log lacks %s: %s", want, b.log)
	}
	b.key.Secret = "guess"
	w = b.call("CreateService", `{}`)
	if want := w.Header().Get("x-amzn-RequestId") + `","operation":"CreateService","user":"","took":0,"exception":"InvalidSignatureException"`; !strings.Contains(b.log.String(), want) {
		t.Errorf("the log lacks %s: %s", want, b.log)
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
	b.create("shop", `"Tags":[]`)
	if strings.Contains(b.log.String(), "hushhush") || strings.Contains(b.log.String(), b.key.Secret) {
		t.Errorf("the log holds a secret: %s", b.log)
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
	if l := b.ok("ListAutoScalingConfigurations", "{}")["AutoScalingConfigurationSummaryList"].([]any); len(l) != 1 {
		t.Errorf("%d provided configurations", len(l))
	}
}
