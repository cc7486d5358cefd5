package clients

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/apprunner"
	"github.com/aws/aws-sdk-go-v2/service/apprunner/types"
	"github.com/aws/smithy-go"

	"github.com/openslipway/slipway/e2e/harness"
)

// TestRefused makes calls that the API must refuse, and checks the exception and the
// part of the message that names the mistake.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t, "--health-limit", "20s")
	client, ctx := s.Client(), t.Context()
	image := s.Push(harness.WebImage(t, "1"), "web:1")
	running := s.RunningService("running", harness.Spec{Image: image})
	busy, op := s.Create("busy", harness.Spec{Image: image, Env: map[string]string{"MODE": "mute"}})
	unknown := "arn:aws:apprunner:us-east-1:000000000000:service/nowhere/0123456789abcdef0123456789abcdef"

	for _, r := range []struct {
		name, code, message string
		call                func() error
	}{
		{"unknown service", "ResourceNotFoundException", unknown, func() error {
			_, err := client.DescribeService(ctx, &apprunner.DescribeServiceInput{ServiceArn: &unknown})
			return err
		}},
		{"malformed ARN", "InvalidRequestException", "serviceArn", func() error {
			_, err := client.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: aws.String("my-service")})
			return err
		}},
		{"pause during an operation", "InvalidStateException", "OPERATION_IN_PROGRESS", func() error {
			_, err := client.PauseService(ctx, &apprunner.PauseServiceInput{ServiceArn: busy.ServiceArn})
			return err
		}},
		{"deployment during an operation", "InvalidRequestException", "isn't in RUNNING state", func() error {
			_, err := client.StartDeployment(ctx, &apprunner.StartDeploymentInput{ServiceArn: busy.ServiceArn})
			return err
		}},
		{"deletion during an operation", "InvalidStateException", "OPERATION_IN_PROGRESS", func() error {
			_, err := client.DeleteService(ctx, &apprunner.DeleteServiceInput{ServiceArn: busy.ServiceArn})
			return err
		}},
		{"name taken", "InvalidRequestException", "Service with the provided name already exists: running", func() error {
			_, err := client.CreateService(ctx, &apprunner.CreateServiceInput{ServiceName: aws.String("running"), SourceConfiguration: harness.Spec{Image: image}.Source()})
			return err
		}},
		{"name too short", "InvalidRequestException", "Value 'web' at 'serviceName' failed to satisfy constraint", func() error {
			_, err := client.CreateService(ctx, &apprunner.CreateServiceInput{ServiceName: aws.String("web"), SourceConfiguration: harness.Spec{Image: image}.Source()})
			return err
		}},
		{"unknown scaling", "InvalidRequestException", "autoscalingconfiguration/none", func() error {
			_, err := client.CreateService(ctx, &apprunner.CreateServiceInput{
				ServiceName: aws.String("scaled"), SourceConfiguration: harness.Spec{Image: image}.Source(),
				AutoScalingConfigurationArn: aws.String("arn:aws:apprunner:us-east-1:000000000000:autoscalingconfiguration/none"),
			})
			return err
		}},
		{"port out of range", "InvalidRequestException", "99999", func() error {
			_, err := client.UpdateService(ctx, &apprunner.UpdateServiceInput{ServiceArn: running.ServiceArn, SourceConfiguration: harness.Spec{Image: image, Port: "99999"}.Source()})
			return err
		}},
	} {
		t.Run(r.name, func(t *testing.T) {
			err := r.call()
			api, ok := errors.AsType[smithy.APIError](err)
			if !ok {
				t.Fatalf("got %v, want %s", err, r.code)
			}
			if api.ErrorCode() != r.code || !strings.Contains(api.ErrorMessage(), r.message) {
				t.Errorf("got %s %q, want %s with %q", api.ErrorCode(), api.ErrorMessage(), r.code, r.message)
			}
		})
	}
	if got := s.WaitOperation(busy, op); got != types.OperationStatusFailed {
		t.Errorf("the creation of an app that never listens ended %s, want FAILED", got)
	}
	s.AskMany(running, 1, "")
}

// signed signs ListServices, changes the request by edit, sends it and returns the
// status, the error code and the message.
func signed(s *harness.Server, secret string, at time.Time, edit func(*http.Request)) (status int, code, message string) {
	s.T.Helper()
	body := []byte("{}")
	req, err := http.NewRequest(http.MethodPost, s.API+"/", bytes.NewReader(body))
	if err != nil {
		s.T.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AppRunner.ListServices")
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	keys, sum := s.Keys(), sha256.Sum256(body)
	if secret != "" {
		keys.SecretAccessKey = secret
	}
	if err := v4.NewSigner().SignHTTP(context.Background(), keys, req, hex.EncodeToString(sum[:]), "apprunner", "us-east-1", at); err != nil {
		s.T.Fatal(err)
	}
	edit(req)
	r, err := s.HTTPClient.Do(req)
	if err != nil {
		s.T.Fatal(err)
	}
	defer r.Body.Close()
	var out struct {
		Type    string `json:"__type"`
		Message string
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		s.T.Errorf("the error is not JSON: %q", text)
	}
	if r.Header.Get("X-Amzn-Requestid") == "" || r.Header.Get("Date") == "" {
		s.T.Errorf("the answer lacks a request id or a date: %v", r.Header)
	}
	_, name, found := strings.Cut(out.Type, "#")
	if !found {
		name = out.Type
	}
	return r.StatusCode, name, out.Message
}

// TestForged sends requests with invalid signatures.
func TestForged(t *testing.T) {
	t.Parallel()
	s := harness.Serve(t)
	nothing := func(*http.Request) {}
	for _, r := range []struct {
		name   string
		secret string
		at     time.Time
		edit   func(*http.Request)
		status int
		code   string
	}{
		{"good", "", time.Now(), nothing, 200, ""},
		{"wrong secret", "no such secret", time.Now(), nothing, 403, "InvalidSignatureException"},
		{"expired", "", time.Now().Add(-time.Hour), nothing, 403, "InvalidSignatureException"},
		{"from the future", "", time.Now().Add(time.Hour), nothing, 403, "InvalidSignatureException"},
		{"changed body", "", time.Now(), func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"MaxResults":1}`)), 16
		}, 403, "InvalidSignatureException"},
		{"changed target", "", time.Now(), func(r *http.Request) { r.Header.Set("X-Amz-Target", "AppRunner.ListAutoScalingConfigurations") }, 403, "InvalidSignatureException"},
		{"unsigned", "", time.Now(), func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationTokenException"},
		{"unknown operation", "", time.Now(), func(r *http.Request) { r.Header.Set("X-Amz-Target", "AppRunner.Nothing") }, 404, "UnknownOperationException"},
	} {
		t.Run(r.name, func(t *testing.T) {
			status, code, message := signed(s, r.secret, r.at, r.edit)
			if status != r.status || code != r.code {
				t.Errorf("got %d %s %q, want %d %s", status, code, message, r.status, r.code)
			}
			if r.name == "expired" && !strings.Contains(message, "expired") {
				t.Errorf("an expired signature is answered %q", message)
			}
		})
	}
}
