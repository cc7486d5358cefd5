package sigv4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/openslipway/slipway/internal/sigv4"
)

const (
	keyID  = "AKIDEXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var now = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

func verifier() *sigv4.Verifier {
	return &sigv4.Verifier{MaxBody: 1000, Now: func() time.Time { return now }}
}

// scope is what the verifier's endpoint answers for.
func scope(service string) sigv4.Scope {
	return sigv4.Scope{Service: service, Regions: []string{"us-east-1", "aws-global"}}
}

// The keys: a permanent one, and temporary ones, valid and expired.
func lookup(_ context.Context, id string) (sigv4.Key, bool, error) {
	k, ok := map[string]sigv4.Key{
		keyID:         {Secret: secret},
		"ASIAEXAMPLE": {Secret: secret, Token: "tok/en+==", Expires: now.Add(time.Second)},
		"ASIAEXPIRED": {Secret: secret, Token: "tok/en+==", Expires: now},
	}[id]
	return k, ok, nil
}

// call is a request of a client; the zero value is a valid one.
type call struct {
	body, key, secret, token, region, service string
	at                                        time.Time
	header                                    http.Header
	after                                     func(*http.Request) // tampers with the signed request
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// request signs the call with the AWS SDK's signer, which the verifier does not
// use.
func (c call) request(t testing.TB) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://localhost:8070/", strings.NewReader(c.body))
	r.Header = http.Header{"X-Amz-Target": {"AppRunner.ListServices"}, "Content-Type": {"application/x-amz-json-1.0"}}
	for k, v := range c.header {
		r.Header[k] = v
	}
	if c.at.IsZero() {
		c.at = now
	}
	hash := sha256.Sum256([]byte(c.body))
	err := signer.NewSigner().SignHTTP(t.Context(), aws.Credentials{
		AccessKeyID: either(c.key, keyID), SecretAccessKey: either(c.secret, secret), SessionToken: c.token,
	}, r, hex.EncodeToString(hash[:]), either(c.service, "apprunner"), either(c.region, "us-east-1"), c.at)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.body) > 0 { // the signer covers it, and a server keeps it in the headers
		r.Header.Set("Content-Length", strconv.Itoa(len(c.body)))
	}
	if c.after != nil {
		c.after(r)
	}
	return r
}

func TestVerifyAccepts(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256([]byte("{}"))
	for name, c := range map[string]call{
		"plain":                   {body: "{}"},
		"empty body":              {},
		"largest body":            {body: strings.Repeat("x", 1000)},
		"inner spaces":            {header: http.Header{"X-Note": {"a  b    c", "  d"}}},
		"several values":          {header: http.Header{"X-Note": {"b", "a"}}},
		"oldest":                  {at: now.Add(-5 * time.Minute)},
		"newest":                  {at: now.Add(5 * time.Minute)},
		"content hash":            {body: "{}", header: http.Header{"X-Amz-Content-Sha256": {hex.EncodeToString(hash[:])}}},
		"unsigned headers":        {after: func(r *http.Request) { r.Header.Set("User-Agent", "x"); r.Header.Set("X-Forwarded-For", "::1") }},
		"another region":          {region: "aws-global"},
		"temporary":               {key: "ASIAEXAMPLE", token: "tok/en+=="},
		"parameters without room": {after: func(r *http.Request) { edit(r, ", ", ",") }},
	} {
		body, err := verifier().Verify(c.request(t), scope("apprunner"), lookup)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if string(body) != c.body {
			t.Errorf("%s: the body %q was read as %q", name, c.body, body)
		}
	}
}

func edit(r *http.Request, from, to string) {
	r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), from, to))
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	const mismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	replace := func(from, to string) func(*http.Request) {
		return func(r *http.Request) { edit(r, from, to) }
	}
	for name, c := range map[string]struct {
		call
		code    sigv4.Code
		message string
	}{
		"not signed":     {call{after: func(r *http.Request) { r.Header.Del("Authorization") }}, sigv4.MissingAuthenticationToken, "Request is missing Authentication Token"},
		"Basic":          {call{after: set("Authorization", "Basic aHVzaDpodXNo")}, sigv4.IncompleteSignature, "Authorization header requires 'Credential' parameter."},
		"signed twice":   {call{after: func(r *http.Request) { r.Header.Add("Authorization", "x") }}, sigv4.IncompleteSignature, "several Authorization headers"},
		"no parameters":  {call{after: set("Authorization", "AWS4-HMAC-SHA256")}, sigv4.IncompleteSignature, "name=value"},
		"no signature":   {call{after: replace("Signature=", "Sign=")}, sigv4.IncompleteSignature, "Authorization header requires 'Signature' parameter."},
		"short scope":    {call{after: replace("/apprunner/", "/")}, sigv4.IncompleteSignature, "Credential must have exactly 5 slash-delimited elements"},
		"terminator":     {call{after: replace("aws4_request", "aws5_request")}, sigv4.InvalidSignature, "Credential should be scoped with a valid terminator: 'aws4_request'"},
		"unsorted names": {call{after: replace("SignedHeaders=", "SignedHeaders=x;")}, sigv4.IncompleteSignature, "alphabetical order"},
		"bad date":       {call{after: set("X-Amz-Date", "yesterday")}, sigv4.IncompleteSignature, "Date must be in ISO-8601 'basic format'. Got 'yesterday'."},
		"no date": {
			call{after: func(r *http.Request) { r.Header.Del("X-Amz-Date") }},
			sigv4.IncompleteSignature,
			"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
		},
		"other day": {
			call{after: set("X-Amz-Date", "20150831T000000Z")},
			sigv4.InvalidSignature,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20150830' != '20150831', from '20150831T000000Z'.",
		},
		"region":      {call{region: "eu-west-1"}, sigv4.InvalidSignature, "Credential should be scoped to a valid region."},
		"service":     {call{service: "ecr"}, sigv4.InvalidSignature, "Credential should be scoped to correct service: 'apprunner'."},
		"expired":     {call{at: now.Add(-301 * time.Second)}, sigv4.InvalidSignature, "Signature expired: 20150830T123059Z is now earlier than 20150830T123100Z (20150830T123600Z - 5 min.)"},
		"not yet":     {call{at: now.Add(301 * time.Second)}, sigv4.InvalidSignature, "Signature not yet current: 20150830T124101Z is still later than 20150830T124100Z (20150830T123600Z + 5 min.)"},
		"unknown key": {call{key: "AKIDNOBODY"}, sigv4.UnrecognizedClient, "The security token included in the request is invalid."},
		"token":       {call{token: "t"}, sigv4.UnrecognizedClient, "The security token included in the request is invalid."},
		"no token":    {call{key: "ASIAEXAMPLE"}, sigv4.UnrecognizedClient, "The security token included in the request is invalid."},
		"other token": {call{key: "ASIAEXAMPLE", token: "tok/en+=x"}, sigv4.UnrecognizedClient, "The security token included in the request is invalid."},
		"expired token": {
			call{key: "ASIAEXPIRED", token: "tok/en+=="}, sigv4.ExpiredToken, "The security token included in the request is expired",
		},
		"expired, wrong token": {call{key: "ASIAEXPIRED", token: "x"}, sigv4.UnrecognizedClient, "is invalid."},
		"token unsigned": {
			call{key: "ASIAEXAMPLE", token: "tok/en+==", after: replace(";x-amz-security-token", "")},
			sigv4.InvalidSignature, "'X-Amz-Security-Token' must be a 'SignedHeader' in the AWS Authorization.",
		},
		"secret":     {call{secret: "guess"}, sigv4.InvalidSignature, mismatch},
		"signature":  {call{after: replace("Signature=", "Signature=0")}, sigv4.InvalidSignature, mismatch},
		"method":     {call{after: func(r *http.Request) { r.Method = "PUT" }}, sigv4.InvalidSignature, mismatch},
		"path":       {call{after: func(r *http.Request) { r.URL.Path = "/x" }}, sigv4.InvalidSignature, mismatch},
		"query":      {call{after: func(r *http.Request) { r.URL.RawQuery = "x=1" }}, sigv4.InvalidSignature, mismatch},
		"host":       {call{after: func(r *http.Request) { r.Host = "evil" }}, sigv4.InvalidSignature, mismatch},
		"target":     {call{after: set("X-Amz-Target", "AppRunner.DeleteService")}, sigv4.InvalidSignature, mismatch},
		"time moved": {call{after: set("X-Amz-Date", "20150830T123601Z")}, sigv4.InvalidSignature, mismatch},
		"body":       {call{body: "{}", after: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("[]")) }}, sigv4.InvalidSignature, mismatch},
		"host unsigned": {
			call{after: replace("host;", "")},
			sigv4.InvalidSignature,
			"'Host' must be a 'SignedHeader' in the AWS Authorization.",
		},
		"target unsigned": {
			call{after: replace(";x-amz-target", "")},
			sigv4.InvalidSignature,
			"'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.",
		},
		"absent header listed": {call{after: replace("x-amz-target", "x-amz-target;x-zzz")}, sigv4.InvalidSignature, mismatch},
		"content hash": {
			call{header: http.Header{"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}}},
			sigv4.InvalidSignature,
			"The value of 'X-Amz-Content-Sha256' is not the SHA-256 hash of the request body.",
		},
		"large body": {call{body: strings.Repeat("x", 1001)}, sigv4.RequestEntityTooLarge, "The request body is larger than 1000 bytes."},
		"large body of unknown length": {
			call{body: strings.Repeat("x", 1001), after: func(r *http.Request) { r.ContentLength = -1 }},
			sigv4.RequestEntityTooLarge, "The request body is larger than 1000 bytes.",
		},
		"broken body": {
			call{body: "{}", after: func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)) }},
			sigv4.RequestAborted, "The request body broke off after 0 bytes.",
		},
		"slow body": {
			call{body: "{}", after: func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(os.ErrDeadlineExceeded)) }},
			sigv4.RequestTimeout, "The request body did not arrive in time.",
		},
		"body too late": {
			call{body: "{}", after: func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(context.DeadlineExceeded)) }},
			sigv4.RequestTimeout, "The request body did not arrive in time.",
		},
	} {
		body, err := verifier().Verify(c.request(t), scope("apprunner"), lookup)
		e, ok := errors.AsType[*sigv4.Error](err)
		if !ok {
			t.Errorf("%s: %v, want an *Error", name, err)
			continue
		}
		if e.Code != c.code || !strings.Contains(e.Message, c.message) {
			t.Errorf("%s:\n got %s %q\nwant %s %q", name, e.Code, e.Message, c.code, c.message)
		}
		if body != nil {
			t.Errorf("%s: a refused request's body was handed on", name)
		}
		if strings.Contains(e.Message, "aHVzaDpodXNo") {
			t.Errorf("%s: the message repeats another scheme's secret", name)
		}
	}
}

// An unauthenticated client must not make the process read or buffer a body.
func TestBodyOfStrangersIsNotRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]call{
		"unknown key":  {key: "AKIDNOBODY"},
		"other region": {region: "eu-west-1"},
		"not signed":   {after: func(r *http.Request) { r.Header.Del("Authorization") }},
	} {
		r := c.request(t)
		var seen bytes.Buffer
		r.Body = io.NopCloser(io.TeeReader(strings.NewReader("{}"), &seen))
		if _, err := verifier().Verify(r, scope("apprunner"), lookup); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if seen.Len() != 0 {
			t.Errorf("%s: %d bytes were read", name, seen.Len())
		}
	}
}

func TestLookupFailureIsNotTheCallersFault(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk on fire")
	_, err := verifier().Verify(call{}.request(t), scope("apprunner"), func(context.Context, string) (sigv4.Key, bool, error) {
		return sigv4.Key{}, false, cause
	})
	if _, ok := errors.AsType[*sigv4.Error](err); ok || !errors.Is(err, cause) {
		t.Errorf("%v, want the lookup's error wrapped", err)
	}
}

// The examples that AWS publishes, one with runs of spaces inside a value.
func TestPublishedExamples(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, service string
		header       map[string]string
		signed, want string
	}{
		{
			"https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", "iam",
			map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
			"content-type;host;x-amz-date", "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
		},
		{
			"https://example.amazonaws.com/", "service",
			map[string]string{"My-Header1": " value1", "My-Header2": `    "a   b   c"`},
			"host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
		},
	} {
		r := httptest.NewRequest(http.MethodGet, c.url, nil)
		r.Header.Set("X-Amz-Date", "20150830T123600Z")
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+keyID+"/20150830/us-east-1/"+c.service+
			"/aws4_request, SignedHeaders="+c.signed+", Signature="+c.want)
		if _, err := verifier().Verify(r, scope(c.service), lookup); err != nil {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}

// A client that signs the Date header in place of X-Amz-Date.
func TestDateHeader(t *testing.T) {
	t.Parallel()
	c := call{after: func(r *http.Request) {
		r.Header.Set("Date", now.Format(http.TimeFormat))
		r.Header.Del("X-Amz-Date")
		edit(r, ";x-amz-date", "")
	}}
	// The signature covered X-Amz-Date, so it can't fit; that the time was read
	// shows in the answer.
	_, err := verifier().Verify(c.request(t), scope("apprunner"), lookup)
	if e, ok := errors.AsType[*sigv4.Error](err); !ok || e.Code != sigv4.InvalidSignature || !strings.HasPrefix(e.Message, "The request signature we") {
		t.Errorf("%v, want a mismatch", err)
	}
	c.after = func(r *http.Request) {
		r.Header.Set("Date", "soon")
		r.Header.Del("X-Amz-Date")
	}
	_, err = verifier().Verify(c.request(t), scope("apprunner"), lookup)
	if e, ok := errors.AsType[*sigv4.Error](err); !ok || e.Code != sigv4.IncompleteSignature || !strings.Contains(e.Message, "'soon'") {
		t.Errorf("%v, want a complaint about the date", err)
	}
}

// What net/http's server does to headers on the way must not break signatures.
func TestThroughARealServer(t *testing.T) {
	t.Parallel()
	var got error
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, got = verifier().Verify(r, scope("apprunner"), lookup)
	}))
	defer srv.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(`{"MaxResults":5}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AppRunner.ListServices")
	r.Header.Set("X-Note", "a   b ")
	hash := sha256.Sum256([]byte(`{"MaxResults":5}`))
	if err := signer.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret},
		r, hex.EncodeToString(hash[:]), "apprunner", "us-east-1", now); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Header.Get("Authorization"), "content-length;") {
		t.Fatal("the client did not sign Content-Length, which this test is about")
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got != nil {
		t.Error(got)
	}
}

func BenchmarkVerify(b *testing.B) {
	v := verifier()
	r := call{body: strings.Repeat("x", 500)}.request(b)
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 500)))
		if _, err := v.Verify(r, scope("apprunner"), lookup); err != nil {
			b.Fatal(err)
		}
	}
}
