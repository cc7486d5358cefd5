package client

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// targetWith returns a target with these environment variables.
func targetWith(t *testing.T, endpoint string, vars map[string]string) Target {
	t.Helper()
	dir := t.TempDir()
	if vars["own"] != "" {
		text := "[default]\naws_access_key_id = AKIAOWNOWNOWNOWN\naws_secret_access_key = s\nregion = eu-west-1\n"
		if err := os.WriteFile(filepath.Join(dir, CredentialsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target, err := Settings{Endpoint: endpoint, DataDir: dir}.Resolve(func(name string) string { return vars[name] })
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestRefusalsAccuseWhatIsWrong(t *testing.T) {
	t.Parallel()
	env := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAFORAWSFORAWS12", "AWS_SECRET_ACCESS_KEY": "sesame"}
	both := map[string]string{"AWS_ACCESS_KEY_ID": "AKIAFORAWSFORAWS12", "AWS_SECRET_ACCESS_KEY": "sesame", "own": "yes"}
	api := func(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }
	reg := func(status int, method string, message string) error {
		e := &transport.Error{StatusCode: status, Request: &http.Request{Method: method, URL: &url.URL{Path: "/v2/shop/manifests/1"}}}
		if message != "" {
			e.Errors = []transport.Diagnostic{{Code: "DENIED", Message: message}}
		}
		return e
	}
	for _, tc := range []struct {
		vars map[string]string
		err  error
		want []string
	}{
		{env, api("UnrecognizedClientException", "x"), []string{"does not know access key AKIA…WS12 (AWS_ACCESS_KEY_ID in the environment)", "a key of AWS or of another server", "--credentials or SLIPWAY_CREDENTIALS", "unset AWS_ACCESS_KEY_ID"}},
		{both, api("InvalidClientTokenId", "x"), []string{"AKIA…WS12", "SLIPWAY_CREDENTIALS=", "/credentials, or unset"}},
		{map[string]string{"own": "yes"}, api("UnrecognizedClientException", "x"), []string{"AKIA…NOWN", "the server's data directory", "another data directory"}},
		{env, api("InvalidSignatureException", "Signature expired: 20261129T170000Z is now earlier than 20261129T175500Z (20261129T180000Z - 5 min.)"), []string{"clock and the server's differ by 1h0m0s: here it is 2026-11-29 17:00:00, there 2026-11-29 18:00:00"}},
		{env, api("InvalidSignatureException", "Signature not yet current: 20261129T190000Z is still later than 20261129T180500Z (20261129T180000Z + 5 min.)"), []string{"differ by 1h0m0s"}},
		{map[string]string{"own": "yes", "AWS_REGION": "x"}, api("InvalidSignatureException", "Credential should be scoped to a valid region. The region of this endpoint is 'us-east-1'"), []string{"the server's region is us-east-1, and the call was signed for eu-west-1 (profile default of", "SLIPWAY_REGION to us-east-1"}},
		{env, api("InvalidSignatureException", "The request signature we calculated does not match the signature you provided. Check"), []string{"the secret of access key AKIA…WS12"}},
		{env, api("AccessDeniedException", "User: ann is not authorized to perform: apprunner:DeleteService"), []string{"ann is not authorized", "signed with access key AKIA…WS12", "iam simulate"}},
		{env, api("ExpiredTokenException", "x"), []string{"temporary credentials of access key AKIA…WS12", "have expired"}},
		{env, api("HTTP 502", "<html>"), []string{"is no Slipway server"}},
		{env, reg(403, "HEAD", ""), []string{"access key AKIA…WS12 (AWS_ACCESS_KEY_ID in the environment) may not do this at the registry", "ecr:BatchGetImage"}},
		{env, reg(403, "PUT", "User: ann is not authorized to perform: ecr:PutImage."), []string{"User: ann is not authorized to perform: ecr:PutImage\n", "ecr:PutImage"}},
		{env, reg(401, "GET", "Log in."), []string{"does not know access key AKIA…WS12"}},
		{env, reg(500, "GET", ""), []string{"the registry at 127.0.0.1:8070 answered 500 Internal Server Error"}},
	} {
		p := targetWith(t, "", tc.vars).Explain(tc.err)
		said := p.Text + "\n" + p.Hint
		for _, want := range tc.want {
			if !strings.Contains(said, want) {
				t.Errorf("%v is explained by %q, want %q", tc.err, said, want)
			}
		}
		if strings.Contains(said, "sesame") {
			t.Errorf("the secret is shown: %q", said)
		}
		if e, ok := errors.AsType[*transport.Error](tc.err); ok && e.StatusCode == 403 && strings.Contains(said, "does not know") {
			t.Errorf("a missing permission is explained by %q", said)
		}
	}
}

func TestHalfAKeyIsToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Connect(t.Context(), targetWith(t, "", map[string]string{"AWS_ACCESS_KEY_ID": "AKIA"}))
	if p, ok := errors.AsType[*Problem](err); !ok || !strings.Contains(p.Text, "AWS_SECRET_ACCESS_KEY is not") {
		t.Errorf("error %v", err)
	}
}

// TestWrongServers: real connections to what is not a Slipway server.
func TestWrongServers(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for endpoint, want := range map[string]string{
		strings.Replace(plain.URL, "http:", "https:", 1): "speaks plain HTTP, not TLS",
		secure.URL: "an authority signed it that this machine does not trust",
		strings.Replace(secure.URL, "https:", "http:", 1): "If it expects TLS, use https://", // it answers 400, or resets the connection
		plain.URL:            "is no Slipway server: it answered 404 Not Found",
		"http://127.0.0.1:1": "no server answers at http://127.0.0.1:1 (connect: connection refused)",
	} {
		target := targetWith(t, endpoint, map[string]string{"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": "http://elsewhere.example"})
		c, err := Connect(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.API.ListServices(t.Context(), &apprunner.ListServicesInput{})
		p := target.Explain(err)
		if !strings.Contains(p.Text+p.Hint, want) || p.Hint == "" || strings.Contains(p.Text, "operation error") {
			t.Errorf("%s: %q %q, want %q", endpoint, p.Text, p.Hint, want)
		}
		if endpoint == "http://127.0.0.1:1" && !strings.Contains(p.Hint, "AWS_ENDPOINT_URL, which is http://elsewhere.example, is not read") {
			t.Errorf("the hint is %q", p.Hint)
		}
	}
}
