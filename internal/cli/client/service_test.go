package client

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestServiceARN(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, calls{"ListServices": func(in map[string]any) any {
		if in["NextToken"] == nil {
			return `{"ServiceSummaryList":[{"ServiceName":"shop","ServiceArn":"` + testARN + `"}],"NextToken":"2"}`
		}
		return `{"ServiceSummaryList":[{"ServiceName":"api","ServiceArn":"arn-of-api"}]}`
	}})
	for _, tc := range []struct{ given, arn, text, hint string }{
		{"shop", testARN, "", ""},
		{"api", "arn-of-api", "", ""},
		{testARN, testARN, "", ""},
		{"shob", "", `there is no service "shob"`, "Did you mean shop?"},
		{"unheard-of", "", `there is no service "unheard-of"`, "slipway ls"},
		{"arn:aws:s3:::bucket", "", "is not an App Runner ARN", ""},
		{strings.Replace(testARN, ":service/", ":connection/", 1), "", "is the ARN of a connection, not of a service", ""},
	} {
		got, err := c.ServiceARN(t.Context(), tc.given)
		if got != tc.arn {
			t.Errorf("ServiceARN(%q) = %q, want %q", tc.given, got, tc.arn)
		}
		if tc.text == "" {
			if err != nil {
				t.Errorf("ServiceARN(%q): %v", tc.given, err)
			}
			continue
		}
		p, ok := errors.AsType[*Problem](err)
		if !ok || !strings.Contains(p.Text, tc.text) || !strings.Contains(p.Hint, tc.hint) {
			t.Errorf("ServiceARN(%q): %v", tc.given, err)
		}
	}
}

func TestUnknownServiceAmongNone(t *testing.T) {
	t.Parallel()
	c := newTestClient(t, calls{"ListServices": func(map[string]any) any { return `{"ServiceSummaryList":[]}` }})
	_, err := c.ServiceARN(t.Context(), "shop")
	if p := c.Target.Explain(err); !strings.Contains(p.Hint, "slipway up") {
		t.Errorf("hint %q", p.Hint)
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	arn := "arn:aws:apprunner:us-east-1:123456789012:autoscalingconfiguration/DefaultConfiguration/1/00000000000000000000000000000001"
	for list, want := range map[string]string{
		`[{"AutoScalingConfigurationArn":"` + arn + `"}]`: "123456789012",
		`[]`:                                    "",
		`[{"AutoScalingConfigurationArn":"x"}]`: "",
	} {
		c := newTestClient(t, calls{"ListAutoScalingConfigurations": func(map[string]any) any {
			return `{"AutoScalingConfigurationSummaryList":` + list + `}`
		}})
		got, err := c.Account(t.Context())
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Account of %s = %q, %v; want %q", list, got, err, want)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	reply := func(status int, body string) error {
		c := newTestClient(t, calls{"ListServices": func(map[string]any) any { return fault{status, body} }})
		_, err := c.Services(t.Context())
		return err
	}
	target := newTestClient(t, nil).Target
	for _, tc := range []struct {
		err        error
		text, hint string
	}{
		{reply(403, `{"__type":"UnrecognizedClientException","message":"x"}`), "does not know our access key", "/data/credentials"},
		{reply(403, `{"__type":"InvalidSignatureException","message":"Credential should be scoped to a valid region."}`), "valid region", "--region"},
		{reply(400, `{"__type":"InvalidRequestException","Message":"The name is taken."}`), "The name is taken", ""},
		{reply(400, `{"__type":"com.amazonaws.apprunner#InvalidStateException","Message":"No."}`), "No", "slipway ops"},
		{reply(402, `{"__type":"ServiceQuotaExceededException","Message":"Full."}`), "Full", "no longer needed"},
		{reply(404, `{"__type":"UnknownOperationException"}`), "does not know this call", "older"},
		{reply(500, `{"__type":"InternalServiceErrorException"}`), "InternalServiceErrorException", "req-1"},
		{errors.New("plain"), "plain", ""},
		{&fs.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, "permission denied", ""},
		{&net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}, "listen tcp: bind: address already in use", ""},
	} {
		p := target.Explain(tc.err)
		if !strings.Contains(p.Text, tc.text) || !strings.Contains(p.Hint, tc.hint) {
			t.Errorf("Explain(%v) = %q, %q; want %q, %q", tc.err, p.Text, p.Hint, tc.text, tc.hint)
		}
		if Unreachable(tc.err) {
			t.Errorf("%v counts as unreachable", tc.err)
		}
	}
}
