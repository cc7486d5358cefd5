package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"

	"github.com/openslipway/slipway/internal/sigv4"
)

const testARN = "arn:aws:apprunner:us-east-1:000000000000:service/shop/0123456789abcdef0123456789abcdef"

// calls answers calls by operation name: the last part of X-Amz-Target. A
// string is the body of a 200; an error breaks the connection; a fault is an
// error reply.
type calls map[string]func(in map[string]any) any

type fault struct {
	status int
	body   string
}

// RoundTrip verifies the signature and answers, without a network, so that it
// works in a synctest bubble.
func (c calls) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host, r.RequestURI = r.URL.Host, "/"
	r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10)) // as a server sees it
	service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	scope := map[string]string{"AppRunner": "apprunner", "Logs_20140328": "logs"}[service]
	v := sigv4.Verifier{MaxBody: 1 << 20, Now: time.Now}
	body, err := v.Verify(r, sigv4.Scope{Service: scope, Regions: []string{"us-east-1"}}, func(_ context.Context, id string) (sigv4.Key, bool, error) {
		return sigv4.Key{Secret: "secret"}, id == "AKID", nil
	})
	if err != nil {
		return nil, errors.New("the request is signed badly: " + err.Error())
	}
	var in map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	answer, ok := c[operation]
	if !ok {
		return nil, errors.New("unexpected call of " + operation)
	}
	w := httptest.NewRecorder()
	w.Header().Set("X-Amzn-Requestid", "req-1")
	switch out := answer(in).(type) {
	case error:
		return nil, out
	case fault:
		w.WriteHeader(out.status)
		io.WriteString(w, out.body)
	case string:
		io.WriteString(w, out)
	}
	return w.Result(), nil
}

func newTestClient(t *testing.T, c calls) *Client {
	t.Helper()
	endpoint := &url.URL{Scheme: "http", Host: "server.test"}
	keys := credentials.NewStaticCredentialsProvider("AKID", "secret", "")
	hc := &http.Client{Transport: c}
	return &Client{
		Target: Target{Endpoint: endpoint, DataDir: "/data"},
		API: apprunner.New(apprunner.Options{
			BaseEndpoint: aws.String(endpoint.String()), Region: "us-east-1", Credentials: keys, HTTPClient: hc, Retryer: aws.NopRetryer{},
		}),
		Logs: newLogs(caller{endpoint: endpoint.String(), region: "us-east-1", keys: keys, http: hc}),
	}
}
